"""How much traffic each size of fleet carries: the rungs of the table that the draws read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from weighbridge.capacity.estimate import n_fewest_replicas, work
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.peak_load import LEAD_IN_S, PeakLoad, multiplied_load
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.simulation.compiled import numba_is_here
from weighbridge.capacity.slo import Slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.stretch import busiest_window, inside, picked

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Fleets that are simulated: in between, demand is taken as straight; beyond, as in proportion."""
SHORTEST_WINDOW_S = 30.0
ENOUGH_DEMAND_RATIO = 10.0
"""As far as the break-even surface looks: a fleet that carries it is the last one simulated."""
FIRST_SIZES = 2.0  # whose traffic is to fit into one simulation
FIRST_BUSY_FRAC = 0.7  # of a fleet whose latency target breaks; where the search begins
STRIDE_RATIO = 1.6
N_HALVINGS = 3  # 1.6 ** (1 / 8): demand is found to 6 %
LEAST_BUSY_FRAC = 0.01
NEVER_CUT = sys.maxsize
MOST_BUSY_FRAC = 2.0  # a short peak may be worked off after it


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is simulated, and by which kernel; both kernels give the same.

    Attributes
    ----------
    n_window_requests : int
        Judged of today's traffic: an hour of more is cut, once, to its own busiest part.
    n_most_requests : int
        Of one simulation: sizes that carry more are not searched.
    compiled : bool
    """

    n_window_requests: int
    n_most_requests: int
    compiled: bool

    @property
    def by_hand(self) -> Bounds:
        """The same simulations by the kernel that need not be translated first."""
        return replace(self, compiled=False)


PLAIN = Bounds(n_window_requests=2_000, n_most_requests=8_000, compiled=False)
COMPILED = Bounds(n_window_requests=60_000, n_most_requests=300_000, compiled=True)
FEW_REQUESTS = 2_000  # simulated sooner than the compiled kernel is translated, or even loaded


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
    bounds: Bounds = PLAIN
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
        """The most demand of each size, rising, up to one that carries enough.

        Also the last is what that size really carries: beyond it fleets grow in proportion, and
        a demand cut short would double them there.
        """
        found: list[Rung] = []
        for n in sizes:
            if found and (
                found[-1].demand_ratio >= enough_ratio or self._is_too_long(n, found[-1])
            ):
                break
            rung = self.rung(n)
            if rung is not None and (not found or rung.demand_ratio > found[-1].demand_ratio):
                found.append(rung)
        return tuple(found)

    def _is_too_long(self, n_replicas: int, below: Rung) -> bool:
        """Whether what that size carries, in proportion to a smaller one, is too much to run."""
        demand_ratio = below.demand_ratio * n_replicas / below.n_replicas
        return demand_ratio * float(self.load.judged.sum()) > self.bounds.n_most_requests

    def rung(self, n_replicas: int) -> Rung | None:
        """The most demand of one size; None where the least there is breaks a target."""
        if n_replicas not in self._kept:
            self._kept[n_replicas] = self._sought(n_replicas)
        return self._kept[n_replicas]

    def _sought(self, n_replicas: int) -> Rung | None:
        scale = n_replicas / self._fewest
        kept: dict[float, tuple[float, ...] | None] = {}

        def is_met(busy_frac: float) -> bool:
            if busy_frac not in kept:
                kept[busy_frac] = self._reached(n_replicas, busy_frac * scale)
            return kept[busy_frac] is not None

        best = _largest(is_met, self.busy_frac)
        if best is None:
            return None
        self.busy_frac = best
        return Rung(n_replicas, best * scale, kept[best] or ())

    def _reached(self, n_replicas: int, demand_ratio: float) -> tuple[float, ...] | None:
        """What the targets come to at a demand; None where one of them is missed.

        Every demand is of the same window with more users or fewer: a shorter window for a larger
        demand would be a busier one, and no longer a multiple.
        """
        self.on_simulation()
        load = multiplied_load(self.load, demand_ratio, NEVER_CUT)
        if not load.judged.any():
            return tuple(0.0 for _ in self.slo.targets)
        plan = FleetPlan(n_replicas)
        compiled = self.bounds.compiled
        outcome = simulate(load.requests, self.step_time, self.limits, plan, compiled=compiled)
        if not self.slo.is_met(outcome, load.judged):
            return None
        return self.slo.reached_s(outcome, load.judged)


def _largest(is_met: Callable[[float], bool], guess: float) -> float | None:
    """The largest value that is met, to a part of a stride; None where none is."""
    low = guess
    if is_met(low):
        while low < MOST_BUSY_FRAC and is_met(low * STRIDE_RATIO):
            low *= STRIDE_RATIO
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


def bounds_of(load: PeakLoad, n_fewest: float) -> Bounds:
    """The whole hour by the compiled kernel where there is one; a part of it by the plain one.

    What is simulated hangs on whether numba is installed, never on whether its cache is warm.
    """
    if not numba_is_here():
        return PLAIN
    n_at_full_load = int(load.judged.sum()) / n_fewest  # of one replica
    return COMPILED if n_at_full_load > FEW_REQUESTS else COMPILED.by_hand


def window(load: PeakLoad, n_fewest: float, bounds: Bounds) -> PeakLoad:
    """The part of a peak that is judged: so much that the first sizes can be searched on it."""
    return cut(load, min(bounds.n_window_requests, bounds.n_most_requests * n_fewest / FIRST_SIZES))
