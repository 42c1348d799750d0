"""Parts and multiples of a stretch of traffic: its peak, a window of it, five times of it."""

from __future__ import annotations

import numpy as np

from weighbridge.capacity.arrivals_copies import Copy, blocks_of, merged, users_of
from weighbridge.capacity.slo import Bools
from weighbridge.capacity.traffic import Floats, Ints, Requests
from weighbridge.units import InputError

# Copies of a stretch start up to this much later or earlier than the first, so that the bursts of
# independent users do not fall on the same second while hours of the day stay where they are.
COPY_SHIFT_S = 300.0
# Multiples of it lie far from each other on a circle however many there are: drawn at random, two
# copies of five are often within seconds of each other, and their bursts fall together.
_GOLDEN = (5**0.5 - 1) / 2


def picked(requests: Requests, index: Ints, from_s: float = 0.0) -> Requests:
    """Requests of a rising index, as a stretch that begins at `from_s`.

    Parameters
    ----------
    requests : Requests
    index : int64 array
        Positions, rising.
    from_s : float
        What becomes second 0 [s].

    Examples
    --------
    >>> r = Requests(np.array([0.0, 1.0, 4.0]), np.array([5, 6, 7]), np.array([1, 1, 2]))
    >>> picked(r, np.array([1, 2]), 1.0).arrival_s.tolist()
    [0.0, 3.0]
    """
    return Requests(
        arrival_s=requests.arrival_s[index] - from_s,
        input_tokens=requests.input_tokens[index],
        output_tokens=requests.output_tokens[index],
        priority=requests.priority[index] if len(requests.priority) else requests.priority,
        session=requests.session[index] if len(requests.session) else requests.session,
        prefix=None
        if requests.prefix is None
        else blocks_of(requests.prefix, index, np.zeros_like(index)),
    )


def between(requests: Requests, from_s: float, to_s: float) -> Requests:
    """Requests that arrive from `from_s` to before `to_s`, as a stretch of its own.

    Parameters
    ----------
    requests : Requests
    from_s, to_s : float
        [s]
    """
    first, last = np.searchsorted(requests.arrival_s, [from_s, to_s])
    return picked(requests, np.arange(first, last), from_s)


def busiest_window(arrival_s: Floats, work_s: Floats, window_s: float) -> tuple[float, float]:
    """The window that holds most work: its start, an arrival, and its end [s].

    Parameters
    ----------
    arrival_s : float64 array of shape (N,)
        Not falling [s].
    work_s : float64 array of shape (N,)
        Work of each request [s].
    window_s : float
        [s]

    Examples
    --------
    >>> busiest_window(np.array([0.0, 10.0, 11.0, 30.0]), np.ones(4), 5.0)
    (10.0, 15.0)
    """
    if len(arrival_s) == 0:
        raise InputError("traffic", "", "holds no request", "give a stretch with requests")
    total_s = np.concatenate(([0.0], np.cumsum(work_s)))
    ends = np.searchsorted(arrival_s, arrival_s + window_s)
    first = int(np.argmax(total_s[ends] - total_s[:-1]))
    return float(arrival_s[first]), float(arrival_s[first]) + window_s


def busiest_windows(
    arrival_s: Floats, work_s: Floats, window_s: float, n_windows: int
) -> tuple[tuple[float, float], ...]:
    """Windows of most work, none counting a request twice; fewer where there is no more work.

    Parameters
    ----------
    arrival_s, work_s : float64 arrays of shape (N,)
        [s]
    window_s : float
        [s]
    n_windows : int
    """
    left_s = np.array(work_s, np.float64)
    found: list[tuple[float, float]] = []
    while len(found) < n_windows and left_s.any():
        start, end = busiest_window(arrival_s, left_s, window_s)
        found.append((start, end))
        left_s[(arrival_s >= start) & (arrival_s < end)] = 0.0
    return tuple(found)


def inside(requests: Requests, from_s: float, to_s: float) -> Bools:
    """Which requests arrive from `from_s` to before `to_s`.

    Parameters
    ----------
    requests : Requests
    from_s, to_s : float
        [s]
    """
    arrival_s = requests.arrival_s
    return np.asarray((arrival_s >= from_s) & (arrival_s < to_s), np.bool_)


def multiplied(requests: Requests, demand_ratio: float, seed: int = 0) -> Requests:
    """The same hours with `demand_ratio` times the users.

    Whole multiples are further copies, each shifted in a circle by up to five minutes and with
    prefix blocks and sessions of its own; what is left is a copy of which a share of the users is
    kept (`users_of`: sessions, else prompts that share a prefix, else requests). A smaller ratio's
    requests are among those of a larger one with the same seed.

    Copies are independent at scales below the shift: there the index of dispersion of counts stays
    what it is while relative fluctuations shrink with the root of the ratio, and the variation of
    gaps tends to that of Poisson arrivals. Slower changes are in step and keep their relative size.
    Keeping a share p of the users takes the index I to about 1 + p (I - 1).

    Parameters
    ----------
    requests : Requests
    demand_ratio : float
        Above 0 [1].
    seed : int

    Examples
    --------
    >>> r = Requests(np.arange(10.0), np.ones(10, np.int64), np.ones(10, np.int64))
    >>> multiplied(r, 3.0).n_requests, multiplied(r, 1.0) is r
    (30, True)
    """
    if not (np.isfinite(demand_ratio) and demand_ratio > 0):
        raise InputError("traffic", "demand_ratio", f"is {demand_ratio}", "give one above 0")
    if demand_ratio == 1.0 or requests.n_requests == 0:
        return requests
    n_whole = int(demand_ratio)
    copies = [_copy(requests, k, 1.0, seed) for k in range(n_whole)]
    if demand_ratio > n_whole:
        copies.append(_copy(requests, n_whole, demand_ratio - n_whole, seed))
    return merged(copies, requests)


def _copy(requests: Requests, number: int, kept_frac: float, seed: int) -> Copy:
    """Positions that one copy keeps, and when they arrive."""
    rng = np.random.default_rng([seed, number])
    shift_s = COPY_SHIFT_S * (2.0 * ((0.5 + _GOLDEN * number) % 1.0) - 1.0)
    users = users_of(requests)
    keep = rng.random(int(users.max()) + 1)[users] < kept_frac
    index = np.flatnonzero(keep)
    start_s, span_s = requests.arrival_s[0], requests.duration_s
    arrival_s = requests.arrival_s[index]
    if number and span_s > 0:
        arrival_s = start_s + (arrival_s - start_s + shift_s) % span_s
    return index, arrival_s
