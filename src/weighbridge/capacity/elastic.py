"""Fleets that follow the load, and traffic that overflows to an API."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.estimate import work
from weighbridge.capacity.fleet import Autoscaling, FleetPlan
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.served import Served, served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import Case, holds

STEP_S = 3600.0
SHORT_STEP_S = 300.0  # of stretches below a day, which have no hours to follow
DAY_S = 86400.0
OUTSTANDING_FRAC = 0.7  # of what a replica holds in the peak: the reactive rule aims below it
FLEET_FRACS = (0.9, 0.75, 0.6, 0.45, 0.3)


@dataclass(frozen=True, slots=True)
class Elastic:
    """A fleet that is not always whole, over the whole stretch.

    Attributes
    ----------
    kind : {"schedule", "reactive", "overflow"}
    n_least_replicas, n_most_replicas : int
    mean_replicas_ratio : float
        Replicas paid for, mean over the stretch, against the fixed fleet [1].
    overflow_frac : float
        Share of requests that went to the API [1].
    overflow_input_tokens, overflow_output_tokens : int
        What they bring to the API's bill [tokens].
    week : Served
    slo_met : bool
        Over the whole stretch and in its busiest windows, among requests that replicas served.
    why : str
        How it was set, and what of it was hindsight.
    """

    kind: str
    n_least_replicas: int
    n_most_replicas: int
    mean_replicas_ratio: float
    overflow_frac: float
    overflow_input_tokens: int
    overflow_output_tokens: int
    week: Served
    slo_met: bool
    why: str


def scheduled(case: Case, n_fleet: int, n_needed: int, start_up_s: float) -> Elastic:
    """Replicas by a timetable cut from the stretch itself, each step begun a start-up early.

    A step keeps the replicas that its work asks for at the peak's ratio of replicas to work, of
    its busiest quarter of an hour, and of the step after it where that begins within a start-up.

    Parameters
    ----------
    case : Case
    n_fleet, n_needed : int
        The fixed fleet with headroom and spare, and the replicas that the peak needs.
    start_up_s : float
        [s]
    """
    timetable = _timetable(case, n_needed, start_up_s)
    extra = n_fleet - n_needed
    steps = tuple((from_s, n + extra) for from_s, n in timetable)
    counts = [n for _, n in steps]
    scaling = Autoscaling(min(counts), max(counts), start_up_s, schedule=steps)
    why = (
        f"a timetable of {len(steps)} steps cut from this very stretch (hindsight), {extra} "
        "replicas of headroom and spare kept throughout"
    )
    return _run(case, "schedule", FleetPlan(counts[0], case.routing, scaling), n_fleet, why)


def _timetable(case: Case, n_needed: int, start_up_s: float) -> tuple[tuple[float, int], ...]:
    arrival_s = case.requests.arrival_s
    step_s = STEP_S if case.requests.duration_s >= DAY_S else SHORT_STEP_S
    quarter_s = step_s / 4
    work_s = work(case.requests, case.band.mid, case.limits, case.slo).total_s
    by_quarter = np.bincount((arrival_s / quarter_s).astype(np.int64), weights=work_s)
    quarters = np.append(by_quarter, np.zeros(-len(by_quarter) % 4)).reshape(-1, 4)
    busiest = quarters.max(axis=1)
    counts = np.ceil(n_needed * busiest / busiest.max() - 1e-9).clip(1)
    # A replica ordered for a step must be up when it begins.
    ahead = min(len(counts) - 1, math.ceil(start_up_s / step_s))
    early = counts.copy()
    for shift in range(1, ahead + 1):
        early[:-shift] = np.maximum(early[:-shift], counts[shift:])
    changes = np.flatnonzero(np.diff(early, prepend=-1))
    return tuple((float(i * step_s), int(early[i])) for i in changes)


def reactive(case: Case, n_fleet: int, n_needed: int, peak: Served, start_up_s: float) -> Elastic:
    """Replicas that follow the outstanding requests, between a few and the fixed fleet.

    The rule aims at 70 % of the requests that a replica holds in the peak (Little's law on the
    simulated peak); the fixed fleet's spare replicas are kept.

    Parameters
    ----------
    case : Case
    n_fleet, n_needed : int
    peak : Served
        The peak on `n_needed` replicas.
    start_up_s : float
        [s]
    """
    target = OUTSTANDING_FRAC * outstanding_requests(peak)
    extra = n_fleet - n_needed
    scaling = Autoscaling(1 + extra, n_fleet, start_up_s, target_requests=max(target, 1.0))
    why = (
        f"follows {target:.0f} outstanding requests per replica, start-up "
        f"{start_up_s:.0f} s, never below {1 + extra}"
    )
    return _run(case, "reactive", FleetPlan(n_fleet, case.routing, scaling), n_fleet, why)


def outstanding_requests(peak: Served) -> float:
    """Requests that one replica holds at once in the peak, by Little's law [requests].

    Parameters
    ----------
    peak : Served
    """
    held = peak.mean_requests_per_s * peak.latency_s["e2e"]["mean"]
    return max(held / peak.n_replicas, 1.0)


def overflowing(case: Case, n_fleet: int, n_needed: int, peak: Served) -> tuple[Elastic, ...]:
    """Smaller fixed fleets that send to an API what finds every replica full.

    A replica is full at a quarter more requests than it holds in the peak of the fixed fleet.
    Spares are kept; headroom is not, since what it is for overflows.

    Parameters
    ----------
    case : Case
    n_fleet, n_needed : int
    peak : Served
        The peak on `n_needed` replicas.
    """
    bound = max(1, round(1.25 * outstanding_requests(peak)))
    counts = sorted({max(1, round(n_needed * frac)) for frac in FLEET_FRACS}, reverse=True)
    found = []
    for n in (count for count in counts if count < n_fleet):
        plan = FleetPlan(n + case.n_spare_replicas, case.routing, overflow_above_requests=bound)
        why = f"a request that finds {bound} outstanding at every replica goes to the API"
        found.append(_run(case, "overflow", plan, n_fleet, why))
    return tuple(found)


def _run(case: Case, kind: str, plan: FleetPlan, n_fleet: int, why: str) -> Elastic:
    outcome = simulate(case.requests, case.band.mid, case.limits, plan)
    week = served(case.requests, outcome, case.slo)
    over = outcome.replica < 0
    scaling = plan.autoscaling
    return Elastic(
        kind=kind,
        n_least_replicas=scaling.n_min_replicas if scaling else plan.n_replicas,
        n_most_replicas=scaling.n_max_replicas if scaling else plan.n_replicas,
        mean_replicas_ratio=_on_ratio(outcome, plan, n_fleet, week.duration_s),
        overflow_frac=float(over.mean()) if len(over) else 0.0,
        overflow_input_tokens=int(case.requests.input_tokens[over].sum()),
        overflow_output_tokens=int(case.requests.output_tokens[over].sum()),
        week=week,
        slo_met=holds(case, outcome),
        why=why,
    )


def _on_ratio(outcome: Outcome, plan: FleetPlan, n_fleet: int, duration_s: float) -> float:
    if plan.autoscaling is None:
        return plan.n_replicas / n_fleet
    return float(outcome.on_s.sum()) / (n_fleet * duration_s)


def clock_step_s(duration_s: float) -> float:
    """Length of the steps in which a stretch is drawn: hours, or a sixtieth of a short one [s].

    Parameters
    ----------
    duration_s : float
        [s]
    """
    return STEP_S if duration_s >= DAY_S else max(60.0, duration_s / 60)
