"""From constraints, costs and their odds to one answer with its reasons."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from weighbridge.planning.answers import Reason, Rerun, TypeVerdict, Verdict
from weighbridge.planning.constraints import Standing
from weighbridge.units.money import Money

SURE_ENOUGH_PROBABILITY = 0.6  # below it the odds are called a toss-up
RERUN_DAYS = 182  # "run it again six months later"

LABELS: Mapping[str, str] = {
    "api": "hosted API",
    "committed": "committed throughput",
    "managed": "managed platform",
    "rented": "self-hosted on rented GPUs",
    "owned": "self-hosted on owned GPUs",
    "hybrid": "split between API and fleet",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the verdict needs to know of one option; money as net present cost [USD]."""

    id: str
    hosting: str
    moved: tuple[str, ...]
    feasible: bool
    obstacles: tuple[str, ...]
    mean_npv_usd: float
    cheapest_probability: float
    beats_api_probability: float
    expected_regret_usd: float
    payback_month: float | None


@dataclass(frozen=True, slots=True)
class TypeCost:
    """One query type's money in the steady state [USD/month]."""

    label: str
    api_usd_per_month: float
    saving_usd_per_month: float  # if it moves with the others of that option
    tokens_share_frac: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the verdict is drawn from."""

    candidates: tuple[Candidate, ...]  # api first
    standings: Mapping[str, Standing]
    type_costs: Callable[[str], tuple[TypeCost, ...]]  # by option id: if that option is taken
    flips_when: Callable[[Candidate], tuple[str, ...]]  # against the API; asked of what is named
    measure_next: tuple[str, ...]
    engines: tuple[str, ...]
    engine_warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    horizon_months: int
    as_of: dt.date
    money: Money = field(default_factory=Money)


def judge(evidence: Evidence) -> Verdict:
    """The verdict: constraints first, then money with its odds, then what is known of quality.

    The cheapest option whose moved types are all proven is weighed against the API. A cheaper one
    that moves types of unknown quality is never advised: it is a reason to test them.
    """
    api = evidence.candidates[0]
    feasible = [c for c in evidence.candidates if c.feasible]
    if not feasible:
        headline, why = _headline_nothing(evidence), _constraint_reasons(evidence)
        return _verdict(evidence, "not-enough-evidence", api, headline, why)
    favourite = _cheapest(feasible)
    sound = [c for c in feasible if not _unproven(evidence, c)]
    best = _cheapest(sound) if sound else favourite
    unproven = _unproven(evidence, favourite)
    if unproven and (not sound or best.id == "api"):
        return _test_first(evidence, favourite, api, unproven)
    reasons = [*_constraint_reasons(evidence), _money_reason(evidence, best, api)]
    reasons += _risk_reasons(evidence, best, api)
    if unproven:
        reasons.append(_more_reason(evidence, best, favourite, unproven))
    if best.id == "api":
        return _verdict(evidence, "stay", best, _headline_stay(evidence, best), reasons)
    if api.feasible and best.beats_api_probability < SURE_ENOUGH_PROBABILITY:
        headline = _headline_toss_up(evidence, best)
        return _verdict(evidence, "not-enough-evidence", best, headline, reasons)
    headline = _headline_move(evidence, best, api)
    return _verdict(evidence, _decision(best, evidence), best, headline, reasons)


def _cheapest(candidates: Sequence[Candidate]) -> Candidate:
    return min(candidates, key=lambda c: c.mean_npv_usd)


def _test_first(
    evidence: Evidence, favourite: Candidate, api: Candidate, unproven: Sequence[str]
) -> Verdict:
    """Not enough evidence: the only cheaper way moves types that nobody has checked."""
    reasons = [
        *_constraint_reasons(evidence),
        _money_reason(evidence, favourite, api),
        _unproven_reason(evidence, unproven),
        *_risk_reasons(evidence, favourite, api),
    ]
    headline = _headline_test_first(evidence, favourite, api, unproven)
    return _verdict(evidence, "not-enough-evidence", favourite, headline, reasons)


def _decision(best: Candidate, evidence: Evidence) -> str:
    if best.hosting == "committed":
        return "committed"
    if len(best.moved) < len(evidence.standings):
        return "split"
    return "managed" if best.hosting == "managed" else "self-host"


def _unproven(evidence: Evidence, candidate: Candidate) -> list[str]:
    """Types that the option moves and of which nobody knows whether another model will do."""
    standings = evidence.standings
    return [
        label
        for label in candidate.moved
        if standings[label].demand.replaceable != "yes" and not standings[label].forced
    ]


def _money_reason(evidence: Evidence, best: Candidate, api: Candidate) -> Reason:
    show = evidence.money.short
    rival = rival_of(evidence.candidates) if best.id == "api" else best
    flips = _flips(evidence, rival)
    if best.id == "api" and rival is not None:
        text = (
            f"The API costs {show(api.mean_npv_usd)} in present value over "
            f"{evidence.horizon_months} months on average; the next best, {_name(rival)}, "
            f"{show(rival.mean_npv_usd)}, and beats it in "
            f"{rival.beats_api_probability:.0%} of the draws."
        )
        return Reason("cost", text, flips)
    text = (
        f"{_subject(best)} costs {show(best.mean_npv_usd)} in present value over "
        f"{evidence.horizon_months} months on average against {show(api.mean_npv_usd)} for the "
        f"API, and is cheaper than it in {best.beats_api_probability:.0%} of the draws."
    )
    return Reason("cost", text, flips)


def _risk_reasons(evidence: Evidence, best: Candidate, api: Candidate) -> list[Reason]:
    """What a wrong choice costs on average, and when the money comes back."""
    show = evidence.money.short
    reasons = []
    other = rival_of(evidence.candidates) if best.id == "api" else api
    if other is not None and other.feasible and best.feasible:
        text = (
            f"Chosen now, {_name(best)} loses {show(best.expected_regret_usd)} of present value on "
            f"average against the best choice in hindsight; {_name(other)}, "
            f"{show(other.expected_regret_usd)}."
        )
        first = f"; first: {evidence.measure_next[0]}" if evidence.measure_next else ""
        flips = f"more is known{first}"
        reasons.append(Reason("regret", text, flips))
    if best.id != "api" and best.payback_month is not None:
        month = f"month {max(best.payback_month, 1):.0f} of {evidence.horizon_months}"
        text = f"Its cumulative saving stays above zero from {month} on, in the central case."
        flips = f"it must be given up before {month}"
        reasons.append(Reason("payback", text, flips))
    return reasons


def _constraint_reasons(evidence: Evidence) -> list[Reason]:
    reasons = [r for s in evidence.standings.values() for r in s.reasons]
    for c in evidence.candidates:
        for obstacle in c.obstacles:
            text = f"{_subject(c)} is out: {obstacle}."
            reasons.append(Reason("feasibility", text, "the constraint is changed"))
    return reasons


def rival_of(candidates: Sequence[Candidate]) -> Candidate | None:
    """The API's best rival: feasible first, then least mean cost; None where there is none."""
    others = [c for c in candidates if c.id != "api"]
    feasible = [c for c in others if c.feasible]
    return min(feasible or others, key=lambda c: c.mean_npv_usd, default=None)


