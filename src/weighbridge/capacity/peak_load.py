"""The stretch of traffic that decides a fleet's size: its busiest window, warmed up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.slo import Bools
from weighbridge.capacity.stretch import busiest_window, inside, multiplied, picked
from weighbridge.capacity.traffic import Floats, Requests

WINDOW_S = 3600.0
# Before the window, so that it begins with batches running and prefixes cached.
LEAD_IN_S = 600.0
# A window that holds more is cut to its own busiest part: quantiles do not get better.
N_MOST_REQUESTS = 150_000
SHORTEST_WINDOW_S = 600.0
SHORTEST_MULTIPLE_S = 300.0


@dataclass(frozen=True, slots=True)
class PeakLoad:
    """Traffic to size by, and which of its requests are judged.

    Attributes
    ----------
    requests : Requests
        The lead-in and the window.
    judged : bool array of shape (N,)
        Those of the window.
    from_s, to_s : float
        The window in the stretch that it was cut from [s].
    is_whole : bool
        The window is the whole stretch.
    """

    requests: Requests
    judged: Bools
    from_s: float
    to_s: float
    is_whole: bool

    @property
    def window_s(self) -> float:
        """Length of the window [s]."""
        return self.to_s - self.from_s


def peak_load(requests: Requests, work_s: Floats, window_s: float = WINDOW_S) -> PeakLoad:
    """The busiest window of a stretch by work; the whole of one that is not much longer.

    Parameters
    ----------
    requests : Requests
    work_s : float64 array of shape (N,)
        Work of each request [s].
    window_s : float
        [s]

    Examples
    --------
    >>> r = Requests(np.arange(0.0, 7200.0), np.ones(7200, int), np.ones(7200, int))
    >>> peak = peak_load(r, np.where(r.arrival_s > 5000, 2.0, 1.0), 1800.0)
    >>> peak.from_s, peak.requests.n_requests, int(peak.judged.sum())
    (5001.0, 2400, 1800)
    """
    arrival_s = requests.arrival_s
    start, end = float(arrival_s[0]), float(np.nextafter(arrival_s[-1], np.inf))
    if end - start > 1.5 * window_s:
        start, end = busiest_window(arrival_s, work_s, window_s)
    window = inside(requests, start, end)
    while window.sum() > N_MOST_REQUESTS and end - start > SHORTEST_WINDOW_S:
        shorter_s = max((end - start) / 2, SHORTEST_WINDOW_S)
        start, end = busiest_window(arrival_s, np.where(window, work_s, 0.0), shorter_s)
        window = inside(requests, start, end)
    return window_load(requests, start, end)


def window_load(requests: Requests, from_s: float, to_s: float) -> PeakLoad:
    """A window of a stretch with the ten minutes before it, which warm it up.

    Parameters
    ----------
    requests : Requests
    from_s, to_s : float
        [s]
    """
    window = inside(requests, from_s, to_s)
    kept = np.flatnonzero(inside(requests, from_s - LEAD_IN_S, to_s))
    cut = picked(requests, kept, float(requests.arrival_s[kept[0]]))
    return PeakLoad(cut, window[kept], from_s, to_s, bool(window.all()))


def multiplied_load(
    peak: PeakLoad, demand_ratio: float, n_most_requests: int = N_MOST_REQUESTS, seed: int = 0
) -> PeakLoad:
    """The same window with more or fewer users.

    Parameters
    ----------
    peak : PeakLoad
    demand_ratio : float
        Above 0 [1].
    n_most_requests : int
        A window that comes to more is cut to its middle of so many, of five minutes at least.
    seed : int
    """
    if demand_ratio == 1.0:
        return peak
    requests = multiplied(peak.requests, demand_ratio, seed)
    first = peak.requests.arrival_s[int(np.argmax(peak.judged))]
    judged = requests.arrival_s >= first
    if not judged.any():  # a window so thin that nobody of it was kept
        judged = np.ones(requests.n_requests, np.bool_)
    load = PeakLoad(requests, judged, peak.from_s, peak.to_s, peak.is_whole)
    return _shortened(load, n_most_requests)


def _shortened(load: PeakLoad, n_most_requests: int) -> PeakLoad:
    """A part of a window of so many requests that a part of them says as much."""
    arrival_s = load.requests.arrival_s
    if len(arrival_s) <= n_most_requests:
        return load
    span_s = float(arrival_s[-1] - arrival_s[0])
    share = max(n_most_requests / len(arrival_s), SHORTEST_MULTIPLE_S / max(span_s, 1.0))
    if share >= 1:
        return load
    judged_s = arrival_s[load.judged]
    first, last = float(judged_s[0]), float(judged_s[-1])
    start = first + (1 - share) / 2 * (last - first)
    end = start + share * (last - first)
    kept = np.flatnonzero(inside(load.requests, start - LEAD_IN_S * share, end))
    judged = arrival_s[kept] >= start
    cut = picked(load.requests, kept, float(arrival_s[kept[0]]))
    return PeakLoad(cut, judged, load.from_s, load.to_s, is_whole=False)
