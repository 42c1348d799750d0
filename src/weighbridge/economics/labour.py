"""People: who builds, who keeps it running, and who is on staff already.

Every engineer-month is counted once. The deployment's engineers do the upkeep until they leave,
so upkeep starts after them; people on staff cost no new cash, their time is the opportunity cost
in the memo and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.lines import Line
from weighbridge.economics.timeline import Deployment, elapsed, one_month
from weighbridge.units import MONTHS_PER_YEAR

UpkeepBasis = Literal["fte", "hours"]

WORK_HOURS_PER_YEAR = 2080.0
WORK_DAYS_PER_YEAR = 260.0
WORK_WEEKS_PER_YEAR = 52.0
OPPORTUNITY = "opportunity cost of people on staff"


@dataclass(frozen=True)
class Team:
    """The work that an option makes, as full-time equivalents by month."""

    inputs: Inputs
    deployment: Deployment
    upkeep_fte: Floats  # shape S: work once the deployment's engineers have left
    deployment_fte: Floats  # shape S: 0 for a managed platform

    @cached_property
    def work(self) -> list[tuple[str, str, Floats, Floats]]:
        """(name, category, engineers [fte], share of each month) of every kind of standing work."""
        v, d = self.inputs, self.deployment
        upgrades = v["upgrade_days"] * v["model_upgrades_per_year"] / WORK_DAYS_PER_YEAR
        rows = []
        if np.any(self.deployment_fte):
            rows = [
                (f"deployment: {name}", "deployment labour", self.deployment_fte, share)
                for name, share in d.phases
            ]
        rows.append(("on-call and upkeep", "on-call and upkeep", self.upkeep_fte, d.after_end))
        rows.append(("model upgrades", "upgrades and migration", upgrades, d.after_end))
        return rows

    @cached_property
    def total_fte(self) -> Floats:
        """All standing work [fte], shape (horizon,) + S."""
        total: Floats = np.zeros(())
        for _, _, fte, share in self.work:
            total = total + fte * share
        return total

    @cached_property
    def added_frac(self) -> Floats | None:
        """Share of the work that people on staff cannot cover, (horizon,) + S; None: all of it."""
        v = self.inputs
        if v.is_zero("existing_mlops_fte"):
            return None
        covered = np.minimum(v["existing_mlops_fte"], self.total_fte)
        rest = np.ones(np.broadcast_shapes(covered.shape, self.total_fte.shape))
        np.divide(self.total_fte - covered, self.total_fte, out=rest, where=self.total_fte > 0)
        return rest

    @cached_property
    def cash_lines(self) -> list[Line]:
        """New cash for the work: what people on staff do not cover."""
        monthly = self.inputs["fte_usd_per_year"] / MONTHS_PER_YEAR
        added = self.added_frac
        return [
            Line(name, category, monthly * fte, share if added is None else share * added)
            for name, category, fte, share in self.work
        ]

    def memo_line(self) -> Line:
        """Opportunity cost: the time of people on staff, who are in no cash line."""
        monthly = self.inputs["fte_usd_per_year"] / MONTHS_PER_YEAR
        added = self.added_frac
        none = np.zeros_like(self.deployment.months)
        covered = none if added is None else self.total_fte * (1 - added)
        return Line(OPPORTUNITY, "deployment labour", monthly, covered)


def upkeep_fte(v: Inputs, basis: UpkeepBasis) -> Floats:
    """Upkeep by one of the two published ways to state it, never both [fte], shape S."""
    if basis == "hours":
        return v["maintenance_hours_per_month"] * MONTHS_PER_YEAR / WORK_HOURS_PER_YEAR
    return v["upkeep_fte"]


def self_hosted_team(v: Inputs, deployment: Deployment, basis: UpkeepBasis) -> Team:
    """The team that builds and runs a fleet of its own."""
    return Team(v, deployment, upkeep_fte(v, basis), v["deployment_fte"])


def managed_team(v: Inputs, deployment: Deployment) -> Team:
    """The little that a managed platform leaves to do."""
    return Team(v, deployment, v["managed_upkeep_fte"], np.zeros(()))


def inexperience_frac(v: Inputs) -> Floats:
    """1 where nobody on staff has run inference, 0 from one such person on; shape S."""
    return np.asarray(np.clip(1 - v["existing_mlops_fte"], 0.0, 1.0))


def hiring_lines(v: Inputs, deployment: Deployment) -> list[Line]:
    """What inexperience costs: productivity lost in the ramp, premium for specialists."""
    monthly = v["fte_usd_per_year"] / MONTHS_PER_YEAR * inexperience_frac(v)
    started = deployment.started
    ramp_end = np.minimum(deployment.start_month + v["ramp_months"], deployment.end_month)
    ramp = started - elapsed(ramp_end, deployment.months)
    lost = monthly * v["ramp_productivity_loss_frac"] * v["deployment_fte"]
    premium = monthly * v["specialist_fte"] * v["specialist_premium_frac"]
    return [
        Line("productivity lost in the ramp", "hiring and ramp", lost, ramp),
        Line("specialist premium", "hiring and ramp", premium, started),
    ]


def mishap_lines(v: Inputs, deployment: Deployment) -> list[Line]:
    """Work that comes only if something happens: rework, a second model, a dead framework, exit."""
    weekly = v["fte_usd_per_year"] / WORK_WEEKS_PER_YEAR
    months = deployment.months
    migration = deployment.live * one_month(v.fixed("framework_deprecated_month"), months)
    leaving = deployment.live * one_month(months.size, months)
    rows = (
        ("rework", "deployment labour", "rework", deployment.arrival),
        ("second model", "deployment labour", "second_model", deployment.arrival),
        ("framework migration", "upgrades and migration", "framework", migration),
        ("moving back", "exit and switching", "exit", leaving),
    )
    names = {
        "rework": ("rework_event", "rework_engineer_weeks"),
        "second_model": ("second_model_event", "second_model_engineer_weeks"),
        "framework": ("framework_deprecated_event", "framework_migration_engineer_weeks"),
        "exit": ("exit_event", "exit_engineer_weeks"),
    }
    lines = []
    for label, category, key, profile in rows:
        event, weeks = names[key]
        if not v.is_zero(event):
            lines.append(Line(label, category, weekly * v[event] * v[weeks], profile))
    return lines
