"""The problem to solve: traffic, hardware, beliefs, and the options worth comparing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from weighbridge.catalog.facts import Catalog
from weighbridge.catalog.prices import PriceBook
from weighbridge.economics.capacity_curve import CapacityCurve
from weighbridge.economics.distributions import Fixed
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.options import Commitment, Option, Settings
from weighbridge.economics.risk import Problem
from weighbridge.economics.workload import Workload
from weighbridge.planning.assignment import Split, best_split
from weighbridge.study.beliefs import Finding, gather, upkeep_basis
from weighbridge.study.capacity_model import Log
from weighbridge.study.forecast_prices import Forecast
from weighbridge.study.hardware import NO_LOG, Hardware, choose_hardware
from weighbridge.study.result import AssumptionUsed
from weighbridge.study.scenario import Scenario
from weighbridge.study.traffic import Traffic, from_profile, from_scenario
from weighbridge.units import InputError
from weighbridge.usage.results import Profile


@dataclass(frozen=True, slots=True)
class Facts:
    """What the world is like on the day of the study."""

    catalog: Catalog
    book: PriceBook
    as_of: dt.date
    undated: tuple[str, ...] = ()  # of the catalog: what was first read after that day
    forecast: Forecast | None = None  # API prices of another day than the log's


@dataclass(frozen=True)
class Posed:
    """A problem ready to be solved, and where its parts came from."""

    problem: Problem
    traffic: Traffic
    hardware: Hardware
    used: tuple[AssumptionUsed, ...]


def pose(
    scenario: Scenario, profile: Profile | None, facts: Facts, where: str, log: Log = NO_LOG
) -> Posed:
    """Join scenario, log and catalog into a problem; contradictions raise."""
    forecast = facts.forecast
    if profile is not None:
        traffic = from_profile(profile, scenario, where)
    else:
        stated_on = forecast.stated_on if forecast is not None else None
        traffic = from_scenario(scenario, facts.book, stated_on or facts.as_of, where)
    if forecast is not None:
        traffic = forecast.on(traffic)
    hardware = choose_hardware(scenario, facts.catalog, traffic, where, log)
    layers = (hardware.findings, traffic.findings, _compliance(traffic))
    beliefs, used = gather(scenario, where, *layers)
    settings = Settings(
        horizon_months=scenario.horizon_months,
        sizing=Sizing(scenario.whole_replicas, scenario.utilization_frac, _curve(hardware)),
        upkeep_basis=upkeep_basis(scenario),
        commitment=_commitment(scenario, facts.catalog, _models(scenario, profile), where),
    )
    problem = Problem(traffic.workload, beliefs, settings, (Option("api", "api", ()),))
    return Posed(_with_options(problem, scenario, hardware), traffic, hardware, used)


def _curve(hardware: Hardware) -> CapacityCurve | None:
    return None if hardware.simulation is None else hardware.simulation.choice.fleet.curve


def _models(scenario: Scenario, profile: Profile | None) -> set[str]:
    """Models that the traffic asks for."""
    if profile is None:
        return {scenario.model} if scenario.model else set()
    return {model for t in profile.query_types for model in t.models}


def _compliance(traffic: Traffic) -> dict[str, Finding]:
    if not any(s.demand.stays_inside for s in traffic.standings.values()):
        return {}
    source = "a residency constraint is stated"
    return {"compliance_audits_per_year": Finding(Fixed(1.0), "scenario", source)}


def _commitment(
    scenario: Scenario, catalog: Catalog, models: set[str], where: str
) -> Commitment | None:
    c = scenario.committed
    if c is None:
        return None
    if c.offer is None:
        assert c.usd_per_unit_hour is not None
        assert c.input_tokens_per_min is not None
        assert c.output_tokens_per_min is not None
        served = (c.input_tokens_per_min, c.output_tokens_per_min)
        return Commitment(c.usd_per_unit_hour, *served, c.term_months)
    rows = {row.id: row for row in catalog.committed}
    if c.offer not in rows:
        mend = f"choose one of {', '.join(sorted(rows)[:6])}, …"
        raise InputError(where, "committed.offer", f"{c.offer!r} is not in the catalog", mend)
    row = rows[c.offer]
    if row.serves_input_tokens_per_min is None or row.serves_output_tokens_per_min is None:
        raise InputError(
            where,
            "committed.offer",
            f"{c.offer} does not say what one unit serves",
            "state usd_per_unit_hour, input_tokens_per_min and output_tokens_per_min instead",
        )
    others = sorted(models - {row.model})
    if others:
        raise InputError(
            where,
            "committed.offer",
            f"{c.offer} serves {row.model}, and the traffic also asks for {', '.join(others[:3])}",
            "name an offer of the model that is called, or drop it",
        )
    served = (row.serves_input_tokens_per_min, row.serves_output_tokens_per_min)
    units = (row.n_min_units, row.n_step_units)
    return Commitment(row.usd_per_hour, *served, row.commitment_months, *units)


def _with_options(problem: Problem, scenario: Scenario, hardware: Hardware) -> Problem:
    """API first, then each way of hosting everything that may move, then the best split."""
    movable = problem.workload.movable
    options = [problem.options[0]]
    for hosting in ("committed", "managed", "rented", "owned"):
        offered = hosting == "committed" and scenario.committed is not None
        if hosting in hardware.unknown_prices or not (offered or hosting in scenario.options):
            continue
        if hosting == "committed":
            options.append(Option("committed", "committed", ()))
        elif movable:
            options.append(Option(hosting, hosting, movable))
    posed = replace(problem, options=tuple(options))
    split = _split(posed, scenario)
    if split is not None:
        options.append(Option("hybrid", split.hosting, split.moved))
    return replace(problem, options=tuple(options))


def _split(problem: Problem, scenario: Scenario) -> Split | None:
    """Cheapest split that is neither all nor nothing; proven types only, where there are any."""
    if "hybrid" not in scenario.options or len(problem.workload.types) < 2:
        return None
    pool = _pool(problem.workload)
    splits = [
        best_split(problem, o.hosting, pool, problem.workload.forced)
        for o in problem.options
        if o.moved
    ]
    whole = {o.moved for o in problem.options}
    distinct = [s for s in splits if s.moved and s.moved not in whole]
    return min(distinct, key=lambda s: s.npv_usd) if distinct else None


def _pool(workload: Workload) -> tuple[int, ...]:
    proven = tuple(i for i in workload.movable if workload.types[i].proven)
    return proven or workload.movable
