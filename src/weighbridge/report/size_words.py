"""Figures of a size study as words, shared by screen and page."""

from __future__ import annotations

from weighbridge.capacity.safety import Range
from weighbridge.capacity.slo import duration_text
from weighbridge.study.size_result import Answer, ApiAlone, Detail, ElasticCost, SizeStudy
from weighbridge.units.money import Money, percent, short_number

MONEY = Money()
ELASTIC_WORDS = {
    "schedule": "Timetable",
    "reactive": "Reactive autoscaling",
    "overflow": "Overflow to an API",
}
STATUS_WORDS = {
    "sized": "simulated whole",
    "peak": "peak only",
    "pruned": "closed form",
    "impossible": "impossible",
    "misfit": "does not fit",
    "unpriced": "no price",
}
BASIS_WORDS = {
    "calibrated": "your own measurements",
    "measured": "published measurements near it",
    "exported": "exported step latencies",
    "roofline": "a roofline fitted on published measurements",
}


def usd_per_mtok(usd: float) -> str:
    """Cents to two places, below a cent to three digits."""
    return f"${usd:,.2f}" if usd >= 0.095 else f"${usd:.3g}"


def range_words(needed: Range) -> str:
    """Replicas with the range that the step time's error gives them.

    >>> range_words(Range(3, 4, 6)), range_words(Range(2, 2, 2)), range_words(Range(1, 2, None))
    ('4 (3 to 6)', '2', '2 (1 to ∞)')
    """
    high = "\N{INFINITY}" if needed.n_high is None else str(needed.n_high)
    if str(needed.n_low) == high:
        return str(needed.n_mid)
    return f"{needed.n_mid} ({needed.n_low} to {high})"


def span_words(duration_s: float) -> str:
    """A stretch of time as people say it.

    >>> span_words(3480), span_words(7200), span_words(14 * 86400)
    ('58 minutes', '2 hours', '14 days')
    """
    for unit, size_s in (("days", 86400.0), ("hours", 3600.0)):
        if duration_s >= 2 * size_s:
            return f"{duration_s / size_s:.3g} {unit}"
    return f"{duration_s / 60:.3g} minutes"


def traffic_words(study: SizeStudy) -> str:
    """The stretch in a sentence."""
    t = study.traffic
    again = f", {percent(t.repeated_input_frac)} of it seen before" if t.repeated_input_frac else ""
    return (
        f"{t.n_requests:,} requests in {span_words(t.duration_s)}, {t.mean_requests_per_s:.3g} a "
        f"second (in the peak {t.peak_requests_per_s:.3g}), {t.mean_input_tokens:,.0f} tokens in"
        f"{again} and {t.mean_output_tokens:,.0f} out"
    )


def reached_words(study: SizeStudy, answer: Answer) -> str:
    """What each target comes to in the peak, beside what is allowed."""
    if answer.peak is None:
        return ""
    return ", ".join(
        f"{name} {duration_text(reached)} of {duration_text(limit)}"
        for name, reached, limit in zip(
            study.slo_names, answer.peak.reached_s, study.slo_limits_s, strict=True
        )
    )


def headline(study: SizeStudy) -> str:
    """The answer in a sentence."""
    if not study.sized:
        return f"No deployment of {study.model_name} meets {study.slo}"
    best = study.sized[0]
    assert best.safety is not None
    assert best.cost is not None
    n = best.safety.n_fleet_replicas
    replicas = "replica" if n == 1 else "replicas"
    return (
        f"{n} {replicas} of {best.setup.label} ({n * best.setup.n_gpus} GPUs): "
        f"{month_words(best)} a month, {mtok_words(best)} per million tokens"
    )


def month_words(answer: Answer) -> str:
    """Cost of a month, with what it is at both ends of the step time's interval."""
    assert answer.cost is not None
    mid = MONEY.short(answer.cost.usd_per_month)
    s = answer.spread
    if s is None or s.kept.n_low == s.kept.n_high:
        return mid
    return f"{mid} ({MONEY.short(s.low_usd_per_month)} to {_most(s.high_usd_per_month)})"


def _most(usd: float | None) -> str:
    return "\N{INFINITY}" if usd is None else MONEY.short(usd)


def mtok_words(answer: Answer) -> str:
    """Cost of a million tokens, with what it is at both ends of the step time's interval."""
    assert answer.cost is not None
    mid = usd_per_mtok(answer.cost.reserved_usd_per_mtok)
    s = answer.spread
    if s is None or s.kept.n_low == s.kept.n_high:
        return mid
    high = "\N{INFINITY}" if s.high_usd_per_mtok is None else usd_per_mtok(s.high_usd_per_mtok)[1:]
    return f"{mid} ({usd_per_mtok(s.low_usd_per_mtok)[1:]}-{high})"


def kept_words(answer: Answer) -> str:
    """Replicas that are kept, with what would be at both ends of the step time's interval."""
    assert answer.safety is not None
    n = str(answer.safety.n_fleet_replicas)
    return n if answer.spread is None else range_words(answer.spread.kept)


