"""Lines of the gateway's spool as rows of the ledger; what cannot be a row says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import InvalidOperation
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from weighbridge.ledger.lines import (
    EngineLine,
    EventLine,
    FleetLine,
    Line,
    RequestLine,
    SketchLine,
)
from weighbridge.ledger.record import COST_SCALE, PRICE_STATES, STATUSES
from weighbridge.usage.faults import (
    ENDS_BEFORE_START,
    IN_FUTURE,
    NEGATIVE,
    NOT_A_NUMBER,
    TOO_LARGE,
    TOO_OLD,
    UNKNOWN_WORD,
)
from weighbridge.usage.fleet_hours import price_of
from weighbridge.usage.recognising.stored import NO_SKETCH, is_sketch
from weighbridge.usage.shape import MOST_PICO_USD, OLDEST_US, decimals_of
from weighbridge.usage.store import SCHEMA

_MOST_TOKENS = 2**60
_CLOCK_AHEAD_US = 86_400 * 10**6  # a clock set forward and back again costs no record
_COUNTS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "attempts",
    "http_status",
)
_SAME = (
    "request_id",
    "tenant",
    "feature",
    "template",
    "provider",
    "model_requested",
    "model",
    "target",
    "service_tier",
    "data_class",
    "status",
    "attempts",
    *_COUNTS[:5],
    "latency_s",
    "ttft_s",
    "prices_digest",
    "key_id",
    "rule",
    "policy_version",
    "error_type",
    "endpoint",
    "streamed",
    "queue_s",
)


@dataclass(slots=True)
class Sorted:
    """Lines by what they become; rejected ones counted by field and reason."""

    requests: list[RequestLine] = field(default_factory=list)
    fleet: list[FleetLine] = field(default_factory=list)
    engine: list[EngineLine] = field(default_factory=list)
    sketches: list[SketchLine] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)


def sort_out(requests: Iterable[RequestLine], others: Iterable[Line], now_us: int) -> Sorted:
    """Lines that a ledger can hold; the rest is counted among the rejected."""
    made = Sorted()
    for line in requests:
        fault = fault_of(line, now_us)
        if fault is None:
            made.requests.append(line)
        else:
            made.rejected[fault] += 1
    for other in others:
        fault = _fault_of_other(other, now_us)
        if fault is not None:
            made.rejected[fault] += 1
        elif isinstance(other, FleetLine):
            made.fleet.append(other)
        elif isinstance(other, EngineLine):
            made.engine.append(other)
        elif isinstance(other, SketchLine):
            made.sketches.append(other)
        elif isinstance(other, EventLine):
            made.events[other.name] += 1
    return made


def _fault_of_other(line: Line, now_us: int) -> str | None:
    if isinstance(line, FleetLine):
        return _fleet_fault(line, now_us)
    if isinstance(line, SketchLine):
        return None if is_sketch(line) else f"segments: {NO_SKETCH}"
    return _instant_fault("at", line.at_us, now_us) if isinstance(line, EngineLine) else None


def fault_of(line: RequestLine, now_us: int) -> str | None:
    """Why a request cannot be a row; no line that the gateway writes should have a fault."""
    if line.status not in STATUSES:
        return f"status: {UNKNOWN_WORD}"
    if line.price_state not in PRICE_STATES:
        return f"price_state: {UNKNOWN_WORD}"
    for name in _COUNTS:
        count = getattr(line, name)
        if not 0 <= count < _MOST_TOKENS:
            return f"{name}: {NEGATIVE if count < 0 else TOO_LARGE}"
    cost = line.list_cost_pico_usd
    if cost is not None and not 0 <= cost <= MOST_PICO_USD:
        return f"list_cost_usd: {NEGATIVE if cost < 0 else TOO_LARGE}"
    return _instant_fault("started_at", line.started_at_us, now_us)


def _instant_fault(name: str, at_us: int, now_us: int) -> str | None:
    if at_us < OLDEST_US:
        return f"{name}: {TOO_OLD}"
    return f"{name}: {IN_FUTURE}" if at_us > now_us + _CLOCK_AHEAD_US else None


def _fleet_fault(line: FleetLine, now_us: int) -> str | None:
    try:
        price = price_of(line)
    except InvalidOperation:
        return f"usd_per_gpu_hour: {NOT_A_NUMBER}"
    if not price.is_finite():
        return f"usd_per_gpu_hour: {NOT_A_NUMBER}"
    if not 0 <= price < 10**6:
        return f"usd_per_gpu_hour: {NEGATIVE if price < 0 else TOO_LARGE}"
    if not 0 <= line.n_gpus < _MOST_TOKENS:
        return f"n_gpus: {NEGATIVE if line.n_gpus < 0 else TOO_LARGE}"
    if line.ended_at_us < line.started_at_us:
        return f"ended_at: {ENDS_BEFORE_START}"
    return _instant_fault("started_at", line.started_at_us, now_us)


def request_table(lines: Sequence[RequestLine], import_id: str) -> pa.Table:
    """Requests in the ledger's columns, ordered by instant."""
    n = len(lines)
    costs = [_cost_of(line) for line in lines]
    empty = np.array([cost is None for cost in costs], dtype=bool)
    pico = np.array([cost or 0 for cost in costs], dtype=np.int64)
    made: dict[str, Any] = {name: [getattr(line, name) for line in lines] for name in _SAME}
    made |= {
        "started_at": pa.array([line.started_at_us for line in lines], pa.int64()).cast(
            SCHEMA.field("started_at").type
        ),
        "price_state": [_price_state_of(line) for line in lines],
        "list_cost_usd": decimals_of(pico, empty, pa.decimal128(18, COST_SCALE), n),
        "reported_cost_usd": pa.nulls(n, SCHEMA.field("reported_cost_usd").type),
        "estimated": [",".join(line.estimated) or None for line in lines],
        "import_id": [import_id] * n,
        "http_status": [line.http_status or None for line in lines],
        "attempt_log": [_log_of(line) for line in lines],
    }
    columns = [
        column if isinstance(column, pa.Array) else pa.array(column, one.type)
        for one, column in ((one, made[one.name]) for one in SCHEMA)
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA).sort_by("started_at")


def _cost_of(line: RequestLine) -> int | None:
    """What was billed; a request of one's own fleet may still have paid for a failed attempt."""
    return None if line.price_state == "unpriced" else line.list_cost_pico_usd


def _price_state_of(line: RequestLine) -> str:
    without = line.price_state == "priced" and line.list_cost_pico_usd is None
    return "unpriced" if without else line.price_state


def _log_of(line: RequestLine) -> str | None:
    return msgspec.json.encode(line.attempt_log).decode() if line.attempt_log else None
