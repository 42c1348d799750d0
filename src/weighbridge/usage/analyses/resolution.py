"""What a profile may say where the log gives sums of stretches of time instead of requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from weighbridge.usage.analyses.withholding import WINDOW_NAMES
from weighbridge.usage.buckets import resolution_words
from weighbridge.usage.results import Peak, Profile, Quantiles, Withheld

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_SAMPLING = "sampling error of the volume"


def coarsened(profile: Profile, resolution_s: float) -> Profile:
    """The profile without what spreading requests evenly over buckets of time made up.

    Sums, shares and means stay, and so do peaks of windows no shorter than a bucket [s]; of
    lengths, only the mean is known.
    """
    finer = resolution_s > _MINUTE_S
    mine = tuple(_withheld(profile, resolution_s))
    replaced = {one.conclusion for one in mine}
    return replace(
        profile,
        peaks=_coarse(profile.peaks, resolution_s),
        query_types=tuple(
            replace(
                one,
                peaks=_coarse(one.peaks, resolution_s),
                input_length=_mean_of(one.input_length),
                output_length=_mean_of(one.output_length),
            )
            for one in profile.query_types
        ),
        input_length=_mean_of(profile.input_length),
        output_length=_mean_of(profile.output_length),
        volume_relative_sd_frac=None if finer else profile.volume_relative_sd_frac,
        caps=() if finer else profile.caps,
        withheld=(*mine, *(w for w in profile.withheld if w.conclusion not in replaced)),
        time_resolution_s=resolution_s,
    )


def _coarse(peaks: Sequence[Peak], resolution_s: float) -> tuple[Peak, ...]:
    return tuple(peak for peak in peaks if peak.window_s >= resolution_s)


def _mean_of(found: Quantiles) -> Quantiles:
    return Quantiles(found.n, found.mean, *[math.nan] * 6)


def _withheld(profile: Profile, resolution_s: float) -> Iterator[Withheld]:
    length = resolution_words(resolution_s)
    seen = f"the log tells sums of {length}, not requests"
    needs = "a log with one row per request"
    shared = f"{seen}: they were shared out evenly"
    yield Withheld("when within a bucket, and how large, a request was", shared, needs)
    for window_s, name in WINDOW_NAMES.items():
        if window_s < resolution_s:
            yield Withheld(f"peak-to-mean at {name}", seen, needs)
    if resolution_s > _HOUR_S:
        yield Withheld("rhythm within the day", seen, "a report by hour, or a log by request")
    if resolution_s > _MINUTE_S:
        yield Withheld(_SAMPLING, seen, needs)
        if profile.caps:
            yield Withheld("use of a provider's caps", seen, "a report by minute")
    yield Withheld("spread of token lengths (means are told)", seen, needs)
    yield Withheld("concurrency", seen, needs)
