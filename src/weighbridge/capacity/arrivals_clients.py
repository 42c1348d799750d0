"""Traffic drawn from the rates of many clients by window of time, each with its own gaps."""

from __future__ import annotations

import numpy as np

from weighbridge.capacity.arrivals_gaps import GapLaw
from weighbridge.capacity.arrivals_synthesis import N_MOST_REQUESTS, refuse_above, rows_drawn
from weighbridge.capacity.traffic import Floats, Ints, Requests
from weighbridge.units import InputError
from weighbridge.usage.traces.rate_windows import Flags, RateWindows


def synthesize_clients(
    windows: RateWindows,
    rows: Requests,
    rng: np.random.Generator,
    *,
    keep_counts: bool = True,
    n_most_requests: int = N_MOST_REQUESTS,
) -> Requests:
    """Draw each client's requests in each window from gaps of the window's own law.

    Gaps are Gamma or Weibull of the window's shape with mean 1 / rate: ServeGen's Weibull scales
    are left aside, for with them a third of the windows would miss their own rate by half.

    Parameters
    ----------
    windows : RateWindows
        A stretch of them by `RateWindows.between`, less or more traffic by `RateWindows.times`.
    rows : Requests
        Lengths are drawn from these, input and output together; rates come without any.
    rng : numpy.random.Generator
    keep_counts : bool
        The rates are counts of what came. True: each window has just as many requests as it
        counted (of a fraction, one more by chance), spaced by gaps of its law made to fit. False:
        a renewal process looked in at, whose count varies once more around the counted one.
    n_most_requests : int
        More than these are refused before anything is drawn.

    Returns
    -------
    Requests
        From second 0 of the stretch; without sessions, for a client is not one conversation.

    Raises
    ------
    InputError
        For a silent stretch, or more requests than allowed.
    """
    if windows.n_windows == 0:
        problem = f"no client sends anything in these {windows.duration_s:g} s"
        raise InputError("rates", "rate_requests_per_s", problem, "name another stretch")
    refuse_above(windows.n_requests, n_most_requests, "rates")
    drawn = _counted if keep_counts else _renewed
    parts = []
    edges = np.flatnonzero(np.diff(windows.client)) + 1
    for of_client in np.split(np.arange(windows.n_windows), edges):
        n_due = windows.rate_requests_per_s[of_client] * windows.window_s
        shapes, weibull = windows.shape_ratio[of_client], windows.is_weibull[of_client]
        frac, window = drawn(n_due, shapes, weibull, rng)
        parts.append(windows.start_s[of_client][window] + frac * windows.window_s)
    return rows_drawn(rows, np.sort(np.concatenate(parts)), rng)


def _counted(
    n_due_requests: Floats,
    shape_ratio: Floats,
    weibull: Flags,
    rng: np.random.Generator,
) -> tuple[Floats, Ints]:
    """Places within windows as shares of them, and their windows; each count as it is due."""
    counts = np.floor(n_due_requests + rng.random(len(n_due_requests))).astype(np.int64)
    # One gap more than requests: the last leads to the window's end.
    window = np.repeat(np.arange(len(counts)), counts + 1)
    gaps = _unit_gaps(shape_ratio[window], weibull[window], rng)
    ends = np.cumsum(counts + 1)
    total = np.cumsum(gaps)
    before = np.concatenate([[0.0], total[ends[:-1] - 1]])
    whole = total[ends - 1] - before
    frac = (total - before[window]) / np.where(whole > 0, whole, 1.0)[window]
    # Where in its gap a window begins is chance: turned in a circle by a share of the window.
    frac = (frac + rng.random(len(counts))[window]) % 1.0
    last = np.zeros(len(window), bool)
    last[ends - 1] = True
    return frac[~last], window[~last]


def _unit_gaps(shape_ratio: Floats, weibull: Flags, rng: np.random.Generator) -> Floats:
    """Gaps of each law, of any scale; the least positive number where one is too small to hold."""
    gaps = np.empty(len(shape_ratio))
    gaps[~weibull] = rng.standard_gamma(shape_ratio[~weibull])
    gaps[weibull] = rng.weibull(shape_ratio[weibull])
    return np.maximum(gaps, np.finfo(np.float64).tiny)


def _renewed(
    n_due_requests: Floats,
    shape_ratio: Floats,
    weibull: Flags,
    rng: np.random.Generator,
) -> tuple[Floats, Ints]:
    """Places of a renewal process that was going on before each window, as shares of it."""
    places, n_placed = [], []
    for n_due, shape, is_weibull in zip(n_due_requests, shape_ratio, weibull, strict=True):
        law = GapLaw("weibull" if is_weibull else "gamma", float(shape))
        points = np.array([law.first(rng)])
        while points[-1] < n_due:
            gaps = law.draw(rng, int(n_due - points[-1]) + 16)
            points = np.concatenate([points, points[-1] + np.cumsum(gaps)])
        inside = points[points < n_due] / n_due
        places.append(inside)
        n_placed.append(len(inside))
    return np.concatenate(places), np.repeat(np.arange(len(n_placed)), n_placed)
