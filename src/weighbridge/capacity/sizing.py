"""How many replicas one deployment needs for a stretch of traffic, and what they then do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from weighbridge.capacity.alone import Alone, alone
from weighbridge.capacity.binding import Binding, Pressure, binding
from weighbridge.capacity.estimate import Work, n_fewest_replicas, work
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.peak_load import (
    N_MOST_REQUESTS,
    WINDOW_S,
    PeakLoad,
    multiplied_load,
    peak_load,
    window_load,
)
from weighbridge.capacity.search import smallest
from weighbridge.capacity.served import Served, served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.slo import Slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.step_time_band import StepTimeBand
from weighbridge.capacity.stretch import busiest_windows, inside, picked
from weighbridge.capacity.traffic import Requests

Routing = Literal["least_outstanding", "round_robin", "sticky"]
# A fleet in its peak is about this busy when a latency target breaks: a first guess only.
GUESS_BUSY_FRAC = 0.75
N_CHECKED_WINDOWS = 3
N_FULL_LOAD_REQUESTS = 4000


@dataclass(frozen=True, slots=True)
class Case:
    """One deployment under one stretch of traffic and one SLO.

    Attributes
    ----------
    requests : Requests
    band : StepTimeBand
    limits : EngineLimits
    slo : Slo
    routing : {"least_outstanding", "round_robin", "sticky"}
    window_s : float
        The SLO must hold in the busiest window of this length [s], and over the whole.
    headroom_frac : float
        Growth that the fleet must serve as well [1].
    n_spare_replicas : int
        Replicas that may be lost in the peak while the SLO holds.
    """

    requests: Requests
    band: StepTimeBand
    limits: EngineLimits
    slo: Slo
    routing: Routing = "least_outstanding"
    window_s: float = WINDOW_S
    headroom_frac: float = 0.2
    n_spare_replicas: int = 1


@dataclass(frozen=True, slots=True)
class Impossible:
    """No number of replicas meets the SLO, or the requests do not fit.

    Attributes
    ----------
    reached_s : tuple of float
        The best that each target's statistic can be; empty where requests do not fit [s].
    why : tuple of str
        Which target, what binds.
    """

    reached_s: tuple[float, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needed:
    """Replicas that meet the SLO in the peak.

    Attributes
    ----------
    n_replicas : int
    peak : Served
        Those replicas in the busiest window.
    too_few : Served, optional
        One replica fewer; None where one is enough.
    binds : Binding
    alone : Alone
        What a request gets that never waits for another.
    n_fewest_replicas : float
        Floor in closed form: replicas busy all the time.
    """

    n_replicas: int
    peak: Served
    too_few: Served | None
    binds: Binding
    alone: Alone
    n_fewest_replicas: float


@dataclass(frozen=True)
class Sizer:
    """A case with its peak cut out, ready to be searched; simulations are kept."""

    case: Case
    step_time: StepTime
    load: PeakLoad
    loaded: Work
    _kept: dict[int, Served] = field(default_factory=dict, repr=False)

    def try_out(self, n_replicas: int) -> Served:
        """The peak on so many replicas; each number is simulated once.

        Parameters
        ----------
        n_replicas : int
        """
        if n_replicas not in self._kept:
            plan = FleetPlan(n_replicas, self.case.routing)
            outcome = simulate(self.load.requests, self.step_time, self.case.limits, plan)
            self._kept[n_replicas] = served(
                self.load.requests, outcome, self.case.slo, self.load.judged
            )
        return self._kept[n_replicas]

    def fewest(self) -> float:
        """Replicas that the window's work keeps busy all the time, not whole."""
        judged = self.load.judged
        arrival_s = self.load.requests.arrival_s[judged]
        duration_s = max(float(arrival_s[-1] - arrival_s[0]), 1.0)
        return n_fewest_replicas(self.loaded.total_s[judged], duration_s)

    def pressure(self, n_replicas: int) -> Pressure:
        """The window's work on so many replicas.

        Parameters
        ----------
        n_replicas : int
        """
        ratio = self.fewest() / n_replicas
        return Pressure(ratio, self.loaded.prefill_frac, self.case.limits.n_max_requests)

    def most_tried(self) -> Served:
        """The peak on the most replicas that were simulated."""
        return self._kept[max(self._kept)]

    def needed(self, guess: int | None = None) -> int | None:
        """Fewest replicas that meet the SLO in the peak; None where no number does.

        Parameters
        ----------
        guess : int, optional
            Where to begin; the closed form where not given.
        """
        fewest = self.fewest()
        n_most = min(self.load.requests.n_requests, max(64, math.ceil(30 * fewest)))
        first = guess or math.ceil(fewest / GUESS_BUSY_FRAC)
        return smallest(lambda n: self.try_out(n).slo_met, first, max(n_most, 1))


