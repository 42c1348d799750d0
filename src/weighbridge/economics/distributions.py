"""Distributions of inputs, told by what people know: a number, P10-P50-P90, a range, an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

Z90 = 1.2815515655446004  # standard normal quantile of 0.9


class Distribution(Protocol):
    """Anything that maps probabilities to values."""

    def quantile(self, u: Floats) -> Floats:
        """Values at probabilities `u` in (0, 1); same shape."""

    @property
    def is_certain(self) -> bool:
        """Whether every draw is the same number."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """One number."""

    value: float

    def quantile(self, u: Floats) -> Floats:
        """The number, in the shape of `u`."""
        return np.full(np.shape(u), self.value)

    @property
    def is_certain(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Banded:
    """Two-piece normal through P10, P50 and P90; in logarithms where P10 is above zero.

    The two halves of a normal have their own spread, so the three quantiles hold exactly. Values
    beyond `lower` or `upper`, the bounds of the input's meaning, take the bound's value.

    Examples
    --------
    >>> band = Banded(2.0, 3.0, 6.0)
    >>> [round(float(x), 6) for x in band.quantile(np.array([0.1, 0.5, 0.9]))]
    [2.0, 3.0, 6.0]
    """

    p10: float
    p50: float
    p90: float
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        if not self.p10 <= self.p50 <= self.p90:
            raise ValueError(f"P10 {self.p10}, P50 {self.p50}, P90 {self.p90} are not in order")

    def quantile(self, u: Floats) -> Floats:
        """Values at probabilities `u`; same shape."""
        z = ndtri(u)
        values: Floats
        if self.p10 > 0:
            low, high = np.log(self.p50 / self.p10) / Z90, np.log(self.p90 / self.p50) / Z90
            values = self.p50 * np.exp(z * np.where(z < 0, low, high))
        else:
            low, high = (self.p50 - self.p10) / Z90, (self.p90 - self.p50) / Z90
            values = self.p50 + z * np.where(z < 0, low, high)
        if self.lower is not None or self.upper is not None:
            values = np.clip(values, self.lower, self.upper)
        return values

    @property
    def is_certain(self) -> bool:
        """Where the three quantiles are one number."""
        return self.p10 == self.p90


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every value between two bounds alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -np.inf < self.low <= self.high < np.inf:
            raise ValueError(f"low {self.low} and high {self.high} are not in order")

    def quantile(self, u: Floats) -> Floats:
        """Values at probabilities `u`; same shape."""
        return self.low + (self.high - self.low) * u

    @property
    def is_certain(self) -> bool:
        """Where both bounds are one number."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Triangular:
    """Between two bounds, with a mode.

    Examples
    --------
    >>> float(Triangular(0.0, 1.0, 2.0).quantile(np.array([0.5]))[0])
    1.0
    """

    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.mode <= self.high:
            raise ValueError(f"low {self.low}, mode {self.mode}, high {self.high} are not in order")

    def quantile(self, u: Floats) -> Floats:
        """Values at probabilities `u`; same shape."""
        width = self.high - self.low
        if width == 0:
            return np.full(np.shape(u), self.low)
        left, right = self.mode - self.low, self.high - self.mode
        rising = self.low + np.sqrt(u * width * left)
        falling = self.high - np.sqrt((1 - u) * width * right)
        return np.where(u < left / width, rising, falling)

    @property
    def is_certain(self) -> bool:
        """Where both bounds are one number."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Discrete:
    """One of several values with given weights; its median is the central case."""

    values: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.weights) or not self.values:
            raise ValueError("values and weights must be equally many, and at least one")
        if not (min(self.weights) >= 0 and 0 < sum(self.weights) < np.inf):
            raise ValueError("weights must be finite, not negative, and one above zero")

    def quantile(self, u: Floats) -> Floats:
        """Values at probabilities `u`; same shape."""
        order = np.argsort(self.values)
        edges = np.cumsum(np.asarray(self.weights, float)[order]) / sum(self.weights)
        picked = np.minimum(np.searchsorted(edges, u, side="right"), len(order) - 1)
        return np.asarray(self.values, float)[order][picked]

    @property
    def is_certain(self) -> bool:
        """Where there is one value."""
        return len(set(self.values)) == 1


@dataclass(frozen=True, slots=True)
class Event:
    """1 where it happens, else 0; the central case is without it unless it is the likelier.

    Examples
    --------
    >>> Event(0.3).quantile(np.array([0.5, 0.69, 0.71])).tolist()
    [0.0, 0.0, 1.0]
    """

    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability {self.probability} is not between 0 and 1")

    def quantile(self, u: Floats) -> Floats:
        """1 in the upper `probability` of `u`, else 0; same shape."""
        return (np.asarray(u) > 1 - self.probability).astype(np.float64)

    @property
    def is_certain(self) -> bool:
        """Where it never or always happens."""
        return self.probability in {0.0, 1.0}


def quantiles(distribution: Distribution, probabilities: Sequence[float]) -> tuple[float, ...]:
    """Values at a few probabilities."""
    return tuple(float(x) for x in distribution.quantile(np.asarray(probabilities, float)))