def _flips(evidence: Evidence, option: Candidate | None) -> str:
    found = evidence.flips_when(option) if option is not None and option.id != "api" else ()
    return "; ".join(found) or "no single price or volume change found that flips it"


def _more_reason(
    evidence: Evidence, best: Candidate, favourite: Candidate, unproven: Sequence[str]
) -> Reason:
    show = evidence.money.short
    more = best.mean_npv_usd - favourite.mean_npv_usd
    text = (
        f"{_subject(favourite)} would save {show(more)} more in present "
        f"value, but moves {_counted(unproven)} of unknown quality: test them before they move."
    )
    return Reason("quality-unknown", text, "an evaluation marks them replaceable: yes or no")


def _unproven_reason(evidence: Evidence, unproven: Sequence[str]) -> Reason:
    share = sum(
        t.tokens_share_frac
        for t in evidence.type_costs(evidence.candidates[0].id)
        if t.label in set(unproven)
    )
    text = (
        f"Whether another model answers well enough is unknown for {len(unproven)} of the query "
        f"types that would move ({share:.0%} of all tokens); cost alone never moves one."
    )
    return Reason("quality-unknown", text, "an evaluation marks them replaceable: yes or no")


def _name(c: Candidate) -> str:
    if c.id == "hybrid":
        where = LABELS[c.hosting] if c.hosting != "managed" else "a managed platform"
        return f"the split ({len(c.moved)} query types {where})"
    return {"api": "the API", "managed": "a managed platform"}.get(c.id, LABELS[c.id])


