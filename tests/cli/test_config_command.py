from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weighbridge.cli import weighbridge

LITELLM = Path(__file__).parents[1] / "golden" / "policy" / "litellm.yaml"
GOOD = """\
targets:
  gpt: {url: "https://api.openai.com/v1", provider: openai, key: "env:GPT_KEY_OF_TESTS"}
  fleet:
    url: http://vllm:8000/v1
    self_hosted: {gpu: h100, n_gpus: 2, usd_per_gpu_hour: 2.10}
rules:
  - name: search by day
    match: {feature: search, hours: {days: mon-fri, from: "08:00", to: "18:00"}, tools: false}
    targets: [{target: fleet, weight: 3}, gpt]
    fallback: [gpt]
models: {gpt-4o: gpt, "llama-*": fleet}
data_classes: {internal: [fleet], public: "*"}
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(weighbridge, ["config", *(str(word) for word in words)])


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(text)
    (folder / "keys.json").write_text('{"format": 1, "revision": 1}')
    return path


def test_check_shows_targets_rules_classes_and_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPT_KEY_OF_TESTS", raising=False)
    result = run("check", written(tmp_path, GOOD))
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 100
    for part in (
        "2 x h100, $2.1/h each",
        "env:GPT_KEY_OF_TESTS",
        "fleet (3), gpt",
        "models.llama-*",
        "internal  fleet",
        "public    every target",
        "note: targets.fleet.self_hosted.gpu: 'h100' is not in the catalog: did you mean `h100-",
        "note: targets.gpt: the variable GPT_KEY_OF_TESTS is not set here",
        ", 2 notes",
    ):
        assert part in result.output, part


def test_check_of_a_bad_file_exits_two_with_every_fault(tmp_path: Path) -> None:
    text = GOOD.replace("targets: [{target: fleet", "targets: [{target: flet").replace(
        "n_gpus: 2", "n_gpus: 0"
    )
    result = run("check", written(tmp_path, text))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "self_hosted.n_gpus: is 0" in result.stderr
    assert "'flet' is no target\n  mend: did you mean `fleet`?" in result.stderr


def test_check_of_a_missing_file_exits_two(tmp_path: Path) -> None:
    result = run("check", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_converted_configuration_passes_the_check(tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    result = run("from-litellm", LITELLM, "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "model_list[5].litellm_params.model" in result.stderr
    assert "LITERAL-SECRET" not in out.read_text() + result.output
    assert "&id" not in out.read_text()
    assert run("check", out).exit_code == 2  # serve asks for a key of the gateway's own, too
    (tmp_path / "keys.json").write_text('{"format": 1, "revision": 1}')
    checked = run("check", out)
    assert checked.exit_code == 0, checked.output


def test_converted_configuration_goes_to_standard_output_alone() -> None:
    result = run("from-litellm", LITELLM)
    assert result.exit_code == 0
    assert result.stdout.startswith("# Made from litellm.yaml")
    assert "things to look at" not in result.stdout


def test_conversion_never_overwrites(tmp_path: Path) -> None:
    out = written(tmp_path, "mine")
    for place in (out, tmp_path / "none" / "gateway.yaml"):
        result = run("from-litellm", LITELLM, "-o", place)
        assert result.exit_code == 2
        assert "things to look at" not in result.output  # told before the work, not after it
    assert out.read_text() == "mine"


@pytest.mark.parametrize("text", ["targets: {}", "model_list: []"])
def test_conversion_of_something_else_exits_two(tmp_path: Path, text: str) -> None:
    result = run("from-litellm", written(tmp_path, text))
    assert result.exit_code == 2
    assert "model_list" in result.stderr


def test_check_refuses_what_serve_would_not_start_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADMIN_KEY_OF_TESTS", raising=False)
    more = (
        "admin: {key: env:ADMIN_KEY_OF_TESTS}\nprices: prices.yaml\n"
        "tls: {cert_file: none.pem, key_file: none.pem}\n"
    )
    path = written(tmp_path, GOOD + more)
    (tmp_path / "keys.json").unlink()
    result = run("check", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in (
        f"mend: run: weighbridge keys create {tmp_path}/keys.json --tenant NAME",
        "admin.key: environment variable ADMIN_KEY_OF_TESTS is not set",
        "prices.yaml",
        "tls: cannot be read",
    ):
        assert part in result.stderr, part


def test_check_refuses_a_broken_key_file(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    (tmp_path / "keys.json").write_text("{")
    result = run("check", path)
    assert result.exit_code == 2
    assert "keys.json: is no JSON" in result.stderr


def test_conversion_tells_first_which_models_are_lost(tmp_path: Path) -> None:
    text = """\
model_list:
  - {model_name: mine, litellm_params: {model: openai/gpt-4o, temperature: 0.2}}
  - {model_name: sonnet, litellm_params: {model: bedrock/anthropic.claude-sonnet-4-5-v1}}
  - {model_name: gpt-9, litellm_params: {model: vertex_ai/gemini-2.5-pro}}
  - {model_name: gpt-*, litellm_params: {model: openai/*}}
  - {model_name: claude, litellm_params: {model: anthropic/claude-sonnet-4-5}}
router_settings: {model_group_alias: {ghost: nowhere}}
litellm_settings: {default_fallbacks: [mine]}
"""
    told = run("from-litellm", written(tmp_path, text)).stderr.splitlines()
    head = told.index("3 models that clients ask for are not carried:")
    lost, others = told[head + 1 : head + 4], told[head + 4 :]
    assert lost[0].startswith("  sonnet gets 404: model_list[1].litellm_params.model: bedrock")
    assert lost[1].startswith("  gpt-9 is answered by what serves `gpt-*`: model_list[2].")
    assert lost[2].startswith("  ghost gets 404: router_settings.model_group_alias.ghost: ")
    assert others[0].endswith(" things to look at, for your information:")
    assert any("model_list[0].litellm_params.temperature" in line for line in others)
    assert any(
        line.startswith("  rules.claude (anthropic).fallback: leaves out mine of")
        for line in others
    )
