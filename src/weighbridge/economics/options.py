"""The ways to serve the traffic, each as a list of cost lines over the same workload."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.fleet import (
    Fleet,
    Sizing,
    managed_lines,
    owned_lines,
    owned_vintages,
    rented_lines,
)
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.labour import (
    WORK_HOURS_PER_YEAR,
    WORK_WEEKS_PER_YEAR,
    Team,
    UpkeepBasis,
    hiring_lines,
    managed_team,
    mishap_lines,
    self_hosted_team,
)
from weighbridge.economics.lines import Line
from weighbridge.economics.timeline import (
    Deployment,
    Paths,
    calendar,
    compounded,
    managed_deployment,
    one_month,
    self_hosted_deployment,
)
from weighbridge.economics.workload import Slice, Workload
from weighbridge.units import MONTHS_PER_YEAR

Hosting = Literal["api", "committed", "managed", "rented", "owned"]

BYTES_PER_GB = 1e9
MINUTES_PER_HOUR = 60.0


@dataclass(frozen=True, slots=True)
class Commitment:
    """Committed or provisioned throughput: units bought by the hour for a term.

    Attributes
    ----------
    usd_per_unit_hour : float
    input_tokens_per_min, output_tokens_per_min : float
        What one unit serves: all input or all output, both draw on one capacity.
    term_months : int
    n_min_units, n_step_units : float
        Fewest units sold, and the step above them.
    """

    usd_per_unit_hour: float
    input_tokens_per_min: float
    output_tokens_per_min: float
    term_months: int
    n_min_units: float = 1.0
    n_step_units: float = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What is chosen rather than believed: the structure of the comparison."""

    horizon_months: int = 36
    sizing: Sizing = field(default_factory=Sizing)
    upkeep_basis: UpkeepBasis = "fte"
    commitment: Commitment | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve: where the moved query types go; the rest stays on the API."""

    id: str
    hosting: Hosting
    moved: tuple[int, ...]  # positions of query types in the workload


@dataclass(frozen=True)
class Case:
    """One evaluation: inputs of some shape S, the workload and the settings.

    What several options share (paths, deployments, teams) is computed once and kept.
    """

    inputs: Inputs
    workload: Workload
    settings: Settings

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape S of the evaluation."""
        return np.broadcast_shapes(*(a.shape for a in self.inputs.arrays.values()))

    @cached_property
    def months(self) -> Floats:
        """0 to horizon - 1, shaped to broadcast against the inputs."""
        return calendar(self.settings.horizon_months, len(self.shape))

    @cached_property
    def paths(self) -> Paths:
        """Traffic and prices over the months."""
        return Paths(self.inputs, self.months)

    @cached_property
    def rented_deployment(self) -> Deployment:
        """A team's own deployment on rented GPUs."""
        weeks = self.inputs["gpu_procurement_weeks"]
        return self_hosted_deployment(self.inputs, weeks, self.months)

    @cached_property
    def owned_deployment(self) -> Deployment:
        """The same on bought GPUs, which take longer to arrive."""
        weeks = self.inputs["owned_procurement_weeks"]
        return self_hosted_deployment(self.inputs, weeks, self.months)

    @cached_property
    def managed_deployment(self) -> Deployment:
        """On a platform."""
        return managed_deployment(self.inputs, self.months)

    def deployment(self, hosting: Hosting) -> Deployment:
        """When that way of serving is ready."""
        if hosting == "owned":
            return self.owned_deployment
        if hosting == "rented":
            return self.rented_deployment
        return self.managed_deployment

    @cached_property
    def _fleets(self) -> dict[tuple[int, ...], Fleet]:
        return {}

    def fleet(self, moved: tuple[int, ...]) -> Fleet:
        """The fleet for a subset of query types; the same for rented, owned and managed."""
        if moved not in self._fleets:
            served = self.workload.slice(moved)
            self._fleets[moved] = Fleet(self.inputs, self.paths, served, self.settings.sizing)
        return self._fleets[moved]

    @cached_property
    def _teams(self) -> dict[str, Team]:
        return {}

    def team(self, hosting: Hosting) -> Team:
        """Who builds and runs it."""
        if hosting not in self._teams:
            deployment = self.deployment(hosting)
            self._teams[hosting] = (
                managed_team(self.inputs, deployment)
                if hosting == "managed"
                else self_hosted_team(self.inputs, deployment, self.settings.upkeep_basis)
            )
        return self._teams[hosting]

    @cached_property
    def _waiting(self) -> dict[str, tuple[Floats, Floats]]:
        return {}

    def waiting(self, hosting: Hosting) -> tuple[Floats, Floats]:
        """Traffic still on the API before go-live, plain and at the API price of each month."""
        if hosting not in self._waiting:
            before = 1 - self.deployment(hosting).live
            paths = self.paths
            self._waiting[hosting] = (paths.demand * before, paths.demand_at_api_price * before)
        return self._waiting[hosting]

    @cached_property
    def first_month(self) -> Floats:
        """1 in the first month, else 0."""
        return one_month(1, self.months)

    @cached_property
    def every_month(self) -> Floats:
        """1 in every month."""
        return np.ones_like(self.months)

    @cached_property
    def _inexperience(self) -> dict[str, list[Line]]:
        return {}

    def inexperience_lines(self, hosting: Hosting) -> list[Line]:
        """Ramp, premium and mishaps of a team's own deployment."""
        if hosting not in self._inexperience:
            deployment = self.deployment(hosting)
            self._inexperience[hosting] = hiring_lines(self.inputs, deployment) + mishap_lines(
                self.inputs, deployment
            )
        return self._inexperience[hosting]


