"""Targets on a terminal: what is copied from there stays whole."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from weighbridge.cli import weighbridge

CONFIG = """\
targets:
  gpt: {url: "%s", provider: openai, key: "env:%s"}
  fleet:
    url: http://vllm:8000/v1
    self_hosted: {gpu: h100, n_gpus: 2, usd_per_gpu_hour: 2.10}
models: {gpt-4o: gpt, "llama-*": fleet}
"""


def test_check_breaks_no_address_and_no_variable_however_long_they_are(tmp_path: Path) -> None:
    address = (
        "https://my-resource-of-a-long-name.openai.azure.com/openai/deployments/gpt-4o-mini-eu"
    )
    variable = "AZURE_OPENAI_API_KEY_OF_THE_EUROPEAN_SUBSCRIPTION"
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG % (address, variable))
    (tmp_path / "keys.json").write_text('{"format": 1, "revision": 1}')
    result = CliRunner().invoke(weighbridge, ["config", "check", str(path)])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    for line in (f"address {address}", f"credential env:{variable}", "cost 2 x h100, $2.1/h each"):
        assert line in lines
