"""What a log of under a week can tell, and what is withheld: no month is extrapolated from it."""

from __future__ import annotations

import datetime as dt

from weighbridge.planning.answers import Reason, Rerun, Verdict
from weighbridge.study.result import Reproducibility, Study
from weighbridge.study.scenario import Scenario
from weighbridge.units import TOKENS_PER_MTOK
from weighbridge.units.durations import length_words
from weighbridge.usage.results import Profile

WITHHELD = (
    "monthly volume and cost: a log of under seven days holds no week to scale from",
    "the hour-of-week rhythm, and so the size of a fleet and its utilisation",
    "cost of any option over months, break-even, payback and risk",
    "growth trend and sampling error",
)


def too_short_study(
    profile: Profile, scenario: Scenario, reproducibility: Reproducibility
) -> Study:
    """A study without options: what was measured, and what it would take to decide."""
    return Study(
        name=scenario.name,
        currency="USD",
        usd_rate=1.0,
        horizon_months=scenario.horizon_months,
        monthly_tokens=float("nan"),
        monthly_requests=float("nan"),
        monthly_api_usd=float("nan"),
        verdict=_verdict(profile, reproducibility.as_of),
        rival_id=None,
        options=(),
        break_evens=(),
        surface=None,
        capacity=None,
        tornado=(),
        information=(),
        naive=None,
        assumptions=(),
        show_back=(),
        control_prices=(),
        profile=profile,
        withheld=WITHHELD + tuple(f"{w.conclusion}: {w.reason}" for w in profile.withheld),
        reproducibility=reproducibility,
    )


def _verdict(profile: Profile, as_of: dt.date) -> Verdict:
    span = profile.span
    length = length_words(span.span_days)
    headline = (
        f"Not enough evidence: the log covers {length}, and a month needs at least seven days. "
        "What it does tell stands below."
    )
    going = "keep recording" if profile.sources == ("gateway",) else "keep the import running"
    keep = f"a log of seven full days or more: {going}, then decide again"
    return Verdict(
        headline=headline,
        decision="not-enough-evidence",
        option_id="api",
        confidence_probability=float("nan"),
        reasons=tuple(_reasons(profile)),
        by_type=(),
        measure_next=(keep,),
        rerun=Rerun(as_of + dt.timedelta(days=7), ("seven days of log are there",)),
        engines=(),
        engine_warnings=(),
        left_out=WITHHELD,
    )


def _reasons(profile: Profile) -> list[Reason]:
    span, longer = profile.span, "a longer log says otherwise"
    reasons = []
    n_priced = span.n_requests - profile.n_unpriced
    if n_priced and profile.tokens.total_tokens:
        usd = float(profile.list_cost_usd)
        priced_tokens = profile.tokens.total_tokens * (1 - profile.unpriced_tokens_share_frac)
        text = (
            f"{n_priced:,} requests and {priced_tokens:,.0f} tokens with a known price cost "
            f"${usd:,.4g} at list price: ${usd / priced_tokens * TOKENS_PER_MTOK:,.3f} per million "
            f"tokens, ${usd / n_priced:,.5f} per request."
        )
        reasons.append(Reason("measured-cost", text, longer))
    if profile.n_unpriced:
        text = (
            f"{profile.n_unpriced:,} of {span.n_requests:,} requests have no known price "
            f"({profile.unpriced_tokens_share_frac:.0%} of tokens): unknown, not zero."
        )
        mend = "--assume-model names the model, or --prices at import gives its price"
        reasons.append(Reason("unpriced", text, mend))
    for peak in profile.peaks:
        if peak.measure == "tokens" and peak.window_s == 60:
            text = (
                f"The busiest minute holds {peak.peak_to_mean_ratio:.1f} times the tokens of the "
                "mean minute: a fleet is sized for the one and billed as if it always came."
            )
            reasons.append(Reason("measured-peak", text, longer))
    return reasons
