"""Evidence gathered for the verdict: odds, savings by query type, what would flip it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from weighbridge.economics.options import Option
from weighbridge.economics.risk import Problem
from weighbridge.planning.answers import Verdict
from weighbridge.planning.assignment import work_shares_frac
from weighbridge.planning.verdict import (
    Candidate,
    Evidence,
    TypeCost,
    judge,
    rival_of,
)
from weighbridge.study.flips import break_evens, flip_sentences
from weighbridge.study.options import STEADY_MONTHS, OptionStudy, fleet_running_usd
from weighbridge.study.pose import Facts, Posed
from weighbridge.study.result import BreakEven, InformationValue
from weighbridge.study.traffic import Traffic
from weighbridge.units.money import Money

MEASURE_AT_MOST = 4
FLIPS_AT_MOST = 3
OF_A_RATE = (
    "how throughput falls as the latency target tightens: one figure per replica stands for it"
)
OF_A_SIMULATION = (
    "latency in hours other than the busiest, and while replicas fail or are added: the spare and "
    "the headroom stand for it"
)
LEFT_OUT = (
    "taxes, financing and exchange-rate risk",
    "model quality: no price moves a query type without proof that another model answers it",
    "carbon, and noise from neighbours on shared hosts",
    "discounts that a provider would grant when told of this study",
)


def draw_verdict(
    facts: Facts,
    posed: Posed,
    options: Sequence[OptionStudy],
    information: Sequence[InformationValue],
    money: Money,
) -> tuple[Verdict, Mapping[str, list[BreakEven]]]:
    """The verdict, and the break-evens of every option that it was drawn from."""
    problem, traffic, engines = posed.problem, posed.traffic, facts.catalog.engines.values()
    found = {o.option.id: break_evens(problem, o.option, o.result.payback) for o in options[1:]}
    by_id = {o.option.id: o.option for o in options}

    @cache
    def flips_when(option_id: str) -> tuple[str, ...]:
        return flip_sentences(problem, by_id[option_id])[:FLIPS_AT_MOST]

    evidence = Evidence(
        candidates=tuple(_candidate(o) for o in options),
        standings=traffic.standings,
        type_costs=cache(lambda option_id: _type_costs(problem, options, by_id[option_id])),
        flips_when=lambda candidate: flips_when(candidate.id),
        measure_next=_measure_next(traffic, information, money),
        engines=tuple(
            f"{e.name}: {e.note}" if e.note else e.name
            for e in engines
            if e.production_multi_user and e.status == "active"
        ),
        engine_warnings=tuple(
            f"{e.name}: {e.warning}"
            for e in engines
            if not e.production_multi_user or e.status != "active"
        ),
        left_out=(*LEFT_OUT, OF_A_SIMULATION if posed.hardware.simulation else OF_A_RATE),
        horizon_months=problem.settings.horizon_months,
        as_of=facts.as_of,
        money=money,
    )
    return judge(evidence), found


def spoken_of(options: Sequence[OptionStudy], verdict: Verdict) -> OptionStudy | None:
    """The alternative that the whole report speaks of: the verdict's, else the API's best rival."""
    by_id = {o.option.id: o for o in options}
    if verdict.option_id != "api":
        return by_id[verdict.option_id]
    rival = rival_of([_candidate(o) for o in options])
    return None if rival is None else by_id[rival.id]


def _candidate(o: OptionStudy) -> Candidate:
    payback = o.result.payback
    return Candidate(
        id=o.option.id,
        hosting=o.option.hosting,
        moved=o.result.moved_types,
        feasible=o.result.feasible,
        obstacles=o.result.infeasible_because,
        mean_npv_usd=o.mean_npv_usd,
        cheapest_probability=o.result.cheapest_probability,
        beats_api_probability=o.beats_api_probability,
        expected_regret_usd=o.result.expected_regret_usd,
        payback_month=payback.plain_month if payback else None,
    )


def _type_costs(
    problem: Problem, options: Sequence[OptionStudy], named: Option
) -> tuple[TypeCost, ...]:
    """Steady money by query type if the named option is taken: API dollars, and what moving saves.

    A moved type bears its share, by work, of the fleet side's running cost.
    """
    whole = problem.workload.whole
    tokens = [x for x in options[0].result.lines if x.name == "API tokens"]
    steady = sum(float(x.usd_by_month[-STEADY_MONTHS:].mean()) for x in tokens)
    growth = steady / whole.api_usd_per_month if whole.api_usd_per_month else 0.0
    shares = work_shares_frac(problem, named.moved)
    fleet_usd = fleet_running_usd(problem, named) if named.moved else 0.0
    costs = []
    for i, t in enumerate(problem.workload.types):
        api_usd = t.api_usd_per_month * growth
        costs.append(
            TypeCost(
                label=t.label,
                api_usd_per_month=api_usd,
                saving_usd_per_month=api_usd - fleet_usd * shares[i] if i in shares else 0.0,
                tokens_share_frac=t.total_tokens / whole.total_tokens,
            )
        )
    return tuple(costs)


def _measure_next(
    traffic: Traffic, information: Sequence[InformationValue], money: Money
) -> tuple[str, ...]:
    worth = [
        f"{i.label}: {i.how_to_measure} (worth up to {money.short(i.value_usd)} to this choice)"
        for i in information
        if not i.how_to_measure.startswith("no measurement")
    ]
    unknown = [s.label for s in traffic.standings.values() if s.demand.replaceable == "unknown"]
    quality = (
        [f"whether the candidate answers {unknown[0]} well enough, and so on down the list"]
        if unknown
        else []
    )
    return tuple((worth + quality)[:MEASURE_AT_MOST])
