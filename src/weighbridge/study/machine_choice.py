"""Which deployment serves the traffic for the least rent: floors first, then simulations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weighbridge.study.machines import Machine
from weighbridge.study.result import DeploymentTried
from weighbridge.study.simulated_fleet import (
    Bench,
    Question,
    SimulatedFleet,
    bench,
    simulated_fleet,
)

FIRST_BUSY_FRAC = 0.8  # of a first guess at the size that today's traffic needs
MOST_SIMULATED = 4  # floors are in order: what stands behind four that were dearer seldom wins


@dataclass(frozen=True, slots=True)
class Slack:
    """What is kept above the simulated peak when deployments are compared: central case."""

    headroom_frac: float
    n_spare_replicas: float


@dataclass(frozen=True)
class Choice:
    """The deployment chosen, and all that were weighed, cheapest first."""

    fleet: SimulatedFleet
    tried: tuple[DeploymentTried, ...]
    benches: tuple[Bench, ...]  # of every deployment, in the order of their floors


@dataclass(frozen=True)
class _Weighed:
    bench: Bench
    usd_per_hour: float  # with headroom and spare
    tried: DeploymentTried


def choose(
    question: Question,
    machines: Sequence[Machine],
    slack: Slack,
    on_simulation: Callable[[], None] = lambda: None,
) -> Choice:
    """Simulate deployments in the order of what they cost were no replica ever idle.

    That floor is never above the cost simulated, so that the search may stop at the first floor
    that the best found does not exceed. Deployments that could be had in every way (rented,
    managed, bought) go before those of which a price is missing.
    """
    benches = [bench(machine, question, on_simulation) for machine in machines]
    ordered = sorted(benches, key=lambda b: (b.machine.n_unpriced, _floor_usd(b, slack)))
    best: _Weighed | None = None
    done: list[DeploymentTried] = []
    n_simulated = 0
    for i, one in enumerate(ordered):
        enough = n_simulated >= MOST_SIMULATED
        if best is not None and (enough or _cannot_win(one, best, slack)):
            done += [_not_tried(b) for b in ordered[i:]]
            break
        weighed = _weighed(one, slack)
        done.append(weighed.tried)
        n_simulated += not one.unmet
        if math.isfinite(weighed.usd_per_hour) and (
            best is None or weighed.usd_per_hour < best.usd_per_hour
        ):
            best = weighed
    chosen = best.bench if best is not None else min(ordered, key=lambda b: b.missed_ratio)
    done.sort(key=lambda d: (math.isnan(d.n_replicas), _or_inf(d.usd_per_hour)))
    return Choice(simulated_fleet(chosen), tuple(done), tuple(ordered))


def _or_inf(usd: float) -> float:
    return math.inf if math.isnan(usd) else usd


def _usd_per_replica_hour(machine: Machine) -> float:
    """Rent of one replica; by GPUs alone where the GPU has no price."""
    return machine.deployment.n_gpus * (machine.usd_per_gpu_hour or 1.0)


def _usd(machine: Machine, n_parts: float, slack: Slack) -> float:
    n = math.ceil(n_parts * (1 + slack.headroom_frac) - 1e-9) + slack.n_spare_replicas
    return n * _usd_per_replica_hour(machine)


def _floor_usd(one: Bench, slack: Slack) -> float:
    return _usd(one.machine, one.n_fewest, slack)


def _cannot_win(one: Bench, best: _Weighed, slack: Slack) -> bool:
    behind = one.machine.n_unpriced > best.bench.machine.n_unpriced
    return behind or _floor_usd(one, slack) >= best.usd_per_hour


def _weighed(one: Bench, slack: Slack) -> _Weighed:
    """Today's replicas of one deployment, from the size that is about right."""
    if one.unmet:
        return _Weighed(one, math.inf, _tried(one, math.nan, one.unmet))
    wanted = 1 + slack.headroom_frac
    n = max(1, math.ceil(one.n_fewest * wanted / FIRST_BUSY_FRAC))
    rung = one.ladder.rung(n)
    if rung is None:
        note = f"{n} replicas do not meet {one.question.slo.text} at any load"
        return _Weighed(one, math.inf, _tried(one, math.nan, note))
    parts = n / rung.demand_ratio
    return _Weighed(one, _usd(one.machine, parts, slack), _tried(one, parts, ""))


def _not_tried(one: Bench) -> DeploymentTried:
    note = f"not simulated: {one.n_fewest:.3g} replicas would do were none ever idle"
    return _tried(one, math.nan, note)


def _tried(one: Bench, n_parts: float, note: str) -> DeploymentTried:
    machine = one.machine
    priced = machine.usd_per_gpu_hour is not None
    return DeploymentTried(
        deployment=machine.words,
        n_gpus_per_replica=machine.deployment.n_gpus,
        n_replicas=n_parts,
        usd_per_hour=n_parts * _usd_per_replica_hour(machine) if priced else math.nan,
        basis=machine.basis,
        note=note,
    )