def _subject(c: Candidate) -> str:
    name = _name(c)
    return name[0].upper() + name[1:]


def _headline_nothing(evidence: Evidence) -> str:
    first = evidence.candidates[0].obstacles
    why = first[0] if first else "every option breaks a constraint"
    return f"No option meets every constraint ({why}): relax one, or add people."


def _headline_stay(evidence: Evidence, best: Candidate) -> str:
    sure = best.cheapest_probability
    blocked = [c for c in evidence.candidates if not c.feasible]
    tail = " Options that your constraints rule out were not considered." if blocked else ""
    return f"Stay on the API: it is the cheapest way in {sure:.0%} of the draws.{tail}"


def _headline_test_first(
    evidence: Evidence, best: Candidate, api: Candidate, unproven: Sequence[str]
) -> str:
    show = evidence.money.short
    if best.beats_api_probability < SURE_ENOUGH_PROBABILITY and api.feasible:
        return _headline_toss_up(evidence, best)
    if not api.feasible:
        return (
            f"Test first: your constraints rule out staying on the API, and {_name(best)} moves "
            f"{_counted(unproven)} that nobody has checked."
        )
    saving = _monthly_saving(evidence, best, api)
    return (
        f"Stay for now, and test first: {_name(best)} would save about {show(saving)} a month "
        f"in present value, if quality holds for {_counted(unproven)} that nobody has checked."
    )


def _headline_toss_up(evidence: Evidence, best: Candidate) -> str:
    first = evidence.measure_next[0] if evidence.measure_next else "your traffic for longer"
    return (
        f"Not enough evidence: {_name(best)} beats the API in only "
        f"{best.beats_api_probability:.0%} of the draws. Measure first: {first}."
    )


def _headline_move(evidence: Evidence, best: Candidate, api: Candidate) -> str:
    show = evidence.money.short
    saving = _monthly_saving(evidence, best, api)
    odds = f"cheaper than the API in {best.beats_api_probability:.0%} of the draws"
    what = {
        "managed": "Move to a managed platform",
        "rented": "Self-host on rented GPUs",
        "owned": "Self-host on GPUs of your own",
        "committed": "Commit to provisioned throughput",
    }.get(best.id, f"Split: move {_counted(best.moved)} ({LABELS[best.hosting]}), keep the rest")
    if saving < 0:
        return (
            f"{what}: your constraints demand it, at {show(-saving)} a month of present value "
            "above the API."
        )
    return f"{what}: saves about {show(saving)} a month in present value, {odds}."


def _monthly_saving(evidence: Evidence, best: Candidate, api: Candidate) -> float:
    """Mean present value saved against the API, per month of the horizon [USD]."""
    return (api.mean_npv_usd - best.mean_npv_usd) / evidence.horizon_months


def _counted(labels: Sequence[str]) -> str:
    return f"{len(labels)} query type{'s' if len(labels) != 1 else ''}"


