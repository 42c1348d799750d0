"""Cost lines: every cost is a named line, month by month."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from weighbridge.economics.distributions import Floats

CATEGORIES: tuple[str, ...] = (
    "tokens",
    "gpus",
    "supporting infrastructure",
    "storage",
    "network",
    "power and hosting",
    "deployment labour",
    "on-call and upkeep",
    "upgrades and migration",
    "hiring and ramp",
    "security and compliance",
    "platform fee",
    "training and evaluation",
    "request wrapper",
    "quality verification",
    "exit and switching",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One cost line: `scale` of shape S times `profile` of shape (horizon,) + S [USD].

    Kept as a product so that sums over months are taken before the two are broadcast.
    """

    name: str
    category: str
    scale: Floats
    profile: Floats
    capital: bool = False  # buys something that lasts: depreciated in the profit-and-loss view

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ValueError(f"cost line {self.name}: unknown category {self.category}")

    def cash_usd(self) -> Floats:
        """Cash by month [USD], shape (horizon,) + S."""
        return np.asarray(self.scale * self.profile)

    def total_usd(self, weights: Floats) -> Floats:
        """Sum over months with `weights` of shape (horizon,), e.g. discount factors [USD]."""
        return np.asarray(self.scale * np.tensordot(weights, self.profile, axes=1))


def cash_by_month(lines: Iterable[Line], shape: tuple[int, ...]) -> Floats:
    """Sum of lines by month [USD] in the full shape.

    Lines that share one profile array are joined first: their scales are added, not their cash.
    """
    profiles: dict[int, Floats] = {}
    scales: dict[int, Floats] = {}
    for line in lines:
        key = id(line.profile)
        profiles[key] = line.profile
        scales[key] = scales[key] + line.scale if key in scales else line.scale
    total, product = np.zeros(shape), np.empty(shape)
    for key, profile in profiles.items():
        np.multiply(scales[key], profile, out=product)
        total += product
    return total


def total_usd(lines: Iterable[Line], weights: Floats) -> Floats:
    """Weighted sum over lines and months [USD]."""
    total: Floats = np.zeros(())
    for line in lines:
        total = total + line.total_usd(weights)
    return total
