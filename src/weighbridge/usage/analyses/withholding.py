"""What a log is too short or too poor to say, and what would let it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from weighbridge.units.durations import length_words
from weighbridge.usage.analyses.clock import Span
from weighbridge.usage.analyses.peaks import WINDOWS_S, has_mean
from weighbridge.usage.analyses.sampling import DAYS_IN_WEEK, whole_days
from weighbridge.usage.analyses.spend import Use
from weighbridge.usage.results import GroupRow, Withheld

WINDOW_NAMES = {60: "1 minute", 3600: "1 hour", 86_400: "1 day"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the withheld conclusions are judged by."""

    span: Span
    whole: Use
    by: Mapping[str, tuple[GroupRow, ...]]
    query_type_by: tuple[str, ...]
    has_sampling_error: bool
    has_trend: bool


def withheld(evidence: Evidence) -> tuple[Withheld, ...]:
    """Every conclusion that this log cannot bear."""
    return (*_by_length(evidence), *_by_content(evidence))


def _by_length(evidence: Evidence) -> Iterator[Withheld]:
    seen = f"the log covers {length_words(evidence.span.days)}"
    n_days = whole_days(evidence.span)
    if n_days < DAYS_IN_WEEK:
        yield Withheld("a month's volume and cost", seen, "7 days of log")
        yield Withheld("weekly rhythm", seen, "7 days of log")
    if not evidence.has_trend:
        why = seen if n_days < 2 * DAYS_IN_WEEK else "too few days with traffic, like with like"
        yield Withheld("growth trend", why, "14 days of log with traffic on most of them")
    if not evidence.has_sampling_error:
        yield Withheld("sampling error of the volume", seen, "10 minutes of log with tokens")
    for window_s in WINDOWS_S:
        if not has_mean(evidence.span, window_s):
            name = WINDOW_NAMES[window_s]
            yield Withheld(f"peak-to-mean at {name}", seen, f"two whole windows of {name}")


def _by_content(evidence: Evidence) -> Iterator[Withheld]:
    whole, by = evidence.whole, evidence.by
    if _unsaid(by["tenant"]):
        yield Withheld("show-back by tenant", "no request names a tenant", "a tenant per request")
    if _unsaid(by["feature"]) and _unsaid(by["template"]):
        stand_in = "; tenants stand in" if evidence.query_type_by == ("tenant",) else ""
        yield Withheld(
            "query types",
            f"no request names a feature or template{stand_in}",
            "a feature or template per request",
        )
    if _unsaid(by["model"]):
        yield Withheld("spend by model", "no request names a model", "--assume-model, or models")
    if whole.n_unpriced:
        yield _unpriced(whole)
    if whole.n_self_hosted:
        yield Withheld(
            "cost of self-hosted requests",
            f"{whole.n_self_hosted:,} requests were served by fleets of one's own",
            "sharing fleet cost out to requests, which is not built yet",
        )
    if not whole.n_answered:
        yield Withheld("token lengths", "no request succeeded", "a log with answered requests")
    if not whole.n_latency:
        yield Withheld("latency", "no answered request carries one", "latency per request")
    if not whole.n_ttft:
        yield Withheld(
            "time to first token", "no answered request carries one", "streamed requests, timed"
        )


def _unpriced(whole: Use) -> Withheld:
    everything = whole.n_unpriced == whole.n_requests
    return Withheld(
        "spend" if everything else "the whole spend",
        f"{whole.n_unpriced:,} of {whole.n_requests:,} requests have no known price",
        "price rows for their models, or --assume-model where none is named",
    )


def _unsaid(rows: tuple[GroupRow, ...]) -> bool:
    return all(row.key is None for row in rows)
