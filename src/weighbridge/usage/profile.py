"""The profile of a ledger: who burns what, when, how concentrated, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ibis.expr.types as ir

from weighbridge.ledger.fingerprint import FINGERPRINT_START
from weighbridge.units import InputError
from weighbridge.usage.analyses import expressions, sampling
from weighbridge.usage.analyses.assumed import Assumption, BatchPricer, catalog_pricer, fill
from weighbridge.usage.analyses.clock import Span, exposure_hours, instant, weekly_rate
from weighbridge.usage.analyses.concentration import concentration
from weighbridge.usage.analyses.engine import Engine, EngineLimits
from weighbridge.usage.analyses.lengths import quantiles
from weighbridge.usage.analyses.peaks import CAPS, Windows, cap_use, peaks_of
from weighbridge.usage.analyses.query_types import (
    EMPTY,
    TypeDemand,
    Typing,
    columns_of,
    demand,
    find_types,
    overall_lengths,
    type_profiles,
)
from weighbridge.usage.analyses.recognised import read_recognised
from weighbridge.usage.analyses.resolution import coarsened
from weighbridge.usage.analyses.spend import NOTHING, Use, group_rows, share, use_of
from weighbridge.usage.analyses.withholding import Evidence, withheld
from weighbridge.usage.recognising.naming import TypeNames
from weighbridge.usage.results import (
    CapUse,
    Concentration,
    GroupRow,
    LogSpan,
    Peak,
    Profile,
)

BY = (*expressions.DIMENSIONS, "day")
ALWAYS_BY = (*expressions.BASE_DIMENSIONS, "day")
QUERY_TYPE_FIELDS = ("tenant", "feature", "template")

OnStep = Callable[[str], None]


class StoredLedger(Protocol):
    """The part of `usage.store.Ledger` that a profile reads."""

    @property
    def parquet_files(self) -> tuple[str, ...]:
        """The files that hold its usage records."""

    @property
    def cannot_tell(self) -> tuple[str, ...]:
        """What the sources of this ledger do not record."""


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """What to group by, what to assume, and what to hold the peaks against.

    `by` asks for spend tables beside the usual ones, each a combination of `BY`; `query_type_by`
    says what makes a query type; the largest `top_types` are profiled one by one and the rest
    together as "(other)". Requests that name no model are priced as `assume_model`, each by itself.
    """

    by: tuple[tuple[str, ...], ...] = ()
    query_type_by: tuple[str, ...] = ("feature", "template")
    top_types: int = 200
    assume_model: str | None = None
    assume_provider: str | None = None
    prices_file: Path | None = None
    caps: Mapping[str, float] = field(default_factory=dict)
    limits: EngineLimits = field(default_factory=EngineLimits)


def profile(
    ledger: StoredLedger,
    options: ProfileOptions | None = None,
    *,
    price: BatchPricer | None = None,
    on_step: OnStep = lambda _step: None,
) -> Profile:
    """Profile a ledger.

    Failed requests (status other than "ok") count in requests, tokens, cost and rates, for they
    burned what they burned; lengths and latencies are of answered requests alone. Rates are sums
    over how long each hour of the week lay inside the span, and NaN for hours of the week that the
    log saw for less than a quarter of an hour. Shares of nothing are NaN.

    Parameters
    ----------
    ledger : StoredLedger
        An opened ledger.
    options : ProfileOptions, optional
        What to group by and what to assume.
    price : BatchPricer, optional
        Prices assumed requests; the catalog's exact prices by default.
    on_step : callable, optional
        Told what is done next, for a progress display.

    Raises
    ------
    InputError
        A dimension, cap or assumption that cannot be used, or a ledger without requests.
    """
    chosen = options or ProfileOptions()
    _check(chosen)
    if not ledger.parquet_files:
        raise _no_requests()
    types = types_of(ledger)
    with Engine(ledger.parquet_files, chosen.limits) as engine:
        if types is not None:
            read_recognised(engine, types)
        notes = _assume(engine, chosen, price, on_step)
        found = _Run(engine, chosen, on_step, _labels(types)).profile((*ledger.cannot_tell, *notes))
    resolution_s = getattr(ledger, "time_resolution_s", None)  # only an imported log has one
    return found if resolution_s is None else coarsened(found, resolution_s)


def types_of(ledger: StoredLedger) -> TypeNames | None:
    """Query types of a ledger with prompts that nobody named; None where there are none."""
    if not getattr(ledger, "sketch_files", ()):
        return None
    found: TypeNames = ledger.type_names()  # type: ignore[attr-defined]
    return found


def _labels(types: TypeNames | None) -> frozenset[str]:
    return frozenset() if types is None else types.labels


def _no_requests() -> InputError:
    return InputError(
        "ledger", "", "holds no requests", "import a log first: weighbridge import SOURCE FILE…"
    )


def _check(options: ProfileOptions) -> None:
    for combination in (*options.by, options.query_type_by):
        allowed = QUERY_TYPE_FIELDS if combination is options.query_type_by else BY
        _check_names("by", combination, allowed)
    for cap, limit in options.caps.items():
        _check_names("caps", (cap,), CAPS)
        if not limit > 0:
            raise InputError(
                "caps", cap, f"is {limit}", "give the provider's cap, a number above zero"
            )
    if options.top_types < 1:
        raise InputError("top", "", f"is {options.top_types}", "give a count from 1 on")
    if options.assume_provider and not options.assume_model:
        raise InputError(
            "--assume-provider", "", "names a provider but no model", "add --assume-model"
        )


def _check_names(where: str, names: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for name in names:
        if name not in allowed:
            raise InputError(where, name, "is not known here", f"one of {', '.join(allowed)}")
    if not names or len(set(names)) < len(names):
        raise InputError(
            where, ",".join(names), "is empty or names one twice", f"some of {', '.join(allowed)}"
        )


def _assume(
    engine: Engine, options: ProfileOptions, price: BatchPricer | None, on_step: OnStep
) -> tuple[str, ...]:
    if options.assume_model is None:
        return ()
    on_step(f"pricing requests without a model as {options.assume_model}")
    assumption = Assumption(options.assume_model, options.assume_provider)
    filled = fill(engine, assumption, price or catalog_pricer(options.prices_file))
    if not filled.n_filled:
        return (f"assumed model {options.assume_model}: not used, every request names its own",)
    return (
        f"model of {filled.n_filled:,} requests: assumed to be {options.assume_model}"
        + (f" at {options.assume_provider}" if options.assume_provider else "")
        + f", {filled.n_priced:,} of them priced so",
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One profile in the making."""

    engine: Engine
    options: ProfileOptions
    on_step: OnStep
    recognised: frozenset[str] = frozenset()

    def profile(self, cannot_tell: tuple[str, ...]) -> Profile:
        self.on_step("summing by hour")
        hourly = self._hourly()
        totals = self.engine.fetch(expressions.hour_totals(hourly))
        if not totals.num_rows:
            raise _no_requests()
        whole, span, hours = _whole(totals), _span(totals), _hours(totals)
        typing = find_types(self.engine, hourly, self.options.query_type_by, self.options.top_types)
        self.on_step("summing by minute")
        types = self.engine.keep_rows(typing.rows, expressions.types_table(typing.by))
        by_minute = expressions.type_minutes(self.engine.requests, types, typing.by)
        tables = {
            "hourly": hourly,
            "types": types,
            "minutes": self.engine.keep(by_minute, "type_minutes"),
        }
        minutes = self._minutes(tables["minutes"], whole)
        volume = sampling.Volume(hours, minutes, _sum_squared(totals), span)
        self.on_step("measuring lengths and latencies")
        found = demand(self.engine, tables, typing, span)
        self.on_step("putting the profile together")
        by = self._by(hourly, whole)
        return _assemble(
            _Parts(whole, span, volume, typing, found, by),
            self._concentration(hourly, typing, whole),
            self._caps(minutes),
            cannot_tell,
        )

    def _hourly(self) -> ir.Table:
        asked = {name for combination in self.options.by for name in combination}
        dimensions = [
            name
            for name in expressions.DIMENSIONS
            if name in asked or name in expressions.BASE_DIMENSIONS
        ]
        return self.engine.keep(expressions.hourly_use(self.engine.requests, dimensions), "hourly")

    def _minutes(self, minutes: ir.Table, whole: Use) -> Windows:
        found = self.engine.fetch(expressions.minute_totals(minutes)).sort_by("minute")
        columns = columns_of(found, found.column_names)
        columns["minute"] = columns["minute"] // 60_000_000
        columns["tokens"] = columns["input_tokens"] + columns["output_tokens"]
        if int(columns["requests"].sum()) != whole.n_requests:
            raise RuntimeError("the ledger changed while it was read: profile it again")
        return Windows(columns["minute"], columns)

    def _by(self, hourly: ir.Table, whole: Use) -> dict[str, tuple[GroupRow, ...]]:
        combinations = [*((name,) for name in ALWAYS_BY), *self.options.by]
        return {
            ",".join(by): tuple(
                group_rows(
                    self.engine.fetch(expressions.grouped_use(hourly, by)).to_pylist(), by, whole
                )
            )
            for by in dict.fromkeys(combinations)
        }

    def _concentration(
        self, hourly: ir.Table, typing: Typing, whole: Use
    ) -> tuple[Concentration, ...]:
        unassigned = self._unassigned(hourly) + typing.strays
        named = [one.use for one in typing.every if not _nameless(typing.by, one.parts)]
        guessed = self._recognised(typing)
        curves = (
            concentration(
                "tokens",
                [use.tokens.total_tokens for use in named],
                unassigned.tokens.total_tokens,
                whole.tokens.total_tokens,
                guessed.tokens.total_tokens,
            ),
            concentration(
                "cost",
                [use.list_cost_usd for use in named],
                unassigned.list_cost_usd,
                whole.list_cost_usd,
                guessed.list_cost_usd,
            ),
        )
        return tuple(curve for curve in curves if curve is not None)

    def _recognised(self, typing: Typing) -> Use:
        """Use of query types that no client named: recognised, or a fingerprint alone."""
        if "template" not in typing.by:
            return NOTHING
        at = typing.by.index("template")
        templates = [(one.parts[at] or "", one.use) for one in typing.every]
        guessed = (
            use
            for name, use in templates
            if name in self.recognised or name.startswith(FINGERPRINT_START)
        )
        return sum(guessed, NOTHING)

    def _unassigned(self, hourly: ir.Table) -> Use:
        rows = self.engine.fetch(expressions.unassigned_use(hourly)).to_pylist()
        return sum((use_of(row) for row in rows), NOTHING)

    def _caps(self, minutes: Windows) -> tuple[CapUse, ...]:
        uses = [cap_use(minutes, cap, limit) for cap, limit in self.options.caps.items()]
        return tuple(sorted(uses, key=lambda use: (-use.over_share_frac, use.cap)))


