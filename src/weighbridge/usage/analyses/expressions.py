"""Every scan of the ledger, written once in Ibis over unbound tables.

Only operations in `portable.ALLOWED` are used, so that an engine other than DuckDB can run them.
Requests are read once per function here that takes `requests`; the rest works on small tables.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, cast

import ibis
import ibis.expr.types as ir

DIMENSIONS = (
    "tenant",
    "feature",
    "template",
    "model",
    "provider",
    "data_class",
    "target",
    "service_tier",
)
BASE_DIMENSIONS = DIMENSIONS[:6]
BUCKETS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
OTHER = -1  # type_index of every query type outside the largest

REQUEST_SCHEMA: Mapping[str, str] = {
    "started_at": "timestamp(6)",  # UTC, without a zone: the engine sees to it
    **dict.fromkeys(DIMENSIONS, "string"),
    "status": "string",
    **dict.fromkeys(BUCKETS, "int64"),
    "latency_s": "float64",
    "ttft_s": "float64",
    "price_state": "string",
    "list_cost_usd": "decimal(18, 12)",
}

EXACT_BELOW = 128  # values under this have a histogram bin of their own
BINS_PER_OCTAVE = 64  # above it a bin is at most 2**(1/64) - 1 = 1.1 % wide

_SUMS = (
    "n_requests",
    "n_failed",
    *BUCKETS,
    "list_cost_usd",
    "n_unpriced",
    "unpriced_tokens",
    "n_self_hosted",
    "n_latency",
    "n_ttft",
    "n_answered",
    "sum_squared_tokens",
)


def requests_table() -> ir.Table:
    """The stored usage records, as far as analyses read them."""
    return ibis.table(dict(REQUEST_SCHEMA), name="requests")


def types_table(query_type_by: Sequence[str]) -> ir.Table:
    """The largest query types, numbered from 0, kept by the engine under `query_types`."""
    schema = {"type_index": "int64", **{f"of_{name}": "string" for name in query_type_by}}
    return ibis.table(schema, name="query_types")


def _input_tokens(table: ir.Table) -> Any:
    return table.uncached_input_tokens + table.cache_read_tokens + table.cache_write_tokens


def _total_tokens(table: ir.Table) -> Any:
    return _input_tokens(table) + table.output_tokens


def _count_where(condition: Any) -> Any:
    return condition.ifelse(1, 0).sum()


def hourly_use(requests: ir.Table, dimensions: Sequence[str]) -> ir.Table:
    """Sum requests by hour and by every dimension that any table of the profile asks for."""
    rows = requests.mutate(
        hour=requests.started_at.truncate("h"),
        total=_total_tokens(requests),
        weight=_total_tokens(requests).cast("float64"),
        unpriced=requests.price_state == "unpriced",
        answered=requests.status == "ok",
    )
    return rows.group_by(["hour", *dimensions]).aggregate(
        n_requests=rows.count(),
        n_failed=_count_where(rows.status != "ok"),
        **{bucket: rows[bucket].sum() for bucket in BUCKETS},
        list_cost_usd=rows.list_cost_usd.sum(),
        n_unpriced=_count_where(rows.unpriced),
        unpriced_tokens=rows.unpriced.ifelse(rows.total, 0).sum(),
        n_self_hosted=_count_where(rows.price_state == "self_hosted"),
        n_latency=_count_where(rows.latency_s.notnull() & rows.answered),
        n_ttft=_count_where(rows.ttft_s.notnull() & rows.answered),
        n_answered=_count_where(rows.answered),
        sum_squared_tokens=(rows.weight * rows.weight).sum(),
        first_at=rows.started_at.min(),
        last_at=rows.started_at.max(),
    )


def _resummed(table: ir.Table) -> dict[str, Any]:
    sums = {name: table[name].sum() for name in _SUMS}
    return {**sums, "first_at": table.first_at.min(), "last_at": table.last_at.max()}


def grouped_use(hourly: ir.Table, by: Sequence[str]) -> ir.Table:
    """Use by any of the dimensions, or by `day`."""
    rows = hourly.mutate(day=hourly.hour.truncate("D")) if "day" in by else hourly
    return cast("ir.Table", rows.group_by(list(by)).aggregate(**_resummed(hourly)))


def unassigned_use(hourly: ir.Table) -> ir.Table:
    """Use by hour of requests that name neither feature nor template."""
    return hour_totals(hourly.filter(hourly.feature.isnull() & hourly.template.isnull()))


def hour_totals(hourly: ir.Table) -> ir.Table:
    """Whole use of each hour that had traffic."""
    return cast("ir.Table", hourly.group_by("hour").aggregate(**_resummed(hourly)))


def _with_type(rows: ir.Table, types: ir.Table, query_type_by: Sequence[str]) -> ir.Table:
    same = [rows[name].identical_to(types[f"of_{name}"]) for name in query_type_by]
    joined = rows.left_join(types, same)
    kept = [name for name in rows.columns if name not in query_type_by]
    return joined.select(*kept, type_index=ibis.coalesce(joined.type_index, OTHER))


def type_hours(hourly: ir.Table, types: ir.Table, query_type_by: Sequence[str]) -> ir.Table:
    """Requests and tokens of each query type in each hour that had any."""
    rows = hourly.select(
        "hour",
        *query_type_by,
        "n_requests",
        "uncached_input_tokens",
        "output_tokens",
        total_tokens=_total_tokens(hourly),
    )
    typed = _with_type(rows, types, query_type_by)
    return typed.group_by(["type_index", "hour"]).aggregate(
        requests=typed.n_requests.sum(),
        uncached_input_tokens=typed.uncached_input_tokens.sum(),
        output_tokens=typed.output_tokens.sum(),
        tokens=typed.total_tokens.sum(),
    )


def type_members(
    hourly: ir.Table, types: ir.Table, query_type_by: Sequence[str], member: str
) -> ir.Table:
    """Requests of each query type by another dimension, such as the model that answered."""
    rows = hourly.select(*query_type_by, "n_requests", member=hourly[member])
    typed = _with_type(rows, types, query_type_by)
    counted = typed.group_by(["type_index", "member"]).aggregate(n_requests=typed.n_requests.sum())
    return cast("ir.Table", counted.filter(counted.member.notnull()))


def type_minutes(requests: ir.Table, types: ir.Table, query_type_by: Sequence[str]) -> ir.Table:
    """Requests and tokens of each query type in each minute that had any."""
    rows = requests.select(
        *query_type_by,
        minute=requests.started_at.truncate("m"),
        all_input=_input_tokens(requests),
        all_output=requests.output_tokens,
    )
    typed = _with_type(rows, types, query_type_by)
    return typed.group_by(["minute", "type_index"]).aggregate(
        requests=typed.count(),
        input_tokens=typed.all_input.sum(),
        output_tokens=typed.all_output.sum(),
    )


def minute_totals(minutes: ir.Table) -> ir.Table:
    """Whole use of each minute that had traffic."""
    return minutes.group_by("minute").aggregate(
        requests=minutes.requests.sum(),
        input_tokens=minutes.input_tokens.sum(),
        output_tokens=minutes.output_tokens.sum(),
    )


def type_minute_peaks(minutes: ir.Table, first: dt.datetime, last: dt.datetime) -> ir.Table:
    """Per query type: its largest minute, and its sums over the minutes from first to last."""
    rows = minutes.mutate(tokens=minutes.input_tokens + minutes.output_tokens)
    whole = (rows.minute >= first) & (rows.minute <= last)
    measures = ("requests", "tokens", "output_tokens")
    return rows.group_by("type_index").aggregate(
        **{f"peak_{name}": rows[name].max() for name in measures},
        **{f"sum_{name}": whole.ifelse(rows[name], 0).sum() for name in measures},
    )


def type_peak_minutes(minutes: ir.Table, peaks: ir.Table) -> ir.Table:
    """Per query type and measure: the first minute that reached the peak."""
    rows = minutes.mutate(tokens=minutes.input_tokens + minutes.output_tokens)
    names = ("peak_requests", "peak_tokens", "peak_output_tokens")
    peak = peaks.select(*names, peak_type=peaks.type_index)
    joined = rows.inner_join(peak, [rows.type_index == peak.peak_type])
    never = ibis.null("timestamp(6)")
    return joined.group_by("type_index").aggregate(
        **{
            f"{name}_at": (joined[name] == joined[f"peak_{name}"])
            .ifelse(joined.minute, never)
            .min()
            for name in ("requests", "tokens", "output_tokens")
        }
    )


def _measured(requests: ir.Table, quantity: str) -> Any:
    if quantity == "input_length":
        return _input_tokens(requests)
    if quantity == "output_length":
        return requests.output_tokens
    return (requests[quantity] * 1_000_000.0).round().cast("int64")


def type_histogram(
    requests: ir.Table, types: ir.Table, query_type_by: Sequence[str], quantity: str
) -> ir.Table:
    """Histogram of one quantity (times in whole microseconds) over each query type's answers.

    Each bin carries its least and greatest value, so that a bin of one value is exact.
    """
    answered = requests.filter(requests.status == "ok")
    rows = answered.select(*query_type_by, measured=_measured(answered, quantity))
    rows = _with_type(rows.filter(rows.measured.notnull()), types, query_type_by)
    fine = (rows.measured.log2() * float(BINS_PER_OCTAVE)).floor().cast("int64")
    binned = rows.mutate(bin=(rows.measured < EXACT_BELOW).ifelse(rows.measured, fine))
    return binned.group_by(["type_index", "bin"]).aggregate(
        n=binned.count(),
        least=binned.measured.min(),
        greatest=binned.measured.max(),
        total=binned.measured.sum(),
    )


def without_model(requests: ir.Table) -> ir.Table:
    """Requests that an assumed model may fill: unpriced, and no model is named."""
    return requests.filter(requests.model.isnull() & (requests.price_state == "unpriced"))


def with_assumed(requests: ir.Table, assumed: ir.Table) -> ir.Table:
    """The ledger with its model-less requests replaced by their assumed copies."""
    told = requests.filter(requests.model.notnull() | (requests.price_state != "unpriced"))
    return ibis.union(told, assumed, distinct=False)
