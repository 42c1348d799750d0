"""The named computations of a rule of thumb, each a thin way into the cost engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from weighbridge.catalog.memory import KvDemand, n_gpus_to_fit, weight_memory_gib
from weighbridge.economics.breakeven import Crossing, along_utilization, crossings
from weighbridge.economics.cashflow import payback_month
from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.lines import cash_by_month, total_usd
from weighbridge.economics.options import Option, option_lines, utilization_by_month
from weighbridge.economics.risk import Problem
from weighbridge.study.pose import Facts
from weighbridge.study.rule_file import Compute
from weighbridge.study.rule_world import (
    VOLUMES,
    Scalars,
    World,
    blended_usd_per_mtok,
    number,
    problem_of,
)
from weighbridge.units import MONTHS_PER_YEAR, TOKENS_PER_MTOK

NEVER = float("inf")
RATIOS = np.geomspace(1e-6, 1e6, 961)  # of today's volume, or of the value that an input has
ANY_TOKENS = 1e9
PER_TRAFFIC = {"mtok", "request"}
BYTES_PER_GIB = 2.0**30
BYTES_PER_GB = 1e9
ENGINE_MEMORY_FRAC = 0.1  # of each GPU, for activations and the engine itself


@dataclass(frozen=True)
class Posed:
    """A rule's problem for one set of its inputs, and what is asked of it."""

    values: Scalars
    world: World
    facts: Facts
    problem: Problem
    compute: Compute

    def option(self, hosting: str) -> Option:
        """The way of serving of that name."""
        return next(o for o in self.problem.options if o.hosting == hosting)

    @property
    def inputs(self) -> Inputs:
        """Every input at its central value."""
        return self.problem.beliefs.central()


def measured(values: Scalars, world: World, facts: Facts, compute: Compute) -> float:
    """The rule's quantity for one set of inputs; infinite where it never comes about."""
    values = {**_volume(values, compute), **values}
    if world == "bare":  # a study has a horizon of its own
        values = {"horizon_months": float(compute.months[1]), **values}
    posed = Posed(values, world, facts, problem_of(values, world, facts), compute)
    return MEASURES[compute.measure](posed)


def _volume(values: Scalars, compute: Compute) -> Scalars:
    """Some traffic, where a rule states none and the figure is one that no volume changes."""
    is_free = compute.measure in {"break_even", "requests_served"} or compute.per in PER_TRAFFIC
    return {"tokens_per_month": ANY_TOKENS} if is_free and not VOLUMES & set(values) else {}


def cost_usd(posed: Posed, inputs: Inputs, hosting: str, categories: tuple[str, ...]) -> Floats:
    """Cash of an option's lines over the months asked for [USD], shape S; no category: all."""
    case = posed.problem.case(inputs)
    lines = [
        line
        for line in option_lines(case, posed.option(hosting))
        if not categories or line.category in categories
    ]
    first, last = posed.compute.months
    shape = (posed.problem.settings.horizon_months, *case.shape)
    return np.asarray(cash_by_month(lines, shape)[first - 1 : last].sum(axis=0))


def _cost(posed: Posed) -> float:
    c, whole = posed.compute, posed.problem.workload.whole
    n_months = c.months[1] - c.months[0] + 1
    per = {
        "": 1.0,
        "month": float(n_months),
        "year": n_months / MONTHS_PER_YEAR,
        "mtok": whole.total_tokens * n_months / TOKENS_PER_MTOK,
        "request": whole.requests_per_month * n_months,
    }
    return float(cost_usd(posed, posed.inputs, c.option, c.categories)) / per[c.per]


def _cost_share(posed: Posed) -> float:
    """Share of the chosen categories in all that the option costs."""
    c = posed.compute
    chosen = cost_usd(posed, posed.inputs, c.option, c.categories)
    return float(chosen / cost_usd(posed, posed.inputs, c.option, ()))


def _saving(posed: Posed, inputs: Inputs) -> Floats:
    """What the option saves against the other over the whole horizon [USD], discounted."""
    case = posed.problem.case(inputs)
    factors = posed.problem.discount_factors
    ours, theirs = (
        total_usd(option_lines(case, posed.option(hosting)), factors)
        for hosting in (posed.compute.option, posed.compute.than)
    )
    return np.asarray(theirs - ours)


def _first_gain(crossing: Crossing) -> float:
    """Lowest value from which the option is cheaper: 0 where it always is, else infinite."""
    if crossing.cheaper_at_start:
        return 0.0
    return NEVER if crossing.first is None else crossing.first


