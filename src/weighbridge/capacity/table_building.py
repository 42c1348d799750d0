"""Fill the table demand -> replicas by simulating multiples of a peak."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.sizing import (
    Case,
    Decided,
    Impossible,
    Sizer,
    confirmed,
    full_load_tokens_per_s,
    needed_replicas,
    resized,
)
from weighbridge.capacity.slo import duration_text
from weighbridge.capacity.step_time import StepTime
from weighbridge.capacity.table import CapacityTable
from weighbridge.capacity.traffic import Floats, Requests
from weighbridge.units import InputError

N_DEMANDS = 12
# In one row's window: of many replicas, which are alike, a shorter one says as much.
N_ROW_REQUESTS = 30_000
LOWEST_RATIO, HIGHEST_RATIO = 0.05, 20.0

# Called with the share of the work that is done [1].
Progress = Callable[[float], None]


def demand_grid(n_demands: int = N_DEMANDS) -> Floats:
    """Multiples of the traffic from 0.05 to 20, evenly spaced in their logarithm, 1 among them.

    Parameters
    ----------
    n_demands : int

    Examples
    --------
    >>> demand_grid(5).round(3).tolist()
    [0.05, 0.224, 1.0, 4.472, 20.0]
    """
    grid = np.geomspace(LOWEST_RATIO, HIGHEST_RATIO, n_demands)
    grid[int(np.argmin(np.abs(np.log(grid))))] = 1.0
    return np.asarray(grid)


def capacity_table(
    case: Case,
    n_gpus_per_replica: int,
    demand_ratio: Sequence[float] | Floats | None = None,
    why: tuple[str, ...] = (),
    progress: Callable[[float], None] | None = None,
) -> CapacityTable:
    """Replicas that meet the SLO at each multiple of the traffic, with the step time's error.

    The busiest window decides, or another where the whole stretch asks for more at demand 1; what
    it asks for beyond every window raises all rows by the same ratio. Headroom and spares of the
    case are left out: who reads the table adds them.

    Parameters
    ----------
    case : Case
    n_gpus_per_replica : int
    demand_ratio : float64 array, optional
        Rising, above 0; `demand_grid()` where not given [1].
    why : tuple of str
        What the step time rests on.
    progress : function of float, optional
        Told the share of rows that are done.

    Raises
    ------
    InputError
        Where no number of replicas meets the SLO at the expected step time, or requests do not
        fit the cache: says the best that can be had and what binds.
    """
    grid = demand_grid() if demand_ratio is None else np.asarray(demand_ratio, np.float64)
    needed, sought = needed_replicas(case)
    if isinstance(needed, Impossible):
        raise impossible_error(needed, "traffic")
    decided = confirmed(case, needed, sought)
    week = decided.whole
    rows = _rows_of(case, decided)
    mid = rows.along(grid, case.band.mid, progress, 0)
    low = rows.along(grid, case.band.low, progress, 1) if rows.has_error else mid
    high = rows.along(grid, case.band.high, progress, 2) if rows.has_error else mid
    tokens_per_s = week.tokens / _span_s(case.requests)
    used_frac = grid * tokens_per_s / (mid * full_load_tokens_per_s(case))
    return CapacityTable(
        demand_ratio=grid,
        n_replicas_low=np.minimum(low, mid),
        n_replicas_mid=mid,
        n_replicas_high=np.maximum(high, mid),
        utilization_frac=np.minimum(used_frac, 1.0),
        n_gpus_per_replica=n_gpus_per_replica,
        mean_requests_per_s=week.n_requests / _span_s(case.requests),
        mean_input_tokens_per_s=float(case.requests.input_tokens.sum()) / _span_s(case.requests),
        mean_output_tokens_per_s=float(case.requests.output_tokens.sum()) / _span_s(case.requests),
        prefix_hit_frac=week.prefix_hit_frac,
        basis=case.band.mid.basis,
        why=(*_why(case, decided), *rows.notes, *why),
    )


def impossible_error(found: Impossible, where: str) -> InputError:
    """An SLO that no fleet meets, as the error that a person reads.

    Parameters
    ----------
    found : Impossible
    where : str
    """
    mend = "loosen that target, or choose a faster GPU, more of them per replica, fewer bits"
    return InputError(where, "slo", "; ".join(found.why), mend)


@dataclass
class _Rows:
    """Searches along a grid of demand, each row beginning where the last one ended."""

    case: Case
    sought: Sizer
    n_at_one: int
    whole_ratio: float
    notes: tuple[str, ...] = ()

    @property
    def has_error(self) -> bool:
        return self.case.band.low is not self.case.band.mid and bool(
            (self.case.band.low.decode_s != self.case.band.high.decode_s).any()
        )

    def along(
        self, grid: Floats, step_time: StepTime, progress: Progress | None, part: int
    ) -> Floats:
        n_parts = 3 if self.has_error else 1
        counts = np.ones(len(grid))
        per_work = self.n_at_one / max(self.sought.fewest(), 1e-9)
        for row, ratio in enumerate(grid):
            sought = resized(self.case, step_time, self.sought.load, float(ratio), N_ROW_REQUESTS)
            n = sought.needed(max(1, round(sought.fewest() * per_work)))
            if n is None:
                n = self._unmet(sought)
            else:
                per_work = n / max(sought.fewest(), 1e-9)
            counts[row] = math.ceil(n * self.whole_ratio - 1e-9)
            if progress is not None:
                progress((part + (row + 1) / len(grid)) / n_parts)
        return np.asarray(np.maximum.accumulate(counts))

    def _unmet(self, sought: Sizer) -> int:
        """At the slow end no fleet meets the SLO: as many as keep up with the work."""
        note = (
            "at the slow end of the step time's interval no number of replicas meets "
            f"{self.case.slo.text}; counted there are those that keep up with the work"
        )
        if note not in self.notes:
            self.notes = (*self.notes, note)
        busy = self.sought.fewest() / self.n_at_one
        return max(1, math.ceil(sought.fewest() / min(max(busy, 0.1), 1.0)))


def _span_s(requests: Requests) -> float:
    return max(requests.duration_s, 1.0)


def _rows_of(case: Case, decided: Decided) -> _Rows:
    n_window = decided.sought.needed(decided.n_replicas) or decided.n_replicas
    return _Rows(case, decided.sought, n_window, decided.n_replicas / n_window)


def _why(case: Case, decided: Decided) -> tuple[str, ...]:
    load, n = decided.sought.load, decided.n_replicas
    span = duration_text(_span_s(case.requests))
    return (
        f"simulated: {load.judged.sum():,} requests of the busiest {duration_text(load.window_s)} "
        f"of {span}, held to {case.slo.text}; {n} replica{'s' if n > 1 else ''} at demand 1",
        f"binding at demand 1: {decided.binds.words}; {decided.binds.text}",
    )
