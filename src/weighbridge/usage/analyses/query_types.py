"""Which query types there are, the largest of them, and the demand of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir
import numpy as np

from weighbridge.ledger.fingerprint import FINGERPRINT_START
from weighbridge.usage.analyses import expressions
from weighbridge.usage.analyses.clock import (
    Floats,
    Ints,
    Span,
    exposure_hours,
    instant,
    weekly_rate,
)
from weighbridge.usage.analyses.engine import Engine
from weighbridge.usage.analyses.lengths import Histogram, quantiles
from weighbridge.usage.analyses.peaks import MEASURES, PeakSums, Windows, peak, peaks_of
from weighbridge.usage.analyses.spend import NOTHING, Use, use_of
from weighbridge.usage.results import Peak, Quantiles, QueryTypeProfile

OTHER_LABEL = "(other)"
MICROSECOND = 1e-6
LEAST_REQUESTS = 3  # of a fingerprint, to be taken for a template and not for a chat


@dataclass(frozen=True, slots=True)
class QueryType:
    """One query type: the values that name it, and what it used."""

    parts: tuple[str | None, ...]
    use: Use

    @property
    def is_unassigned(self) -> bool:
        """Whether the source named none of its parts."""
        return all(part is None for part in self.parts)


@dataclass(frozen=True, slots=True)
class Typing:
    """All query types by the fields that name them: the largest kept apart, the rest together."""

    by: tuple[str, ...]
    every: tuple[QueryType, ...]
    kept: tuple[QueryType, ...]
    other: Use
    strays: Use = NOTHING  # of fingerprints too rare to be types: unassigned, not among `every`

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """Numbered from 0 as the engine's table `query_types` holds them."""
        return [(index, *kept.parts) for index, kept in enumerate(self.kept)]


@dataclass(frozen=True, slots=True)
class TypeDemand:
    """Per query type (index; `expressions.OTHER` for the rest): what profiles are made of."""

    hours: Mapping[int, Windows]
    minute_peaks: Mapping[int, tuple[Peak, ...]]
    histograms: Mapping[str, Mapping[int, Histogram]]
    members: Mapping[str, Mapping[int, tuple[str, ...]]]


def find_types(engine: Engine, hourly: ir.Table, by: Sequence[str], top: int) -> Typing:
    """Read all query types and keep the largest `top` by share of cost or of tokens.

    Where no request names any of `by`, tenants stand in for query types. Fingerprints seen once or
    twice are no types: each would cost a verification of its own.
    """
    found = _types_by(engine, hourly, by)
    every = [one for one in found if not _is_stray(by, one)]
    strays = sum((one.use for one in found if _is_stray(by, one)), NOTHING)
    rest = strays
    if all(one.is_unassigned for one in every) and "tenant" not in by:
        tenants = _types_by(engine, hourly, ("tenant",))
        if not all(one.is_unassigned for one in tenants):
            by, every, rest = ("tenant",), tenants, NOTHING
    cost = float(sum(one.use.list_cost_usd for one in every)) or 1.0
    tokens = sum(one.use.tokens.total_tokens for one in every) or 1

    def weight(one: QueryType) -> float:
        used = one.use
        return max(float(used.list_cost_usd) / cost, used.tokens.total_tokens / tokens)

    ranked = sorted(every, key=lambda one: (-weight(one), _name(one)))
    kept = tuple(sorted(ranked[:top], key=_by_size))
    other = sum((one.use for one in ranked[top:]), rest)
    return Typing(tuple(by), tuple(every), kept, other, strays)


def _is_stray(by: Sequence[str], one: QueryType) -> bool:
    template = dict(zip(by, one.parts, strict=True)).get("template") or ""
    return template.startswith(FINGERPRINT_START) and one.use.n_requests < LEAST_REQUESTS


def _types_by(engine: Engine, hourly: ir.Table, by: Sequence[str]) -> list[QueryType]:
    rows = engine.fetch(expressions.grouped_use(hourly, by)).to_pylist()
    return [QueryType(tuple(row[name] for name in by), use_of(row)) for row in rows]


def _name(one: QueryType) -> tuple[str, ...]:
    return tuple(part or "" for part in one.parts)


def _by_size(one: QueryType) -> tuple[Any, ...]:
    return -one.use.list_cost_usd, -one.use.tokens.total_tokens, _name(one)


def demand(
    engine: Engine, tables: Mapping[str, ir.Table], typing: Typing, span: Span
) -> TypeDemand:
    """Everything about each query type; `tables` are those kept as hourly, types and minutes."""
    hourly, types = tables["hourly"], tables["types"]
    whole = sum((one.use for one in typing.every), NOTHING)
    wanted = ["input_length", "output_length"]
    wanted += ["latency_s"] if whole.n_latency else []
    wanted += ["ttft_s"] if whole.n_ttft else []
    return TypeDemand(
        hours=_type_hours(engine, expressions.type_hours(hourly, types, typing.by)),
        minute_peaks=_minute_peaks(engine, tables["minutes"], span),
        histograms={
            quantity: _histograms(
                engine, expressions.type_histogram(engine.requests, types, typing.by, quantity)
            )
            for quantity in wanted
        },
        members={
            member: _members(engine, expressions.type_members(hourly, types, typing.by, member))
            for member in ("model", "data_class")
            if member not in typing.by
        },
    )


def columns_of(table: Any, names: Sequence[str]) -> dict[str, Ints]:
    """Arrow columns as whole numbers; instants become microseconds."""
    import pyarrow as pa  # noqa: PLC0415

    return {
        name: table[name].cast(pa.int64()).to_numpy().astype(np.int64, copy=False) for name in names
    }


