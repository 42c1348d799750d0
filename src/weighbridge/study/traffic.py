"""The traffic of a study: from a profile of the log, or from what a scenario states."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge.catalog.prices import PriceBook
from weighbridge.economics.distributions import Z90, Fixed
from weighbridge.economics.workload import QueryType, Workload
from weighbridge.planning.constraints import Demand, Standing, standing
from weighbridge.study.beliefs import Finding, band
from weighbridge.study.scenario import Match, Scenario, TypeRule
from weighbridge.units import HOURS_PER_DAY, HOURS_PER_MONTH, TOKENS_PER_MTOK, InputError
from weighbridge.usage.analyses.sampling import GRACE_HOURS
from weighbridge.usage.results import Peak, Profile, QueryTypeProfile

FEWEST_DAYS = 7.0  # less holds no week, and so no month


@dataclass(frozen=True)
class Traffic:
    """Monthly traffic, what is asked of each query type, and what was found out on the way."""

    workload: Workload
    standings: Mapping[str, Standing]
    findings: Mapping[str, Finding]
    withheld: tuple[str, ...] = ()

    @property
    def input_per_output_ratio(self) -> float:
        """Fresh and cached input tokens for each output token."""
        whole = self.workload.whole
        inputs = whole.fresh_input_tokens + whole.cache_read_tokens
        return inputs / whole.output_tokens if whole.output_tokens else 0.0

    @property
    def output_tokens_per_request(self) -> float:
        """Mean output tokens of one request."""
        whole = self.workload.whole
        return whole.output_tokens / whole.requests_per_month


def is_long_enough(profile: Profile) -> bool:
    """Whether a log may be scaled to a month: it holds every hour of the week.

    With the hour of grace that the profile gives: a week's export ends with its last request.
    """
    hours = profile.span.span_days * HOURS_PER_DAY + GRACE_HOURS
    return hours >= FEWEST_DAYS * HOURS_PER_DAY


def from_profile(profile: Profile, scenario: Scenario, where: str) -> Traffic:
    """Scale a log of at least a week to a month; rules of the scenario set what may move.

    Raises
    ------
    InputError
        Where no request has a price, or a rule matches nothing or contradicts itself.
    """
    for field in ("monthly_spend_usd", "monthly_tokens", "monthly_requests", "price"):
        if getattr(scenario, field) is not None:
            raise InputError(
                where,
                field,
                "is stated beside a log, which measures it",
                "drop it, or leave out --usage",
            )
    if profile.n_unpriced + profile.n_self_hosted == profile.span.n_requests:
        raise InputError(
            where,
            "usage",
            f"none of {profile.span.n_requests} requests has a known price",
            "name the model with --assume-model, or add prices with --prices FILE",
        )
    if profile.tokens.total_tokens == 0:
        raise InputError(
            where,
            "usage",
            f"the log holds {profile.span.n_requests} requests and no tokens "
            f"({profile.span.n_failed} of them failed)",
            "import a log of answered requests",
        )
    scale = HOURS_PER_MONTH / (profile.span.span_days * HOURS_PER_DAY)
    types = types_with_tokens(profile)
    labels = _unique_labels(types)
    demands = _demands(types, scenario, where)
    standings = {
        label: _standing(label, demand, t.ttft_s.p95 if t.ttft_s else None, where)
        for label, demand, t in zip(labels, demands, types, strict=True)
    }
    workload = Workload(
        tuple(
            _query_type(label, t, standings[label], scale)
            for label, t in zip(labels, types, strict=True)
        )
    )
    return Traffic(workload, standings, _log_findings(profile), _notes(profile))


def types_with_tokens(profile: Profile) -> list[QueryTypeProfile]:
    """Query types of a study, in its order: those that used any tokens."""
    return [t for t in profile.query_types if t.tokens.total_tokens > 0]


def _unique_labels(types: list[QueryTypeProfile]) -> list[str]:
    labels: list[str] = []
    for t in types:
        label, n = t.label, 2
        while label in labels:
            label, n = f"{t.label} ({n})", n + 1
        labels.append(label)
    return labels


def _query_type(label: str, t: QueryTypeProfile, stand: Standing, scale: float) -> QueryType:
    fresh = t.tokens.uncached_input_tokens + t.tokens.cache_write_tokens
    return QueryType(
        label=label,
        requests_per_month=t.n_requests * scale,
        fresh_input_tokens=fresh * scale,
        cache_read_tokens=t.tokens.cache_read_tokens * scale,
        output_tokens=t.tokens.output_tokens * scale,
        api_usd_per_month=float(t.list_cost_usd) * scale,
        hourly_input_tokens=t.hourly_input_tokens,
        hourly_output_tokens=t.hourly_output_tokens,
        movable=stand.movable,
        forced=stand.forced,
        proven=stand.forced or stand.demand.replaceable == "yes",
    )


def _matches(match: Match, t: QueryTypeProfile) -> bool:
    wanted = (match.tenant, match.feature, match.template)
    have = (t.tenant, t.feature, t.template)
    return all(w is None or w == h for w, h in zip(wanted, have, strict=True))


def _demands(types: list[QueryTypeProfile], scenario: Scenario, where: str) -> list[Demand]:
    """The last rule that matches a type speaks for it; a rule that matches none is an error."""
    used: set[int] = set()
    demands = []
    for t in types:
        demand = Demand()
        for i, rule in enumerate(scenario.query_types):
            if _matches(rule.match, t):
                demand = _demand(rule)
                used.add(i)
        demands.append(demand)
    for i, rule in enumerate(scenario.query_types):
        if i not in used:
            _raise_unmatched(i, rule, types, scenario, where)
    return demands


def _raise_unmatched(
    i: int, rule: TypeRule, types: list[QueryTypeProfile], scenario: Scenario, where: str
) -> None:
    m = rule.match
    if m.tenant is not None and "tenant" not in scenario.query_type_by:
        mend = "add tenant to query_type_by, so that types are told apart by tenant"
    else:
        mend = f"the log has: {', '.join(t.label for t in types[:8])}"
    parts = {"tenant": m.tenant, "feature": m.feature, "template": m.template}
    text = ", ".join(f"{k} {v}" for k, v in parts.items() if v is not None)
    raise InputError(where, f"query_types[{i}].match", f"matches nothing ({text})", mend)


def _demand(rule: TypeRule) -> Demand:
    return Demand(
        rule.replaceable, rule.evidence, rule.stays_inside, rule.custom_weights, rule.ttft_p95_s
    )


def _standing(label: str, demand: Demand, ttft_p95_s: float | None, where: str) -> Standing:
    try:
        return standing(label, demand, ttft_p95_s)
    except ValueError as error:
        raise InputError(
            where, "query_types", str(error), "drop the constraint, or mark it yes or unknown"
        ) from None


def _log_findings(profile: Profile) -> dict[str, Finding]:
    source = (
        f"usage log, {profile.span.n_requests:,} requests from {profile.span.first_at:%Y-%m-%d} "
        f"to {profile.span.last_at:%Y-%m-%d}"
    )
    found = {
        "tokens_behind_spend_ratio": Finding(Fixed(1.0), "log", source, "tokens are counted"),
        "api_overhead_frac": Finding(
            Fixed(0.0), "log", source, "retries and failures are in the log"
        ),
    }
    sd = profile.volume_relative_sd_frac
    if sd is not None:
        spread = math.exp(Z90 * sd)
        found["demand_multiplier_ratio"] = Finding(
            band(1 / spread, 1.0, spread),
            "log",
            source,
            f"sampling error of {profile.span.span_days:.1f} days: {sd:.1%}",
        )
    within = _within_hour_ratio(profile.peaks)
    if within is not None:
        found["within_hour_peak_ratio"] = Finding(
            Fixed(within), "log", source, "busiest minute against the busiest hour"
        )
    return found


def _within_hour_ratio(peaks: tuple[Peak, ...]) -> float | None:
    """Rate of the busiest minute over the rate of the busiest hour, for output tokens."""
    by_window = {p.window_s: p for p in peaks if p.measure == "output_tokens"}
    if not {60, 3600} <= set(by_window) or by_window[3600].peak_per_window <= 0:
        return None
    minute, hour = by_window[60], by_window[3600]
    return max(1.0, minute.peak_per_window * 60 / hour.peak_per_window)


def _notes(profile: Profile) -> tuple[str, ...]:
    notes = [f"{w.conclusion}: {w.reason}; needs {w.needs}" for w in profile.withheld]
    if profile.n_unpriced:
        notes.append(
            f"{profile.unpriced_tokens_share_frac:.1%} of tokens have no known price "
            f"({', '.join(profile.unpriced_models[:5]) or 'no model given'}): the API's cost is "
            "understated by them; add prices with --prices FILE"
        )
    if profile.n_self_hosted:
        notes.append(
            f"{profile.n_self_hosted:,} requests were served by fleets of one's own, at no price "
            "each: the API's cost is understated by what they would cost there"
        )
    return tuple(notes)


def from_scenario(scenario: Scenario, book: PriceBook, as_of: dt.date, where: str) -> Traffic:
    """One query type from a stated spend or volume, at the price of the model named."""
    input_usd, output_usd, source = _blend(scenario, book, as_of, where)
    share = scenario.input_share_frac
    usd_per_mtok = share * input_usd + (1 - share) * output_usd
    tokens, spend = _volume(scenario, usd_per_mtok, where)
    requests = scenario.monthly_requests or tokens / scenario.tokens_per_request
    demand = _only_rule(scenario, where)
    stand = _standing("all traffic", demand, None, where)
    only = QueryType(
        label="all traffic",
        requests_per_month=requests,
        fresh_input_tokens=tokens * share,
        cache_read_tokens=0.0,
        output_tokens=tokens * (1 - share),
        api_usd_per_month=spend,
        movable=stand.movable,
        forced=stand.forced,
        proven=stand.forced or stand.demand.replaceable == "yes",
    )
    withheld = (
        "which query types to move, and when traffic peaks: there is no log yet; "
        "needs a week of one (weighbridge import)",
    )
    found = _stated_findings(scenario, source)
    return Traffic(Workload((only,)), {"all traffic": stand}, found, withheld)


def _only_rule(scenario: Scenario, where: str) -> Demand:
    named = [r for r in scenario.query_types if r.match != Match()]
    if named:
        raise InputError(
            where,
            "query_types",
            "names tenants, features or templates, and there is no log to find them in",
            "give --usage DIR, or one rule without a match",
        )
    return _demand(scenario.query_types[-1]) if scenario.query_types else Demand()


def _blend(
    scenario: Scenario, book: PriceBook, as_of: dt.date, where: str
) -> tuple[float, float, str]:
    if scenario.price is not None:
        p = scenario.price
        return p.input_usd_per_mtok, p.output_usd_per_mtok, p.source
    if scenario.model is None:
        raise InputError(
            where,
            "model",
            "is missing, so that no price is known",
            "name the model you call today (model: gpt-4o), or give price:",
        )
    rates = book.rates_usd_per_mtok(scenario.provider, scenario.model, as_of)
    if rates is None:
        raise InputError(
            where,
            "model",
            f"{scenario.model!r} has no known price"
            + (f" at {scenario.provider}" if scenario.provider else ""),
            "see `weighbridge prices show MODEL`, name provider:, or give price:",
        )
    return rates.input_usd_per_mtok, rates.output_usd_per_mtok, rates.source


def _volume(scenario: Scenario, usd_per_mtok: float, where: str) -> tuple[float, float]:
    """Tokens and list dollars a month."""
    if scenario.monthly_tokens is not None:
        tokens = scenario.monthly_tokens
        return tokens, tokens / TOKENS_PER_MTOK * usd_per_mtok
    if scenario.monthly_spend_usd is not None:
        if usd_per_mtok <= 0:
            raise InputError(
                where, "monthly_spend_usd", "cannot be spent at a price of 0", "mend price:"
            )
        spend = scenario.monthly_spend_usd
        return spend / usd_per_mtok * TOKENS_PER_MTOK, spend
    if scenario.monthly_requests is not None:
        tokens = scenario.monthly_requests * scenario.tokens_per_request
        return tokens, tokens / TOKENS_PER_MTOK * usd_per_mtok
    raise InputError(
        where,
        "monthly_spend_usd",
        "is missing, and there is no log",
        "give monthly_spend_usd, monthly_tokens or monthly_requests, or --usage DIR",
    )


def _stated_findings(scenario: Scenario, price_source: str) -> dict[str, Finding]:
    source = f"stated in the scenario, at {price_source}"
    if scenario.monthly_spend_usd is not None:
        known = "the invoice is known, retries and envelope in it"
        return {
            "demand_multiplier_ratio": Finding(Fixed(1.0), "scenario", source, known),
            "api_overhead_frac": Finding(Fixed(0.0), "scenario", source, known),
        }
    return {
        "tokens_behind_spend_ratio": Finding(Fixed(1.0), "scenario", source, "tokens are stated")
    }
