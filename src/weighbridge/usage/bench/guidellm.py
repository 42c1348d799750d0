"""guidellm's JSON of version 2 (guidellm 0.8): one file, one or several benchmarks.

Fields, as documented in guidellm's guides ("Metrics", "Output Types") and in its module
`guidellm.schemas.base.request_stats`:

- `benchmarks[].requests.successful[]`: those that ended well; `errored` and `incomplete` (cut off
  when the benchmark stopped) count as failed.
- `request_start_time`: wall clock of the client when the request was sent: the arrival.
- `time_to_first_token_ms`: from there to the first token, reasoning included; null unstreamed.
- `info.timings.last_token_iteration`: the last token; else `request_latency` [s], to the end of
  the response.
- `prompt_tokens`, `output_tokens`: as the server reported them, chat template and reasoning
  included, unless `prefer_response_metrics` was switched off.
- `config.strategy`: `concurrent` with `streams`, `synchronous` and `throughput` are closed loops.
"""

from __future__ import annotations

from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.bench.building import Names, RunBuilder, Served
from weighbridge.usage.bench.fields import Fields
from weighbridge.usage.bench.opening import as_json, read_bytes
from weighbridge.usage.observed import EngineSettings, ObservedRun

VERSION = 2
NAMES = Names(
    ttft="time_to_first_token_ms",
    e2e="request_latency",
    input_tokens="prompt_tokens",
    output_tokens="output_tokens",
)


def read_guidellm(path: Path) -> tuple[ObservedRun, ...]:
    """One run per benchmark in the file, in its order."""
    report = Fields(str(path), as_json(path, read_bytes(path)))
    version = report.number("metadata.version")
    if version != VERSION:
        told = "missing" if version is None else f"{version:g}"
        raise report.fault(
            "metadata.version", f"is {told}, and {VERSION} is read", "run it with guidellm 0.8"
        )
    runs = tuple(_run(path, benchmark) for benchmark in report.objects("benchmarks"))
    if not runs:
        raise InputError(str(path), "benchmarks", "is empty", "give a file of a finished run")
    return runs


def _run(path: Path, benchmark: Fields) -> ObservedRun:
    strategy = benchmark.text("config.strategy.type_") or "unnamed"
    n_concurrent = _concurrency(benchmark, strategy)
    builder = RunBuilder(NAMES)
    for status in ("errored", "incomplete"):
        builder.n_failed += len(benchmark.at(f"requests.{status}") or ())
    n_listed = 0
    for request in benchmark.objects("requests.successful"):
        _add(builder, request)
        n_listed += 1
    _check_whole(benchmark, n_listed)
    place = benchmark.place
    label = strategy if n_concurrent is None else f"{strategy}@{n_concurrent}"
    return builder.finish(
        f"{path}#{place} {label}",
        f"{path}: {place}",
        n_concurrent,
        EngineSettings(model=benchmark.text("config.backend.model")),
    )


def _add(builder: RunBuilder, request: Fields) -> None:
    arrival_s = request.needed_number("request_start_time")
    ttft_ms = request.number("time_to_first_token_ms")
    last_s = request.number("info.timings.last_token_iteration")
    builder.add(
        f"{request.where}: {request.place}",
        Served(
            arrival_s=arrival_s,
            ttft_s=None if ttft_ms is None else ttft_ms / 1000,
            e2e_s=request.needed_number("request_latency")
            if last_s is None
            else last_s - arrival_s,
            input_tokens=request.needed_count("prompt_tokens"),
            output_tokens=request.needed_count("output_tokens"),
        ),
    )


def _check_whole(benchmark: Fields, n_listed: int) -> None:
    """Raise where the file holds a sample of its requests only."""
    n_made = benchmark.count("metrics.request_totals.successful")
    if n_made is not None and n_made > n_listed:
        raise benchmark.fault(
            "requests.successful",
            f"lists {n_listed} of {n_made} requests",
            "run it again without a sample size of metrics",
        )


def _concurrency(benchmark: Fields, strategy: str) -> int | None:
    if strategy == "synchronous":
        return 1
    if strategy == "concurrent":
        return benchmark.needed_count("config.strategy.streams")
    if strategy == "throughput":
        return benchmark.count("config.strategy.max_concurrency")
    return None
