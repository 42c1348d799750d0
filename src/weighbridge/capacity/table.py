"""Demand -> replicas with its error: what a Monte Carlo reads instead of simulating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from weighbridge.capacity.step_time import Basis
from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

# Standard normal score of the bounds of an interval that holds 90 % (`prediction.Interval`).
BOUND_SCORE = 1.6448536269514722
_WHOLE = 1e-9  # an interpolated 3.0000000001 is three replicas


@dataclass(frozen=True, slots=True)
class CapacityTable:
    """Replicas that meet the latency target, by multiples of one stretch of traffic.

    Neither headroom nor spare is in it: ask for `demand_ratio * (1 + headroom_frac)` and add the
    spare replicas afterwards.

    Attributes
    ----------
    demand_ratio : float64 array of shape (K,)
        Traffic against the stretch that was simulated, rising; 1 is the stretch itself [1].
    n_replicas_low, n_replicas_mid, n_replicas_high : float64 arrays of shape (K,)
        Fewest replicas that meet the target where the step time is at the fast end of its 90 %
        interval, in its middle and at its slow end; whole numbers, none falling with demand.
    utilization_frac : float64 array of shape (K,)
        Tokens served over those that `n_replicas_mid` would serve at full load, mean over the
        stretch [1]. (Replicas are in some iteration nearly always; that says little.)
    n_gpus_per_replica : int
    mean_requests_per_s, mean_input_tokens_per_s, mean_output_tokens_per_s : float
        Of the stretch at demand 1 [requests/s, tokens/s].
    prefix_hit_frac : float
        Share of prompt tokens that came from the prefix cache at demand 1 [1].
    basis : {"calibrated", "measured", "exported", "roofline"}
        What the step time rests on.
    why : tuple of str
        What was simulated, against which target, and why the interval is as wide as it is.
    """

    demand_ratio: Floats
    n_replicas_low: Floats
    n_replicas_mid: Floats
    n_replicas_high: Floats
    utilization_frac: Floats
    n_gpus_per_replica: int
    mean_requests_per_s: float
    mean_input_tokens_per_s: float
    mean_output_tokens_per_s: float
    prefix_hit_frac: float
    basis: Basis
    why: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        d = self.demand_ratio
        if len(d) < 2 or d[0] <= 0 or (np.diff(d) <= 0).any():
            raise _fault("demand_ratio", "is not rising from above 0", "give two or more, rising")
        bounds = (self.n_replicas_low, self.n_replicas_mid, self.n_replicas_high)
        for n in (*bounds, self.utilization_frac):
            if len(n) != len(d):
                raise _fault("n_replicas", f"has not {len(d)} values", "give one per demand")
        for n in bounds:
            if (np.diff(n) < 0).any() or n[0] < 1:
                raise _fault("n_replicas", "falls or is below 1", "give what each demand needs")
        if (bounds[0] > bounds[1]).any() or (bounds[1] > bounds[2]).any():
            raise _fault("n_replicas", "has low above mid or mid above high", "order the bounds")

    def replicas_at(self, demand_ratio: ArrayLike, error_score: ArrayLike) -> Floats:
        """Replicas for each draw of demand and of the step time's error, without a loop.

        Along demand the replicas are interpolated linearly between the rows and rounded up, which
        is exact at the rows and never too few by more than the simulation's own grain. Along the
        error their logarithm is: -1.645, 0 and 1.645 are low, mid and high, and scores beyond go on
        at the mean ratio of the columns. Above the last row
        every further multiple takes as many replicas as the last row's did (`is_extrapolated`).

        Parameters
        ----------
        demand_ratio : array
            Traffic against the stretch that was simulated, 0 or more [1].
        error_score : array
            Standard normal score of the step time's error, above 0 for slower than expected;
            broadcast against `demand_ratio`.

        Returns
        -------
        float64 array
            Whole replicas, at least 1 where there is any demand; rises with both arguments.

        Raises
        ------
        InputError
            Where a demand is negative or either argument is not finite.

        Examples
        --------
        >>> table = CapacityTable(
        ...     np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([2.0, 4.0]),
        ...     np.array([4.0, 8.0]), np.array([0.5, 0.6]), 1, 1.0, 1.0, 1.0, 0.0, "roofline")
        >>> table.replicas_at([0.0, 1.0, 1.2, 3.0], 0.0).tolist()
        [0.0, 2.0, 3.0, 6.0]
        >>> table.replicas_at(1.0, [-1.6448536269514722, 1.6448536269514722]).tolist()
        [1.0, 4.0]
        """
        demand, score = np.broadcast_arrays(
            np.asarray(demand_ratio, np.float64), np.asarray(error_score, np.float64)
        )
        if not (np.isfinite(demand).all() and (demand >= 0).all()):
            raise _fault("demand_ratio", "is negative or not finite", "give 0 or more")
        if not np.isfinite(score).all():
            raise _fault("error_score", "is not finite", "give standard normal scores")
        low, mid, high = (
            self._along_demand(n, demand)
            for n in (self.n_replicas_low, self.n_replicas_mid, self.n_replicas_high)
        )
        inside = np.clip(score / BOUND_SCORE, -1.0, 1.0)
        beyond = score / BOUND_SCORE - inside
        bound = np.where(score < 0, low, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = np.where(mid > 0, mid * (bound / mid) ** np.abs(inside), 0.0)
        worth = worth * np.where(score < 0, self._width(0), self._width(1)) ** beyond
        whole = np.maximum(np.ceil(worth * (1 - _WHOLE)), 1.0)
        return np.asarray(np.where(demand > 0, whole, 0.0))

    def is_extrapolated(self, demand_ratio: ArrayLike) -> np.ndarray:
        """Whether each demand lies beyond the last row, where nothing was simulated.

        Parameters
        ----------
        demand_ratio : array
            Traffic against the stretch that was simulated [1].
        """
        return np.asarray(np.asarray(demand_ratio) > self.demand_ratio[-1])

    def _width(self, side: int) -> float:
        """Ratio of neighbouring columns, the same for all demands so that rows stay in order."""
        lower, upper = (
            (self.n_replicas_low, self.n_replicas_mid),
            (self.n_replicas_mid, self.n_replicas_high),
        )[side]
        return float(np.exp(np.mean(np.log(upper / lower))))

    def _along_demand(self, n_replicas: Floats, demand_ratio: Floats) -> Floats:
        """Replicas' worth of each demand, straight to 0 below the first row."""
        grid = np.concatenate(([0.0], self.demand_ratio))
        inside = np.interp(demand_ratio, grid, np.concatenate(([0.0], n_replicas)))
        beyond = n_replicas[-1] / grid[-1] * demand_ratio
        return np.asarray(np.where(demand_ratio > grid[-1], beyond, inside))


def _fault(field: str, problem: str, mend: str) -> InputError:
    return InputError("CapacityTable", field, problem, mend)
