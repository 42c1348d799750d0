"""Quantiles from the histograms of `expressions.type_histogram`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.usage.analyses.clock import Floats, Ints
from weighbridge.usage.results import Quantiles

QUANTILES = (0.10, 0.50, 0.90, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bins of whole numbers, each with its count, least and greatest value and sum."""

    bin: Ints
    n: Ints
    least: Ints
    greatest: Ints
    total: Ints

    def where(self, chosen: slice) -> Histogram:
        """Only the chosen bins."""
        parts = (self.bin, self.n, self.least, self.greatest, self.total)
        return Histogram(*(part[chosen] for part in parts))

    def merged(self) -> Histogram:
        """The same values with each bin once, ascending: bins of query types put together."""
        bins, place = np.unique(self.bin, return_inverse=True)
        n, total = np.zeros_like(bins), np.zeros_like(bins)
        least, greatest = np.full_like(bins, np.iinfo(np.int64).max), np.zeros_like(bins)
        np.add.at(n, place, self.n)
        np.add.at(total, place, self.total)
        np.minimum.at(least, place, self.least)
        np.maximum.at(greatest, place, self.greatest)
        return Histogram(bins, n, least, greatest, total)


def quantiles(histogram: Histogram, unit: float = 1.0) -> Quantiles:
    """Nearest-rank quantiles: the least value that at least that share of values do not exceed.

    Exact below 128; above, interpolated between the least and greatest value of a bin, so wrong
    by at most 1.1 %. Mean and maximum are exact. `unit` scales whole numbers to the unit reported.
    """
    bins = histogram.merged()
    n = int(bins.n.sum())
    if n == 0:
        nan = float("nan")
        return Quantiles(0, nan, nan, nan, nan, nan, nan, nan)
    found = _at_ranks(bins, np.array([_rank(share, n) for share in QUANTILES])) * unit
    p10, p50, p90, p95, p99 = map(float, found)
    mean = int(bins.total.sum()) / n * unit
    return Quantiles(n, mean, p10, p50, p90, p95, p99, float(bins.greatest.max()) * unit)


def _rank(share: float, n: int) -> int:
    # Whole hundredths: 0.1 * 30 in floats is above 3 and would take the fourth value.
    return max(1, -(-round(share * 100) * n // 100))


def _at_ranks(bins: Histogram, ranks: Ints) -> Floats:
    reached = np.cumsum(bins.n)
    place = np.searchsorted(reached, ranks)
    count = bins.n[place]
    inside = ranks - (reached[place] - count) - 1
    width = (bins.greatest[place] - bins.least[place]).astype(np.float64)
    step = np.divide(inside, count - 1, out=np.zeros(len(ranks)), where=count > 1)
    return np.asarray(bins.least[place] + width * step, dtype=np.float64)
