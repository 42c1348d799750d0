"""Where hours and windows lie inside a log's span: pure arithmetic on whole UTC windows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOURS_IN_WEEK = 168
MONDAY_OFFSET_HOURS = 72  # the epoch was a Thursday, 00:00 UTC
COMPLETE_FRAC = 0.95  # a window seen for less than this is not counted in a mean
LEAST_EXPOSURE_HOURS = 0.25

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """First and last instant of a log, in whole microseconds since 1970."""

    first_us: int
    last_us: int

    @property
    def days(self) -> float:
        """Length of the span [days]."""
        return (self.last_us - self.first_us) / 86_400e6

    def window_of(self, window_s: int) -> tuple[int, int]:
        """Numbers of the first and last window that the span touches."""
        window_us = window_s * 1_000_000
        return self.first_us // window_us, self.last_us // window_us

    def complete_windows(self, window_s: int) -> tuple[int, int]:
        """Numbers of the first and last window seen (nearly) whole; last < first: there is none."""
        window_us = window_s * 1_000_000
        first, last = self.window_of(window_s)
        if (first + 1) * window_us - self.first_us < COMPLETE_FRAC * window_us:
            first += 1
        if self.last_us - last * window_us < COMPLETE_FRAC * window_us:
            last -= 1
        return first, last


def instant(microseconds: int) -> dt.datetime:
    """Aware UTC instant of a count of microseconds."""
    return _EPOCH + dt.timedelta(microseconds=microseconds)


def hour_of_week(hours: Ints) -> Ints:
    """Hour of the week, 0 = Monday 00:00 UTC, of whole hours since 1970."""
    return (hours + MONDAY_OFFSET_HOURS) % HOURS_IN_WEEK


def exposure_hours(span: Span) -> Floats:
    """How long each hour of the week was inside the span, of shape (168,) [hours]."""
    first, last = span.window_of(3600)
    seen = np.bincount(
        hour_of_week(np.arange(first, last + 1, dtype=np.int64)), minlength=HOURS_IN_WEEK
    ).astype(np.float64)
    before = span.first_us / 3600e6 - first
    after = last + 1 - span.last_us / 3600e6
    seen[hour_of_week(np.array([first]))[0]] -= before
    seen[hour_of_week(np.array([last]))[0]] -= after
    return seen


def weekly_rate(hours: Ints, values: NDArray[np.generic], exposure: Floats) -> Floats:
    """Mean of a quantity in each hour of the week; NaN where the log saw too little of that hour.

    An hour of the week counts as seen from a quarter of an hour of exposure on; below it the rate
    would be the noise of a few requests.
    """
    sums = np.bincount(
        hour_of_week(hours), weights=values.astype(np.float64), minlength=HOURS_IN_WEEK
    )
    rate: Floats = np.full(HOURS_IN_WEEK, np.nan)
    np.divide(sums, exposure, out=rate, where=exposure >= LEAST_EXPOSURE_HOURS)
    return rate
