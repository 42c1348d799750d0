"""Shapes of the week: relative load in each hour, Monday 00:00 UTC first, of mean 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weighbridge.rehearsal.mix import Rhythm

HOURS_PER_WEEK = 168
SATURDAY = 5


def _bell(hours: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    distance = np.minimum(np.abs(hours - centre), 24 - np.abs(hours - centre))
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def week_shape(rhythm: Rhythm) -> NDArray[np.float64]:
    """Load by hour of week, shape (168,), mean 1."""
    hour = np.arange(HOURS_PER_WEEK, dtype=np.float64) % 24 + 0.5
    weekend = np.arange(HOURS_PER_WEEK) // 24 >= SATURDAY
    if rhythm == "office":  # two humps about lunch; little at night and at weekends
        shape = 0.04 + _bell(hour, 10.2, 1.7) + 0.92 * _bell(hour, 15.0, 2.0)
        shape = shape * np.where(weekend, 0.14, 1.0)
    elif rhythm == "evening":  # consumers: a swell to the evening, more at weekends
        shape = 0.18 + 0.45 * _bell(hour, 13.0, 3.5) + _bell(hour, 20.0, 2.6)
        shape = shape * np.where(weekend, 1.22, 1.0)
    elif rhythm == "nightly":  # a batch job between 01:00 and 05:00
        shape = np.where((hour > 1) & (hour < 5), 1.0, 0.0)
    else:
        shape = 0.92 + 0.16 * _bell(hour, 14.0, 5.0)
    return np.asarray(shape / shape.mean())