def _break_even(posed: Posed) -> float:
    """Volume, or other input, from which the option is cheaper than the other."""
    along, whole = posed.compute.along, posed.problem.workload.whole
    if along == "utilization_frac":
        return _first_gain(along_utilization(posed.problem, posed.option(posed.compute.option)))
    today = {
        "tokens_per_month": whole.total_tokens,
        "requests_per_month": whole.requests_per_month,
        "api_usd_per_month": whole.api_usd_per_month,
    }
    name = "demand_multiplier_ratio" if along in today else along
    inputs = posed.inputs
    grid = RATIOS * float(inputs[name])
    found = crossings(lambda values: _saving(posed, inputs.replaced(**{name: values})), grid)
    return _first_gain(found) * today.get(along, 1.0)


def _equal_cost(posed: Posed) -> float:
    """Value of one input at which the option costs what it costs with the inputs held against."""
    c = posed.compute
    changed = {**posed.values, **c.against}
    other = replace(posed, problem=problem_of(changed, posed.world, posed.facts))
    target = cost_usd(other, other.inputs, c.option, c.categories)
    inputs = posed.inputs

    def short_of_target(values: Floats) -> Floats:
        moved = inputs.replaced(**{c.along: values})
        return np.asarray(cost_usd(posed, moved, c.option, c.categories) - target)

    found = crossings(short_of_target, RATIOS * float(inputs[c.along]))
    return _first_gain(found)


def _payback(posed: Posed) -> float:
    """Months until the option has paid for itself against the other; infinite where it never has.

    The horizon stands for the patience of whoever asks: beyond it nothing is paid back.
    """
    horizon = posed.problem.settings.horizon_months
    case = posed.problem.case(posed.inputs)
    ours, theirs = (
        cash_by_month(option_lines(case, posed.option(hosting)), (horizon,))
        for hosting in (posed.compute.option, posed.compute.than)
    )
    month = payback_month(theirs - ours)
    return NEVER if month is None else month


def _replicas(posed: Posed) -> float:
    """GPUs kept in the last month."""
    case = posed.problem.case(posed.inputs)
    fleet = case.fleet(posed.option(posed.compute.option).moved)
    return float(fleet.n_replicas[-1] * posed.inputs["n_gpus_per_replica"])


def _utilization(posed: Posed) -> float:
    """Mean load against what is kept, in the last month."""
    case = posed.problem.case(posed.inputs)
    return float(utilization_by_month(case, posed.option(posed.compute.option))[-1])


def _requests_served(posed: Posed) -> float:
    """Requests a month that one replica serves at the utilisation that the rule states."""
    case = posed.problem.case(posed.inputs)
    served = case.workload.whole.requests_per_month
    busy = number(posed.values, "utilization_frac", 1.0)
    return float(served / case.fleet(posed.option(posed.compute.option).moved).mean_replicas * busy)


def _deployment(posed: Posed) -> float:
    """Month at which the deployment reaches an instant, or the months between two."""
    reached = posed.problem.case(posed.inputs).deployment("rented")
    live, end = float(reached.go_live_month), float(reached.end_month)
    instants = {"go_live": live, "end": end, "go_live_to_end": end - live}
    return instants[posed.compute.instant]


def _api_price(posed: Posed) -> float:
    """Blended price of the API [USD per million tokens]."""
    return blended_usd_per_mtok(posed.values, posed.facts)


def _weights(posed: Posed) -> float:
    """Weights of the candidate in 16 bits [GB]."""
    model = posed.facts.catalog.model(str(posed.values["candidate"]))
    return weight_memory_gib(model, "bf16") * BYTES_PER_GIB / BYTES_PER_GB


def _gpus_to_fit(posed: Posed) -> float:
    """GPUs of one replica whose memory holds the weights in 16 bits and the KV cache."""
    catalog, values = posed.facts.catalog, posed.values
    model, gpu = catalog.model(str(values["candidate"])), catalog.gpu(str(values["gpu"]))
    kv = KvDemand(number(values, "kv_tokens", 0.0))
    return float(n_gpus_to_fit(model, gpu, "bf16", ENGINE_MEMORY_FRAC, kv))


MEASURES: Mapping[str, Callable[[Posed], float]] = {
    "cost": _cost,
    "cost_share": _cost_share,
    "break_even": _break_even,
    "equal_cost": _equal_cost,
    "payback": _payback,
    "replicas": _replicas,
    "utilization": _utilization,
    "requests_served": _requests_served,
    "deployment": _deployment,
    "api_price": _api_price,
    "weights": _weights,
    "gpus_to_fit": _gpus_to_fit,
}
