"""`weighbridge rehearse`: it says where it listens, sends what it is told, and ends when asked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from weighbridge.cli import weighbridge
from weighbridge.rehearsal.provider_process import ProviderProcess
from weighbridge.rehearsal.provider_settings import Fault, Settings

COMMAND = [sys.executable, "-m", "weighbridge", "rehearse"]


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess(Settings(speed=0)) as running:
        yield running


def test_the_provider_says_where_it_listens_and_ends_on_a_signal(tmp_path: Path) -> None:
    config = tmp_path / "p.yaml"
    config.write_text("models: [{name: mine, input_usd_per_mtok: 0.1}]\nother_models: null\n")
    process = subprocess.Popen(
        [*COMMAND, "provider", "--config", str(config), "--speed", "0", "--seed", "3"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as told:
        line = told.readline().decode()
        assert line.startswith("ready http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_wrong_config_is_told_and_nothing_is_served(tmp_path: Path) -> None:
    config = tmp_path / "p.yaml"
    config.write_text("sped: 1\n")
    done = CliRunner().invoke(weighbridge, ["rehearse", "provider", "--config", str(config)])
    assert done.exit_code == 2
    assert "unknown field `sped`" in done.output


def _traffic(provider: ProviderProcess, out: Path, *more: str) -> list[str]:
    return ["rehearse", "traffic", "--to", provider.url, "--out", str(out), *more]


def test_traffic_of_a_mix_is_sent_and_summed_up(provider: ProviderProcess, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    more = ("--mix", "demo", "--speed", "5000", "--limit", "40", "--stream-share", "0.5")
    done = CliRunner().invoke(weighbridge, _traffic(provider, out, *more))
    assert done.exit_code == 0, done.output
    assert "lateness of sends p50/p99" in done.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 40
    assert {line["status"] for line in lines} == {200}
    assert {line["streamed"] for line in lines} == {True, False}


def test_failures_are_listed_by_kind(provider: ProviderProcess, tmp_path: Path) -> None:
    provider.add_fault(Fault(fault="status_503"))
    more = ("--mix", "demo", "--speed", "5000", "--limit", "5", "--model", "gpt-4o")
    done = CliRunner().invoke(weighbridge, _traffic(provider, tmp_path / "run.jsonl", *more))
    provider.clear_faults()
    assert "failed: http_503" in done.output
    assert done.exit_code == 1
    assert "none of 5 requests succeeded: http_503 (5)" in done.stderr
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert {json.loads(line)["model"] for line in lines} == {"gpt-4o"}


def test_one_source_must_be_named(provider: ProviderProcess, tmp_path: Path) -> None:
    for more in ((), ("--mix", "demo", "--ledger", "x")):
        done = CliRunner().invoke(weighbridge, _traffic(provider, tmp_path / "o", *more))
        assert done.exit_code == 2
        assert "give one of --ledger, --trace, --mix" in done.output
    assert not (tmp_path / "o").exists()


def test_a_key_that_is_not_set_is_told(provider: ProviderProcess, tmp_path: Path) -> None:
    more = ("--mix", "demo", "--key-env", "claims=NO_SUCH_VARIABLE_HERE")
    done = CliRunner().invoke(weighbridge, _traffic(provider, tmp_path / "o", *more))
    assert done.exit_code == 2
    assert "NO_SUCH_VARIABLE_HERE: is not set" in done.output


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    with ProviderProcess(Settings(speed=0, faults=(Fault(fault="hang", share=0.5),))) as provider:
        process = subprocess.Popen(
            [
                *COMMAND[:-1],
                *_traffic(provider, out, "--mix", "demo", "--speed", "2000", "--model", "gpt-4o"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "100"},
        )
        while provider.stats()["n_requests"] < 10:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 130
    assert "cut short" in told
    errors = [json.loads(line)["error"] for line in out.read_text().splitlines()]
    assert "interrupted" in errors
    assert None in errors