def _verdict(
    evidence: Evidence,
    decision: str,
    option: Candidate,
    headline: str,
    reasons: Sequence[Reason],
) -> Verdict:
    sure = decision != "not-enough-evidence"
    spoken_of = rival_of(evidence.candidates) if option.id == "api" else option
    flips = evidence.flips_when(spoken_of) if spoken_of is not None else ()
    triggers = (*flips, "a new price list or GPU offer", "a month of new traffic")
    return Verdict(
        headline=headline,
        decision=decision,  # type: ignore[arg-type]  # one of the literals by construction
        option_id=option.id,
        confidence_probability=_confidence(option),
        reasons=tuple(reasons),
        by_type=tuple(_type_verdict(evidence, option, t, sure) for t in _costs(evidence, option)),
        measure_next=evidence.measure_next,
        rerun=Rerun(evidence.as_of + dt.timedelta(days=RERUN_DAYS), triggers),
        engines=evidence.engines,
        engine_warnings=evidence.engine_warnings,
        left_out=evidence.left_out,
    )


def _confidence(option: Candidate) -> float:
    return option.cheapest_probability if option.id == "api" else option.beats_api_probability


def _costs(evidence: Evidence, named: Candidate) -> list[TypeCost]:
    """Each type's money under the named option; under the tempting one if only that moves it."""
    feasible = [c for c in evidence.candidates if c.feasible]
    favourite = _cheapest(feasible) if feasible else named
    tempting = {t.label: t for t in evidence.type_costs(favourite.id)}
    mine = evidence.type_costs(named.id)
    return [t if t.label in named.moved else tempting[t.label] for t in mine]


def _type_verdict(evidence: Evidence, option: Candidate, cost: TypeCost, sure: bool) -> TypeVerdict:
    show = evidence.money.short
    stand = evidence.standings[cost.label]
    moving = option.id != "api" and cost.label in option.moved
    reasons = list(stand.reasons)
    if stand.forced:
        kind = "must-move"
    elif stand.demand.replaceable == "no":
        kind = "stay"
        evidence_given = stand.demand.evidence or "no evidence given"
        text = f"{cost.label}: marked not replaceable ({evidence_given})."
        reasons.append(Reason("not-replaceable", text, "a candidate model passes its evaluation"))
    elif moving and stand.demand.replaceable == "yes" and not sure:
        kind = "stay"
        reasons.append(_saving_reason(evidence, cost, "might save", "the odds become clear"))
    elif moving and stand.demand.replaceable == "yes":
        kind = "move"
        reasons.append(
            _saving_reason(evidence, cost, "saves", "its volume or the API's price falls")
        )
    elif option.id != "api" and cost.saving_usd_per_month > 0 and stand.demand.replaceable != "yes":
        kind = "test-first"
        reasons.append(_saving_reason(evidence, cost, "would save", "an evaluation says no"))
    else:
        kind = "stay"
        text = (
            f"{cost.label}: {show(cost.api_usd_per_month)} a month on the API; moving it would not "
            "pay."
        )
        reasons.append(Reason("cost", text, "its volume or the API's price rises"))
    return TypeVerdict(
        label=cost.label,
        replaceable=stand.demand.replaceable,
        evidence=stand.demand.evidence,
        verdict=kind,  # type: ignore[arg-type]  # one of the literals by construction
        api_usd_per_month=cost.api_usd_per_month,
        saving_usd_per_month=cost.saving_usd_per_month if kind != "stay" else 0.0,
        tokens_share_frac=cost.tokens_share_frac,
        reasons=tuple(reasons),
    )


def _saving_reason(evidence: Evidence, cost: TypeCost, verb: str, flips_when: str) -> Reason:
    show = evidence.money.short
    tail = " if quality holds: test this first" if verb == "would save" else ""
    text = (
        f"{cost.label}: {show(cost.api_usd_per_month)} a month on the API; moving it {verb} "
        f"{show(cost.saving_usd_per_month)} a month{tail}."
    )
    return Reason("cost", text, flips_when)
