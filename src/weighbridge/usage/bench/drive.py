"""Drive a benchmark tool that is installed: its command, its results. No load of our own.

The tools, their flags as of aiperf 0.13 (docs.nvidia.com/aiperf, "Command Line Options"), guidellm
0.8 (its README: `guidellm run` with `kind=…` groups) and `vllm bench serve` (docs.vllm.ai).
Commands are lists, so that no shell reads them; a secret is named by the environment variable that
holds it and stands in no command and no file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from weighbridge.units import InputError

Tool = Literal["aiperf", "guidellm", "vllm"]
TOOLS: tuple[Tool, ...] = ("aiperf", "guidellm", "vllm")
SEED = 1


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """What to run: closed loops, one after the other, with prompts and answers of one length.

    `tokenizer` is a folder or a name that the tool can load; `n_requests` counts for each of
    `concurrencies`; `api_key_variable` names the environment variable with the endpoint's key.
    """

    tool: Tool
    url: str
    model: str
    tokenizer: str
    concurrencies: tuple[int, ...]
    input_tokens: int
    output_tokens: int
    n_requests: int
    out_folder: Path
    api_key_variable: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One run of a tool: its words, what they need beside them, and the file that it will write."""

    words: tuple[str, ...]
    result: Path
    config: str | None = None  # written beside the result before the tool starts
    secrets: Mapping[str, str] | None = None  # variable of the tool -> variable of the person


class Ended(Protocol):
    """What a runner answers."""

    @property
    def returncode(self) -> int:
        """0 where the tool succeeded."""


def drive(
    plan: BenchmarkPlan,
    runner: Callable[..., Ended] = subprocess.run,
    show: Callable[[str], None] = print,
    environment: Mapping[str, str] | None = None,
) -> list[Path]:
    """Run the tool once per concurrency (guidellm: once) and give the files it wrote."""
    environment = os.environ if environment is None else environment
    commands = commands_of(plan)
    program = shutil.which(plan.tool, path=environment.get("PATH"))
    if program is None:
        raise InputError(
            plan.tool,
            "",
            "is not installed: there is no such program on PATH",
            f"install it in an environment of its own (pip install {plan.tool}) and put that on "
            "PATH",
        )
    _check_free(commands)
    _check_offline(plan, environment)
    results = []
    for command in commands:
        show(" ".join(_quoted(word) for word in command.words))
        results.append(_run(command, program, runner, environment))
    return results


