"""Growth, faults and the step time's own error: what a fleet is kept larger for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weighbridge.capacity.estimate import work
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.peak_load import PeakLoad
from weighbridge.capacity.search import smallest
from weighbridge.capacity.served import Served, served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import Case, Sizer, resized
from weighbridge.capacity.step_time import StepTime
from weighbridge.capacity.stretch import busiest_window, inside


@dataclass(frozen=True, slots=True)
class Range:
    """Replicas at the fast end, the middle and the slow end of the step time's 90 % interval.

    `n_high` is None where at the slow end no number of replicas meets the SLO.
    """

    n_low: int
    n_mid: int
    n_high: int | None


@dataclass(frozen=True, slots=True)
class OneLost:
    """A peak in which some replicas are gone from before its window to the end of it.

    Attributes
    ----------
    n_replicas : int
        Before the loss.
    lost_s : float
        How long of the window they were gone: all of it [s].
    during : Served
        The window or its busiest half by work, whichever came nearer to a limit, or further
        beyond it.
    judged_s : float
        Length of that part [s].
    """

    n_replicas: int
    lost_s: float
    during: Served
    judged_s: float = 0.0

    @property
    def judged_words(self) -> str:
        """What `during` is of, in a few words."""
        return "the window" if self.judged_s >= self.lost_s else "the window's busiest half"


@dataclass(frozen=True, slots=True)
class Safety:
    """From the replicas that are needed to those that are kept.

    Attributes
    ----------
    needed : Range
        Without headroom and spare.
    n_headroom_replicas : int
        Enough for `headroom_frac` more users.
    n_fleet_replicas : int
        Enough for those with replicas lost in the peak: what is paid for.
    unspared : OneLost, optional
        What happens where one is lost and none was spare; None for a single replica, whose loss
        stops everything.
    spared : OneLost
        The same with the fleet that is kept.
    """

    needed: Range
    n_headroom_replicas: int
    n_fleet_replicas: int
    unspared: OneLost | None
    spared: OneLost


def safety(case: Case, sought: Sizer, n_needed: int) -> Safety:
    """Add headroom and spares, and search both ends of the step time's interval.

    Parameters
    ----------
    case : Case
    sought : Sizer
        The case's peak.
    n_needed : int
        Replicas that meet the SLO, confirmed.
    """
    n_headroom = headroom_replicas(case, sought, n_needed)
    n_fleet = n_headroom
    if case.n_spare_replicas:
        n_fleet = _spared_replicas(case, sought, n_headroom)
    unspared = _unspared(case, sought, n_needed) if n_needed > 1 else None
    return Safety(
        needed=replica_range(case, sought, n_needed),
        n_headroom_replicas=n_headroom,
        n_fleet_replicas=n_fleet,
        unspared=unspared,
        spared=one_lost(case, sought.load, n_fleet) if n_fleet > 1 else _nothing_left(sought),
    )


def _unspared(case: Case, sought: Sizer, n_needed: int) -> OneLost:
    """One lost of those that are needed; never better than the fleet that was seen too small."""
    lost = one_lost(case, sought.load, n_needed)
    seen = sought.try_out(n_needed - 1)
    if _excess_ratio(case, seen) > _excess_ratio(case, lost.during):
        return OneLost(n_needed, lost.lost_s, seen, lost.lost_s)
    return lost


def _nothing_left(sought: Sizer) -> OneLost:
    return OneLost(1, 0.0, sought.try_out(1))


def headroom_replicas(case: Case, sought: Sizer, n_needed: int) -> int:
    """Fewest replicas for `headroom_frac` more users; never fewer than are needed now.

    Parameters
    ----------
    case : Case
    sought : Sizer
        The case's peak at demand 1.
    n_needed : int
    """
    if case.headroom_frac == 0:
        return n_needed
    ratio = 1 + case.headroom_frac
    grown = resized(case, case.band.mid, sought.load, ratio)
    return max(n_needed, grown.needed(math.ceil(n_needed * ratio)) or n_needed)


def _spared_replicas(case: Case, sought: Sizer, n_headroom: int) -> int:
    """Fewest replicas that, grown by the headroom, meet the SLO while some are lost."""
    ratio = 1 + case.headroom_frac
    load = resized(case, case.band.mid, sought.load, ratio).load if ratio > 1 else sought.load
    n_lost = case.n_spare_replicas

    def is_enough(n: int) -> bool:
        return n > n_lost and one_lost(case, load, n, n_lost).during.slo_met

    guess = n_headroom + n_lost
    return max(smallest(is_enough, guess, 4 * guess + 16) or guess, guess)


def one_lost(case: Case, load: PeakLoad, n_replicas: int, n_lost: int = 1) -> OneLost:
    """Serve the whole window without some replicas; judge it, and its busiest half by work.

    A loss may begin and end at any moment. The fleet is therefore short of them throughout, so
    that what holds for `n_replicas - n_lost` replicas and what is said of a loss cannot differ;
    and the half of the window with most work is judged on its own as well, since an hour's
    quantile forgives what a shorter loss does in a burst.

    Parameters
    ----------
    case : Case
    load : PeakLoad
    n_replicas : int
        More than are lost.
    n_lost : int
    """
    requests, judged = load.requests, load.judged
    arrival_s = requests.arrival_s[judged]
    window_s = float(arrival_s[-1] - arrival_s[0])
    plan = FleetPlan(n_replicas - n_lost, case.routing)
    outcome = simulate(requests, case.band.mid, case.limits, plan)
    whole = served(requests, outcome, case.slo, judged)
    if window_s <= 0:
        return OneLost(n_replicas, window_s, whole, window_s)
    work_s = work(requests, case.band.mid, case.limits, case.slo).total_s[judged]
    busiest = inside(requests, *busiest_window(arrival_s, work_s, window_s / 2))
    half = served(requests, outcome, case.slo, busiest & judged)
    if _excess_ratio(case, half) > _excess_ratio(case, whole):
        return OneLost(n_replicas, window_s, half, window_s / 2)
    return OneLost(n_replicas, window_s, whole, window_s)


def _excess_ratio(case: Case, of: Served) -> float:
    """The statistic that is furthest beyond its limit, over that limit [1]."""
    ratios = [r / t.limit_s for r, t in zip(of.reached_s, case.slo.targets, strict=True)]
    return max((ratio for ratio in ratios if not math.isnan(ratio)), default=0.0)


def replica_range(case: Case, sought: Sizer, n_needed: int) -> Range:
    """Replicas at both ends of the step time's interval, from the same peak.

    Parameters
    ----------
    case : Case
    sought : Sizer
    n_needed : int
        At the middle.
    """
    low = _at_bound(case, sought, case.band.low, n_needed)
    high = _at_bound(case, sought, case.band.high, n_needed)
    n_low = min(low, n_needed) if low is not None else n_needed
    return Range(n_low, n_needed, max(high, n_needed) if high is not None else None)


def _at_bound(case: Case, sought: Sizer, step_time: StepTime, n_needed: int) -> int | None:
    if step_time is case.band.mid:
        return n_needed
    bound = resized(case, step_time, sought.load, 1.0)
    ratio = bound.loaded.total_s.sum() / max(sought.loaded.total_s.sum(), 1e-300)
    return bound.needed(max(1, round(n_needed * float(ratio))))
