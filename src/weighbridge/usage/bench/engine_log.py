"""Logs of an engine's own time stamps: a folder with `requests.jsonl`, `meta.json`, `config.json`.

One object a line: `input_toks`, `output_toks`, and vLLM's stamps of a request (`RequestStateStats`
of `vllm.v1.metrics.stats`; docs.vllm.ai, "Metrics"): `queued_ts`, `scheduled_ts` (the first time),
`first_token_ts` and `last_token_ts` on the engine's steady clock, `arrival_time` on the front end's
wall clock. The two clocks share no zero, so the arrival taken is `queued_ts`: the wait in the front
end, up to one iteration long, is not seen. How far the clocks move against each other is checked.

`meta.json` (schema 1) and `config.json` tell of the engine; `n_max_requests` is per data-parallel
rank, as `max_num_seqs` is. `timeseries.csv` is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.bench.building import Names, RunBuilder, Served
from weighbridge.usage.bench.fields import Fields
from weighbridge.usage.bench.json_lines import json_lines
from weighbridge.usage.bench.opening import as_json, read_bytes
from weighbridge.usage.observed import EngineSettings, ObservedRun

SCHEMA_VERSION = 1
# A busy front end hands requests over seconds late; clocks of two starts lie further apart.
MAX_DRIFT_S = 60.0
STAMPS = ("queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
NAMES = Names(
    ttft="first_token_ts",
    e2e="last_token_ts",
    input_tokens="input_toks",
    output_tokens="output_toks",
    queue="scheduled_ts",
)
REQUESTS = "requests.jsonl"


def read_engine_log(path: Path) -> tuple[ObservedRun, ...]:
    """The run of a folder, or of its `requests.jsonl`."""
    log = requests_of(path)
    if log is None:
        raise InputError(
            str(path), "", f"holds no {REQUESTS}", f"give a folder with {REQUESTS} and meta.json"
        )
    folder = log.parent
    builder = RunBuilder(NAMES)
    lags_s = [_add(builder, row) for row in json_lines(log)]
    _check_drift(log, lags_s)
    meta = _beside(folder, "meta.json")
    if meta is not None:
        _check_meta(builder, meta, log, len(lags_s))
    settings = _settings(meta, _beside(folder, "config.json"))
    return (builder.finish(str(path), str(log), None, settings),)


def requests_of(path: Path) -> Path | None:
    """The file of requests in a folder, or the path itself if it is a file."""
    if path.is_file():
        return path
    names = (path / REQUESTS, path / f"{REQUESTS}.gz")
    return next((name for name in names if name.is_file()), None)


def _add(builder: RunBuilder, row: Fields) -> float:
    """Take in one line; how much later than the wall clock the engine's shows its arrival."""
    for name in ("input_toks", "output_toks", *STAMPS):
        if name not in row:
            raise row.fault(name, "is missing", f"log {', '.join(STAMPS)} for every request")
    queued_s = row.needed_number("queued_ts")
    stamps = [row.number(name) for name in STAMPS[1:]]
    # An engine leaves 0 where nothing happened yet.
    scheduled_s, first_s, last_s = (stamp or None for stamp in stamps)
    arrival_s = row.number("arrival_time")
    lag_s = 0.0 if arrival_s is None else queued_s - arrival_s
    if first_s is None or last_s is None:
        builder.n_failed += 1
        return lag_s
    builder.add(
        row.where,
        Served(
            arrival_s=queued_s,
            ttft_s=first_s - queued_s,
            e2e_s=last_s - queued_s,
            queue_s=None if scheduled_s is None else scheduled_s - queued_s,
            input_tokens=row.needed_count("input_toks"),
            output_tokens=row.needed_count("output_toks"),
        ),
    )
    return lag_s


def _check_drift(log: Path, lags_s: Sequence[float]) -> None:
    drift_s = max(lags_s, default=0.0) - min(lags_s, default=0.0)
    if drift_s > MAX_DRIFT_S:
        raise InputError(
            str(log),
            "queued_ts",
            f"moves {drift_s:.0f} s against arrival_time within the file: its clocks differ",
            "give one log for each start of the engine, with stamps of one machine",
        )


def _beside(folder: Path, name: str) -> Fields | None:
    path = folder / name
    return Fields(str(path), as_json(path, read_bytes(path))) if path.is_file() else None


def _check_meta(builder: RunBuilder, meta: Fields, log: Path, n_logged: int) -> None:
    version = meta.number("schema_version")
    if version not in (None, SCHEMA_VERSION):
        raise meta.fault(
            "schema_version", f"is {version:g}, and {SCHEMA_VERSION} is read", "log in that form"
        )
    n_sent = meta.count("num_requests")
    if n_sent is None:
        return
    if n_logged > n_sent:
        raise InputError(
            str(log),
            "",
            f"holds {n_logged} requests, and meta.json tells of {n_sent}",
            "give the meta.json of the same run",
        )
    builder.n_failed += n_sent - n_logged


def _settings(meta: Fields | None, config: Fields | None) -> EngineSettings:
    gpu = None if config is None else _hardware(config)
    if meta is None:
        return EngineSettings(gpu=gpu)
    version = meta.text("vllm_version")
    return EngineSettings(
        model=meta.text("model"),
        gpu=meta.text("hardware.device_name") or gpu,
        engine=None if version is None else f"vllm {version}",
        n_tensor_parallel=meta.count("engine_kwargs.tensor_parallel_size"),
        n_data_parallel=meta.count("engine_kwargs.data_parallel_size"),
        expert_parallel=meta.flag("engine_kwargs.enable_expert_parallel"),
        n_max_requests=meta.count("engine_kwargs.max_num_seqs"),
        n_max_batched_tokens=meta.count("engine_kwargs.max_num_batched_tokens"),
        n_block_tokens=meta.count("kv_cache.block_size"),
        kv_tokens=meta.count("kv_cache.num_kv_tokens"),
        prefix_caching=meta.flag("kv_cache.enable_prefix_caching"),
        async_scheduling=meta.flag("resolved_config.scheduler_config.async_scheduling"),
    )


def _hardware(config: Fields) -> str | None:
    """What the instances run on; None where they differ."""
    if config.at("nodes") is None:
        return None
    names = {
        instance.text("hardware")
        for node in config.objects("nodes")
        for instance in node.objects("instances")
    }
    return names.pop() if len(names) == 1 else None
