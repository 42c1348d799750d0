"""Traffic drawn from a profile: as long as wanted, from any hour of the week, growing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weighbridge.capacity.arrivals_clock import N_HOURS, HourClock, hour_clock
from weighbridge.capacity.arrivals_copies import Copy, merged
from weighbridge.capacity.arrivals_gaps import GapLaw
from weighbridge.capacity.arrivals_modulation import (
    STILL,
    RateModulation,
    Wandering,
    cell_length_s,
)
from weighbridge.capacity.arrivals_profile import ArrivalProfile
from weighbridge.capacity.traffic import Floats, Requests
from weighbridge.units import InputError

Bursts = Literal["wandering", "renewal", "replayed"]

N_MOST_REQUESTS = 20_000_000
_CHUNK_S = 3600.0
_MOST_RUN_S = 1800.0
_LEAST_RUNS = 8


@dataclass(frozen=True, slots=True)
class Span:
    """What stretch of time to draw.

    Attributes
    ----------
    duration_s : float
        [s]
    from_hour_of_week : float
        Hours from Monday 00:00 UTC to second 0.
    growth_ratio : float
        Rate at the end over that at the start, by the same share in every hour. Relative
        fluctuations stay: each user is taken to ask more [1].
    """

    duration_s: float
    from_hour_of_week: float = 0.0
    growth_ratio: float = 1.0

    def __post_init__(self) -> None:
        for name in ("duration_s", "growth_ratio"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError("Span", name, f"is {value}", "give a number above 0")


def expected_requests(profile: ArrivalProfile, span: Span) -> float:
    """Requests that a synthesis will come to, on average.

    Parameters
    ----------
    profile : ArrivalProfile
    span : Span
    """
    clock = _clock(profile, span)
    return float(clock.levelled_s[-1] * profile.mean_requests_per_s)


def synthesize(
    profile: ArrivalProfile,
    span: Span,
    rng: np.random.Generator,
    *,
    bursts: Bursts = "replayed",
    n_most_requests: int = N_MOST_REQUESTS,
) -> Requests:
    """Draw traffic that looks like the profile's.

    Parameters
    ----------
    profile : ArrivalProfile
    span : Span
    rng : numpy.random.Generator
    bursts : {"replayed", "wandering", "renewal"}
        "replayed": runs of what was seen, with their gaps, lengths, sessions and prefixes, each
        run of at most half an hour from a random moment (the moving-block bootstrap of Künsch,
        1989). Nothing is assumed of bursts shorter than a run; bursts never seen cannot come, and
        longer swings than the hours' are lost, and so are prefixes cached before a run began (a
        fifth of the hits on Mooncake's hour). Nearest to the trace in simulated latencies.
        "wandering": a renewal process whose rate wanders as fitted: also bursts never seen, and
        swings over hours, in which weeks differ. "renewal": gaps of the likeliest law and nothing
        else, too even over minutes for most traffic. The last two draw whole rows of lengths,
        independent of each other, and have neither sessions nor prefixes.
    n_most_requests : int
        More than these are refused before anything is drawn.

    Returns
    -------
    Requests
        By the clock, from second 0.

    Raises
    ------
    InputError
        For hours that the profile does not know, or more requests than allowed.
    """
    clock = _clock(profile, span)
    n_expected = float(clock.levelled_s[-1] * profile.mean_requests_per_s)
    refuse_above(n_expected, n_most_requests, "profile")
    if n_expected <= 0:
        raise InputError("profile", "", "nothing comes in these hours", "name other hours")
    if bursts == "replayed":
        return _replayed(profile, clock, rng)
    law = profile.gaps if bursts == "renewal" else profile.inner_gaps
    modulation = STILL if bursts == "renewal" else profile.modulation
    process = _Process(law, modulation, profile.mean_requests_per_s, rng)
    levelled_s = process.arrivals(float(clock.levelled_s[-1]))
    return rows_drawn(profile.rows, clock.told(levelled_s), rng)


def rows_drawn(rows: Requests, arrival_s: Floats, rng: np.random.Generator) -> Requests:
    """Requests at given times whose lengths are those of random rows, input and output together.

    Parameters
    ----------
    rows : Requests
    arrival_s : float64 array
        Not falling [s].
    rng : numpy.random.Generator
    """
    index = rng.integers(0, rows.n_requests, len(arrival_s))
    return Requests(
        arrival_s=arrival_s,
        input_tokens=rows.input_tokens[index],
        output_tokens=rows.output_tokens[index],
        priority=rows.priority[index] if len(rows.priority) else rows.priority,
    )


def refuse_above(n_expected_requests: float, n_most_requests: int, where: str) -> None:
    """Raise where more requests would be drawn than allowed, saying how many.

    Parameters
    ----------
    n_expected_requests : float
    n_most_requests : int
    where : str
        What they would be drawn from.
    """
    if n_expected_requests > n_most_requests:
        share = n_most_requests / n_expected_requests
        problem = (
            f"this comes to about {n_expected_requests:,.0f} requests, and {n_most_requests:,} "
            "are allowed"
        )
        mend = (
            f"draw the busiest weeks only, or a share of at most {share:.2g} of the traffic, or "
            "allow more (n_most_requests; 50 to 80 bytes each, prefix blocks besides)"
        )
        raise InputError(where, "n_most_requests", problem, mend)


def busiest_hours(profile: ArrivalProfile, n_hours: int) -> tuple[int, float]:
    """The busiest run of hours in a week: its first hour and its mean rate [requests/s].

    Parameters
    ----------
    profile : ArrivalProfile
    n_hours : int
        From 1 to 168.

    Raises
    ------
    InputError
        For hours that the profile does not know.
    """
    if not 1 <= n_hours <= N_HOURS:
        raise InputError("busiest_hours", "n_hours", f"is {n_hours}", "give 1 to 168")
    hour_clock(profile.rate_requests_per_s, 0.0, N_HOURS * 3600.0)
    around = np.concatenate([profile.rate_requests_per_s, profile.rate_requests_per_s[:n_hours]])
    sums = np.concatenate([[0.0], np.cumsum(around)])
    means = (sums[n_hours : n_hours + N_HOURS] - sums[:N_HOURS]) / n_hours
    first = int(np.argmax(means))
    return first, float(means[first])


def _clock(profile: ArrivalProfile, span: Span) -> HourClock:
    relative = profile.rate_requests_per_s / profile.mean_requests_per_s
    return hour_clock(relative, span.from_hour_of_week, span.duration_s, span.growth_ratio)


@dataclass(slots=True)
class _Process:
    """A renewal process in the time that a wandering rate tells, drawn an hour at a time."""

    law: GapLaw
    modulation: RateModulation
    mean_requests_per_s: float
    rng: np.random.Generator

    def arrivals(self, duration_s: float) -> Floats:
        """Arrivals from 0 to the end, in seconds at the mean rate."""
        longest_s = min(_CHUNK_S, duration_s)
        cell_s = min(cell_length_s(self.modulation, longest_s), longest_s)
        n_cells = round(longest_s / cell_s)
        cell_s = longest_s / n_cells
        wandering = Wandering(self.modulation, cell_s, self.rng)
        due = self.law.first(self.rng)  # in units of the mean gap, from the start of the chunk
        parts = []
        for k in range(math.ceil(duration_s / longest_s)):
            rates = wandering.next_cells(n_cells) * (self.mean_requests_per_s * cell_s)
            counted = np.concatenate([[0.0], np.cumsum(rates)])
            times, due = self._renewals(due, float(counted[-1]))
            edges_s = (np.arange(n_cells + 1) + k * n_cells) * cell_s
            parts.append(np.interp(times, counted, edges_s))
        at_s = np.concatenate(parts)
        return at_s[at_s < duration_s]

    def _renewals(self, due_requests: float, end_requests: float) -> tuple[Floats, float]:
        """Points of the renewal process before the end, and how far behind it the next lies."""
        parts, due, end = [], due_requests, end_requests
        while due < end:
            n = int((end - due) * 1.05 + 4 * self.law.cv_ratio * math.sqrt(end - due) + 16)
            points = due + np.concatenate([[0.0], np.cumsum(self.law.draw(self.rng, n))])
            parts.append(points[:-1])
            due = float(points[-1])
        points = np.append(np.concatenate(parts), due) if parts else np.array([due])
        n_inside = int(np.searchsorted(points, end))
        return points[:n_inside], float(points[n_inside] - end)


def _replayed(profile: ArrivalProfile, clock: HourClock, rng: np.random.Generator) -> Requests:
    rows, around_s = profile.rows, profile.rows_duration_s
    duration_s = float(clock.levelled_s[-1])
    run_s = min(_MOST_RUN_S, around_s / _LEAST_RUNS)
    copies: list[Copy] = []
    for k in range(math.ceil(duration_s / run_s)):
        start_s = rng.random() * around_s
        first, last = np.searchsorted(rows.arrival_s, [start_s, start_s + run_s])
        index = np.arange(first, last)
        at_s = rows.arrival_s[index] - start_s
        if start_s + run_s > around_s:  # the rows are a circle
            more = np.arange(np.searchsorted(rows.arrival_s, start_s + run_s - around_s))
            index = np.concatenate([index, more])
            at_s = np.concatenate([at_s, rows.arrival_s[more] + around_s - start_s])
        inside = k * run_s + at_s < duration_s
        copies.append((index[inside], clock.told(k * run_s + at_s[inside])))
    return merged(copies, rows)
