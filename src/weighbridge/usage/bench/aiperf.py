"""aiperf 0.x: `profile_export.jsonl`, one record a request, and what lies beside it.

Fields, as documented at docs.nvidia.com/aiperf ("Working with Profile Export Files", "Metrics
Reference", "profile_export_aiperf.json Schema" 1.x):

- `metadata.request_start_ns`: wall clock of the client when the request was sent: the arrival.
- `time_to_first_token`: from there to the first token of any kind; reasoning counts. It holds the
  client's connecting and the network. Absent without `--streaming`.
- `request_latency`: from there to the last response with content.
- `usage_prompt_tokens`, `usage_completion_tokens`: what the server counted, chat template and
  reasoning included; taken where they are. Otherwise `input_sequence_length` (the client's count,
  without the template) and `output_sequence_length`, which is `output_token_count` plus reasoning.
- `error`, `metadata.was_cancelled`, `metadata.context_overflow_skip`: the request counts as failed.

Warm-up records are left out. Model, concurrency and schema version stand in the aggregate
`profile_export_aiperf.json`, the cache's size in `server_metrics_export.json`, where these exist.
"""

from __future__ import annotations

import re
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.bench.building import Names, RunBuilder, Served
from weighbridge.usage.bench.fields import Fields
from weighbridge.usage.bench.json_lines import json_lines
from weighbridge.usage.bench.metrics import check_schema, engine_settings
from weighbridge.usage.bench.opening import as_json, read_bytes
from weighbridge.usage.observed import EngineSettings, ObservedRun

NAMES = Names(
    ttft="metrics.time_to_first_token",
    e2e="metrics.request_latency",
    input_tokens="metrics.input_sequence_length",
    output_tokens="metrics.output_sequence_length",
)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_EXPORT = re.compile(r"(profile_export)?\.jsonl(\.gz)?$")


def read_aiperf(path: Path) -> tuple[ObservedRun, ...]:
    """The runs of an export: one per profiling phase, of which there is mostly one."""
    phases: dict[str, RunBuilder] = {}
    first_ns: int | None = None
    for record in json_lines(path):
        if _is_warmup(record):
            continue
        phase = record.text("metadata.phase_name") or "profiling"
        builder = phases.setdefault(phase, RunBuilder(NAMES))
        start_ns = record.needed_whole("metadata.request_start_ns")
        first_ns = start_ns if first_ns is None else first_ns
        _add(builder, record, (start_ns - first_ns) / 1e9)
    if not phases:
        raise InputError(
            str(path), "", "holds warm-up requests only", "run it with requests to measure"
        )
    config = _aggregate(path)
    settings = _settings(path, config)
    return tuple(
        builder.finish(
            str(path) if len(phases) == 1 else f"{path}#{phase}",
            str(path),
            None if config is None else _concurrency(config, phase),
            settings,
        )
        for phase, builder in phases.items()
    )


def _is_warmup(record: Fields) -> bool:
    kind = record.text("metadata.phase_kind") or record.text("metadata.benchmark_phase")
    return kind == "warmup"


def _add(builder: RunBuilder, record: Fields, arrival_s: float) -> None:
    failed = record.at("error") is not None or record.flag("metadata.was_cancelled")
    if failed or record.flag("metadata.context_overflow_skip"):
        builder.n_failed += 1
        return
    e2e_s = _seconds(record, "metrics.request_latency")
    if e2e_s is None:
        raise record.fault(
            "metrics.request_latency", "is missing", "give the file as the tool wrote it"
        )
    builder.add(
        record.where,
        Served(
            arrival_s=arrival_s,
            ttft_s=_seconds(record, "metrics.time_to_first_token"),
            e2e_s=e2e_s,
            input_tokens=_tokens(record, "usage_prompt_tokens", "input_sequence_length"),
            output_tokens=_tokens(record, "usage_completion_tokens", "output_sequence_length"),
        ),
    )


def _seconds(record: Fields, metric: str) -> float | None:
    value = record.number(f"{metric}.value")
    if value is None:
        return None
    unit = record.text(f"{metric}.unit") or ""
    if unit not in _SECONDS:
        raise record.fault(
            f"{metric}.unit", "is no unit of time", f"write one of {', '.join(_SECONDS)}"
        )
    return value * _SECONDS[unit]


def _tokens(record: Fields, by_server: str, by_client: str) -> int:
    counted = record.count(f"metrics.{by_server}.value")
    if counted is None:
        counted = record.count(f"metrics.{by_client}.value")
    if counted is None:
        raise record.fault(
            f"metrics.{by_client}",
            "is missing, and the server counted nothing either",
            "run aiperf with a tokenizer or with --use-server-token-count",
        )
    return counted


def _beside(path: Path, name: str) -> Path | None:
    """A file of the same export: what stands before `profile_export.jsonl` stands before it too."""
    prefix = _EXPORT.sub("", path.name)
    for ending in ("", ".gz"):
        found = path.with_name(f"{prefix}{name}{ending}")
        if found.is_file() and found != path:
            return found
    return None


def _aggregate(path: Path) -> Fields | None:
    found = _beside(path, "profile_export_aiperf.json") or _beside(path, "_aiperf.json")
    if found is None:
        return None
    aggregate = Fields(str(found), as_json(found, read_bytes(found)))
    check_schema(aggregate)
    return aggregate


def _concurrency(aggregate: Fields, phase: str) -> int | None:
    """Of a closed loop; a phase with a rate is an open one, whatever its cap."""
    if aggregate.at("input_config.phases") is None:
        return None
    for one in aggregate.objects("input_config.phases"):
        if (one.text("name") or "profiling") == phase:
            return one.count("concurrency") if one.number("rate") is None else None
    return None


def _settings(path: Path, aggregate: Fields | None) -> EngineSettings:
    metrics = _beside(path, "server_metrics_export.json")
    told = EngineSettings() if metrics is None else engine_settings(metrics)
    model = told.model
    if aggregate is not None and aggregate.at("input_config.models.items"):
        model = next(aggregate.objects("input_config.models.items")).text("name") or model
    return EngineSettings(
        model=model,
        engine=told.engine,
        n_block_tokens=told.n_block_tokens,
        kv_tokens=told.kv_tokens,
        prefix_caching=told.prefix_caching,
    )
