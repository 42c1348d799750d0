"""Machines that may be taken back: how often, what it does, how many more repair it."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from weighbridge.capacity.fleet import FleetPlan, Loss
from weighbridge.capacity.safety import one_lost
from weighbridge.capacity.served import Served, served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import Case, Sizer, holds
from weighbridge.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

# Replicas down at once are provided for up to this probability.
DOWN_PROBABILITY = 0.99
N_MOST_EXTRA = 64


@dataclass(frozen=True, slots=True)
class SpotTerms:
    """How often a machine is taken back, and how long until another serves.

    Attributes
    ----------
    interruptions_per_month_ratio : float
        Interruptions of one replica a month [1].
    restart_s : float
        From an interruption to serving again, a new machine and its start-up [s].
    """

    interruptions_per_month_ratio: float
    restart_s: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A fleet of machines that may be taken back at any time.

    Attributes
    ----------
    terms : SpotTerms
    n_interruptions : int
        That fell into the stretch, drawn with the seed.
    down_probability : float
        That a replica is down at a given moment [1].
    n_down_replicas : int
        That are down at once in all but 1 % of moments.
    n_extra_replicas : int
        Beyond the fixed fleet, so that interruptions, drawn ones and `n_down_replicas` at once in
        the peak, leave the SLO met.
    slo_met : bool
        With the drawn interruptions and nothing extra, in the busiest windows too.
    week : Served
        The stretch on the fixed fleet with the drawn interruptions and nothing extra.
    repaired : Served
        The stretch with the extra replicas.
    """

    terms: SpotTerms
    n_interruptions: int
    down_probability: float
    n_down_replicas: int
    n_extra_replicas: int
    slo_met: bool
    week: Served
    repaired: Served


def spot(case: Case, sought: Sizer, n_fleet: int, terms: SpotTerms, seed: int) -> Spot:
    """Draw interruptions as a Poisson process per replica and simulate the stretch with them.

    The fleet's own spare replicas stand in for the first that are down.

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
    n_down = n_down_at_once(n_fleet, down)
    drawn = losses(case, n_fleet + N_MOST_EXTRA, terms, seed)
    week, is_met = _with_losses(case, n_fleet, drawn)
    n_extra, repaired, is_repaired = 0, week, is_met
    while n_extra < N_MOST_EXTRA:
        n = n_fleet + n_extra
        if is_repaired and _stands(case, sought, n, n_down):
            break
        n_extra += 1
        repaired, is_repaired = _with_losses(case, n_fleet + n_extra, drawn)
    return Spot(
        terms=terms,
        n_interruptions=sum(loss.replica < n_fleet for loss in drawn),
        down_probability=down,
        n_down_replicas=n_down,
        n_extra_replicas=n_extra,
        slo_met=is_met,
        week=week,
        repaired=repaired,
    )


def down_probability(terms: SpotTerms) -> float:
    """Share of time that a replica is down: `r * t / (1 + r * t)`, alternating renewal.

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
    """Replicas that are down at once, independently, in all but 1 % of moments: a binomial law.

    Parameters
    ----------
    n_replicas : int
    down_probability : float
        Of one replica.

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


def losses(case: Case, n_replicas: int, terms: SpotTerms, seed: int) -> tuple[Loss, ...]:
    """Interruptions of every replica over the stretch; each has a stream of its own.

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
    found = []
    for replica in range(n_replicas):
        rng = np.random.default_rng([seed, replica])
        at_s = rng.exponential(mean_gap_s)
        while at_s < end_s:
            found.append(Loss(replica, at_s, at_s + terms.restart_s))
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