def _pieces(columns: Mapping[str, Ints], order_by: str) -> dict[int, dict[str, Ints]]:
    order = np.lexsort((columns[order_by], columns["type_index"]))
    ordered = {name: column[order] for name, column in columns.items()}
    indices, starts = np.unique(ordered["type_index"], return_index=True)
    ends = np.append(starts, len(order))[1:]
    return {
        int(index): {name: column[start:end] for name, column in ordered.items()}
        for index, start, end in zip(indices, starts, ends, strict=True)
    }


def _type_hours(engine: Engine, expression: ir.Table) -> dict[int, Windows]:
    found = engine.fetch(expression)
    columns = columns_of(found, found.column_names)
    columns["hour"] = columns["hour"] // 3_600_000_000
    return {
        index: Windows(piece["hour"], piece) for index, piece in _pieces(columns, "hour").items()
    }


def _histograms(engine: Engine, expression: ir.Table) -> dict[int, Histogram]:
    found = engine.fetch(expression)
    pieces = _pieces(columns_of(found, found.column_names), "bin")
    names = ("bin", "n", "least", "greatest", "total")
    return {index: Histogram(*(piece[name] for name in names)) for index, piece in pieces.items()}


def _members(engine: Engine, expression: ir.Table) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in engine.fetch(expression).to_pylist():
        found[row["type_index"]].append((-row["n_requests"], row["member"]))
    return {index: tuple(name for _, name in sorted(rows)) for index, rows in found.items()}


def _minute_peaks(engine: Engine, minutes: ir.Table, span: Span) -> dict[int, tuple[Peak, ...]]:
    first, last = (
        instant(number * 60_000_000).replace(tzinfo=None) for number in span.complete_windows(60)
    )
    sums = engine.keep(expressions.type_minute_peaks(minutes, first, last), "type_peaks")
    instants = engine.fetch(expressions.type_peak_minutes(minutes, sums))
    at = columns_of(instants, instants.column_names)
    place = {int(index): position for position, index in enumerate(at["type_index"])}
    found: dict[int, tuple[Peak, ...]] = {}
    for row in engine.fetch(sums).to_pylist():
        index = row["type_index"]
        made = []
        for name in MEASURES:
            minute = int(at[f"{name}_at"][place[index]]) // 60_000_000
            peak_sums = PeakSums(row[f"peak_{name}"], minute, row[f"sum_{name}"])
            made.append(peak(peak_sums, span, 60, name))
        found[index] = tuple(one for one in made if one is not None)
    return found


def type_profiles(typing: Typing, found: TypeDemand, span: Span) -> tuple[QueryTypeProfile, ...]:
    """One profile per kept query type, largest first, and one for all others together."""
    profiles = [
        _profile(typing, kept, found, (index, span)) for index, kept in enumerate(typing.kept)
    ]
    if typing.other.n_requests:
        parts = (*(None for _ in typing.by[1:]), OTHER_LABEL)
        rest = QueryType(parts, typing.other)
        profiles.append(_profile(typing, rest, found, (expressions.OTHER, span)))
    return tuple(profiles)


def _profile(
    typing: Typing, one: QueryType, found: TypeDemand, place: tuple[int, Span]
) -> QueryTypeProfile:
    index, span = place
    named = dict(zip(typing.by, one.parts, strict=True))
    hours = found.hours[index]
    exposure = exposure_hours(span)

    def rate(name: str) -> Floats:
        return weekly_rate(hours.at, hours.sums[name], exposure)

    return QueryTypeProfile(
        tenant=named.get("tenant"),
        feature=named.get("feature"),
        template=named.get("template"),
        models=_named_members(named, found, "model", index),
        data_classes=_named_members(named, found, "data_class", index),
        n_requests=one.use.n_requests,
        n_failed=one.use.n_failed,
        tokens=one.use.tokens,
        list_cost_usd=one.use.list_cost_usd,
        n_unpriced=one.use.n_unpriced,
        hourly_requests=rate("requests"),
        hourly_input_tokens=rate("uncached_input_tokens"),
        hourly_output_tokens=rate("output_tokens"),
        peaks=(
            *found.minute_peaks.get(index, ()),
            *peaks_of(hours, span, 3600),
            *peaks_of(hours.coarser(24), span, 86_400),
        ),
        input_length=_lengths(found, "input_length", index) or quantiles(EMPTY),
        output_length=_lengths(found, "output_length", index) or quantiles(EMPTY),
        ttft_s=_lengths(found, "ttft_s", index),
        latency_s=_lengths(found, "latency_s", index),
        n_self_hosted=one.use.n_self_hosted,
    )


def _named_members(
    named: Mapping[str, str | None], found: TypeDemand, member: str, index: int
) -> tuple[str, ...]:
    if member in named:
        own = named[member]
        return (own,) if own is not None else ()
    return found.members[member].get(index, ())


EMPTY = Histogram(*(np.zeros(0, dtype=np.int64) for _ in range(5)))


def _lengths(found: TypeDemand, quantity: str, index: int) -> Quantiles | None:
    histogram = found.histograms.get(quantity, {}).get(index)
    if histogram is None:
        return None
    return quantiles(histogram, MICROSECOND if quantity.endswith("_s") else 1.0)


def overall_lengths(found: TypeDemand, quantity: str) -> Quantiles | None:
    """Quantiles over all query types together; None where nothing was measured."""
    pieces = list(found.histograms.get(quantity, {}).values())
    if not pieces:
        return None
    fields = ("bin", "n", "least", "greatest", "total")
    whole = Histogram(
        *(np.concatenate([getattr(piece, field) for piece in pieces]) for field in fields)
    )
    return quantiles(whole, MICROSECOND if quantity.endswith("_s") else 1.0)
