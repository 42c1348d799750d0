"""Constant factors, noise and gaps in daily ratios of bill to ledger.

Rounded amounts leave a factor open within an interval: it is where the rounding intervals of the
days meet, if all but a few do. If they do not, and several days agree with list to rounding while
all others lie on one side of it, list is the reference: a loss that begins on a day, say. Else the
factor is the median of the days, which half the days may spoil without moving it. Noise is the
median absolute deviation around it (Rousseeuw and Croux, JASA 88, 1993: 1.4826 MAD estimates one
standard deviation), in units of what one request weighs on that day, since a day of few or uneven
requests scatters more. A day is a gap when it is further out than chance would put any one of all
cells in a hundred such reconciliations, and further than the bill's own rounding.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median

from scipy.stats import t as student

ONE = Decimal(1)
FALSE_ALARM_FRAC = 0.01  # chance of any false gap in a whole reconciliation
MAD_TO_SIGMA = 1.4826
FEWEST_DAYS_OF_FACTOR = 3  # with fewer, a factor and a gap look alike
OFF_FRAC = 0.1  # of days that may lie off where all others meet; our judgement
AT_LIST_FRAC = 0.25  # of days that agree with list, for it to be the reference; our judgement
FINE_FRAC = Decimal("0.005")  # a day rounded more coarsely says little of whether list was billed
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
    def ratios(self) -> tuple[Decimal, Decimal]:
        """Lowest and highest ratio that rounds to what was billed; 10^-9 hides no request."""
        slack = self.rounding_usd + abs(self.bill_usd) * Decimal("1e-9")
        return (self.bill_usd - slack) / self.list_usd, (self.bill_usd + slack) / self.list_usd

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
    low: Decimal  # the factor lies between these, as far as rounded amounts tell
    high: Decimal

    def left_frac(self, day: Daily) -> float:
        """What is left of a day after the factor, as a share of it."""
        return float((day.bill_usd - day.list_usd * self.factor) / (day.list_usd * self.factor))

    def n_sigmas(self, day: Daily) -> float | None:
        """What is left in daily noise; None where days have none."""
        noise = self.sigma * day.weight_frac
        return self.left_frac(day) / noise if noise > 0 else None

    def is_gap(self, day: Daily) -> bool:
        """Whether the day is out of line by more than rounding and noise."""
        lowest, highest = day.ratios
        if lowest <= self.high and highest >= self.low:
            return False
        sigmas = self.n_sigmas(day)
        return sigmas is None or abs(sigmas) > self.threshold_sigmas


def scales(days_of: Sequence[Sequence[Daily]]) -> list[Scale]:
    """Factor and noise of each model, from its whole days."""
    every = [day for days in days_of for day in days]
    pooled = _found(every) or _Found(ONE, ONE, ONE, exact=False)
    factors = [_found(days) or pooled for days in days_of]
    n_cells = max(1, len(every))
    deviations = [_deviations(days, f) for days, f in zip(days_of, factors, strict=True)]
    spread = [one for own in deviations for one in own]
    made = []
    for days, found, alone in zip(days_of, factors, deviations, strict=True):
        own = alone if len(days) >= FEWEST_DAYS_OF_NOISE or found.exact else spread
        sigma = MAD_TO_SIGMA * median(map(abs, own)) if own and not found.exact else 0.0
        threshold = _threshold(n_cells, len(own))
        scale = Scale(found.factor, sigma, len(days), threshold, found.low, found.high)
        made.append(scale if found.exact else _snapped(scale, days))
    return made


@dataclass(frozen=True, slots=True)
class _Found:
    """A factor, between what bounds, and whether days agree with it to their rounding."""

    factor: Decimal
    low: Decimal
    high: Decimal
    exact: bool


def _found(days: Sequence[Daily]) -> _Found | None:
    if len(days) < FEWEST_DAYS_OF_FACTOR:
        return None
    low, high, n_met = _meeting(days)
    middle = median(day.ratio for day in days)
    if len(days) - n_met <= max(1, int(len(days) * OFF_FRAC)) and n_met >= FEWEST_DAYS_OF_FACTOR:
        factor = ONE if low <= ONE <= high else min(max(middle, low), high)
        return _Found(factor, low, high, exact=True)
    if _at_list(days):
        return _Found(ONE, ONE, ONE, exact=True)
    return _Found(middle, middle, middle, exact=False)


def _meeting(days: Sequence[Daily]) -> tuple[Decimal, Decimal, int]:
    """Between which ratios most days' rounding intervals meet, and how many do."""
    ends = [(day.ratios[0], 0) for day in days] + [(day.ratios[1], 1) for day in days]
    ends.sort()
    best, low, high, depth = 0, ONE, ONE, 0
    for n, (ratio, closes) in enumerate(ends):
        if closes:
            depth -= 1
            continue
        depth += 1
        if depth > best:
            best, low, high = depth, ratio, ends[n + 1][0]
    return low, high, best


def _at_list(days: Sequence[Daily]) -> bool:
    """Whether several days were billed at list, and all others above it, or all below."""
    fine = [day for day in days if day.rounding_usd <= day.list_usd * FINE_FRAC]
    at_list = [day for day in fine if day.ratios[0] <= ONE <= day.ratios[1]]
    if len(at_list) < max(FEWEST_DAYS_OF_FACTOR, len(days) * AT_LIST_FRAC):
        return False
    above, below = (any(d.ratios[0] > ONE for d in days), any(d.ratios[1] < ONE for d in days))
    return not (above and below)


def _deviations(days: Sequence[Daily], found: _Found) -> list[float]:
    """Days' distance from the factor beyond rounding, by what a request weighs on that day."""
    beyond = [
        float(max(Decimal(0), day.ratios[0] - found.high, found.low - day.ratios[1]) / found.factor)
        for day in days
    ]
    pairs = zip(beyond, days, strict=True)
    return [one / day.weight_frac for one, day in pairs if day.weight_frac > 0]


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
    return replace(scale, factor=ONE, low=ONE, high=ONE) if near else scale
