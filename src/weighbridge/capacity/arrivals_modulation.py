"""A rate that wanders: log-normal, correlated over several times at once, fitted and drawn.

A renewal process is as bursty over an hour as over a few gaps. Real traffic is burstier the longer
one looks, until the hours of the day explain it; so its rate is itself random here (a Cox process
whose points are those of a renewal process in the time that the random rate tells).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import lsq_linear, nnls
from scipy.signal import lfilter

from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

# Least variance over mean of counts that a fit may give to the gaps; 0 would be a clock.
LEAST_DISPERSION = 0.01
LEAST_WINDOWS = 8
LEAST_PER_WINDOW_REQUESTS = 0.25
_N_SCALES = 24
_CELLS_PER_CORRELATION = 4


@dataclass(frozen=True, slots=True)
class RateModulation:
    """What the rate is multiplied by: mean 1, the exponential of a sum of wandering terms.

    Attributes
    ----------
    correlation_s : float64 array of shape (K,)
        Time in which the correlation of each term falls by e [s].
    log_variance_ratio : float64 array of shape (K,)
        Variance of each term, in the logarithm of the rate [1].
    """

    correlation_s: Floats
    log_variance_ratio: Floats

    @property
    def cv_ratio(self) -> float:
        """Coefficient of variation of the rate [1]."""
        return math.sqrt(math.expm1(float(self.log_variance_ratio.sum())))


@dataclass(slots=True)
class Wandering:
    """Draws a modulation cell by cell, going on where it stopped; state of one synthesis."""

    modulation: RateModulation
    cell_s: float
    rng: np.random.Generator
    z: Floats = field(init=False)  # score of each term in the last cell

    def __post_init__(self) -> None:
        self.z = self.rng.standard_normal(len(self.modulation.correlation_s))

    def next_cells(self, n_cells: int) -> Floats:
        """Multiplier of the rate in the next cells [1]."""
        logs = np.full(n_cells, -0.5 * float(self.modulation.log_variance_ratio.sum()))
        terms = zip(self.modulation.correlation_s, self.modulation.log_variance_ratio, strict=True)
        for k, (correlation_s, variance) in enumerate(terms):
            kept = math.exp(-self.cell_s / correlation_s)
            noise = self.rng.standard_normal(n_cells) * math.sqrt(1 - kept**2)
            term, _ = lfilter([1.0], [1.0, -kept], noise, zi=np.array([kept * self.z[k]]))
            self.z[k] = term[-1]
            logs += math.sqrt(variance) * term
        multiplier: Floats = np.exp(logs)
        return multiplier


def cell_length_s(modulation: RateModulation, longest_s: float) -> float:
    """Length of the cells that a modulation is drawn in: a part of its quickest term [s].

    Parameters
    ----------
    modulation : RateModulation
    longest_s : float
        Where it does not wander [s].
    """
    if not len(modulation.correlation_s):
        return longest_s
    return float(modulation.correlation_s.min()) / _CELLS_PER_CORRELATION


def dispersion(arrival_s: Floats, window_s: float, duration_s: float) -> float:
    """Index of dispersion: variance over mean of the counts in whole windows [1].

    Parameters
    ----------
    arrival_s : float64 array
        From 0, not falling [s].
    window_s, duration_s : float
        [s]

    Examples
    --------
    >>> dispersion(np.array([0.5, 1.5, 2.5, 3.5]), 1.0, 4.0)
    0.0
    """
    n_windows = int(duration_s / window_s)
    if n_windows < 2:
        problem = f"{duration_s:g} s hold fewer than two windows of {window_s:g} s"
        raise InputError("requests", "arrival_s", problem, "give a longer stretch")
    counts = np.bincount((arrival_s / window_s).astype(np.int64), minlength=n_windows)[:n_windows]
    return float(counts.var(ddof=1) / counts.mean()) if counts.any() else math.nan


def _averaged(ratio: Floats) -> Floats:
    """Variance of a window's mean over that of an instant, by window over correlation time."""
    return np.where(
        ratio < 1e-4, 1 - ratio / 3, 2 * (ratio - 1 + np.exp(-ratio)) / np.maximum(ratio, 1e-9) ** 2
    )


def fit_modulation(
    arrival_s: Floats, duration_s: float, longest_s: float
) -> tuple[float, RateModulation]:
    """What of the dispersion of counts is the gaps' own, and how the rate must wander for the rest.

    Over windows of length w at mean rate r the relative variance of counts is

        V(w) = I / (r w) + sum_k v_k g(w / T_k),   g(x) = 2 (x - 1 + exp(-x)) / x^2

    with I the dispersion that the renewal process tends to (its squared coefficient of variation)
    and v_k the variance of the rate's part with correlation time T_k (Cox and Isham, "Point
    Processes", 1980, section 3.3). Seen in one stretch of length L it is V(w) - V(L). I and v_k of
    at least 0 are fitted by least squares on a grid of times, each window weighed by how well it is
    known; the covariances of the rate are then made those of a log-normal one.

    Parameters
    ----------
    arrival_s : float64 array
        From 0, not falling, the hours of the week taken out [s].
    duration_s : float
        [s]
    longest_s : float
        Longest window to look at [s].

    Returns
    -------
    float
        I [1].
    RateModulation
        Without terms where the traffic is too short or too even for any.
    """
    rate = len(arrival_s) / duration_s
    shortest = max(0.1, LEAST_PER_WINDOW_REQUESTS / rate)
    longest = min(longest_s, duration_s / LEAST_WINDOWS)
    if longest < 4 * shortest:
        return 1.0, RateModulation(np.empty(0), np.empty(0))
    windows_s = np.geomspace(shortest, longest, _N_SCALES)
    dispersions = np.array([dispersion(arrival_s, w, duration_s) for w in windows_s])
    relative = dispersions / (rate * windows_s)
    # The floor keeps windows that happen to count alike from weighing without bound.
    floor = LEAST_DISPERSION / (rate * windows_s)
    weights = 1 / ((relative + floor) * (np.sqrt(2 * windows_s / duration_s) + 0.02))
    times_s = np.geomspace(2 * shortest, 2 * longest, _N_SCALES // 2)
    # Windows are compared with the mean of this very stretch, which wanders too.
    terms = _averaged(windows_s[:, None] / times_s) - _averaged(duration_s / times_s)
    own = 1 / (rate * windows_s) - 1 / (rate * duration_s)
    design = np.column_stack([own, terms]) * weights[:, None]
    least = np.concatenate([[LEAST_DISPERSION], np.zeros(len(times_s))])
    fit = lsq_linear(design, relative * weights, (least, np.inf), method="bvls")
    return float(fit.x[0]), _log_normal(times_s, fit.x[1:])


def _log_normal(times_s: Floats, variance_ratio: Floats) -> RateModulation:
    """Terms of the logarithm whose exponential has the covariance sum_k v_k exp(-lag / T_k)."""
    lags_s = np.concatenate([[0.0], np.geomspace(times_s[0] / 8, times_s[-1] * 3, 4 * _N_SCALES)])
    decays = np.exp(-lags_s[:, None] / times_s)
    log_variances, _ = nnls(decays, np.log1p(decays @ variance_ratio))
    used = log_variances > 1e-6
    return RateModulation(times_s[used], log_variances[used])
