"""What was measured on an endpoint, in one form for every tool that measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.usage.requests import Floats, Ints, Requests


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a file says of the engine behind it; None where it does not say."""

    model: str | None = None
    gpu: str | None = None
    engine: str | None = None
    n_tensor_parallel: int | None = None
    n_data_parallel: int | None = None
    expert_parallel: bool | None = None
    n_max_requests: int | None = None
    n_max_batched_tokens: int | None = None
    n_block_tokens: int | None = None
    kv_tokens: int | None = None
    prefix_caching: bool | None = None
    async_scheduling: bool | None = None


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One run of one load: the requests that succeeded and how they were served.

    Attributes
    ----------
    name : str
        File (and benchmark inside it) it was read from.
    requests : Requests
        Arrivals are those at the engine or, where only the client was seen, at the client.
    ttft_s, e2e_s : float64 arrays of shape (N,)
        From arrival to first and last token [s]; NaN where not recorded.
    queue_s : float64 array of shape (N,)
        From arrival to the first scheduling [s]; NaN where only the outside was seen.
    n_concurrent : int, optional
        Of a closed loop; None for arrivals in open loop.
    n_failed : int
        Requests that failed or were cut off; they stand in no array.
    settings : EngineSettings
    """

    name: str
    requests: Requests
    ttft_s: Floats
    e2e_s: Floats
    queue_s: Floats
    n_concurrent: int | None
    n_failed: int
    settings: EngineSettings


@dataclass(frozen=True, slots=True)
class ServingPoint:
    """One published or aggregate measurement; names are as printed, None where not told.

    `n_gpus` are those of the whole system under test; throughput is None unless it was measured.
    """

    source: str
    model: str
    gpu: str
    n_gpus: int | None
    n_tensor_parallel: int | None
    expert_parallel: bool | None
    precision: str | None
    engine: str
    input_tokens: float | None
    output_tokens: float | None
    n_concurrent: float | None
    ttft_s: float | None
    tpot_s: float | None
    output_tokens_per_s: float | None
    disaggregated: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ObservedHistogram:
    """Values counted into buckets, as metrics expose them.

    Attributes
    ----------
    n_values : int
    mean : float
        Exact: sum over count.
    upper_bounds : float64 array of shape (B,)
        Upper edges of the buckets, rising; the last is infinite.
    n_cumulative : int64 array of shape (B,)
        Values at or below each edge.
    """

    n_values: int
    mean: float
    upper_bounds: Floats
    n_cumulative: Ints

    def quantile(self, share: float) -> float:
        """Value below which a share lies, linear within its bucket; infinite beyond all edges."""
        rank = share * self.n_values
        i = int(np.searchsorted(self.n_cumulative, rank))
        i = min(i, len(self.upper_bounds) - 1)
        high = float(self.upper_bounds[i])
        low = float(self.upper_bounds[i - 1]) if i else 0.0
        below = int(self.n_cumulative[i - 1]) if i else 0
        inside = int(self.n_cumulative[i]) - below
        if not np.isfinite(high) or inside == 0:
            return high
        return low + (high - low) * (rank - below) / inside


@dataclass(frozen=True, slots=True)
class ObservedLoad:
    """What an engine's metrics tell of a stretch of load: distributions and means, no requests.

    Times are in seconds, lengths in tokens; None where the engine does not expose it. Means over
    time (`mean_…`) and `duration_s` are None unless the stretch was sampled throughout. `tpot_s`
    holds one value per request, `itl_s` one per token.
    """

    name: str
    n_succeeded: int
    n_failed: int
    n_preemptions: int | None
    duration_s: float | None
    mean_running_requests: float | None
    mean_waiting_requests: float | None
    mean_kv_frac: float | None
    prefix_hit_frac: float | None
    ttft_s: ObservedHistogram | None
    tpot_s: ObservedHistogram | None
    itl_s: ObservedHistogram | None
    e2e_s: ObservedHistogram | None
    queue_s: ObservedHistogram | None
    input_tokens: ObservedHistogram | None
    output_tokens: ObservedHistogram | None
    settings: EngineSettings
