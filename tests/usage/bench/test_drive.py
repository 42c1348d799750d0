"""Driving a tool: its exact command, no shell, no secret, its results or why there are none."""

import json
import stat
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from weighbridge.units import InputError
from weighbridge.usage.bench.drive import BenchmarkPlan, Tool, commands_of, drive

URL = "http://127.0.0.1:8000"
PLAN = BenchmarkPlan("vllm", URL, "made-8b", "./made", (1, 8), 256, 64, 80, Path("out"))


@dataclass
class Runner:
    """Stands where subprocess.run does; writes what the tool would."""

    results: tuple[Path, ...] = ()
    returncode: int = 0

    def __post_init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def __call__(self, words: tuple[str, ...], **options: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append((words, options))
        for result in self.results:
            result.write_text("{}")
        return subprocess.CompletedProcess(words, self.returncode)


def _installed(folder: Path, *tools: str) -> dict[str, str]:
    for tool in tools:
        program = folder / tool
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": str(folder), "KEY": "s3cret"}


def test_the_command_of_vllm_bench() -> None:
    first, second = commands_of(PLAN)
    assert " ".join(first.words) == (
        "vllm bench serve --backend openai-chat --base-url http://127.0.0.1:8000 "
        "--endpoint /v1/chat/completions --model made-8b --tokenizer ./made "
        "--dataset-name random --random-input-len 256 --random-output-len 64 "
        "--num-prompts 80 --max-concurrency 1 --seed 1 --result-dir out "
        "--result-filename vllm_c1.json --ignore-eos --save-result --save-detailed"
    )
    assert (first.result, second.result) == (Path("out/vllm_c1.json"), Path("out/vllm_c8.json"))


def test_the_command_of_guidellm_runs_all_concurrencies_at_once() -> None:
    (command,) = commands_of(replace(PLAN, tool="guidellm"))
    assert command.words == (
        "guidellm",
        "run",
        "--backend",
        '{"kind": "openai_http", "target": "http://127.0.0.1:8000", "model": "made-8b", '
        '"request_format": "/v1/chat/completions"}',
        "--tokenizer",
        '{"kind": "huggingface_auto", "model": "./made"}',
        "--profile",
        '{"kind": "concurrent", "streams": [1, 8]}',
        "--constraint",
        '{"kind": "max_requests", "count": 80}',
        "--data",
        '{"kind": "synthetic_text", "prompt_tokens": 256, "output_tokens": 64}',
        "--seed",
        '{"kind": "static", "value": 1}',
        "--output",
        '{"kind": "json", "path": "out/guidellm.json"}',
        "--disable-console-interactive",
    )


def test_the_command_of_aiperf_stands_in_a_file() -> None:
    _, command = commands_of(replace(PLAN, tool="aiperf", api_key_variable="KEY"))
    assert command.words == ("aiperf", "profile", "--config", "out/c8/aiperf.yaml")
    assert command.result == Path("out/c8/profile_export.jsonl")
    assert command.config is not None
    told = json.loads(command.config)["benchmark"]
    assert told["endpoint"] == {
        "urls": [URL],
        "type": "chat",
        "streaming": True,
        "use_server_token_count": True,
        "extra": {"ignore_eos": True},
        "api_key": "${KEY}",
    }
    assert told["datasets"][0]["prompts"] == {
        "isl": {"mean": 256, "stddev": 0},
        "osl": {"mean": 64, "stddev": 0},
    }
    assert told["phases"] == [
        {
            "name": "profiling",
            "kind": "profiling",
            "type": "concurrency",
            "requests": 80,
            "concurrency": 8,
        }
    ]


def test_a_tool_is_run_once_per_concurrency_and_shown(tmp_path: Path) -> None:
    plan = replace(PLAN, out_folder=tmp_path / "out")
    results = (tmp_path / "out" / "vllm_c1.json", tmp_path / "out" / "vllm_c8.json")
    runner, shown = Runner(results), list[str]()
    found = drive(plan, runner, shown.append, _installed(tmp_path, "vllm"))
    assert found == list(results)
    assert [line.split()[:3] for line in shown] == [["vllm", "bench", "serve"]] * 2
    words, options = runner.calls[0]
    assert words[0] == str(tmp_path / "vllm")
    assert options["stdin"] == subprocess.DEVNULL
    assert "shell" not in options


@pytest.mark.parametrize(("tool", "variable"), [("vllm", "OPENAI_API_KEY"), ("aiperf", "KEY")])
def test_a_key_goes_by_the_environment_and_stands_nowhere_else(
    tmp_path: Path, tool: Tool, variable: str
) -> None:
    out = tmp_path / "out"
    plan = replace(PLAN, tool=tool, concurrencies=(1,), out_folder=out, api_key_variable="KEY")
    runner, shown = Runner((commands_of(plan)[0].result,)), list[str]()
    drive(plan, runner, shown.append, _installed(tmp_path, tool))
    words, options = runner.calls[0]
    assert options["env"][variable] == "s3cret"
    written = [path.read_text() for path in out.rglob("*") if path.is_file()]
    assert written
    assert not any("s3cret" in text for text in (*words, *shown, *written))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": ""}, "benchmark: url: is no address of an endpoint\n  mend: state it in full"),
        ({"url": "127.0.0.1:8000"}, "benchmark: url: is no address of an endpoint"),
        ({"url": "http://[h"}, "benchmark: url: is no address of an endpoint"),
        ({"url": "http://h/v1"}, "benchmark: url: is no address of an endpoint"),
        ({"url": "http://me:pw@h/"}, "benchmark: url: holds credentials or a query"),
        ({"url": "http://h/?key=1"}, "benchmark: url: holds credentials or a query"),
        ({"tool": "wrk"}, "benchmark: tool: is 'wrk'\n  mend: name one of aiperf, guidellm, vllm"),
        ({"model": "--help"}, "benchmark: model: is '--help'\n  mend: name it"),
        ({"concurrencies": ()}, "benchmark: concurrencies: is 0\n  mend: give a whole number"),
        ({"output_tokens": 0}, "benchmark: output_tokens: is 0\n  mend: give a whole number"),
        ({"n_requests": 5}, "benchmark: n_requests: is 5, below the concurrency 8\n  mend: send"),
        (
            {"tool": "guidellm", "api_key_variable": "KEY"},
            "benchmark: api_key_variable: cannot be handed to guidellm, which takes a key in its "
            "command only\n  mend: use aiperf or vllm",
        ),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        commands_of(replace(PLAN, **change))
    assert str(caught.value).startswith(told)


def test_what_goes_wrong_around_the_tool_is_told(tmp_path: Path) -> None:
    plan = replace(PLAN, out_folder=tmp_path / "out", api_key_variable="GONE")
    environment = _installed(tmp_path, "vllm", "aiperf")
    open_plan = replace(plan, api_key_variable=None)
    offline = replace(open_plan, tool="aiperf", tokenizer=str(tmp_path))
    cases: list[tuple[BenchmarkPlan, Runner, dict[str, str], str]] = [
        (plan, Runner(), {"PATH": ""}, "vllm: is not installed: there is no such program on PATH"),
        (plan, Runner(), environment, "GONE: is not set in the environment\n  mend: export GONE"),
        (open_plan, Runner(returncode=2), environment, "vllm: ended with 2\n  mend: see what it"),
        (open_plan, Runner(), environment, f"{tmp_path}/out/vllm_c1.json: was not written by vllm"),
        (
            offline,
            Runner(),
            environment | {"HF_HUB_OFFLINE": "1"},
            "HF_HUB_OFFLINE: is set, and aiperf then takes no tokenizer from a folder\n  mend: uns",
        ),
    ]
    for case, runner, env, told in cases:
        with pytest.raises(InputError) as caught:
            drive(case, runner, lambda _: None, env)
        assert str(caught.value).startswith(told)
    (tmp_path / "out" / "vllm_c8.json").write_text("{}")
    with pytest.raises(InputError, match="is there already\n  mend: name an empty folder"):
        drive(open_plan, Runner(), lambda _: None, environment)
