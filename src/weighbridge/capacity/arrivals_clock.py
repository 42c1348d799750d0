"""Hours of the week taken out of time, and put back in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.traffic import Floats, Ints
from weighbridge.units import InputError

N_HOURS = 168
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class HourClock:
    """Two times side by side: the clock's, and one in which the rate is always the mean.

    Attributes
    ----------
    edges_s : float64 array
        0, every full hour, and the end, by the clock [s].
    levelled_s : float64 array
        The same instants in seconds at the mean rate [s].
    """

    edges_s: Floats
    levelled_s: Floats

    def levelled(self, at_s: Floats) -> Floats:
        """Seconds at the mean rate until instants of the clock [s].

        Parameters
        ----------
        at_s : float64 array
            [s]
        """
        return np.interp(at_s, self.edges_s, self.levelled_s)

    def told(self, levelled_s: Floats) -> Floats:
        """Instants of the clock, from seconds at the mean rate [s].

        Parameters
        ----------
        levelled_s : float64 array
            [s]
        """
        return np.interp(levelled_s, self.levelled_s, self.edges_s)


def hour_edges_s(origin_hour_of_week: float, duration_s: float) -> Floats:
    """0, every full hour of the week inside, and the end [s].

    Parameters
    ----------
    origin_hour_of_week : float
        Hours from Monday 00:00 UTC to second 0.
    duration_s : float
        [s]

    Examples
    --------
    >>> hour_edges_s(18.5, 7200.0).tolist()
    [0.0, 1800.0, 5400.0, 7200.0]
    """
    first = (math.floor(origin_hour_of_week) + 1 - origin_hour_of_week) * 3600.0
    return np.concatenate([[0.0], np.arange(first, duration_s, 3600.0), [duration_s]])


def hours_between(edges_s: Floats, origin_hour_of_week: float) -> Ints:
    """Hour of the week of each stretch between edges, 0 = Monday 00:00 UTC.

    Parameters
    ----------
    edges_s : float64 array
        [s]
    origin_hour_of_week : float
    """
    middle = origin_hour_of_week + (edges_s[1:] + edges_s[:-1]) / 7200.0
    return np.floor(middle).astype(np.int64) % N_HOURS


def hour_clock(
    relative_ratio: Floats,
    origin_hour_of_week: float,
    duration_s: float,
    growth_ratio: float = 1.0,
) -> HourClock:
    """The clock of a stretch whose rate goes by the hour of the week.

    Parameters
    ----------
    relative_ratio : float64 array of shape (168,)
        Rate of each hour over the mean [1].
    origin_hour_of_week : float
        Hours from Monday 00:00 UTC to second 0.
    duration_s : float
        [s]
    growth_ratio : float
        Rate at the end over that at the start, growing by the same share in every hour [1].

    Raises
    ------
    InputError
        Where the stretch touches an hour whose rate is not known.
    """
    edges_s = hour_edges_s(origin_hour_of_week, duration_s)
    hours = hours_between(edges_s, origin_hour_of_week)
    rates = relative_ratio[hours]
    if np.isnan(rates).any():
        unseen = np.unique(hours[np.isnan(rates)])
        first = f"{_DAYS[unseen[0] // 24]} {unseen[0] % 24}:00"
        problem = f"{len(unseen)} of the hours asked for were never seen, the first is {first} UTC"
        mend = "give a longer log, or say what to take there (unseen='same_hour' or 'mean')"
        raise InputError("profile", "rate_requests_per_s", problem, mend)
    grown = growth_ratio ** ((edges_s[1:] + edges_s[:-1]) / (2 * duration_s))
    steps = np.diff(edges_s) * rates * grown
    return HourClock(edges_s, np.concatenate([[0.0], np.cumsum(steps)]))