def _run(
    command: Command,
    program: str,
    runner: Callable[..., Ended],
    environment: Mapping[str, str],
) -> Path:
    env = dict(environment)
    for theirs, ours in (command.secrets or {}).items():
        if not env.get(ours):
            raise InputError(ours, "", "is not set in the environment", f"export {ours}=… first")
        env[theirs] = env[ours]
    command.result.parent.mkdir(parents=True, exist_ok=True)
    if command.config is not None:
        _config_path(command.result).write_text(command.config)
    ended = runner((program, *command.words[1:]), env=env, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode != 0:
        raise InputError(
            command.words[0],
            "",
            f"ended with {ended.returncode}",
            "see what it printed; run the command that is shown by hand",
        )
    if not command.result.is_file():
        raise InputError(
            str(command.result), "", f"was not written by {command.words[0]}", "see what it printed"
        )
    return command.result


def _check_free(commands: Sequence[Command]) -> None:
    for command in commands:
        if command.result.exists():
            raise InputError(
                str(command.result), "", "is there already", "name an empty folder for results"
            )


def _check_offline(plan: BenchmarkPlan, environment: Mapping[str, str]) -> None:
    """Offline, aiperf 0.13 looks a tokenizer up in its cache and takes no folder."""
    if plan.tool != "aiperf" or not Path(plan.tokenizer).is_dir():
        return
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if environment.get(name, "0") not in ("", "0"):
            raise InputError(
                name,
                "",
                "is set, and aiperf then takes no tokenizer from a folder",
                f"unset {name}: a folder is read without a network",
            )


def _quoted(word: str) -> str:
    return word if word and all(c.isalnum() or c in "-_./:=,@+" for c in word) else repr(word)


def commands_of(plan: BenchmarkPlan) -> list[Command]:
    """The commands, without running them; raises where the plan cannot be run."""
    _check(plan)
    if plan.tool == "guidellm":
        return [_guidellm(plan)]
    make = _aiperf if plan.tool == "aiperf" else _vllm
    return [make(plan, n) for n in plan.concurrencies]


def _check(plan: BenchmarkPlan) -> None:
    where = "benchmark"
    if plan.tool not in TOOLS:
        raise InputError(where, "tool", f"is {plan.tool!r}", f"name one of {', '.join(TOOLS)}")
    _check_url(where, plan.url)
    for name in ("model", "tokenizer"):
        value = getattr(plan, name)
        if not value or value.startswith("-"):
            raise InputError(where, name, f"is {value!r}", "name it")
    numbers = {
        name: getattr(plan, name) for name in ("input_tokens", "output_tokens", "n_requests")
    }
    numbers |= {"concurrencies": min(plan.concurrencies, default=0)}
    for name, number in numbers.items():
        if number < 1:
            raise InputError(where, name, f"is {number}", "give a whole number of 1 or more")
    if plan.n_requests < max(plan.concurrencies):
        raise InputError(
            where,
            "n_requests",
            f"is {plan.n_requests}, below the concurrency {max(plan.concurrencies)}",
            "send at least ten times as many requests as run at once",
        )


def _check_url(where: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.path not in ("", "/"):
        raise InputError(
            where,
            "url",
            "is no address of an endpoint",
            "state it in full and without a path, such as http://127.0.0.1:8000",
        )
    if parts.username or parts.password or parts.query:
        raise InputError(
            where,
            "url",
            "holds credentials or a query, which would stand in commands and files",
            "name the environment variable that holds the key",
        )


def _config_path(result: Path) -> Path:
    return result.with_name("aiperf.yaml")


def _aiperf(plan: BenchmarkPlan, n_concurrent: int) -> Command:
    """By a file, which alone can take the key from the environment; JSON is YAML."""
    result = plan.out_folder / f"c{n_concurrent}" / "profile_export.jsonl"
    endpoint: dict[str, Any] = {
        "urls": [plan.url],
        "type": "chat",
        "streaming": True,
        "use_server_token_count": True,
        "extra": {"ignore_eos": True},
    }
    if plan.api_key_variable is not None:
        endpoint["api_key"] = f"${{{plan.api_key_variable}}}"
    prompts = {
        "isl": {"mean": plan.input_tokens, "stddev": 0},
        "osl": {"mean": plan.output_tokens, "stddev": 0},
    }
    benchmark = {
        "models": {"items": [{"name": plan.model}]},
        "endpoint": endpoint,
        "datasets": [
            {
                "name": "main",
                "type": "synthetic",
                "entries": plan.n_requests,
                "random_seed": SEED,
                "prompts": prompts,
            }
        ],
        "phases": [
            {
                "name": "profiling",
                "kind": "profiling",
                "type": "concurrency",
                "requests": plan.n_requests,
                "concurrency": n_concurrent,
            }
        ],
        "artifacts": {"dir": str(result.parent)},
        "tokenizer": {"name": plan.tokenizer},
        "runtime": {"ui": "none"},
    }
    words = ("aiperf", "profile", "--config", str(_config_path(result)))
    key = plan.api_key_variable
    return Command(
        words,
        result,
        json.dumps({"benchmark": benchmark}, indent=2) + "\n",
        None if key is None else {key: key},
    )


def _guidellm(plan: BenchmarkPlan) -> Command:
    if plan.api_key_variable is not None:
        raise InputError(
            "benchmark",
            "api_key_variable",
            "cannot be handed to guidellm, which takes a key in its command only",
            "use aiperf or vllm, or an endpoint without a key",
        )
    result = plan.out_folder / "guidellm.json"
    groups: dict[str, dict[str, Any]] = {
        "--backend": {
            "kind": "openai_http",
            "target": plan.url,
            "model": plan.model,
            "request_format": "/v1/chat/completions",
        },
        "--tokenizer": {"kind": "huggingface_auto", "model": plan.tokenizer},
        "--profile": {"kind": "concurrent", "streams": list(plan.concurrencies)},
        "--constraint": {"kind": "max_requests", "count": plan.n_requests},
        "--data": {
            "kind": "synthetic_text",
            "prompt_tokens": plan.input_tokens,
            "output_tokens": plan.output_tokens,
        },
        "--seed": {"kind": "static", "value": SEED},
        "--output": {"kind": "json", "path": str(result)},
    }
    words = [word for flag, group in groups.items() for word in (flag, json.dumps(group))]
    return Command(("guidellm", "run", *words, "--disable-console-interactive"), result)


def _vllm(plan: BenchmarkPlan, n_concurrent: int) -> Command:
    result = plan.out_folder / f"vllm_c{n_concurrent}.json"
    options = {
        "--backend": "openai-chat",
        "--base-url": plan.url,
        "--endpoint": "/v1/chat/completions",
        "--model": plan.model,
        "--tokenizer": plan.tokenizer,
        "--dataset-name": "random",
        "--random-input-len": plan.input_tokens,
        "--random-output-len": plan.output_tokens,
        "--num-prompts": plan.n_requests,
        "--max-concurrency": n_concurrent,
        "--seed": SEED,
        "--result-dir": plan.out_folder,
        "--result-filename": result.name,
    }
    words = [str(word) for option in options.items() for word in option]
    key = plan.api_key_variable
    return Command(
        ("vllm", "bench", "serve", *words, "--ignore-eos", "--save-result", "--save-detailed"),
        result,
        secrets=None if key is None else {"OPENAI_API_KEY": key},
    )
