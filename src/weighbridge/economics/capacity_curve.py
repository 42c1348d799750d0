"""Traffic -> replicas as the simulation found it: a table that every draw looks up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.workload import Slice


@dataclass(frozen=True, slots=True)
class TypeWork:
    """Time of a replica under load that the tokens of one query type take.

    Attributes
    ----------
    input_s_per_token, output_s_per_token : float
        For one prompt token that is computed, and for one token of the answer, whose context is
        read with it [s].
    """

    input_s_per_token: float
    output_s_per_token: float


@dataclass(frozen=True)
class CapacityCurve:
    """Replicas that serve multiples of one stretch of traffic within the latency target.

    The busiest hour of that stretch was simulated, bursts and queues included: what a fleet needs
    on top is headroom and spare, and nothing else. Query types are told apart by the time of a
    replica that they take.

    Attributes
    ----------
    demand_ratio, n_replicas : array of shape (K,)
        Most traffic that a fleet of that size serves, as a multiple of the stretch; both rising.
    full_load_ratio : float
        Multiple of the stretch's mean traffic that one replica serves when it never waits [1].
    reference_work_s : float
        Replica time that a month of the stretch takes [s], as `work_s` counts it.
    reference_peak_ratio : float
        Busiest hour of the stretch against its mean hour [1].
    work : mapping of str to TypeWork
        By label of query type.

    Examples
    --------
    >>> curve = CapacityCurve(np.array([0.4, 1.0]), np.array([1.0, 2.0]), 0.8, 1.0, 3.0, {})
    >>> curve.replicas_at(np.array([0.0, 0.2, 0.7, 2.0])).tolist()
    [0.0, 0.5, 1.5, 4.0]
    """

    demand_ratio: Floats
    n_replicas: Floats
    full_load_ratio: float
    reference_work_s: float
    reference_peak_ratio: float
    work: Mapping[str, TypeWork]

    def __post_init__(self) -> None:
        for name in ("demand_ratio", "n_replicas"):
            values = getattr(self, name)
            if len(values) < 1 or values[0] <= 0 or np.any(np.diff(values) <= 0):
                raise ValueError(f"{name} does not rise from above 0")
        if len(self.demand_ratio) != len(self.n_replicas):
            raise ValueError("demand_ratio and n_replicas are not equally many")

    def replicas_at(self, demand_ratio: Floats) -> Floats:
        """Replicas, in parts, for any multiple of the stretch; same shape.

        Straight between the sizes that were simulated, so that rounding up is exact at them; below
        the first and above the last in proportion.
        """
        grid = np.concatenate(([0.0], self.demand_ratio))
        inside = np.interp(demand_ratio, grid, np.concatenate(([0.0], self.n_replicas)))
        beyond = self.n_replicas[-1] / grid[-1] * demand_ratio
        return np.asarray(np.where(demand_ratio > grid[-1], beyond, inside))

    def work_s(self, served: Slice, prefix_cache_retained_frac: Floats) -> Floats:
        """Replica time that a month of a slice takes [s]; shape of the share retained.

        Input that a provider's cache held is computed again but for the share that one's own
        prefix cache keeps.
        """
        known = [(t, self.work[t.label]) for t in served.types]
        always = sum(
            w.input_s_per_token * t.fresh_input_tokens + w.output_s_per_token * t.output_tokens
            for t, w in known
        )
        cached = sum(w.input_s_per_token * t.cache_read_tokens for t, w in known)
        return np.asarray(always + cached * (1 - prefix_cache_retained_frac))

    def hourly_peak_ratio(self, served: Slice) -> float:
        """Busiest hour of the week against the mean hour of a slice, in replica time [1]."""
        work = np.zeros(168)
        for t in served.types:
            w = self.work[t.label]
            if t.hourly_input_tokens is not None:
                work = work + w.input_s_per_token * t.hourly_input_tokens
            if t.hourly_output_tokens is not None:
                work = work + w.output_s_per_token * t.hourly_output_tokens
        mean = float(np.nanmean(work))
        return float(np.nanmax(work)) / mean if mean > 0 else 1.0
