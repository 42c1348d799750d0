"""What the model believes of every input, and who said so: default, catalog, log or scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from weighbridge.catalog.assumptions import Assumption, load_assumptions
from weighbridge.economics.distributions import Banded, Distribution, Event, Fixed, quantiles
from weighbridge.economics.inputs import Beliefs
from weighbridge.study.entries import read_belief
from weighbridge.study.result import AssumptionUsed
from weighbridge.study.scenario import Scenario

Origin = Literal["default", "scenario", "log", "catalog", "command line"]

DEFAULT_CORRELATIONS: Mapping[tuple[str, str], float] = {
    # API and GPU prices move together: both follow the cost of accelerators. Our judgement.
    ("api_price_change_frac_per_year", "gpu_price_change_frac_per_year"): 0.5,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A belief about one input that did not come from the defaults."""

    belief: Distribution
    origin: Origin
    source: str
    note: str = ""


def band(p10: float, p50: float, p90: float, row: Assumption | None = None) -> Distribution:
    """A band, or a number where it has no width."""
    if p10 == p90:
        return Fixed(p50)
    return Banded(p10, p50, p90, row.min if row else None, row.max if row else None)


def default_belief(row: Assumption) -> Distribution:
    """The catalog's default for one assumption."""
    if row.event:
        return Event(row.probability)
    return band(row.p10, row.p50, row.p90, row)


def stated(scenario: Scenario, where: str) -> dict[str, Finding]:
    """What the scenario says of the assumptions, its shorthands included."""
    found = {
        name: Finding(read_belief(name, raw, where), "scenario", where)
        for name, raw in scenario.assumptions.items()
    }
    if scenario.mlops_fte is not None:
        found["existing_mlops_fte"] = Finding(Fixed(scenario.mlops_fte), "scenario", where)
    return found


def median_of(name: str, scenario: Scenario, where: str) -> float:
    """One input in the central case, where neither catalog nor log has a say."""
    finding = stated(scenario, where).get(name)
    belief = finding.belief if finding else default_belief(load_assumptions()[name])
    return quantiles(belief, (0.5,))[0]


def upkeep_basis(scenario: Scenario) -> Literal["fte", "hours"]:
    """How upkeep is stated: as said, else by the one of the two rows that the scenario gives."""
    if scenario.upkeep_basis is not None:
        return scenario.upkeep_basis
    return "hours" if "maintenance_hours_per_month" in scenario.assumptions else "fte"


def gather(
    scenario: Scenario, where: str, *layers: Mapping[str, Finding]
) -> tuple[Beliefs, tuple[AssumptionUsed, ...]]:
    """Beliefs for every input: defaults, then each layer over the last, then the scenario."""
    findings: dict[str, Finding] = {}
    for layer in (*layers, stated(scenario, where)):
        findings.update(layer)
    rows = load_assumptions()
    beliefs = {
        name: findings[name].belief if name in findings else default_belief(row)
        for name, row in rows.items()
    }
    used = tuple(_used(row, beliefs[name], findings.get(name)) for name, row in rows.items())
    return Beliefs(beliefs, correlations(scenario)), used


def correlations(scenario: Scenario) -> Mapping[tuple[str, str], float]:
    """Which inputs move together: as stated, else API and GPU prices."""
    if scenario.correlations is None:
        return DEFAULT_CORRELATIONS
    return {c.between: c.correlation for c in scenario.correlations}


def _used(row: Assumption, belief: Distribution, finding: Finding | None) -> AssumptionUsed:
    if isinstance(belief, Event):
        p10 = p50 = p90 = belief.probability
    else:
        p10, p50, p90 = quantiles(belief, (0.1, 0.5, 0.9))
    note = row.note if finding is None else finding.note
    if row.event:
        note = f"the figures are its probability. {note}".strip()
    return AssumptionUsed(
        name=row.name,
        label=row.label,
        unit=row.unit,
        p10=p10,
        p50=p50,
        p90=p90,
        origin=finding.origin if finding else "default",
        source=finding.source if finding else row.source,
        note=note,
    )