def sizer(case: Case, step_time: StepTime | None = None, demand_ratio: float = 1.0) -> Sizer:
    """Cut the peak of a case's traffic out and multiply it.

    Parameters
    ----------
    case : Case
    step_time : StepTime, optional
        In place of the middle of the case's band.
    demand_ratio : float
        [1]
    """
    step_time = step_time or case.band.mid
    whole = work(case.requests, step_time, case.limits, case.slo)
    load = peak_load(case.requests, whole.total_s, case.window_s)
    return resized(case, step_time, load, demand_ratio)


def resized(
    case: Case,
    step_time: StepTime,
    load: PeakLoad,
    demand_ratio: float,
    n_most_requests: int = N_MOST_REQUESTS,
) -> Sizer:
    """A sizer for multiples of a peak that was cut out already.

    Parameters
    ----------
    case : Case
    step_time : StepTime
    load : PeakLoad
        At demand 1.
    demand_ratio : float
        [1]
    n_most_requests : int
        A window that comes to more is cut to its middle.
    """
    load = multiplied_load(load, demand_ratio, n_most_requests)
    return Sizer(case, step_time, load, work(load.requests, step_time, case.limits, case.slo))


def misfit(case: Case) -> Impossible | None:
    """Requests that are longer than the cache of one rank, told with what they need.

    Parameters
    ----------
    case : Case
    """
    held = case.requests.input_tokens + case.requests.output_tokens
    most = int(held.max())
    if most <= case.limits.kv_tokens:
        return None
    n_over = int((held > case.limits.kv_tokens).sum())
    why = (
        f"KV memory binds: {n_over:,} of {len(held):,} requests need more than the "
        f"{case.limits.kv_tokens:,} tokens that the cache holds (the longest {most:,})"
    )
    return Impossible((), (why,))


def needed_replicas(case: Case) -> tuple[Needed | Impossible, Sizer]:
    """Search the peak for the fewest replicas that meet the SLO.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Needed or Impossible, and the sizer with what was simulated.
    """
    sought = sizer(case)
    wrong = misfit(case)
    if wrong is not None:
        return wrong, sought
    best = alone(sought.load.requests, case.band.mid, case.limits, case.slo)
    if best.missed:
        return Impossible(best.reached_s, best.why), sought
    n = sought.needed()
    if n is None:
        return _never_enough(case, sought, best.reached_s), sought
    too_few = sought.try_out(n - 1) if n > 1 else None
    binds = binding(too_few, case.slo, sought.pressure(max(n - 1, 1)), best.reached_s)
    peak = sought.try_out(n)
    return Needed(n, peak, too_few, binds, best, sought.fewest()), sought


def _never_enough(case: Case, sought: Sizer, alone_s: tuple[float, ...]) -> Impossible:
    tried = sought.most_tried()
    pressure = sought.pressure(tried.n_replicas)
    why = binding(tried, case.slo, pressure, alone_s, is_hopeless=True)
    return Impossible(tried.reached_s, (f"even {why.text}",))


@dataclass(frozen=True)
class Decided:
    """A size that the whole stretch confirms, and the window that decided it.

    Attributes
    ----------
    n_replicas : int
    sought : Sizer
        Of the deciding window, which need not be the one of most work.
    too_few : Served, optional
        The largest fleet that was seen to fail, in that window; None where one replica is enough.
    whole : Served
        The whole stretch on `n_replicas`.
    alone_s : tuple of float
        Each target's statistic where no request waits [s].
    """

    n_replicas: int
    sought: Sizer
    too_few: Served | None
    whole: Served
    alone_s: tuple[float, ...] = ()

    @property
    def binds(self) -> Binding:
        """What the fleet that failed lacked."""
        case = self.sought.case
        n_short = self.too_few.n_replicas if self.too_few else 1
        return binding(self.too_few, case.slo, self.sought.pressure(n_short), self.alone_s)


