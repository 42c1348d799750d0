"""The capacity section of a study: what serves the traffic, how sure, and what tokens cost."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.options import Option
from weighbridge.economics.risk import Draws, Problem, bands
from weighbridge.economics.unit_cost import UnitCost, unit_cost
from weighbridge.study.capacity_model import Simulation
from weighbridge.study.pose import Posed
from weighbridge.study.result import Band, BandSeries, Capacity, CapacityBasis, LatencyReached
from weighbridge.study.scenario import Scenario
from weighbridge.study.scenario_serving import RATE_INPUT, states_a_rate

DRAWS_OF_TODAY = 4096  # a power of two: the first of a Sobol sequence fill the space evenly
RENT, HYPERSCALER_RENT = "gpu_usd_per_gpu_hour", "hyperscaler_usd_per_gpu_hour"
DEMANDS = np.linspace(0.05, 5.0, 100)


def capacity_of(
    posed: Posed, draws: Draws, option: Option | None, scenario: Scenario
) -> Capacity | None:
    """Figures of the fleet that the report speaks of; of all that may move where it has none."""
    problem = posed.problem
    moved = option.moved if option is not None and option.moved else problem.workload.movable
    if not moved:
        return None
    owner = next((o for o in problem.options if o.moved == moved), problem.options[0])
    today = _today(problem, draws, moved, posed.hardware.unknown_prices)
    told = posed.hardware.simulation
    return Capacity(
        option_id=(option if option is not None and option.moved else owner).id,
        deployment=_deployment(posed),
        basis=_basis(posed, scenario),
        why=told.choice.fleet.why if told else (posed.hardware.throughput_basis,),
        slo=told.slo.text if told else "",
        slo_origin=_slo_origin(scenario) if told else "",
        latencies=_latencies(told) if told else (),
        unmet=_unmet(told) if told else "",
        n_gpus_per_replica=float(problem.beliefs.central()["n_gpus_per_replica"]),
        n_replicas=Band(*bands(today.n_replicas)),
        utilization_frac=Band(*bands(today.utilization_frac)),
        reserved_usd_per_mtok=Band(*bands(today.reserved_usd_per_mtok)),
        full_load_usd_per_mtok=Band(*bands(today.full_load_usd_per_mtok)),
        demand_ratio=DEMANDS,
        n_replicas_by_demand=_by_demand(problem, moved, told is not None),
        tried=told.choice.tried if told else (),
    )


def _today(
    problem: Problem, draws: Draws, moved: tuple[int, ...], unknown_prices: Collection[str]
) -> UnitCost:
    """Size, load and cost of tokens in the first month, over draws of every input."""
    inputs = problem.beliefs.from_probabilities(draws.u[:, :DRAWS_OF_TODAY])
    fleet = problem.case(inputs).fleet(moved)
    rented = "rented" not in unknown_prices
    cost = unit_cost(fleet, inputs[RENT if rented else HYPERSCALER_RENT])
    n = min(draws.n_draws, DRAWS_OF_TODAY)

    def whole(values: Floats) -> Floats:
        return np.array(np.broadcast_to(values, (n,)), np.float64)

    return UnitCost(
        whole(cost.n_replicas),
        whole(cost.utilization_frac),
        whole(cost.reserved_usd_per_mtok),
        whole(cost.full_load_usd_per_mtok),
    )


def _by_demand(problem: Problem, moved: tuple[int, ...], simulated: bool) -> BandSeries:
    """Replicas kept at multiples of today's traffic, at P10, P50 and P90 of the capacity alone."""
    central = problem.beliefs.central()
    name = "capacity_error_ratio" if simulated else RATE_INPUT
    today = float(central["demand_multiplier_ratio"])

    def kept(probability: float) -> Floats:
        at = problem.beliefs.at(name, probability)
        inputs = central.replaced(
            **{name: np.full_like(DEMANDS, at), "demand_multiplier_ratio": today * DEMANDS}
        )
        return _first_month(problem, inputs, moved)

    low, high = (0.1, 0.9) if simulated else (0.9, 0.1)  # a slow engine needs more
    return BandSeries(kept(low), kept(0.5), kept(high))


def _first_month(problem: Problem, inputs: Inputs, moved: tuple[int, ...]) -> Floats:
    replicas = problem.case(inputs).fleet(moved).n_replicas[0]
    return np.array(np.broadcast_to(replicas, DEMANDS.shape), np.float64)


def _deployment(posed: Posed) -> str:
    hardware = posed.hardware
    if hardware.simulation is not None:
        return hardware.simulation.choice.fleet.machine.words
    n = float(posed.problem.beliefs.central()["n_gpus_per_replica"])
    return f"{hardware.candidate} on {n:g} x {hardware.gpu.name}"


def _basis(posed: Posed, scenario: Scenario) -> CapacityBasis:
    if posed.hardware.simulation is not None:
        return posed.hardware.simulation.choice.fleet.machine.basis
    return "stated" if states_a_rate(scenario) else "benchmarks"


def _slo_origin(scenario: Scenario) -> str:
    if scenario.slo is not None:
        return "as the scenario states them"
    if any(rule.ttft_p95_s is not None for rule in scenario.query_types):
        return "our default, with the tightest time to first token that a query type asks for"
    return "our default, since the scenario states none"


def _latencies(told: Simulation) -> tuple[LatencyReached, ...]:
    """Of the smallest simulated fleet that carries today's peak, at the most that it carries."""
    rungs = told.choice.fleet.rungs
    if not rungs:
        return ()
    rung = next((r for r in rungs if r.demand_ratio >= 1), rungs[-1])
    return tuple(
        LatencyReached(target.name, target.limit_s, reached)
        for target, reached in zip(told.slo.targets, rung.reached_s, strict=True)
    )


def _unmet(told: Simulation) -> str:
    fleet = told.choice.fleet
    if not fleet.unmet:
        return ""
    return (
        f"No number of replicas serves this within {told.slo.text}. The nearest is "
        f"{fleet.machine.words}: {fleet.unmet}. The figures below promise no latency."
    )
