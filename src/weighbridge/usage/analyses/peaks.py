"""Peak against mean over aligned windows, and peaks against a provider's caps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from weighbridge.usage.analyses.clock import Ints, Span, instant
from weighbridge.usage.results import CapUse, Peak

WINDOWS_S = (60, 3600, 86_400)
MEASURES = ("requests", "tokens", "output_tokens")
CAPS = ("requests_per_min", "input_tokens_per_min", "output_tokens_per_min", "tokens_per_min")


@dataclass(frozen=True, slots=True)
class Windows:
    """Sums per window that had traffic: `at` is the window's number since 1970, ascending."""

    at: Ints
    sums: Mapping[str, Ints]

    def coarser(self, factor: int) -> Windows:
        """The same sums over windows `factor` times as long."""
        at, places = np.unique(self.at // factor, return_inverse=True)
        return Windows(
            at, {name: _added(sums, places, len(at)) for name, sums in self.sums.items()}
        )


@dataclass(frozen=True, slots=True)
class PeakSums:
    """What a peak needs: the largest window, its number, and the sum over complete windows."""

    largest: int
    largest_at: int
    whole_sum: int


def _added(values: Ints, places: Ints, n: int) -> Ints:
    out = np.zeros(n, dtype=np.int64)
    np.add.at(out, places, values)
    return out


def has_mean(span: Span, window_s: int) -> bool:
    """Whether a mean over windows of this length means anything: two were seen whole."""
    first, last = span.complete_windows(window_s)
    return last - first >= 1


def peak(sums: PeakSums, span: Span, window_s: int, measure: str) -> Peak | None:
    """Largest window against the mean of the complete ones, empty ones counted as zero."""
    first, last = span.complete_windows(window_s)
    if last - first < 1 or sums.whole_sum == 0:
        return None
    at = instant(sums.largest_at * window_s * 1_000_000)
    mean = sums.whole_sum / (last - first + 1)
    return Peak(window_s, measure, mean, float(sums.largest), at)


def peaks_of(windows: Windows, span: Span, window_s: int) -> Iterable[Peak]:
    """Peaks of every measure over windows of one length."""
    first, last = span.complete_windows(window_s)
    whole = (windows.at >= first) & (windows.at <= last)
    for measure in MEASURES:
        values = windows.sums[measure]
        if not len(values):
            continue
        top = int(np.argmax(values))
        sums = PeakSums(int(values[top]), int(windows.at[top]), int(values[whole].sum()))
        found = peak(sums, span, window_s, measure)
        if found is not None:
            yield found


def cap_use(minutes: Windows, cap: str, limit_per_min: float) -> CapUse:
    """How one cap would have fared against the measured minutes."""
    values = minutes.sums[cap.removesuffix("_per_min")]
    top = int(np.argmax(values))
    over = values > limit_per_min
    return CapUse(
        cap=cap,
        limit_per_min=limit_per_min,
        peak_per_min=float(values[top]),
        peak_at=instant(int(minutes.at[top]) * 60_000_000),
        minutes_over=int(over.sum()),
        over_share_frac=float(over.mean()),
        requests_over=int(minutes.sums["requests"][over].sum()),
    )
