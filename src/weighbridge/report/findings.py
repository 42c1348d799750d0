"""Headings that say what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weighbridge.charts import (
    compared,
    flips,
    money_of,
    month_words,
    percent,
    rival_of,
    short_number,
    titled,
)
from weighbridge.report.words import TYPE_VERDICTS, quantity
from weighbridge.study.result import BreakEven, Study
from weighbridge.units.durations import length_words


def findings(study: Study) -> Mapping[str, str]:
    """One heading for each section of the report."""
    makers: Mapping[str, Callable[[Study], str]] = {
        "options": _options,
        "time": _time,
        "capacity": _capacity,
        "hidden": _hidden,
        "breakeven": _break_even,
        "sensitivity": _sensitivity,
        "types": _types,
        "traffic": _traffic,
        "views": _views,
        "assumptions": _assumptions,
    }
    priced = bool(compared(study))
    return {
        name: make(study)
        for name, make in makers.items()
        if priced or name not in {"time", "views"}
    }


def _options(study: Study) -> str:
    options, money = compared(study), money_of(study)
    if not options:
        return "No month could be foretold, and so no option has a price yet"
    least = min(options, key=lambda option: option.total_usd.p50)
    api = options[0]
    span = f"{study.horizon_months} months"
    if len(options) == 1:
        return f"Only the API can be chosen: {money.short(api.total_usd.p50)} over {span}"
    if least.id == api.id:
        return f"The API is cheapest at the median: {money.short(api.total_usd.p50)} over {span}"
    return (
        f"Lowest median cost: {titled(least.label)}, "
        f"{money.short(least.total_usd.p50)} over {span}; "
        f"the API costs {money.short(api.total_usd.p50)}"
    )


def _time(study: Study) -> str:
    rival = rival_of(study)
    if study.verdict.decision == "not-enough-evidence":
        return "What the options would cost if these inputs held; it is not yet a forecast"
    if rival is None or rival.payback is None:
        return f"What the API costs, month by month, over {study.horizon_months} months"
    if rival.payback.plain_month is None:
        return f"{titled(rival.label)}: not paid back within {study.horizon_months} months"
    return f"{titled(rival.label)}: paid back by {month_words(rival.payback.plain_month)}"


def _capacity(study: Study) -> str:
    capacity, money = study.capacity, money_of(study)
    if capacity is None:
        return "No fleet was sized"
    if capacity.unmet:
        return "No number of replicas meets the latency targets"
    n = capacity.n_replicas.p50
    return (
        f"{short_number(n)} replica{'' if n == 1 else 's'} "
        f"({short_number(n * capacity.n_gpus_per_replica)} GPUs) carry today's peak and are "
        f"{percent(capacity.utilization_frac.p50)} busy: "
        f"{money.short(capacity.reserved_usd_per_mtok.p50)} per million tokens"
    )


def _hidden(study: Study) -> str:
    naive, money = study.naive, money_of(study)
    if naive is None:
        return "No pricing-page comparison was made"
    return (
        f"Simple arithmetic says {money.short(naive.naive_option_usd_per_month)} a month; "
        f"the full cost is {money.short(naive.full_option_usd_per_month)}"
    )


def break_evens_told(study: Study) -> tuple[BreakEven, ...]:
    """Break-evens of the option that a summary speaks of: the verdict's, else the API's rival."""
    rival = rival_of(study)
    mine = tuple(point for point in study.break_evens if rival and point.option_id == rival.id)
    return mine or study.break_evens


def _break_even(study: Study) -> str:
    for point in break_evens_told(study):
        if point.quantity == "volume" and point.value is not None:
            today = f"; today it is {quantity(point.today, point.unit)}" if point.today else ""
            label = titled(study.option(point.option_id).label)
            return f"{label}: break-even at {quantity(point.value, point.unit)}{today}"
    found = any(point.value is not None for point in study.break_evens)
    return (
        "Where the options cost the same" if found else "No volume makes the options cost the same"
    )


def _sensitivity(study: Study) -> str:
    n_flips = sum(flips(bar) for bar in study.tornado)
    if not n_flips:
        return "No single input flips the answer within its range"
    first = next(bar for bar in study.tornado if flips(bar))
    if n_flips == 1:
        return f"One input can flip the answer on its own: {first.label}"
    return f"{n_flips} inputs can each flip the answer alone, first of all: {first.label}"


def _types(study: Study) -> str:
    verdicts = [verdict.verdict for verdict in study.verdict.by_type]
    parts = [
        f"{verdicts.count(kind)} {words}"
        for kind, words in (
            ("move", "can move"),
            ("must-move", "must move"),
            ("test-first", "to test first"),
            ("stay", "should stay"),
        )
        if kind in verdicts
    ]
    if len(verdicts) == 1:
        return f"All traffic is one query type: {TYPE_VERDICTS[verdicts[0]].lower()}"
    return f"Of {len(verdicts)} query types: {', '.join(parts)}"


def _traffic(study: Study) -> str:
    if study.profile is None:
        return "No usage log was given"
    for curve in study.profile.concentration:
        if curve.n_types > 1:
            return (
                f"{curve.n_types_for_80_frac} of {curve.n_types} query types make "
                f"80\N{NO-BREAK SPACE}% of {curve.measure}"
            )
    span = study.profile.span
    return f"{span.n_requests:,} requests over {length_words(span.span_days)}"


def _views(study: Study) -> str:
    rival, money = rival_of(study) or study.options[0], money_of(study)
    steady = money.short(rival.steady_usd_per_month)
    return f"Where the money goes: {titled(rival.label)}, {steady} a month once steady"


def _assumptions(study: Study) -> str:
    changed = [row for row in study.assumptions if row.origin != "default"]
    n_all = len(study.assumptions)
    share = percent(len(changed) / n_all) if n_all else "0"
    yours = f"{len(changed)} of {n_all} inputs ({share}) are yours, measured or sourced"
    return f"{yours}; the rest are defaults"