def slow_words(study: SizeStudy, answer: Answer) -> str:
    """What the fleet that is kept comes to where the step time is as slow as it may be."""
    if answer.spread is None:
        return ""
    peak = answer.spread.slow_peak
    verdict = "holds" if peak.slo_met else "breaks"
    return (
        f"kept {kept_words(answer)}, {month_words(answer)} a month, {mtok_words(answer)} per "
        f"million tokens at the fast and slow end of the step time's 90 % interval. At the slow "
        f"end the {peak.n_replicas} that are kept come to {_reached(study, peak.reached_s)} in the "
        f"peak: the SLO {verdict}."
    )


def saving_words(usd: float, whole_usd: float) -> str:
    """What a way saves, in words where it is nothing that a month's bill would show."""
    return "no saving" if abs(usd) < 0.005 * whole_usd else MONEY.short(usd)


def api_words(api: ApiAlone) -> str:
    """Everything to the API, in a sentence."""
    return (
        f"no replicas; {usd_per_mtok(api.usd_per_mtok)} per million tokens of {api.model}, "
        f"{api.note}; the SLO is not judged"
    )


def fleet_words(study: SizeStudy, answer: Answer) -> str:
    """From what is needed to what is kept."""
    assert answer.safety is not None
    s = answer.safety
    low_high = (
        f"{range_words(s.needed)}, the range being the error of the step time"
        if "(" in range_words(s.needed)
        else f"{s.needed.n_mid}"
    )
    text = f"{low_high}; {s.n_headroom_replicas} with {percent(study.headroom_frac)} headroom"
    if study.n_spare_replicas:
        text += f"; {s.n_fleet_replicas} with {study.n_spare_replicas} spare, which is paid for"
    return text


def flattering_words(answer: Answer) -> str:
    """The full-load figure with its warning."""
    assert answer.cost is not None
    c = answer.cost
    times = c.reserved_usd_per_mtok / c.full_load_usd_per_mtok
    return (
        f"{usd_per_mtok(c.full_load_usd_per_mtok)} at full load flatters {times:.1f} times: it "
        f"has every hour full, no latency promised and no spare"
    )


def loss_words(study: SizeStudy, answer: Answer) -> str:
    """What the loss of one replica in the peak does."""
    assert answer.safety is not None
    s = answer.safety
    if s.unspared is None:
        text = "With one replica and no spare, its loss stops everything."
    else:
        verdict = "holds" if s.unspared.during.slo_met else "breaks"
        text = (
            f"Of {s.unspared.n_replicas} without a spare, one gone for the whole peak: the SLO "
            f"{verdict} ({_reached(study, s.unspared.during.reached_s)})."
        )
    if s.spared.lost_s > 0:
        verdict = "holds" if s.spared.during.slo_met else "breaks"
        text += (
            f" Of the {s.spared.n_replicas} that are kept: it {verdict} "
            f"({_reached(study, s.spared.during.reached_s)})."
        )
    if answer.spread is not None and not answer.spread.slow_peak.slo_met:
        text += " Both at the expected step time: at its slow end it breaks without any loss."
    return text


def _reached(study: SizeStudy, reached_s: tuple[float, ...]) -> str:
    return ", ".join(
        f"{name} {duration_text(value)}"
        for name, value in zip(study.slo_names, reached_s, strict=True)
    )


def elastic_words(item: ElasticCost) -> str:
    """A fleet that follows the load, in a sentence."""
    e = item.elastic
    if e.kind == "overflow":
        return (
            f"{e.n_most_replicas} replicas, {percent(e.overflow_frac)} of requests to "
            f"{item.api_model} ({MONEY.short(item.api_usd_per_month)} a month), whose latency the "
            "SLO here does not judge"
        )
    hours = f"{e.mean_replicas_ratio:.0%} of the hours"
    if e.n_least_replicas == e.n_most_replicas:
        return f"always {e.n_most_replicas} replicas: nothing to switch off"
    return f"{e.n_least_replicas} to {e.n_most_replicas} replicas, {hours}"


def spot_words(detail: Detail) -> str:
    """What interruptions come to."""
    if detail.spot is None:
        return detail.spot_note
    s = detail.spot
    verdict = "holds" if s.slo_met else "breaks"
    repaired = (
        f"{s.n_extra_replicas} more replicas repair it"
        if s.is_repaired
        else f"not even {s.n_extra_replicas} more replicas repair it"
    )
    return (
        f"{short_number(s.terms.interruptions_per_month_ratio)} interruptions of a machine a "
        f"month, {duration_text(s.terms.restart_s)} to replace it: {s.n_interruptions} fell into "
        f"the stretch, the SLO {verdict} over it; at most {s.n_down_replicas} are down at once "
        f"99 % of the time; {repaired}. {detail.spot_note}"
    ).strip()
