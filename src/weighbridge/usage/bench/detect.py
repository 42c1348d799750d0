"""Which tool wrote a file, told by what is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.bench.aiperf import read_aiperf
from weighbridge.usage.bench.engine_log import read_engine_log, requests_of
from weighbridge.usage.bench.guidellm import read_guidellm
from weighbridge.usage.bench.metrics import read_load
from weighbridge.usage.bench.opening import as_json, as_text, read_bytes
from weighbridge.usage.bench.points import COLUMNS
from weighbridge.usage.bench.vllm_bench import is_vllm_bench, read_vllm_bench
from weighbridge.usage.observed import ObservedLoad, ObservedRun

Format = Literal[
    "aiperf",
    "aiperf totals",
    "guidellm",
    "vllm bench",
    "engine log",
    "vllm metrics",
    "measured points",
]
SUPPORTED = (
    "profile_export.jsonl of aiperf, the JSON of guidellm 0.8, the JSON of `vllm bench serve "
    "--save-result --save-detailed`, or a folder with requests.jsonl and meta.json"
)
_READERS: dict[Format, Callable[[Path], tuple[ObservedRun, ...]]] = {
    "aiperf": read_aiperf,
    "guidellm": read_guidellm,
    "vllm bench": read_vllm_bench,
    "engine log": read_engine_log,
}
_RESULTS = ("guidellm", "vllm bench")  # those that end in .json
# What is named though it holds no run, with what to give instead.
_INSTEAD: dict[Format, tuple[str, str]] = {
    "aiperf totals": (
        "is aiperf's aggregate, which holds no single request",
        "give profile_export.jsonl, which aiperf writes beside it",
    ),
    "vllm metrics": (
        "holds an engine's totals, which tell of no single request",
        f"give {SUPPORTED}",
    ),
    "measured points": (
        "is a table of measured points, which holds no single request",
        f"give {SUPPORTED}",
    ),
}


def read_runs(path: Path) -> tuple[ObservedRun, ...]:
    """All runs in a file or folder; raises InputError that says why there is none.

    A folder is one engine log, or holds result files, in itself or in folders one level down.
    """
    if path.is_dir():
        return _runs_of_folder(path)
    kind = name_format(path)
    if kind in _INSTEAD:
        problem, mend = _INSTEAD[kind]
        raise InputError(str(path), "", problem, mend)
    return _READERS[kind](path)


def read_loads(path: Path) -> tuple[ObservedLoad, ...]:
    """What a saved /metrics page or aiperf's export of server metrics tells."""
    kind = name_format(path)
    if kind != "vllm metrics":
        raise InputError(
            str(path),
            "",
            f"is a file of {kind}, not metrics of vLLM",
            "give a saved /metrics page, or server_metrics_export.json of aiperf",
        )
    return (read_load(path),)


def _runs_of_folder(folder: Path) -> tuple[ObservedRun, ...]:
    if (folder / "ledger.json").exists():
        raise InputError(
            str(folder),
            "",
            "is a ledger, which holds several targets",
            "name the target whose requests are to be read",
        )
    if requests_of(folder) is not None:
        return read_engine_log(folder)
    below = sorted(one for one in folder.iterdir() if one.is_dir())
    runs = [run for one in (folder, *below) for run in _runs_of_files(one)]
    if not runs:
        raise InputError(str(folder), "", "holds no file of a known benchmark", f"give {SUPPORTED}")
    return tuple(runs)


def _runs_of_files(folder: Path) -> list[ObservedRun]:
    """Runs of the result files of a folder; its other files are the tools' own and no results."""
    if requests_of(folder) is not None:
        return list(read_engine_log(folder))
    names = sorted(
        one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")
    )
    found: list[ObservedRun] = []
    for path in names:
        stem = path.name.removesuffix(".gz")
        if stem.endswith("profile_export.jsonl"):
            found.extend(read_aiperf(path))
        elif stem.endswith(".json"):
            kind = _format_of(path, read_bytes(path))
            if kind is not None and kind in _RESULTS:
                found.extend(_READERS[kind](path))
    return found


def name_format(path: Path) -> Format:
    """The tool that wrote a file; raises where it is none that is read."""
    kind = _format_of(path, read_bytes(path))
    if kind is None:
        raise InputError(str(path), "", "is of no known benchmark", f"give {SUPPORTED}")
    return kind


def _format_of(path: Path, raw: bytes) -> Format | None:
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return _format_of_json(_first_object(path, raw))
    head = as_text(path, raw).lstrip()
    first_line = head.partition("\n")[0]
    if set(COLUMNS[:5]) <= set(first_line.strip().split(",")):
        return "measured points"
    if first_line.startswith(("# HELP ", "# TYPE ")) or "\nvllm:" in f"\n{head}":
        return "vllm metrics"
    return None


def _first_object(path: Path, raw: bytes) -> dict[str, Any]:
    """The first line where it is an object of its own, as in JSON lines; else the whole file."""
    first = raw.strip().partition(b"\n")[0]
    try:
        value = msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = as_json(path, raw)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _format_of_json(value: dict[str, Any]) -> Format | None:
    if "metadata" in value and "benchmarks" in value:
        return "guidellm"
    if "metadata" in value and ("metrics" in value or "error" in value):
        return "aiperf"
    if "queued_ts" in value or "arrival_time" in value:
        return "engine log"
    if "aiperf_version" in value:
        return "vllm metrics" if "metrics" in value else "aiperf totals"
    return "vllm bench" if is_vllm_bench(value) else None
