"""Errors on requests that a fit never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.calibrate.evidence import METRICS, Evidence
from weighbridge.capacity.calibrate.misfit import simulated_s
from weighbridge.capacity.step_time import EngineLimits, StepTime


@dataclass(frozen=True, slots=True)
class MetricError:
    """One metric of one run: measured, simulated, and how far apart.

    Attributes
    ----------
    run, metric : str
    n_requests : int
        Held out and measured.
    measured_mean_s, simulated_mean_s, measured_p90_s, simulated_p90_s : float
        Mean and 90th percentile over those requests [s].
    low_ratio, high_ratio : float
        5th and 95th percentile of measured over simulated, request by request.
    """

    run: str
    metric: str
    n_requests: int
    measured_mean_s: float
    simulated_mean_s: float
    measured_p90_s: float
    simulated_p90_s: float
    low_ratio: float
    high_ratio: float

    @property
    def mean_error_frac(self) -> float:
        """Simulated mean over measured mean, less one."""
        return self.simulated_mean_s / self.measured_mean_s - 1.0

    @property
    def p90_error_frac(self) -> float:
        """Simulated 90th percentile over measured, less one."""
        return self.simulated_p90_s / self.measured_p90_s - 1.0


def held_out_errors(
    evidence: Sequence[Evidence], step_time: StepTime, limits: EngineLimits
) -> tuple[MetricError, ...]:
    """Errors over the requests that each piece of evidence compares.

    Parameters
    ----------
    evidence : sequence of Evidence
        With the held-out requests as those used.
    step_time : StepTime
        Fitted on others.
    limits : EngineLimits

    Returns
    -------
    tuple of MetricError
        By run and metric; a metric that was not recorded is left out.
    """
    found = []
    for one in evidence:
        simulated = simulated_s(one, step_time, limits)
        for metric in METRICS:
            kept = one.used & np.isfinite(one.measured_s[metric])
            if not kept.any():
                continue
            ours, theirs = simulated[metric][kept], one.measured_s[metric][kept]
            low, high = np.quantile(theirs / ours, [0.05, 0.95]).tolist()
            found.append(
                MetricError(
                    run=one.name,
                    metric=metric,
                    n_requests=int(kept.sum()),
                    measured_mean_s=float(theirs.mean()),
                    simulated_mean_s=float(ours.mean()),
                    measured_p90_s=float(np.quantile(theirs, 0.9)),
                    simulated_p90_s=float(np.quantile(ours, 0.9)),
                    low_ratio=low,
                    high_ratio=high,
                )
            )
    return tuple(found)
