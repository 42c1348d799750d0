"""Traffic condensed to what a year can be drawn from: rates by hour, bursts, lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from weighbridge.capacity.arrivals_clock import N_HOURS, hour_clock, hour_edges_s, hours_between
from weighbridge.capacity.arrivals_gaps import GapLaw, fit_gaps, gap_law_of
from weighbridge.capacity.arrivals_modulation import STILL, RateModulation, fit_modulation
from weighbridge.capacity.stretch import picked
from weighbridge.capacity.traffic import Floats, Requests
from weighbridge.units import InputError

LEAST_SEEN_HOURS = 0.25  # as in the usage profile: less is the noise of a few requests
LEAST_REQUESTS = 100
MOST_TIED_FRAC = 0.2
# Windows beyond this say nothing of the wandering inside an hour whose mean was taken out.
LONGEST_INSIDE_AN_HOUR_S = 1200.0
KEPT_STRETCH_S = 600.0

N_MOST_ROWS = 1_000_000

Unseen = Literal["refuse", "same_hour", "mean"]
Pattern = Literal["week", "day"]


@dataclass(frozen=True, slots=True)
class ArrivalProfile:
    """What traffic is drawn from.

    Attributes
    ----------
    rate_requests_per_s : float64 array of shape (168,)
        Mean rate in each hour of the week, Monday 00:00 UTC first; NaN where not seen.
    seen_hours : float64 array of shape (168,)
        How long each was seen, or the same hour of any day where the rate goes by the day
        [hours]; all 0 where nobody knows which hours they were.
    gaps : GapLaw
        Of a plain renewal process: the likeliest family and shape of the gaps, the hours of the
        week taken out.
    inner_gaps : GapLaw
        The same family where the rate wanders besides.
    modulation : RateModulation
        How it wanders, in seconds at the mean rate.
    rows : Requests
        What was seen, kept jointly: lengths, sessions, prefix blocks. Its `arrival_s` is time
        with the hours taken out: seconds in which the mean rate would have brought as much.
    rows_duration_s : float
        Length of `rows` in that time [s].
    mean_requests_per_s : float
        Over what was seen.
    cached_input_frac : float, optional
        Share of input that a provider's cache served, where the source told.
    """

    rate_requests_per_s: Floats
    seen_hours: Floats
    gaps: GapLaw
    inner_gaps: GapLaw
    modulation: RateModulation
    rows: Requests
    rows_duration_s: float
    mean_requests_per_s: float
    cached_input_frac: float | None = None

    @property
    def n_unseen_hours(self) -> int:
        """Hours of the week that were not seen."""
        return int((self.seen_hours < LEAST_SEEN_HOURS).sum())


def profile_of(
    requests: Requests,
    origin_hour_of_week: float | None,
    *,
    pattern: Pattern = "week",
    unseen: Unseen = "refuse",
    cached_input_frac: float | None = None,
) -> ArrivalProfile:
    """Condense a stretch of traffic.

    Rates and bursts are fitted to all of it; of more than a million requests, evenly spaced ten
    minutes are kept as rows.

    Parameters
    ----------
    requests : Requests
        At least 100.
    origin_hour_of_week : float, optional
        Hours from Monday 00:00 UTC to second 0 of the requests; None where nobody knows, and the
        rate is then taken as the same in every hour.
    pattern : {"week", "day"}
        What the rate goes by: the hour of the week, so that every week is like the one seen, or
        the hour of the day, how days differ being left to chance: to a rate that wanders over
        hours as well. One week cannot tell what of it will come again.
    unseen : {"refuse", "same_hour", "mean"}
        Rate of hours of the week seen for less than a quarter of an hour: left open, so that
        drawing traffic there raises; that of the same hour on other days (else the mean); the
        mean.
    cached_input_frac : float, optional
        Carried along.

    Raises
    ------
    InputError
        For too few requests, or arrivals recorded in ticks.
    """
    _check(requests)
    at_s = requests.arrival_s - requests.arrival_s[0]
    duration_s = float(at_s[-1])
    mean = requests.n_requests / duration_s
    if origin_hour_of_week is None:
        rates, seen = np.full(N_HOURS, mean), np.zeros(N_HOURS)
        levelled_s = at_s
    else:
        origin = origin_hour_of_week + requests.arrival_s[0] / 3600.0
        rates, seen = _hourly(at_s, origin, duration_s, pattern)
        clock = hour_clock(np.nan_to_num(rates / mean), origin, duration_s)
        levelled_s = clock.levelled(at_s)
        rates = _filled(rates, seen, unseen)
    gaps = fit_gaps(np.diff(levelled_s))
    once = float(np.median(seen[seen > 0])) < 1.5 if (seen > 0).any() else False
    longest_s = LONGEST_INSIDE_AN_HOUR_S if once and duration_s > 7200 else math.inf
    fit = fit_modulation(levelled_s, duration_s, longest_s, gaps.cv_ratio)
    own_cv_ratio, modulation = fit or (gaps.cv_ratio, STILL)
    rows, rows_duration_s = _kept(replace(requests, arrival_s=levelled_s), float(levelled_s[-1]))
    return ArrivalProfile(
        rate_requests_per_s=rates,
        seen_hours=seen,
        gaps=gaps,
        inner_gaps=gap_law_of(gaps.family, own_cv_ratio),
        modulation=modulation,
        rows=rows,
        rows_duration_s=rows_duration_s,
        mean_requests_per_s=mean,
        cached_input_frac=cached_input_frac,
    )


def _check(requests: Requests) -> None:
    if requests.n_requests < LEAST_REQUESTS or requests.duration_s == 0:
        problem = f"{requests.n_requests} requests in {requests.duration_s:g} s make no profile"
        raise InputError("requests", "", problem, f"give {LEAST_REQUESTS} or more")
    tied = tied_frac(requests)
    if tied > MOST_TIED_FRAC:
        problem = f"{tied:.0%} of requests arrive with the one before: times are recorded in ticks"
        mend = "spread them over their ticks first (spread_over_ticks)"
        raise InputError("requests", "arrival_s", problem, mend)


def tied_frac(requests: Requests) -> float:
    """Share of requests that arrive at the same recorded time as the one before.

    Parameters
    ----------
    requests : Requests

    Examples
    --------
    >>> one = np.ones(4, np.int64)
    >>> tied_frac(Requests(np.array([0.0, 0.0, 3.0, 3.0]), one, one)).__round__(2)
    0.67
    """
    gaps_s = np.diff(requests.arrival_s)
    return float((gaps_s == 0).mean()) if len(gaps_s) else 0.0


def spread_over_ticks(requests: Requests, rng: np.random.Generator) -> Requests:
    """Arrivals of one recorded time moved apart, evenly at random up to the next recorded time.

    Mooncake's trace tells times about every 3 s, some ten requests each: bursts that come from
    the recording. What went on inside a tick is lost; this takes it for Poisson traffic.

    Parameters
    ----------
    requests : Requests
    rng : numpy.random.Generator

    Examples
    --------
    >>> one = np.ones(4, np.int64)
    >>> r = Requests(np.array([0.0, 0.0, 3.0, 3.0]), one, one)
    >>> spread = spread_over_ticks(r, np.random.default_rng(0)).arrival_s
    >>> bool((spread[:2] < 3).all() and (spread[2:] >= 3).all() and (np.diff(spread) > 0).all())
    True
    """
    ticks, counts = np.unique(requests.arrival_s, return_counts=True)
    lengths = np.diff(ticks)
    # A silence after a tick is no part of it.
    usual = float(np.median(lengths)) if len(lengths) else 0.0
    lengths = np.append(np.minimum(lengths, usual), usual)
    later = rng.random(requests.n_requests) * np.repeat(lengths, counts)
    return replace(requests, arrival_s=np.sort(requests.arrival_s + later))


def _hourly(
    at_s: Floats, origin_hour_of_week: float, duration_s: float, pattern: Pattern
) -> tuple[Floats, Floats]:
    """Rate in each hour of the week, NaN where never seen, and how long each was seen."""
    edges_s = hour_edges_s(origin_hour_of_week, duration_s)
    hours = hours_between(edges_s, origin_hour_of_week)
    counts = np.histogram(at_s, edges_s)[0]
    seen = np.bincount(hours, np.diff(edges_s) / 3600.0, N_HOURS).astype(np.float64)
    total = np.bincount(hours, counts, N_HOURS)
    if pattern == "day":
        seen, total = (np.tile(one.reshape(7, 24).sum(axis=0), 7) for one in (seen, total))
    rates = np.full(N_HOURS, np.nan)
    np.divide(total, seen * 3600.0, out=rates, where=seen > 0)
    return rates, seen


def _filled(rate_requests_per_s: Floats, seen_hours: Floats, unseen: Unseen) -> Floats:
    """Rates of all hours of the week, those hardly seen taken from others or left open."""
    missing = seen_hours < LEAST_SEEN_HOURS
    found = np.where(missing, np.nan, rate_requests_per_s)
    if unseen == "refuse" or not missing.any():
        return found
    weights = np.where(np.isnan(rate_requests_per_s), 0.0, seen_hours)
    mean = float((np.nan_to_num(rate_requests_per_s) * weights).sum() / weights.sum())
    by_day = found.reshape(7, 24)
    n_days = (~np.isnan(by_day)).sum(axis=0)
    same = np.where(n_days > 0, np.nansum(by_day, axis=0) / np.maximum(n_days, 1), mean)
    other = np.tile(same, 7) if unseen == "same_hour" else np.full(N_HOURS, mean)
    return np.where(missing, other, found)


def _kept(requests: Requests, duration_s: float) -> tuple[Requests, float]:
    """Evenly spaced stretches of a long one, moved together."""
    every = math.ceil(requests.n_requests / N_MOST_ROWS)
    if every == 1:
        return requests, duration_s
    stretch = (requests.arrival_s / KEPT_STRETCH_S).astype(np.int64)
    n_whole = int(duration_s / KEPT_STRETCH_S)
    index = np.flatnonzero((stretch % every == 0) & (stretch < n_whole))
    rank = stretch[index] // every
    at_s = requests.arrival_s[index] - (stretch[index] - rank) * KEPT_STRETCH_S
    kept = replace(picked(requests, index), arrival_s=at_s)
    return kept, len(range(0, n_whole, every)) * KEPT_STRETCH_S