def option_lines(case: Case, option: Option) -> list[Line]:
    """Every cash line of an option [USD by month]."""
    if option.hosting == "api":
        return api_lines(case, case.workload.whole, None)
    if option.hosting == "committed":
        return committed_lines(case)
    served = case.workload.slice(option.moved)
    rest = tuple(i for i in range(len(case.workload.types)) if i not in set(option.moved))
    deployment = case.deployment(option.hosting)
    lines = api_lines(case, case.workload.slice(rest), (served, option.hosting))
    if not option.moved:
        return lines
    fleet = case.fleet(option.moved)
    build = {"rented": rented_lines, "owned": owned_lines, "managed": managed_lines}
    lines += build[option.hosting](fleet, deployment)
    lines += case.team(option.hosting).cash_lines
    if option.hosting != "managed":
        lines += case.inexperience_lines(option.hosting)
    return lines + moved_lines(case, served, option.hosting)


def memo_lines(case: Case, option: Option) -> list[Line]:
    """Lines that stand beside the sum: the time of people on staff."""
    if option.hosting in {"api", "committed"} or not option.moved:
        return []
    return [case.team(option.hosting).memo_line()]


def api_lines(case: Case, staying: Slice, leaving: tuple[Slice, Hosting] | None) -> list[Line]:
    """Tokens, egress and the request wrapper on the API side.

    `leaving` is what moves, paid on the API until its deployment is live.
    """
    v, paths = case.inputs, case.paths
    batch = 1 - v["batch_eligible_frac"] * v["batch_discount_frac"]
    price = v["api_price_ratio"] * (1 - v["api_discount_frac"]) * batch
    volume = v["demand_multiplier_ratio"]
    spend = volume * (1 + v["api_overhead_frac"]) * price
    wire = volume * v["tokens_behind_spend_ratio"] * _egress_usd_per_token(v)
    usd, tokens = staying.api_usd_per_month, staying.total_tokens
    bill = [Line("API tokens", "tokens", spend * usd, paths.demand_at_api_price)]
    egress = [Line("egress to the API", "network", wire * tokens, paths.demand)]
    if leaving is not None:
        left, hosting = leaving
        waiting, waiting_at_price = case.waiting(hosting)
        until = "until go-live"
        usd, tokens = left.api_usd_per_month, left.total_tokens
        bill.append(Line(f"API tokens {until}", "tokens", spend * usd, waiting_at_price))
        egress.append(Line(f"egress to the API {until}", "network", wire * tokens, waiting))
    return contract_lines(v, bill) + egress + wrapper_lines(case)


def _egress_usd_per_token(v: Inputs) -> Floats:
    return v["wire_bytes_per_token"] / BYTES_PER_GB * v["egress_usd_per_gb"]


def wrapper_lines(case: Case) -> list[Line]:
    """The code around API calls: queueing, retries, backpressure; built once, kept up."""
    v = case.inputs
    built = v["fte_usd_per_year"] / WORK_WEEKS_PER_YEAR * v["wrapper_engineer_weeks"]
    upkeep = v["fte_usd_per_year"] / WORK_HOURS_PER_YEAR * v["wrapper_upkeep_hours_per_month"]
    return [
        Line("request wrapper", "request wrapper", built, case.first_month),
        Line("upkeep of the wrapper", "request wrapper", upkeep, case.every_month),
    ]


