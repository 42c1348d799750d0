"""Machines that may be taken back: how often, what it does, how many more repair it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, comb

import numpy as np

from weighbridge.capacity.fleet import FleetPlan, Loss
from weighbridge.capacity.safety import one_lost
from weighbridge.capacity.served import Served, served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import Case, Sizer, holds
from weighbridge.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

# What the drawn interruptions leave out, for whoever reads what they come to.
NOT_MODELLED = (
    "Machines are taken back independently of each other: a provider that runs short takes many "
    "at once, and no number of spot replicas repairs that."
)
# Machines down at once are provided for up to this probability.
DOWN_PROBABILITY = 0.99
N_MOST_EXTRA = 64


@dataclass(frozen=True, slots=True)
class SpotTerms:
    """How often a machine is taken back, and how long until another serves.

    Attributes
    ----------
    interruptions_per_month_ratio : float
        Interruptions of one machine a month of its running [1].
    restart_s : float
        From an interruption to serving again, a new machine and its start-up [s].
    n_per_machine_replicas : int
        Replicas that stand on one machine and are taken back with it, at least 1; machines are
        filled one after the other.
    """

    interruptions_per_month_ratio: float
    restart_s: float
    n_per_machine_replicas: int = 1


@dataclass(frozen=True, slots=True)
class Spot:
    """A fleet of machines that may be taken back at any time.

    Attributes
    ----------
    terms : SpotTerms
    n_interruptions : int
        Of machines of the fixed fleet that reach into the stretch, drawn with the seed; those that
        were down when it began among them.
    down_probability : float
        That a machine is down at a given moment [1].
    n_down_replicas : int
        On machines of the repaired fleet that are down at once in all but 1 % of moments.
    n_extra_replicas : int
        Beyond the fixed fleet, so that interruptions, drawn ones and `n_down_replicas` at once in
        the peak, leave the SLO met.
    slo_met : bool
        With the drawn interruptions and nothing extra, in the busiest windows too.
    week : Served
        The stretch on the fixed fleet with the drawn interruptions and nothing extra.
    repaired : Served
        The stretch with the extra replicas.
    is_repaired : bool
        False where not even `N_MOST_EXTRA` more replicas leave the SLO met.
    """

    terms: SpotTerms
    n_interruptions: int
    down_probability: float
    n_down_replicas: int
    n_extra_replicas: int
    slo_met: bool
    week: Served
    repaired: Served
    is_repaired: bool = True


@dataclass(frozen=True, slots=True)
class SpotRange:
    """The same fleet at the usual and at a rough rate of interruptions."""

    central: Spot
    rough: Spot


def spot_range(
    case: Case, sought: Sizer, n_fleet: int, terms: tuple[SpotTerms, SpotTerms], seed: int
) -> SpotRange:
    """What interruptions come to at the usual rate, and at the rate that one fears.

    Parameters
    ----------
    case : Case
    sought : Sizer
    n_fleet : int
    terms : tuple of SpotTerms
        The central ones and the rough ones, such as those of the assumption's P90.
    seed : int
    """
    central = spot(case, sought, n_fleet, terms[0], seed)
    if terms[1] == terms[0]:
        return SpotRange(central, central)
    return SpotRange(central, spot(case, sought, n_fleet, terms[1], seed))


def spot(case: Case, sought: Sizer, n_fleet: int, terms: SpotTerms, seed: int) -> Spot:
    """Draw interruptions as a Poisson process per machine and simulate the stretch with them.

    The fleet's own spare replicas stand in for the first that are down. Loss that takes several
    machines at once is not modelled (`NOT_MODELLED`).

    Parameters
    ----------
    case : Case
    sought : Sizer
        The case's peak at demand 1.
    n_fleet : int
        Replicas of the fixed fleet, its spare among them.
    terms : SpotTerms
    seed : int
    """
    down = down_probability(terms)
    drawn = losses(case, n_fleet + N_MOST_EXTRA, terms, seed)
    week, is_met = _with_losses(case, n_fleet, drawn)
    n_extra, repaired, is_repaired = 0, week, is_met
    while True:
        n = n_fleet + n_extra
        n_down = n_down_replicas(n, down, terms.n_per_machine_replicas)
        is_repaired = is_repaired and _stands(case, sought, n, n_down)
        if is_repaired or n_extra == N_MOST_EXTRA:
            break
        n_extra += 1
        repaired, is_repaired = _with_losses(case, n_fleet + n_extra, drawn)
    ours = {
        (loss.replica // terms.n_per_machine_replicas, loss.from_s)
        for loss in drawn
        if loss.replica < n_fleet
    }
    return Spot(
        terms=terms,
        n_interruptions=len(ours),
        down_probability=down,
        n_down_replicas=n_down,
        n_extra_replicas=n_extra,
        slo_met=is_met,
        week=week,
        repaired=repaired,
        is_repaired=is_repaired,
    )


def down_probability(terms: SpotTerms) -> float:
    """Share of time that a machine is down: `r * t / (1 + r * t)`, alternating renewal.

    Parameters
    ----------
    terms : SpotTerms
        Interruptions are of the time that it is up.

    Examples
    --------
    >>> down_probability(SpotTerms(0.0, 600.0)), down_probability(SpotTerms(1.0, 2_628_000.0))
    (0.0, 0.5)
    """
    month_s = HOURS_PER_MONTH * SECONDS_PER_HOUR
    per_up = terms.interruptions_per_month_ratio * terms.restart_s / month_s
    return per_up / (1 + per_up)


def n_down_at_once(n_replicas: int, down_probability: float) -> int:
    """How many of n are down at once, independently, in all but 1 % of moments: a binomial law.

    Parameters
    ----------
    n_replicas : int
        Or machines.
    down_probability : float
        Of one.

    Examples
    --------
    >>> n_down_at_once(10, 0.0), n_down_at_once(10, 0.1), n_down_at_once(4, 1.0)
    (0, 4, 4)
    """
    up, below = 1 - down_probability, 0.0
    for n in range(n_replicas + 1):
        below += comb(n_replicas, n) * down_probability**n * up ** (n_replicas - n)
        if below >= DOWN_PROBABILITY:
            return n
    return n_replicas


def n_down_replicas(
    n_replicas: int, down_probability: float, n_per_machine_replicas: int = 1
) -> int:
    """Replicas on the machines that are down at once in all but 1 % of moments.

    Parameters
    ----------
    n_replicas : int
        Of the whole fleet.
    down_probability : float
        Of one machine.
    n_per_machine_replicas : int

    Examples
    --------
    Three replicas in one machine are all gone with it; in three machines only one is.

    >>> n_down_replicas(3, 0.02, 3), n_down_replicas(3, 0.02)
    (3, 1)
    """
    n_machines = ceil(n_replicas / n_per_machine_replicas)
    n_down = n_down_at_once(n_machines, down_probability) * n_per_machine_replicas
    return min(n_down, n_replicas)


def losses(case: Case, n_replicas: int, terms: SpotTerms, seed: int) -> tuple[Loss, ...]:
    """Interruptions of every machine over the stretch; each has a stream of its own.

    The stretch is any stretch: a machine is down when it begins with `down_probability`, and then
    for what is left of its restart, which is uniform (the residual life of a fixed time).

    Parameters
    ----------
    case : Case
    n_replicas : int
    terms : SpotTerms
    seed : int
    """
    if terms.interruptions_per_month_ratio <= 0:
        return ()
    mean_gap_s = HOURS_PER_MONTH * SECONDS_PER_HOUR / terms.interruptions_per_month_ratio
    end_s = float(case.requests.arrival_s[-1])
    down = down_probability(terms)
    found = []
    n_each = terms.n_per_machine_replicas
    for machine in range(ceil(n_replicas / n_each)):
        first = machine * n_each
        replicas = range(first, min(first + n_each, n_replicas))
        rng = np.random.default_rng([seed, machine])
        is_down, left_s = rng.random() < down, rng.random() * terms.restart_s
        if is_down:
            found += [Loss(replica, 0.0, left_s) for replica in replicas]
        at_s = (left_s if is_down else 0.0) + rng.exponential(mean_gap_s)
        while at_s < end_s:
            found += [Loss(replica, at_s, at_s + terms.restart_s) for replica in replicas]
            at_s += terms.restart_s + rng.exponential(mean_gap_s)
    return tuple(found)


def _stands(case: Case, sought: Sizer, n_replicas: int, n_down: int) -> bool:
    if n_down == 0:
        return True
    if n_down >= n_replicas:
        return False
    return one_lost(case, sought.load, n_replicas, n_down).during.slo_met


def _with_losses(case: Case, n_replicas: int, drawn: tuple[Loss, ...]) -> tuple[Served, bool]:
    """The stretch with its interruptions, and whether the SLO holds in its busiest windows too."""
    ours = tuple(loss for loss in drawn if loss.replica < n_replicas)
    plan = FleetPlan(n_replicas, case.routing, losses=ours)
    outcome = simulate(case.requests, case.band.mid, case.limits, plan)
    return served(case.requests, outcome, case.slo), holds(case, outcome)