def _nameless(by: tuple[str, ...], parts: tuple[str | None, ...]) -> bool:
    telling = [part for name, part in zip(by, parts, strict=True) if name != "tenant"]
    return all(part is None for part in (telling or parts))


def _whole(totals: Any) -> Use:
    return sum((use_of(row) for row in totals.to_pylist()), NOTHING)


def _span(totals: Any) -> Span:
    columns = columns_of(totals, ("first_at", "last_at"))
    return Span(int(columns["first_at"].min()), int(columns["last_at"].max()))


def _sum_squared(totals: Any) -> float:
    return float(totals["sum_squared_tokens"].to_numpy().sum())


def _hours(totals: Any) -> Windows:
    ordered = totals.sort_by("hour")
    columns = columns_of(ordered, ("hour", "n_requests", *expressions.BUCKETS[:4]))
    tokens = sum(columns[bucket] for bucket in expressions.BUCKETS[:4])
    sums = {
        "requests": columns["n_requests"],
        "tokens": tokens,
        "output_tokens": columns["output_tokens"],
    }
    return Windows(columns["hour"] // 3_600_000_000, sums)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Parts:
    whole: Use
    span: Span
    volume: sampling.Volume
    typing: Typing
    found: TypeDemand
    by: Mapping[str, tuple[GroupRow, ...]]


def _assemble(
    parts: _Parts,
    curves: tuple[Concentration, ...],
    caps: tuple[CapUse, ...],
    cannot_tell: tuple[str, ...],
) -> Profile:
    whole, span, volume, found = parts.whole, parts.span, parts.volume, parts.found
    trend, relative_sd = sampling.trend_per_week(volume), sampling.relative_sd(volume)
    evidence = Evidence(
        span, whole, parts.by, parts.typing.by, relative_sd is not None, trend is not None
    )
    exposure = exposure_hours(span)
    hours = volume.hours
    return Profile(
        span=_log_span(parts),
        tokens=whole.tokens,
        list_cost_usd=whole.list_cost_usd,
        n_unpriced=whole.n_unpriced,
        unpriced_tokens_share_frac=_share_or_zero(whole),
        unpriced_models=_unpriced_models(parts.by["model"]),
        cached_share_frac=share(whole.tokens.cache_read_tokens, whole.tokens.input_tokens),
        by=parts.by,
        query_types=type_profiles(parts.typing, found, span),
        concentration=curves,
        hourly_requests=weekly_rate(hours.at, hours.sums["requests"], exposure),
        hourly_tokens=weekly_rate(hours.at, hours.sums["tokens"], exposure),
        peaks=_peaks(volume),
        input_length=overall_lengths(found, "input_length") or quantiles(EMPTY),
        output_length=overall_lengths(found, "output_length") or quantiles(EMPTY),
        latency_s=overall_lengths(found, "latency_s"),
        ttft_s=overall_lengths(found, "ttft_s"),
        trend_per_week_frac=trend,
        volume_relative_sd_frac=relative_sd,
        caps=caps,
        withheld=withheld(evidence),
        cannot_tell=tuple(dict.fromkeys(cannot_tell)),
        n_self_hosted=whole.n_self_hosted,
    )


def _share_or_zero(whole: Use) -> float:
    # Requests without tokens and without a price are still unpriced, in full.
    if not whole.tokens.total_tokens:
        return 1.0 if whole.n_unpriced else 0.0
    return share(whole.unpriced_tokens, whole.tokens.total_tokens)


def _log_span(parts: _Parts) -> LogSpan:
    return LogSpan(
        first_at=instant(parts.span.first_us),
        last_at=instant(parts.span.last_us),
        span_days=parts.span.days,
        n_requests=parts.whole.n_requests,
        n_failed=parts.whole.n_failed,
        n_days_with_traffic=len(parts.by["day"]),
    )


def _peaks(volume: sampling.Volume) -> tuple[Peak, ...]:
    return (
        *peaks_of(volume.minutes, volume.span, 60),
        *peaks_of(volume.hours, volume.span, 3600),
        *peaks_of(volume.hours.coarser(24), volume.span, 86_400),
    )


def _unpriced_models(rows: tuple[GroupRow, ...]) -> tuple[str, ...]:
    unpriced = sorted((-row.unpriced_tokens, row.key or "") for row in rows if row.n_unpriced)
    return tuple(name for _, name in unpriced if name)
