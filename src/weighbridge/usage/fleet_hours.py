"""Fleet hours and engine samples of a ledger: what self-hosted fleets cost, and how busy they were.

The gateway writes a line for each stretch, and after a crash the same one twice; several of its
processes may tell of one fleet. So stretches of the same fleet at the same price are joined where
they touch or overlap: an hour is counted once, whoever told of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.ledger.lines import EngineLine, FleetLine
from weighbridge.ledger.record import COST_SCALE, FleetHours

_INSTANT = pa.timestamp("us", tz="UTC")
_USD = pa.decimal128(18, COST_SCALE)
JOIN_GAP = dt.timedelta(seconds=1)  # two stretches this close are one, cut by rounding

FLEET_SCHEMA = pa.schema(
    [
        pa.field("target", pa.string(), nullable=False),
        pa.field("gpu", pa.string(), nullable=False),
        pa.field("n_gpus", pa.int64(), nullable=False),
        pa.field("usd_per_gpu_hour", _USD, nullable=False),
        pa.field("started_at", _INSTANT, nullable=False),
        pa.field("ended_at", _INSTANT, nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)
_GAUGES = (
    "running_requests",
    "waiting_requests",
    "kv_usage_frac",
    "gpu_utilization_frac",
    "prompt_tokens",
    "generated_tokens",
)
ENGINE_SCHEMA = pa.schema(
    [
        pa.field("target", pa.string(), nullable=False),
        pa.field("sampled_at", _INSTANT, nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        *(pa.field(name, pa.float64()) for name in _GAUGES),
    ]
)


def fleet_table(lines: Sequence[FleetLine]) -> pa.Table:
    """Fleet lines of the spool as stored; raises ValueError or Arrow's error for a bad price."""
    rows = {
        "target": [line.target for line in lines],
        "gpu": [line.gpu for line in lines],
        "n_gpus": [line.n_gpus for line in lines],
        "usd_per_gpu_hour": [price_of(line) for line in lines],
        "started_at": _instants(line.started_at_us for line in lines),
        "ended_at": _instants(line.ended_at_us for line in lines),
        "source": [line.source for line in lines],
    }
    return pa.table(rows, schema=FLEET_SCHEMA).sort_by("started_at")


def price_of(line: FleetLine) -> Decimal:
    """Price [USD/GPU-hour] of a fleet line, in the steps of a stored cost."""
    return Decimal(line.usd_per_gpu_hour).quantize(Decimal(1).scaleb(-COST_SCALE))


def engine_table(lines: Sequence[EngineLine]) -> pa.Table:
    """Engine lines of the spool as stored."""
    rows: dict[str, Any] = {
        "target": [line.target for line in lines],
        "sampled_at": _instants(line.at_us for line in lines),
        "engine": [line.engine for line in lines],
        **{name: [getattr(line, name) for line in lines] for name in _GAUGES},
    }
    return pa.table(rows, schema=ENGINE_SCHEMA).sort_by("sampled_at")


def _instants(microseconds: Iterable[int]) -> pa.Array:
    return pa.array(list(microseconds), pa.int64()).cast(_INSTANT)


def read_fleet_hours(files: Sequence[str]) -> tuple[FleetHours, ...]:
    """What each fleet cost, by target and start; no hour of a fleet at one price twice."""
    stretches = [
        FleetHours(**row)
        for file in files
        for row in pq.ParquetFile(file).read(columns=FLEET_SCHEMA.names).to_pylist()
    ]
    return joined(stretches)


def joined(stretches: Iterable[FleetHours]) -> tuple[FleetHours, ...]:
    """Stretches of one fleet at one price that touch or overlap, made one."""
    ordered = sorted(stretches, key=lambda one: (*_fleet(one), one.started_at))
    made: list[FleetHours] = []
    for one in ordered:
        last = made[-1] if made else None
        if (
            last is not None
            and _fleet(last) == _fleet(one)
            and one.started_at <= last.ended_at + JOIN_GAP
        ):
            made[-1] = replace(last, ended_at=max(last.ended_at, one.ended_at))
        else:
            made.append(one)
    return tuple(sorted(made, key=lambda one: (one.target, one.started_at)))


def _fleet(one: FleetHours) -> tuple[str, str, int, Decimal, str]:
    return one.target, one.gpu, one.n_gpus, one.usd_per_gpu_hour, one.source


def read_engine_samples(files: Sequence[str]) -> pa.Table:
    """Every sample once, in order of target and instant."""
    if not files:
        return ENGINE_SCHEMA.empty_table()
    tables = [pq.ParquetFile(file).read(columns=ENGINE_SCHEMA.names) for file in files]
    samples = pa.concat_tables([table.cast(ENGINE_SCHEMA) for table in tables])
    once = samples.group_by(["target", "sampled_at", "engine"], use_threads=False).aggregate(
        [(name, "max") for name in _GAUGES]
    )
    columns = [*ENGINE_SCHEMA.names[:3], *(f"{name}_max" for name in _GAUGES)]
    return (
        once.select(columns)
        .rename_columns(ENGINE_SCHEMA.names)
        .sort_by([("target", "ascending"), ("sampled_at", "ascending")])
    )
