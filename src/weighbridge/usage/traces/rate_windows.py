"""Rates by client and window of time, as arrays: plain data that traffic can be drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weighbridge.units import InputError
from weighbridge.usage.requests import Floats, Ints

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RateWindows:
    """Windows in which a client sent something, by client and then by time; arrays of shape (W,).

    `duration_s` runs to the end of the last window told of, silent ones included. `shape_ratio` is
    the shape parameter of the gaps between arrivals, of a Weibull law where `is_weibull` and of a
    Gamma law elsewhere; `cv_ratio` is the coefficient of variation of the gaps as measured, which
    a fitted law need not have.
    """

    client: Ints
    start_s: Floats
    rate_requests_per_s: Floats
    cv_ratio: Floats
    is_weibull: Flags
    shape_ratio: Floats
    window_s: float
    duration_s: float
    n_clients: int

    @property
    def n_windows(self) -> int:
        """Windows in which a client sent something."""
        return len(self.client)

    @property
    def n_requests(self) -> float:
        """Requests that the rates come to."""
        return float(self.rate_requests_per_s.sum() * self.window_s)

    def between(self, from_s: float, to_s: float) -> RateWindows:
        """The windows that begin in a stretch, counted from its start."""
        inside = (self.start_s >= from_s) & (self.start_s < to_s)
        return RateWindows(
            client=self.client[inside],
            start_s=self.start_s[inside] - from_s,
            rate_requests_per_s=self.rate_requests_per_s[inside],
            cv_ratio=self.cv_ratio[inside],
            is_weibull=self.is_weibull[inside],
            shape_ratio=self.shape_ratio[inside],
            window_s=self.window_s,
            duration_s=min(to_s, self.duration_s) - from_s,
            n_clients=self.n_clients,
        )

    def times(self, demand_ratio: float) -> RateWindows:
        """Every rate times this, gaps of the same shape: as bursty against the mean as before."""
        if not (np.isfinite(demand_ratio) and demand_ratio > 0):
            raise InputError("rates", "demand_ratio", f"is {demand_ratio}", "give one above 0")
        return replace(self, rate_requests_per_s=self.rate_requests_per_s * demand_ratio)

    def total_requests_per_s(self) -> Floats:
        """Rate of all clients together in each window of the stretch, silent ones included."""
        index = np.rint(self.start_s / self.window_s).astype(np.int64)
        n = round(self.duration_s / self.window_s)
        return np.bincount(index, self.rate_requests_per_s, n).astype(np.float64)