def contract_lines(v: Inputs, bill: list[Line]) -> list[Line]:
    """Credits drawn down first, and the shortfall of a yearly minimum commitment.

    Both depend on the running sum of the invoice, so scale times profile is taken here.
    """
    lines = list(bill)
    if v.is_zero("api_credits_usd") and v.is_zero("api_commitment_usd_per_year"):
        return lines
    cash = np.asarray(sum(line.cash_usd() for line in bill))
    one = np.ones(())
    if not v.is_zero("api_credits_usd"):
        drawn = np.minimum(np.cumsum(cash, axis=0), v["api_credits_usd"])
        lines.append(Line("API credits", "tokens", -one, np.diff(drawn, axis=0, prepend=0.0)))
    if not v.is_zero("api_commitment_usd_per_year"):
        owed_a_year = v["api_commitment_usd_per_year"]
        shortfall = np.zeros(np.broadcast_shapes(cash.shape, owed_a_year.shape))
        yearly = int(MONTHS_PER_YEAR)
        for start in range(0, len(cash), yearly):
            year = cash[start : start + yearly]
            owed = owed_a_year * len(year) / yearly
            shortfall[start + len(year) - 1] = np.maximum(owed - year.sum(axis=0), 0.0)
        lines.append(Line("shortfall of the API commitment", "tokens", one, shortfall))
    return lines


def moved_lines(case: Case, served: Slice, hosting: Hosting) -> list[Line]:
    """What moving costs wherever it goes: proof of quality, evaluation, audits, egress."""
    v = case.inputs
    deployment = case.deployment(hosting)
    live, arrival = deployment.live, deployment.arrival
    proof = v["verification_usd_per_type"] * served.n_types
    lines = [
        Line("proof of quality", "quality verification", proof, arrival),
        Line("evaluation", "training and evaluation", v["evaluation_usd_per_month"], live),
    ]
    if not v.is_zero("fleet_egress_frac"):
        answers = v["demand_multiplier_ratio"] * v["tokens_per_answer_ratio"]
        tokens = answers * v["tokens_behind_spend_ratio"] * served.total_tokens
        usd = tokens * v["fleet_egress_frac"] * _egress_usd_per_token(v)
        moved = case.paths.demand - case.waiting(hosting)[0]
        lines.append(Line("egress of the fleet", "network", usd, moved))
    if not v.is_zero("training_usd"):
        bought = case.first_month
        lines.append(Line("training", "training and evaluation", v["training_usd"], bought))
    if not v.is_zero("compliance_audits_per_year"):
        audits = v["compliance_audits_per_year"] * v["compliance_audit_usd"] / MONTHS_PER_YEAR
        lines.append(Line("compliance audit", "security and compliance", audits, live))
    return lines


def committed_units(case: Case, offer: Commitment) -> Floats:
    """Units of committed throughput that the peak needs in each month, shape (horizon,) + S.

    Within a term units are added and never given back; a renewal starts from that month's need.
    """
    v, whole = case.inputs, case.workload.whole
    minutes = v.fixed("hours_per_month") * MINUTES_PER_HOUR
    fleet = case.fleet(tuple(range(len(case.workload.types))))
    tokens = v["demand_multiplier_ratio"] * v["tokens_behind_spend_ratio"]
    peak = tokens * (1 + v["api_overhead_frac"]) * fleet.peak_factor_ratio / minutes
    inputs = whole.fresh_input_tokens + whole.cache_read_tokens
    per_unit = (
        inputs / offer.input_tokens_per_min + whole.output_tokens / offer.output_tokens_per_min
    )
    need = np.asarray(peak * per_unit * case.paths.demand)
    units = np.maximum(np.ceil(need / offer.n_step_units) * offer.n_step_units, offer.n_min_units)
    for start in range(0, len(units), offer.term_months or len(units)):
        term = units[start : start + offer.term_months]
        np.maximum.accumulate(term, axis=0, out=term)
    return np.asarray(units)


def committed_lines(case: Case) -> list[Line]:
    """All traffic on committed throughput; the price is locked for each term."""
    v = case.inputs
    offer = case.settings.commitment
    if offer is None:
        raise ValueError("no committed throughput is configured")
    months = case.paths.months
    term = offer.term_months
    renewals = np.floor(months / term) * term if term else months
    price = compounded(v["api_price_change_frac_per_year"], renewals)
    rate = offer.usd_per_unit_hour * v.fixed("hours_per_month")
    units = committed_units(case, offer) * price
    bill = [Line("committed throughput", "tokens", np.asarray(rate), units)]
    others = [x for x in api_lines(case, case.workload.whole, None) if x.category != "tokens"]
    return contract_lines(v, bill) + others


def utilization_by_month(case: Case, option: Option) -> Floats:
    """Mean load against capacity kept while live [fraction], shape (horizon,) + S; an output."""
    fleet = case.fleet(option.moved)
    kept = fleet.n_replicas
    if option.hosting == "owned":
        owned = owned_vintages(fleet, case.owned_deployment).n_owned_gpus
        kept = owned / case.inputs["n_gpus_per_replica"]
    ratio = np.zeros(np.broadcast_shapes(fleet.busy_replicas.shape, kept.shape))
    np.divide(fleet.busy_replicas, kept, out=ratio, where=kept > 0)
    return np.asarray(ratio * (case.deployment(option.hosting).live > 0))
