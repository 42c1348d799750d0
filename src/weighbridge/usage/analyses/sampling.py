"""How far the log's total may be off by chance, and how fast it grows: pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from weighbridge.usage.analyses.clock import Floats, Span
from weighbridge.usage.analyses.peaks import Windows

DAYS_IN_WEEK = 7
GRACE_HOURS = 1.0  # a week's export ends with its last request, seconds before the week does
LEAST_BLOCKS = 10
SHORT_LOG_BLOCKS = 20
LEAST_TREND_PAIRS = 7
_EPOCH_WEEKDAY = 3  # the epoch was a Thursday; Monday is 0


@dataclass(frozen=True, slots=True)
class Volume:
    """Tokens by hour and by minute, and the sum of each request's squared tokens."""

    hours: Windows
    minutes: Windows
    sum_squared_tokens: float
    span: Span


def whole_days(span: Span) -> int:
    """Stretches of 24 h in the span, with an hour of grace."""
    return int((span.days * 24.0 + GRACE_HOURS) // 24.0)


def relative_sd(volume: Volume) -> float | None:
    """Relative standard deviation of the log's total tokens, as a sample of such stretches of time.

    The total is cut into blocks, long enough that what clumps together falls into one, and
    ``sd = sqrt(n_blocks * variance of a block)``. What the variance is taken around depends on
    what the log can tell apart from noise:

    - 14 days and more: blocks are days, compared with the same weekday a week later (half the mean
      square of the differences), so that neither weekday nor hour counts as noise; growth does.
    - 7 to 13 days: each weekday was seen once, so that a weekday's habit and chance cannot be told
      apart. Days are compared with the mean of their kind (working day or weekend); what habit is
      left counts as noise, which errs to the wide side.
    - under 7 days: about twenty blocks, each compared with the next; slow rhythm drops out, and
      days unlike these are not in the figure at all.

    Never below what independent requests of these sizes would show (compound Poisson,
    ``sqrt(sum of squares) / sum``). None under ten minutes, or where no tokens were used.
    """
    total = float(volume.hours.sums["tokens"].sum())
    if total == 0:
        return None
    blocks_sd = _blocks_relative_sd(volume)
    if blocks_sd is None:
        return None
    return max(blocks_sd, math.sqrt(volume.sum_squared_tokens) / total)


def _blocks_relative_sd(volume: Volume) -> float | None:
    n_days = whole_days(volume.span)
    if n_days >= DAYS_IN_WEEK:
        blocks = day_blocks(volume, n_days)
        squares = (
            _week_apart(blocks)
            if n_days >= 2 * DAYS_IN_WEEK
            else _around_kind(blocks, volume.span.first_us)
        )
    else:
        blocks = _short_blocks(volume)
        if len(blocks) < LEAST_BLOCKS:
            return None
        squares = float(np.mean(np.diff(blocks) ** 2)) / 2.0
    summed = float(blocks.sum())
    return math.sqrt(len(blocks) * squares) / summed if summed else None


def _dense(windows: Windows, first: int, n: int) -> Floats:
    out = np.zeros(n)
    inside = (windows.at >= first) & (windows.at < first + n)
    out[windows.at[inside] - first] = windows.sums["tokens"][inside]
    return out


def day_blocks(volume: Volume, n_days: int) -> Floats:
    """Tokens of each 24 h from the log's first hour on."""
    first, _ = volume.span.window_of(3600)
    return np.asarray(_dense(volume.hours, first, n_days * 24).reshape(n_days, 24).sum(axis=1))


def _short_blocks(volume: Volume) -> Floats:
    first, last = volume.span.complete_windows(60)
    n_minutes = max(last - first + 1, 0)
    length = max(n_minutes // SHORT_LOG_BLOCKS, 1)
    n_blocks = n_minutes // length
    minutes = _dense(volume.minutes, first, n_blocks * length)
    return np.asarray(minutes.reshape(n_blocks, length).sum(axis=1))


def _week_apart(days: Floats) -> float:
    return float(np.mean((days[DAYS_IN_WEEK:] - days[:-DAYS_IN_WEEK]) ** 2)) / 2.0


def _around_kind(days: Floats, first_us: int) -> float:
    # The middle of a block decides its weekday, since a log may begin at any hour.
    middles = first_us // 3_600_000_000 + 12 + 24 * np.arange(len(days))
    weekend = (middles // 24 + _EPOCH_WEEKDAY) % DAYS_IN_WEEK >= 5
    around = np.where(weekend, days[weekend].mean(), days[~weekend].mean())
    return float(np.sum((days - around) ** 2)) / (len(days) - 2)


def trend_per_week(volume: Volume) -> float | None:
    """Growth of daily tokens per week, or None under 14 days.

    Median, over every two days a whole number of weeks apart, of the growth per week between them:
    a Theil-Sen slope of the logarithm that compares only like weekdays. Days without traffic have
    no logarithm and are left out; fewer than seven pairs give no trend.
    """
    n_days = whole_days(volume.span)
    if n_days < 2 * DAYS_IN_WEEK:
        return None
    days = day_blocks(volume, n_days)
    slopes = [
        np.log(days[lag:][both] / days[:-lag][both]) * DAYS_IN_WEEK / lag
        for lag in range(DAYS_IN_WEEK, n_days, DAYS_IN_WEEK)
        for both in [(days[lag:] > 0) & (days[:-lag] > 0)]
    ]
    found = np.concatenate(slopes)
    return float(np.expm1(np.median(found))) if len(found) >= LEAST_TREND_PAIRS else None
