"""A rate that wanders: Gamma-distributed, correlated over several times at once; fitted, drawn.

A renewal process is as bursty over an hour as over a few gaps. Real traffic is burstier the longer
one looks, until the hours of the day explain it; so its rate is itself random here (a Cox process
whose points are those of a renewal process in the time that the random rate tells).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar, nnls
from scipy.signal import lfilter
from scipy.special import gammainc, gammainccinv, ndtr

from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

LEAST_WINDOWS = 8
LEAST_PER_WINDOW_REQUESTS = 0.25
_N_SCALES = 24
# Variations of the gaps that are tried, up to far beyond any trace's.
_LEAST_CV_RATIO, _MOST_CV_RATIO = 0.2, 8.0
_N_CVS = 12
_CELLS_PER_CORRELATION = 4
_LEAST_VARIANCE = 1e-4  # below it the rate stands still
_SCORES = np.linspace(-8.0, 8.0, 3201)
_CORRELATIONS = np.linspace(0.0, 1.0, 201)
_N_HERMITE = 60


@dataclass(frozen=True, slots=True)
class RateModulation:
    """What the rate is multiplied by: mean 1, Gamma-distributed, a wandering normal score in it.

    Of the laws of one variance, Gamma's leaves more near-silence and fewer towering bursts than the
    log-normal one, which is nearer to what is measured: drawn from Azure's code trace, gaps vary
    by 5.4 with it and by 3.0 log-normally, where the trace has 13.

    Attributes
    ----------
    variance_ratio : float
        Of the multiplier; 0 for a rate that stands still [1].
    correlation_s : float64 array of shape (K,)
        Time in which the correlation of each term of the score falls by e [s].
    weight_ratio : float64 array of shape (K,)
        Variance of each term; they sum to 1 [1].
    """

    variance_ratio: float
    correlation_s: Floats
    weight_ratio: Floats

    @property
    def cv_ratio(self) -> float:
        """Coefficient of variation of the rate [1]."""
        return math.sqrt(self.variance_ratio)


STILL = RateModulation(0.0, np.empty(0), np.empty(0))


@dataclass(slots=True)
class Wandering:
    """Draws a modulation cell by cell, going on where it stopped; state of one synthesis."""

    modulation: RateModulation
    cell_s: float
    rng: np.random.Generator
    z: Floats = field(init=False)  # score of each term in the last cell
    _multiplier_ratio: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.z = self.rng.standard_normal(len(self.modulation.correlation_s))
        if self.modulation.variance_ratio > 0:
            self._multiplier_ratio = _multipliers(self.modulation.variance_ratio)

    def next_cells(self, n_cells: int) -> Floats:
        """Multiplier of the rate in the next cells [1]."""
        if self.modulation.variance_ratio == 0:
            return np.ones(n_cells)
        scores = np.zeros(n_cells)
        terms = zip(self.modulation.correlation_s, self.modulation.weight_ratio, strict=True)
        for k, (correlation_s, weight) in enumerate(terms):
            kept = math.exp(-self.cell_s / correlation_s)
            noise = self.rng.standard_normal(n_cells) * math.sqrt(1 - kept**2)
            term, _ = lfilter([1.0], [1.0, -kept], noise, zi=np.array([kept * self.z[k]]))
            self.z[k] = term[-1]
            scores += math.sqrt(weight) * term
        return np.asarray(np.interp(scores, _SCORES, self._multiplier_ratio), np.float64)


def _multipliers(variance_ratio: float) -> Floats:
    """Gamma quantiles of mean 1 at each of the scores; by the upper tail, to keep its digits."""
    shape = 1 / variance_ratio
    return np.asarray(gammainccinv(shape, ndtr(-_SCORES)) / shape, np.float64)


def _covariances(variance_ratio: float) -> Floats:
    """Covariance of two multipliers for each of the correlations of their scores.

    By Hermite polynomials: sum_n c_n^2 rho^n / n! with c_n = E[M(Z) He_n(Z)] (Mehler's formula),
    scaled so that the multiplier keeps its own variance at correlation 1.
    """
    density = np.exp(-(_SCORES**2) / 2) / math.sqrt(2 * math.pi) * (_SCORES[1] - _SCORES[0])
    weighted = _multipliers(variance_ratio) * density
    before, polynomial = np.ones_like(_SCORES), _SCORES.copy()
    total = np.zeros_like(_CORRELATIONS)
    for n in range(1, _N_HERMITE):
        # He_n over the root of n!, so that neither overflows.
        total += float(weighted @ polynomial) ** 2 * _CORRELATIONS**n
        following = (_SCORES * polynomial - math.sqrt(n) * before) / math.sqrt(n + 1)
        before, polynomial = polynomial, following
    return np.asarray(total * (variance_ratio / total[-1]), np.float64)


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


def renewal_dispersion(cv_ratio: float, counted_requests: Floats) -> Floats:
    """Index of dispersion of a renewal process over windows of a mean count [1].

    Of an equilibrium process with Gamma gaps of shape k = 1 / cv^2, whose sums are Gamma again:

        Var N(t) = t + 2 int_0^t sum_n P(nk, ku) du - t^2

    (Cox, "Renewal Theory", 1962, section 4.5; P is the regularized incomplete gamma function and
    t counts mean gaps). It begins at 1 and ends at cv^2; the sum is cut where it has settled, and
    the tail taken as cv^2 + c / t.

    Parameters
    ----------
    cv_ratio : float
        Of the gaps [1].
    counted_requests : float64 array
        Mean counts of the windows.

    Examples
    --------
    >>> renewal_dispersion(1.0, np.array([0.1, 10.0])).round(2).tolist()
    [1.0, 1.0]
    >>> renewal_dispersion(3.0, np.array([1e4])).round(1).tolist()
    [9.0]
    """
    shape = cv_ratio**-2
    settled = 20.0 * max(1.0, cv_ratio**2)
    grid = np.concatenate([[0.0], np.geomspace(1e-6, settled, 400)])
    n_most = int(settled + 8 * cv_ratio * math.sqrt(settled)) + 8
    renewals = gammainc(np.arange(1, n_most + 1) * shape, shape * grid[:, None]).sum(axis=1)
    area = np.concatenate([[0.0], np.cumsum(np.diff(grid) * (renewals[1:] + renewals[:-1]) / 2)])
    inside = np.interp(np.minimum(counted_requests, settled), grid, area)
    near = np.minimum(counted_requests, settled)
    index = 1 + 2 * inside / near - near
    rest = (index - cv_ratio**2) * settled
    far = cv_ratio**2 + rest / counted_requests
    index = np.where(counted_requests <= settled, index, far)
    return np.asarray(index, np.float64)


@dataclass(frozen=True, slots=True)
class _Dispersions:
    """What counts in windows of several lengths tell: relative variances, and how well known."""

    rate_requests_per_s: float
    duration_s: float
    windows_s: Floats
    times_s: Floats
    variance_ratio: Floats
    weights: Floats

    def wandering(self, x: float) -> tuple[float, Floats]:
        """Misfit and variances of the rate that fit best, by the logarithm of the gaps' cv."""
        counted = self.rate_requests_per_s * np.append(self.windows_s, self.duration_s)
        renewal = renewal_dispersion(math.exp(x), counted) / counted
        # Windows are compared with the mean of this very stretch, which varies too.
        own = renewal[:-1] - renewal[-1]
        whole = _averaged(self.duration_s / self.times_s)
        terms = _averaged(self.windows_s[:, None] / self.times_s) - whole
        left = (self.variance_ratio - own) * self.weights
        variances, misfit = nnls(terms * self.weights[:, None], left)
        return float(misfit), variances


def _dispersions(arrival_s: Floats, duration_s: float, longest_s: float) -> _Dispersions | None:
    rate = len(arrival_s) / duration_s
    shortest = max(0.1, LEAST_PER_WINDOW_REQUESTS / rate)
    longest = min(longest_s, duration_s / LEAST_WINDOWS)
    if longest < 4 * shortest:
        return None
    windows_s = np.geomspace(shortest, longest, _N_SCALES)
    indices = np.array([dispersion(arrival_s, w, duration_s) for w in windows_s])
    relative = indices / (rate * windows_s)
    # The floor keeps windows that happen to count alike from weighing without bound.
    floor = 0.01 / (rate * windows_s)
    weights = 1 / ((relative + floor) * (np.sqrt(2 * windows_s / duration_s) + 0.02))
    times_s = np.geomspace(2 * shortest, 2 * longest, _N_SCALES // 2)
    return _Dispersions(rate, duration_s, windows_s, times_s, relative, weights)


def fit_modulation(
    arrival_s: Floats, duration_s: float, longest_s: float, plain_cv_ratio: float = 1.0
) -> tuple[float, RateModulation] | None:
    """How bursty the gaps are by themselves, and how the rate must wander for the rest.

    Over windows of length w at mean rate r the relative variance of counts is

        V(w) = I(r w) / (r w) + sum_k v_k g(w / T_k),   g(x) = 2 (x - 1 + exp(-x)) / x^2

    with I the dispersion of a renewal process (`renewal_dispersion`) and v_k the variance of the
    rate's part with correlation time T_k (Cox and Isham, "Point Processes", 1980, section 3.3).
    Seen in one stretch of length L it is V(w) - V(L). For each variation of the gaps the v_k of at
    least 0 are fitted by least squares on a grid of times, each window weighed by how well it is
    known; the variation with the least misfit is taken, and the rate made a Gamma-distributed one
    of these covariances.

    Parameters
    ----------
    arrival_s : float64 array
        From 0, not falling, the hours of the week taken out [s].
    duration_s : float
        [s]
    longest_s : float
        Longest window to look at [s].
    plain_cv_ratio : float
        Of the likeliest law of the gaps without wandering: only where this is below 1 may the
        gaps be more even than Poisson's, for even gaps under a rate that flickers faster than
        they follow cannot be told from bursty ones [1].

    Returns
    -------
    (float, RateModulation), optional
        Coefficient of variation of the gaps, and the modulation; None for traffic too short to
        tell them apart.
    """
    seen = _dispersions(arrival_s, duration_s, longest_s)
    if seen is None:
        return None
    least = min(1.0, max(plain_cv_ratio, _LEAST_CV_RATIO))
    tried = np.linspace(math.log(least), math.log(_MOST_CV_RATIO), _N_CVS)
    best = tried[int(np.argmin([seen.wandering(float(x))[0] for x in tried]))]
    step = tried[1] - tried[0]
    near = (max(best - step, tried[0]), min(best + step, tried[-1]))
    found = minimize_scalar(
        lambda x: seen.wandering(x)[0], bounds=near, method="bounded", options={"xatol": 0.005}
    )
    return math.exp(found.x), _gamma(seen.times_s, seen.wandering(found.x)[1])


def _gamma(times_s: Floats, variance_ratio: Floats) -> RateModulation:
    """The modulation whose covariance is nearest to sum_k v_k exp(-lag / T_k)."""
    total = float(variance_ratio.sum())
    if total < _LEAST_VARIANCE:
        return STILL
    lags_s = np.concatenate([[0.0], np.geomspace(times_s[0] / 8, times_s[-1] * 3, 4 * _N_SCALES)])
    decays = np.exp(-lags_s[:, None] / times_s)
    scores = np.interp(decays @ variance_ratio, _covariances(total), _CORRELATIONS)
    weights, _ = nnls(decays, scores)
    used = weights > 1e-6
    return RateModulation(total, times_s[used], weights[used] / weights[used].sum())
