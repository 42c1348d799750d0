"""Replicas behind a router: how many, when, what fails, what overflows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """Replicas that follow the load (reactive) or a timetable (schedule).

    Attributes
    ----------
    n_min_replicas, n_max_replicas : int
    start_up_s : float
        From the decision to the first request that a new replica takes [s]; it is paid for.
    schedule : tuple of (from_s, n_replicas)
        Where given, a timetable in rising order from time 0; else reactive.
    period_s : float
        The reactive rule looks this often [s].
    target_requests : float
        Outstanding requests per replica that the reactive rule aims at.
    scale_down_after_s : float
        A replica is drained once the load has been below for this long [s].
    """

    n_min_replicas: int
    n_max_replicas: int
    start_up_s: float = 300.0
    schedule: tuple[tuple[float, int], ...] = ()
    period_s: float = 30.0
    target_requests: float = 32.0
    scale_down_after_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Loss:
    """One replica gone for a while: a fault, or a spot machine taken back.

    Its unfinished requests go back to the router and start again elsewhere.
    """

    replica: int
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Replicas of one kind behind a router.

    Attributes
    ----------
    n_replicas : int
        Without autoscaling; with it, those at the start.
    routing : {"least_outstanding", "round_robin", "sticky"}
        Sticky: by session where the traffic has sessions (else by first prefix block, else least
        outstanding); a session's first request goes to the least loaded replica.
    overflow_above_requests : int, optional
        A request that finds this many outstanding at every replica goes to an API instead.
    """

    n_replicas: int
    routing: Literal["least_outstanding", "round_robin", "sticky"] = "least_outstanding"
    autoscaling: Autoscaling | None = None
    losses: tuple[Loss, ...] = ()
    overflow_above_requests: int | None = None
