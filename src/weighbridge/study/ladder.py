"""How much traffic each size of fleet carries: the rungs of the table that the draws read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from weighbridge.capacity.estimate import n_fewest_replicas, work
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.peak_load import LEAD_IN_S, PeakLoad, multiplied_load
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.slo import Slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.stretch import busiest_window, inside, picked

SIZES = (1, 2, 4, 8, 16)
"""Fleets that are simulated: in between, demand is taken as straight; beyond, as in proportion."""
MOST_REQUESTS = 800
"""Of one simulation: a peak of more is cut to its own busiest part."""
SHORTEST_WINDOW_S = 30.0
ENOUGH_DEMAND_RATIO = 10.0
"""As far as the break-even surface looks; beyond, fleets grow in proportion."""
FIRST_BUSY_FRAC = 0.7  # of a fleet whose latency target breaks; where the search begins
STRIDE_RATIO = 1.6
N_HALVINGS = 3  # 1.6 ** (1 / 8): demand is found to 6 %
LEAST_BUSY_FRAC = 0.01
MOST_BUSY_FRAC = 2.0  # a short peak may be worked off after it


@dataclass(frozen=True, slots=True)
class Rung:
    """The most traffic that a fleet of one size carries within its targets.

    Attributes
    ----------
    n_replicas : int
    demand_ratio : float
        As a multiple of the peak that was cut out [1].
    reached_s : tuple of float
        What each target's statistic then is [s].
    """

    n_replicas: int
    demand_ratio: float
    reached_s: tuple[float, ...]


@dataclass
class Ladder:
    """A search for the most demand, size by size; each begins where the last one ended."""

    load: PeakLoad
    step_time: StepTime
    limits: EngineLimits
    slo: Slo
    on_simulation: Callable[[], None] = lambda: None
    busy_frac: float = FIRST_BUSY_FRAC
    _fewest: float = field(init=False)
    _kept: dict[int, Rung | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        arrival_s = self.load.requests.arrival_s[self.load.judged]
        done_s = work(self.load.requests, self.step_time, self.limits, self.slo).total_s
        duration_s = max(float(arrival_s[-1] - arrival_s[0]), 1.0)
        self._fewest = n_fewest_replicas(done_s[self.load.judged], duration_s)

    def rungs(
        self, sizes: Sequence[int], enough_ratio: float = ENOUGH_DEMAND_RATIO
    ) -> tuple[Rung, ...]:
        """The most demand of each size, rising, up to one that carries enough."""
        found: list[Rung] = []
        for n in sizes:
            rung = self.rung(n)
            if rung is not None and (not found or rung.demand_ratio > found[-1].demand_ratio):
                found.append(rung)
            if found and found[-1].demand_ratio >= enough_ratio:
                break
        return tuple(found)

    def rung(self, n_replicas: int) -> Rung | None:
        """The most demand of one size; None where the least there is breaks a target.

        Where that is more than enough, only that it is enough is found out.
        """
        if n_replicas not in self._kept:
            self._kept[n_replicas] = self._sought(n_replicas)
        return self._kept[n_replicas]

    def _sought(self, n_replicas: int) -> Rung | None:
        scale = n_replicas / self._fewest
        most = ENOUGH_DEMAND_RATIO / scale
        kept: dict[float, tuple[float, ...] | None] = {}

        def is_met(busy_frac: float) -> bool:
            if busy_frac not in kept:
                kept[busy_frac] = self._reached(n_replicas, busy_frac * scale)
            return kept[busy_frac] is not None

        best = _largest(is_met, min(self.busy_frac, most), most)
        if best is None:
            return None
        self.busy_frac = best
        return Rung(n_replicas, best * scale, kept[best] or ())

    def _reached(self, n_replicas: int, demand_ratio: float) -> tuple[float, ...] | None:
        """What the targets come to at a demand; None where one of them is missed."""
        self.on_simulation()
        base = cut(self.load, MOST_REQUESTS / demand_ratio)
        load = cut(multiplied_load(base, demand_ratio), MOST_REQUESTS)
        if not load.judged.any():
            return tuple(0.0 for _ in self.slo.targets)
        plan = FleetPlan(n_replicas)
        # Plain: three seconds in all, where the compiled kernel, which gives the same, takes up to
        # a minute to translate the first time.
        outcome = simulate(load.requests, self.step_time, self.limits, plan, compiled=False)
        if not self.slo.is_met(outcome, load.judged):
            return None
        return self.slo.reached_s(outcome, load.judged)


def _largest(is_met: Callable[[float], bool], guess: float, most: float = np.inf) -> float | None:
    """The largest value that is met, to a part of a stride; None where none is."""
    low = guess
    if is_met(low):
        while low < min(MOST_BUSY_FRAC, most) and is_met(low * STRIDE_RATIO):
            low *= STRIDE_RATIO
        if low >= most:
            return low
    else:
        least = LEAST_BUSY_FRAC * min(1.0, guess)
        low /= STRIDE_RATIO
        while not is_met(low):
            low /= STRIDE_RATIO
            if low < least:
                return None
    stride = STRIDE_RATIO
    for _ in range(N_HALVINGS):
        stride = float(np.sqrt(stride))
        if is_met(low * stride):
            low *= stride
    return low


def cut(load: PeakLoad, n_most_requests: float) -> PeakLoad:
    """A peak with no more requests than wanted: its own busiest part, with a shorter lead-in."""
    n_judged = int(load.judged.sum())
    if n_judged <= n_most_requests:
        return load
    arrival_s = load.requests.arrival_s
    first, last = float(arrival_s[int(np.argmax(load.judged))]), float(arrival_s[-1])
    length_s = max((last - first) * n_most_requests / n_judged, SHORTEST_WINDOW_S)
    if length_s >= last - first:
        return load
    tokens = (load.requests.input_tokens + load.requests.output_tokens)[load.judged]
    start, end = busiest_window(arrival_s[load.judged], tokens.astype(np.float64), length_s)
    kept = np.flatnonzero(inside(load.requests, start - min(LEAD_IN_S, length_s), end))
    requests = picked(load.requests, kept, float(arrival_s[kept[0]]))
    judged = arrival_s[kept] >= start
    return PeakLoad(requests, judged, load.from_s + start - first, load.from_s + end - first, False)