def confirmed(case: Case, needed: Needed, sought: Sizer) -> Decided:
    """Hold the busiest window's size against the whole stretch and its three busiest windows.

    Where another of them asks for more, that window decides and is searched instead.

    Parameters
    ----------
    case : Case
    needed : Needed
        Enough for the busiest window by work.
    sought : Sizer
        Of that window.
    """
    work_s = work(case.requests, case.band.mid, case.limits, case.slo).total_s
    windows = busiest_windows(
        case.requests.arrival_s, work_s, sought.load.window_s, N_CHECKED_WINDOWS
    )
    n, too_few = needed.n_replicas, needed.too_few
    while True:
        plan = FleetPlan(n, case.routing)
        outcome = simulate(case.requests, case.band.mid, case.limits, plan)
        missed = _missed(case, outcome, windows)
        if missed is None or n >= case.requests.n_requests:
            whole = served(case.requests, outcome, case.slo)
            return Decided(n, sought, too_few, whole, needed.alone.reached_s)
        judged = inside(case.requests, *missed)
        too_few = served(case.requests, outcome, case.slo, judged)
        load = window_load(case.requests, *missed)
        loaded = work(load.requests, case.band.mid, case.limits, case.slo)
        # What the whole stretch showed of this window goes before a simulation of it alone.
        sought = Sizer(case, case.band.mid, load, loaded, {n: too_few})
        n = max(sought.needed(n + 1) or n + 1, n + 1)
        if n > too_few.n_replicas + 1 and not sought.try_out(n - 1).slo_met:
            too_few = sought.try_out(n - 1)


def _missed(
    case: Case, outcome: Outcome, windows_s: Sequence[tuple[float, float]]
) -> tuple[float, float] | None:
    """The window that misses the SLO furthest; the whole stretch's miss counts as the first's."""

    def excess_ratio(window: tuple[float, float]) -> float:
        reached = case.slo.reached_s(outcome, inside(case.requests, *window))
        ratios = [r / t.limit_s for r, t in zip(reached, case.slo.targets, strict=True)]
        return max((ratio for ratio in ratios if not math.isnan(ratio)), default=0.0)

    worst = max(windows_s, key=excess_ratio)
    if excess_ratio(worst) > 1 or not case.slo.is_met(outcome):
        return worst
    return None


def holds(case: Case, outcome: Outcome) -> bool:
    """Whether the SLO holds over the whole stretch and in each of its three busiest windows.

    Parameters
    ----------
    case : Case
    outcome : Outcome
        Of the whole stretch.
    """
    work_s = work(case.requests, case.band.mid, case.limits, case.slo).total_s
    windows = busiest_windows(case.requests.arrival_s, work_s, case.window_s, N_CHECKED_WINDOWS)
    return _missed(case, outcome, windows) is None


def full_load_tokens_per_s(case: Case) -> float:
    """Tokens a second of one replica that never lacks work and promises no latency [tokens/s].

    Requests of the peak are all there at once; counted are those that end between the first and
    the last tenth of the time, when the batch is full.

    Parameters
    ----------
    case : Case
    """
    work_s = work(case.requests, case.band.mid, case.limits).total_s
    load = peak_load(case.requests, work_s, case.window_s).requests
    n = min(load.n_requests, N_FULL_LOAD_REQUESTS)
    first = (load.n_requests - n) // 2
    sample = picked(load, np.arange(first, first + n))
    at_once = Requests(np.zeros(n), sample.input_tokens, sample.output_tokens, prefix=sample.prefix)
    outcome = simulate(at_once, case.band.mid, case.limits, FleetPlan(1))
    tokens = sample.input_tokens + sample.output_tokens
    start_s, end_s = 0.1 * outcome.end_s, 0.9 * outcome.end_s
    steady = (outcome.e2e_s > start_s) & (outcome.e2e_s <= end_s)
    return max(
        float(tokens[steady].sum()) / max(end_s - start_s, 1e-9),
        float(tokens.sum()) / max(float(outcome.busy_s.sum()), 1e-9),
    )
