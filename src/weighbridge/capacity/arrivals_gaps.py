"""Gaps between arrivals: Gamma or Weibull laws of mean one, fitted, drawn, and drawn from amid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, gammaln

from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

Family = Literal["gamma", "weibull"]
FAMILIES: tuple[Family, ...] = ("gamma", "weibull")

LEAST_GAPS = 50
_LOG_SHAPES = (math.log(1e-4), math.log(1e5))
_LOG_WEIBULL_SHAPES = (math.log(0.05), math.log(500.0))


@dataclass(frozen=True, slots=True)
class GapLaw:
    """Law of the gaps of a renewal process, in units of their mean.

    Attributes
    ----------
    family : {"gamma", "weibull"}
    shape_ratio : float
        Shape parameter [1]; 1 is Poisson traffic in both families, below it is burstier.
    """

    family: Family
    shape_ratio: float

    @property
    def cv_ratio(self) -> float:
        """Coefficient of variation of the gaps [1]."""
        if self.family == "gamma":
            return 1 / math.sqrt(self.shape_ratio)
        return math.sqrt(math.expm1(_log_weibull_spread(self.shape_ratio)))

    def draw(self, rng: np.random.Generator, n_gaps: int) -> Floats:
        """Gaps of mean 1.

        Parameters
        ----------
        rng : numpy.random.Generator
        n_gaps : int
        """
        if self.family == "gamma":
            return rng.standard_gamma(self.shape_ratio, n_gaps) / self.shape_ratio
        return rng.weibull(self.shape_ratio, n_gaps) / math.gamma(1 + 1 / self.shape_ratio)

    def first(self, rng: np.random.Generator) -> float:
        """Wait for the first arrival when looking in at any moment.

        A uniform share of a length-biased gap (Cox, "Renewal Theory", 1962, chapter 5). Counting
        from it, the expected count over any stretch is exactly its length; counting from an
        arrival instead gives (cv^2 - 1) / 2 too many.

        Parameters
        ----------
        rng : numpy.random.Generator
        """
        shape = self.shape_ratio
        if self.family == "gamma":
            biased = rng.standard_gamma(shape + 1) / shape
        else:
            biased = rng.standard_gamma(1 + 1 / shape) ** (1 / shape) / math.gamma(1 + 1 / shape)
        return float(rng.random() * biased)


def _log_weibull_spread(shape_ratio: float) -> float:
    """Logarithm of the mean square over the squared mean."""
    return float(gammaln(1 + 2 / shape_ratio) - 2 * gammaln(1 + 1 / shape_ratio))


def gap_law_of(family: Family, cv_ratio: float) -> GapLaw:
    """The law of a family that has a coefficient of variation.

    Parameters
    ----------
    family : {"gamma", "weibull"}
    cv_ratio : float
        From 0.01 up [1].

    Raises
    ------
    InputError
        For a coefficient that the family cannot have.

    Examples
    --------
    >>> gap_law_of("gamma", 2.0).shape_ratio
    0.25
    >>> round(gap_law_of("weibull", 2.0).shape_ratio, 4)
    0.5427
    """
    if not 0.01 <= cv_ratio <= 1000.0:
        mend = "give one between 0.01 and 1000"
        raise InputError("GapLaw", "cv_ratio", f"is {cv_ratio}", mend)
    if family == "gamma":
        return GapLaw(family, cv_ratio**-2)
    aim = math.log1p(cv_ratio**2)
    log_shape = brentq(lambda x: _log_weibull_spread(math.exp(x)) - aim, *_LOG_WEIBULL_SHAPES)
    return GapLaw(family, math.exp(log_shape))


def fit_gaps(gaps_s: Floats) -> GapLaw:
    """The family and shape that make the gaps most likely.

    Parameters
    ----------
    gaps_s : float64 array
        At least 50 of them; those of 0 say nothing of a continuous law and are left out [s].

    Raises
    ------
    InputError
        For too few gaps, or gaps that are all one length.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> law = fit_gaps(3.0 * rng.weibull(0.5, 20_000))
    >>> law.family, round(law.shape_ratio, 2)
    ('weibull', 0.5)
    """
    gaps = gaps_s[gaps_s > 0]
    if len(gaps) < LEAST_GAPS:
        problem = f"{len(gaps)} gaps between arrivals are too few to fit a law to"
        raise InputError("requests", "arrival_s", problem, f"give {LEAST_GAPS + 1} requests")
    x = gaps / gaps.mean()
    log_x = np.log(x)
    spread = -float(log_x.mean())  # of mean 1: the logarithm of the mean over the mean logarithm
    if spread < 1e-9:
        problem = "requests come at one fixed interval"
        raise InputError("requests", "arrival_s", problem, "give traffic as it came")
    gamma = math.exp(brentq(lambda v: v - digamma(math.exp(v)) - spread, *_LOG_SHAPES))
    weibull = math.exp(brentq(_weibull_slope, *_LOG_WEIBULL_SHAPES, args=(log_x,)))
    likelihood = {
        "gamma": gamma * math.log(gamma) - gammaln(gamma) - (gamma - 1) * spread - gamma,
        "weibull": math.log(weibull)
        - float(np.log(_powers(weibull, log_x).mean()))
        - (weibull - 1) * spread
        - 1,
    }
    if likelihood["gamma"] >= likelihood["weibull"]:
        return GapLaw("gamma", gamma)
    return GapLaw("weibull", weibull)


def _powers(shape_ratio: float, y: Floats) -> Floats:
    """Gaps to a power, from their logarithms."""
    return np.exp(shape_ratio * y)


def _weibull_slope(x: float, y: Floats) -> float:
    """Slope of the likelihood by the shape, the scale at its best; logarithms of shape and gaps."""
    shape_ratio = math.exp(x)
    powers = _powers(shape_ratio, y - y.max())  # the largest is 1: no overflow
    return float(1 / shape_ratio - (powers * y).sum() / powers.sum() + y.mean())
