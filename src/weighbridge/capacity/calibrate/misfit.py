"""How far simulated latencies lie from measured ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from weighbridge.capacity.calibrate.evidence import METRICS, Evidence
from weighbridge.capacity.calibrate.parameters import parameters_at, step_time_of
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate, simulate_closed_loop
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats, Ints

ONE_REPLICA = FleetPlan(n_replicas=1)
WORST = 1.0  # logarithm beyond which a miss is a miss: outliers pull no further
_MOST_BLOCKS, _LEAST_IN_BLOCK = 40, 8
_FINEST = 0.002  # mean miss below which nothing is gained: timers and iterations are no finer
_LEAST_S = 1e-9
# Of the starting point, for a parameter off by a factor of e; no more than twice that far, so that
# what the start holds for nothing may still be something.
_PULL = 0.02


class Misfit:
    """The function that a calibration makes least.

    For each run and each of the three metrics, the logarithm of the mean of
    |ln(simulated / measured)| over requests: the negative log-likelihood per request of errors
    that follow Laplace's law, with a scale of its own for each metric, at its best value. So a
    metric that can be met closely (time per token) counts for more than a noisy one (first
    tokens). Where a starting point is given, each parameter is drawn to it so weakly that only
    what the data leave open follows it.

    Parameters
    ----------
    evidence : sequence of Evidence
    limits : EngineLimits
    x_start : float64 array of shape (9,), optional
        Logarithms of a starting point.
    on_evaluation : callable, optional
        Called after each evaluation.
    """

    def __init__(
        self,
        evidence: Sequence[Evidence],
        limits: EngineLimits,
        x_start: Floats | None = None,
        on_evaluation: Callable[[], None] | None = None,
    ) -> None:
        self.evidence, self.limits = tuple(evidence), limits
        self._x_start = x_start
        self._on_evaluation = on_evaluation
        self._blocks = [_blocks(one) for one in self.evidence]
        self.n_blocks = sum(int(one[-1]) + 1 for one in self._blocks)
        self._weights = np.ones(self.n_blocks)
        self.n_evaluations = 0
        self._tried: list[tuple[float, Floats]] = []

    def weighing(self, weights: Floats) -> Misfit:
        """The same with blocks of consecutive requests weighed.

        Parameters
        ----------
        weights : float64 array of shape (n_blocks,)

        Returns
        -------
        Misfit
        """
        other = Misfit(self.evidence, self.limits, self._x_start, self._on_evaluation)
        other._weights = weights
        return other

    def __call__(self, x: Floats) -> float:
        """The misfit at a point of the search.

        Parameters
        ----------
        x : float64 array of shape (9,)
            Logarithms of the parameters.

        Returns
        -------
        float
        """
        step_time = step_time_of(parameters_at(x), self.limits)
        total, first = 0.0, 0
        for one, block in zip(self.evidence, self._blocks, strict=True):
            weights = self._weights[first + block]
            first += int(block[-1]) + 1
            simulated = simulated_s(one, step_time, self.limits)
            for metric in METRICS:
                kept = one.used & np.isfinite(one.measured_s[metric])
                drawn = float(weights[kept].sum())
                if drawn > 0:
                    misses = _misses(simulated[metric][kept], one.measured_s[metric][kept])
                    total += math.log(float(weights[kept] @ misses) / drawn + _FINEST)
        self.n_evaluations += 1
        if self._on_evaluation is not None:
            self._on_evaluation()
        found = total / len(self.evidence) + self.pull(x)
        self._tried.append((found, np.array(x)))
        return found

    def tried_within(self, level: float) -> list[Floats]:
        """Points evaluated so far whose misfit is no larger than a level.

        Parameters
        ----------
        level : float

        Returns
        -------
        list of float64 arrays of shape (9,)
        """
        return [x for found, x in self._tried if found <= level]

    def pull(self, x: Floats) -> float:
        """What the starting point adds to the misfit.

        Parameters
        ----------
        x : float64 array of shape (9,)

        Returns
        -------
        float
        """
        if self._x_start is None:
            return 0.0
        off = np.minimum(np.abs(x - self._x_start), 2.0)
        return _PULL * float((off**2).sum())


def simulated_s(evidence: Evidence, step_time: StepTime, limits: EngineLimits) -> dict[str, Floats]:
    """Latencies of a run as one replica would have given them, by metric [s].

    Arrivals are replayed; those of a closed loop follow from when simulated requests end.

    Parameters
    ----------
    evidence : Evidence
    step_time : StepTime
    limits : EngineLimits

    Returns
    -------
    mapping of metric to float64 array of shape (N,)
    """
    outcome: Outcome
    if evidence.n_concurrent is None:
        outcome = simulate(evidence.requests, step_time, limits, ONE_REPLICA)
    else:
        outcome = simulate_closed_loop(
            evidence.requests, evidence.n_concurrent, step_time, limits, ONE_REPLICA
        )
    return {"ttft": outcome.ttft_s, "tpot": outcome.tpot_s, "e2e": outcome.e2e_s}


def _misses(simulated_s: Floats, measured_s: Floats) -> Floats:
    """|ln(simulated / measured)|, no more than `WORST`."""
    logs = np.log(np.maximum(simulated_s, _LEAST_S) / measured_s)
    return np.asarray(np.minimum(np.abs(logs), WORST))


def _blocks(evidence: Evidence) -> Ints:
    """The block that each request is in: by order of arrival, of those that are compared."""
    order: Ints = np.cumsum(evidence.used) - evidence.used
    n_blocks = max(1, min(_MOST_BLOCKS, evidence.n_used // _LEAST_IN_BLOCK))
    return np.asarray(np.minimum(order * n_blocks // max(evidence.n_used, 1), n_blocks - 1))
