"""What a stretch of traffic looks like in numbers: bursts, lengths, how they go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.arrivals_modulation import dispersion
from weighbridge.capacity.traffic import Floats, Ints, Requests
from weighbridge.units import InputError

WINDOWS_S = (1.0, 10.0, 60.0, 600.0)
QUANTILES = (0.1, 0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class ArrivalStatistics:
    """Figures by which two stretches of traffic are compared.

    Attributes
    ----------
    n_requests : int
    mean_requests_per_s : float
    cv_ratio : float
        Coefficient of variation of the gaps [1].
    dispersion_ratio : dict of window [s] to float
        Variance over mean of the counts in windows [1]; windows that fit twice.
    busiest_minute_ratio : float
        Requests of the busiest 60 s over those of a mean minute [1].
    input_tokens, output_tokens : tuple of float
        At the 10th, 50th, 90th and 99th percent.
    length_correlation_ratio : float
        Rank correlation of input and output lengths [1].
    """

    n_requests: int
    mean_requests_per_s: float
    cv_ratio: float
    dispersion_ratio: dict[float, float]
    busiest_minute_ratio: float
    input_tokens: tuple[float, ...]
    output_tokens: tuple[float, ...]
    length_correlation_ratio: float


def statistics_of(
    requests: Requests, windows_s: tuple[float, ...] = WINDOWS_S
) -> ArrivalStatistics:
    """Figures of a stretch of traffic.

    Parameters
    ----------
    requests : Requests
        Three or more.
    windows_s : tuple of float
        Windows to count in [s].

    Examples
    --------
    >>> even = Requests(np.arange(600.0), np.full(600, 9), np.arange(1, 601))
    >>> found = statistics_of(even)
    >>> found.cv_ratio, found.dispersion_ratio[10.0], found.output_tokens[1]
    (0.0, 0.0, 300.5)
    """
    if requests.n_requests < 3 or requests.duration_s == 0:
        problem = f"{requests.n_requests} requests in {requests.duration_s:g} s tell nothing"
        raise InputError("requests", "", problem, "give a longer stretch")
    at_s = requests.arrival_s - requests.arrival_s[0]
    gaps_s = np.diff(at_s)
    duration_s = requests.duration_s
    ends = np.searchsorted(at_s, at_s + 60.0)
    busiest = float((ends - np.arange(len(at_s))).max())
    rate = requests.n_requests / duration_s
    return ArrivalStatistics(
        n_requests=requests.n_requests,
        mean_requests_per_s=rate,
        cv_ratio=float(gaps_s.std() / gaps_s.mean()),
        dispersion_ratio={
            w: dispersion(at_s, w, duration_s) for w in windows_s if 2 * w <= duration_s
        },
        busiest_minute_ratio=busiest / (60.0 * rate),
        input_tokens=_quantiles(requests.input_tokens),
        output_tokens=_quantiles(requests.output_tokens),
        length_correlation_ratio=_rank_correlation(requests.input_tokens, requests.output_tokens),
    )


def _quantiles(tokens: Ints) -> tuple[float, ...]:
    return tuple(float(q) for q in np.quantile(tokens, QUANTILES))


def _ranks(tokens: Ints) -> Floats:
    """Ranks, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]


def _rank_correlation(one: Ints, other: Ints) -> float:
    a, b = _ranks(one), _ranks(other)
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
