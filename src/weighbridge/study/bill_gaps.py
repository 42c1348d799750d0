"""Constant factors, noise and gaps in daily ratios of bill to ledger.

The factor is the median of the days, which half the days may spoil without moving it. Noise is the
median absolute deviation around it (Rousseeuw and Croux, JASA 88, 1993: 1.4826 MAD estimates one
standard deviation), in units of what one request weighs on that day, since a day of few or uneven
requests scatters more. A day is a gap when it is further out than chance would put any one of all
cells in a hundred such reconciliations, and further than the bill's own rounding.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from scipy.stats import t as student

ONE = Decimal(1)
FALSE_ALARM_FRAC = 0.01  # chance of any false gap in a whole reconciliation
MAD_TO_SIGMA = 1.4826
FEWEST_DAYS_OF_FACTOR = 3  # with fewer, a factor and a gap look alike
FEWEST_DAYS_OF_NOISE = 7  # with fewer, all models' days are taken together


@dataclass(frozen=True, slots=True)
class Daily:
    """One day of a model that both sides hold."""

    on: dt.date
    bill_usd: Decimal
    list_usd: Decimal
    rounding_usd: Decimal
    sum_squared_usd: float

    @property
    def ratio(self) -> Decimal:
        """Bill over list."""
        return self.bill_usd / self.list_usd

    @property
    def weight_frac(self) -> float:
        """Relative scatter of the day's cost were each request counted or not by chance."""
        return math.sqrt(self.sum_squared_usd) / float(self.list_usd)


@dataclass(frozen=True, slots=True)
class Scale:
    """Factor and noise of one model."""

    factor: Decimal
    sigma: float  # in units of `Daily.weight_frac`
    n_days: int
    threshold_sigmas: float

    def left_frac(self, day: Daily) -> float:
        """What is left of a day after the factor, as a share of it."""
        return float((day.bill_usd - day.list_usd * self.factor) / (day.list_usd * self.factor))

    def n_sigmas(self, day: Daily) -> float | None:
        """What is left in daily noise; None where days have none."""
        noise = self.sigma * day.weight_frac
        return self.left_frac(day) / noise if noise > 0 else None

    def is_gap(self, day: Daily) -> bool:
        """Whether the day is out of line by more than rounding and noise."""
        left = abs(day.bill_usd - day.list_usd * self.factor)
        if left <= day.rounding_usd + _factor_slack(day, self.factor):
            return False
        sigmas = self.n_sigmas(day)
        return sigmas is None or abs(sigmas) > self.threshold_sigmas


def _factor_slack(day: Daily, factor: Decimal) -> Decimal:
    """The factor comes from rounded amounts too; 10^-9 of a day hides no request."""
    return abs(day.list_usd * factor) * Decimal("1e-9")


def scales(days_of: Sequence[Sequence[Daily]]) -> list[Scale]:
    """Factor and noise of each model, from its whole days."""
    every = [day for days in days_of for day in days]
    pooled = _factor(every)
    factors = [_factor(days) or pooled or ONE for days in days_of]
    n_cells = max(1, len(every))
    spread = [
        deviation
        for days, factor in zip(days_of, factors, strict=True)
        for deviation in _deviations(days, factor)
    ]
    found = []
    for days, factor in zip(days_of, factors, strict=True):
        enough = len(days) >= FEWEST_DAYS_OF_NOISE
        own = _deviations(days, factor) if enough else spread
        sigma = MAD_TO_SIGMA * median(map(abs, own)) if own else 0.0
        found.append(Scale(factor, sigma, len(days), _threshold(n_cells, len(own))))
    return [_snapped(scale, days) for scale, days in zip(found, days_of, strict=True)]


def _factor(days: Sequence[Daily]) -> Decimal | None:
    if len(days) < FEWEST_DAYS_OF_FACTOR:
        return None
    return median(day.ratio for day in days)


def _deviations(days: Sequence[Daily], factor: Decimal) -> list[float]:
    """Days' distance from the factor beyond rounding, by what a request weighs on that day."""
    found = []
    for day in days:
        left = day.bill_usd - day.list_usd * factor
        beyond = max(Decimal(0), abs(left) - day.rounding_usd - _factor_slack(day, factor))
        if day.weight_frac > 0:
            found.append(float(beyond / (day.list_usd * factor)) / day.weight_frac)
    return found


def _threshold(n_cells: int, n_days: int) -> float:
    """Bonferroni over all cells; Student's t, since noise was itself measured on so many days."""
    return float(student.isf(FALSE_ALARM_FRAC / 2 / n_cells, max(1, n_days - 1)))


def _snapped(scale: Scale, days: Sequence[Daily]) -> Scale:
    """A factor that noise and rounding cannot tell from one is one."""
    if not days:
        return scale
    rounding = max(float(day.rounding_usd / day.list_usd) for day in days)
    noise = scale.sigma * median(day.weight_frac for day in days)
    # The median of n normal days has 1.2533 times the standard error of their mean.
    error = 3 * 1.2533 * noise / math.sqrt(len(days))
    near = abs(float(scale.factor) - 1) <= rounding + error + 1e-9
    return Scale(ONE if near else scale.factor, scale.sigma, scale.n_days, scale.threshold_sigmas)
