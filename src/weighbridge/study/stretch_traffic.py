"""The traffic that fleets are simulated on: a log's, or one hour made from what is stated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from weighbridge.capacity.arrivals_synthesis import rows_drawn
from weighbridge.capacity.traffic import Floats, Ints, Requests
from weighbridge.economics.distributions import Z90
from weighbridge.study.typed_requests import TypedRequests
from weighbridge.units import InputError

LEAST_REQUESTS = 30  # fewer make no 95th percentile
LEAST_MADE_REQUESTS, MOST_MADE_REQUESTS = 200.0, 100_000.0
ONE_MINUTE_S = 60.0
N_MINUTES, N_LEAST_MINUTES = 60, 5
MOST_LOG_SD = 12.0
N_LENGTHS = 4000


@dataclass(frozen=True)
class StretchTraffic:
    """Requests that may move, as the candidate would compute them; arrays of shape (N,).

    Attributes
    ----------
    requests : Requests
        Prompts without what one's own prefix cache is taken to hold.
    type_index : int64 array
        Position among the study's query types.
    peak_to_mean_ratio : float or None
        Of an hour that was made: its rate against the month's mean. None where a whole log with
        its own rhythm stands behind the requests.
    words : str
        What they are.
    """

    requests: Requests
    type_index: Ints
    peak_to_mean_ratio: float | None
    words: str

    @property
    def is_enough(self) -> bool:
        """Whether a 95th percentile of it means something."""
        return self.requests.n_requests >= LEAST_REQUESTS


def from_log(typed: TypedRequests, members: Sequence[int], retained_frac: float) -> StretchTraffic:
    """Requests of the query types that may move, in their own time."""
    chosen = typed.of_types(members)
    requests = Requests(
        chosen.arrival_s - (chosen.arrival_s[0] if chosen.n_requests else 0.0),
        _computed(chosen, retained_frac),
        chosen.output_tokens,
    )
    words = f"{chosen.n_requests:,} requests of the log that may move"
    return StretchTraffic(requests, chosen.type_index, None, words)


def _computed(typed: TypedRequests, retained_frac: float) -> Ints:
    """Prompt tokens that are computed: those cached at the provider count as far as they are lost.

    A prompt that was cached whole still has a last token to compute.
    """
    lost = np.round(typed.cached_tokens * (1 - retained_frac)).astype(np.int64)
    return np.asarray(np.maximum(typed.fresh_tokens + lost, 1), np.int64)


@dataclass(frozen=True, slots=True)
class StatedHour:
    """What a scenario says of an hour at its peak.

    Attributes
    ----------
    mean_requests_per_s, peak_to_mean_ratio : float
    within_hour_peak_ratio : float
        Busiest minute against the hour [1].
    input_tokens, output_tokens : float
        Mean lengths.
    length_p90_to_median_ratio : float
        Of both lengths, drawn log-normal and independent [1].
    """

    mean_requests_per_s: float
    peak_to_mean_ratio: float
    within_hour_peak_ratio: float
    input_tokens: float
    output_tokens: float
    length_p90_to_median_ratio: float


def from_stated(hour: StatedHour, rng: np.random.Generator) -> StretchTraffic:
    """One hour at the stated peak."""
    sd = math.log(hour.length_p90_to_median_ratio) / Z90
    rows = Requests(
        np.arange(N_LENGTHS, dtype=np.float64),
        _lengths(hour.input_tokens, sd, rng),
        _lengths(hour.output_tokens, sd, rng),
    )
    rate = hour.mean_requests_per_s * hour.peak_to_mean_ratio
    requests = drawn(rows, rate, hour.within_hour_peak_ratio, rng)
    words = (
        f"{requests.n_requests:,} requests made at {hour.peak_to_mean_ratio:.3g} times the mean "
        f"rate, lengths spread as stated"
    )
    index = np.zeros(requests.n_requests, np.int64)
    return StretchTraffic(requests, index, hour.peak_to_mean_ratio, words)


def _lengths(mean_tokens: float, log_sd: float, rng: np.random.Generator) -> Ints:
    drawn = mean_tokens * np.exp(rng.standard_normal(N_LENGTHS) * log_sd - log_sd**2 / 2)
    return np.maximum(np.round(drawn), 1).astype(np.int64)


def drawn(
    rows: Requests, requests_per_s: float, within_hour_peak_ratio: float, rng: np.random.Generator
) -> Requests:
    """Arrivals of an hour whose busiest minute is so many times the hour, Poisson inside minutes.

    Lengths are those of random rows. Of dense traffic fewer minutes are made, of thin traffic more
    hours: enough to judge a 95th percentile by, and no more than can be simulated.
    """
    per_minute = requests_per_s * ONE_MINUTE_S
    n_hours = math.ceil(LEAST_MADE_REQUESTS / (per_minute * N_MINUTES))
    multiples = np.concatenate(
        [rng.permutation(minutes_of_an_hour(within_hour_peak_ratio)) for _ in range(n_hours)]
    )
    kept = max(N_LEAST_MINUTES, min(len(multiples), int(MOST_MADE_REQUESTS / per_minute)))
    counts = rng.poisson(multiples[:kept] * per_minute)
    minute = np.repeat(np.arange(len(counts), dtype=np.float64), counts)
    arrival_s = np.sort((minute + rng.random(len(minute))) * ONE_MINUTE_S)
    return rows_drawn(rows, arrival_s, rng)


def minutes_of_an_hour(peak_ratio: float) -> Floats:
    """Rates of sixty minutes, log-normal, of mean 1, the highest being the ratio; in rising order.

    Raises
    ------
    InputError
        Where the ratio is 60 or more: an hour has no more minutes.
    """
    scores = ndtri((np.arange(N_MINUTES) + 0.5) / N_MINUTES)

    def rates(log_sd: float) -> Floats:
        logs = scores * log_sd
        raw = np.exp(logs - logs.max())
        return np.asarray(raw / raw.mean())

    if peak_ratio >= rates(MOST_LOG_SD)[-1]:
        raise InputError(
            "within_hour_peak_ratio", "", f"is {peak_ratio:g}", "give a ratio from 1 to below 59"
        )
    if peak_ratio <= 1:
        return np.ones(N_MINUTES)
    return rates(brentq(lambda sd: float(rates(sd)[-1]) - peak_ratio, 0.0, MOST_LOG_SD))


def redrawn(
    traffic: StretchTraffic,
    hour: NDArray[np.bool_],
    window_s: float,
    within_hour_peak_ratio: float,
    rng: np.random.Generator,
) -> StretchTraffic:
    """A log whose minutes are not to be believed: one hour of it, with arrivals drawn anew.

    Lengths and types are drawn together from the requests of that hour. Demand stays told against
    the log, whose rhythm by the hour is believed.
    """
    rows = np.flatnonzero(hour)
    places = Requests(np.arange(len(rows), dtype=np.float64), rows + 1, np.ones_like(rows))
    made = drawn(places, len(rows) / window_s, within_hour_peak_ratio, rng)
    picked = made.input_tokens - 1
    requests = replace(
        traffic.requests,
        arrival_s=made.arrival_s,
        input_tokens=traffic.requests.input_tokens[picked],
        output_tokens=traffic.requests.output_tokens[picked],
    )
    words = (
        f"{traffic.words}, arrivals within their busiest hour drawn, since its busiest minute is "
        f"stated as {within_hour_peak_ratio:.3g} times the hour"
    )
    return StretchTraffic(requests, traffic.type_index[picked], None, words)
