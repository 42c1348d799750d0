"""What a profile says: plain data, made by `usage.profile`, read by `study` and `report`.

Costs here are exact sums of per-request list costs, as `Decimal`; shares and rates are floats.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Disjoint token buckets [tokens]."""

    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int  # inside output_tokens

    @property
    def input_tokens(self) -> int:
        """All input [tokens]."""
        return self.uncached_input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output [tokens]."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One line of a spend table: a value of the dimension grouped by, and what it used."""

    key: str | None  # None: the source did not say
    n_requests: int
    n_failed: int
    tokens: Tokens
    list_cost_usd: Decimal  # of priced requests only
    n_unpriced: int
    unpriced_tokens: int
    cost_share_frac: float  # of all priced cost
    tokens_share_frac: float
    n_self_hosted: int = 0  # without a cost of their own: the fleet's hours are one


@dataclass(frozen=True, slots=True)
class LogSpan:
    """What stretch of time the log covers, and how completely."""

    first_at: dt.datetime
    last_at: dt.datetime
    span_days: float
    n_requests: int
    n_failed: int
    n_days_with_traffic: int


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak against mean of one measure over one window length, and when the peak was."""

    window_s: int
    measure: str  # "requests" | "tokens" | "output_tokens"
    mean_per_window: float
    peak_per_window: float
    peak_at: dt.datetime

    @property
    def peak_to_mean_ratio(self) -> float:
        """Peak over mean [1]."""
        return self.peak_per_window / self.mean_per_window


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of one quantity; `n` values stood behind them."""

    n: int
    mean: float
    p10: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class QueryTypeProfile:
    """Demand of one query type: requests of one (tenant, feature, template), with its models."""

    tenant: str | None
    feature: str | None
    template: str | None
    models: tuple[str, ...]  # most used first
    data_classes: tuple[str, ...]
    n_requests: int
    n_failed: int
    tokens: Tokens
    list_cost_usd: Decimal
    n_unpriced: int
    hourly_requests: Floats  # (168,) mean requests in each hour of the week, Monday 00:00 UTC first
    hourly_input_tokens: Floats  # (168,) mean uncached input tokens in each hour of the week
    hourly_output_tokens: Floats  # (168,) mean output tokens in each hour of the week
    peaks: tuple[Peak, ...]
    input_length: Quantiles
    output_length: Quantiles
    ttft_s: Quantiles | None
    latency_s: Quantiles | None
    n_self_hosted: int = 0

    @property
    def label(self) -> str:
        """Readable name: the parts that are known, joined by a slash."""
        known = [part for part in (self.tenant, self.feature, self.template) if part]
        return " / ".join(known) or "(unassigned)"


@dataclass(frozen=True, slots=True)
class Concentration:
    """How few query types burn how much; shares ordered from the largest type down."""

    measure: str  # "tokens" | "cost"
    cumulative_share_frac: Floats  # (n_types,) cumulative share of the k largest types
    n_types: int
    n_types_for_80_frac: int  # fewest types that make 80 % of the measure
    unassigned_share_frac: float  # of the measure: requests whose query type nobody named
    recognised_share_frac: float = 0.0  # of the measure: query types recognised, not named


@dataclass(frozen=True, slots=True)
class CapUse:
    """A provider's cap against measured peaks: which share of minutes would have been over it."""

    cap: str  # "requests_per_min" | "input_tokens_per_min" | "output_tokens_per_min"
    limit_per_min: float
    peak_per_min: float
    peak_at: dt.datetime
    minutes_over: int
    over_share_frac: float  # of minutes with traffic
    requests_over: int  # requests that fell into such minutes


@dataclass(frozen=True, slots=True)
class Withheld:
    """A conclusion that this log is too short or too poor to support, and what would allow it."""

    conclusion: str
    reason: str
    needs: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that the analyses say of one ledger."""

    span: LogSpan
    tokens: Tokens
    list_cost_usd: Decimal
    n_unpriced: int
    unpriced_tokens_share_frac: float
    unpriced_models: tuple[str, ...]
    cached_share_frac: float  # cache reads in all input tokens
    by: Mapping[str, tuple[GroupRow, ...]]  # "tenant" | "feature" | "template" | "model" | …
    query_types: tuple[QueryTypeProfile, ...]  # largest cost (else tokens) first
    concentration: tuple[Concentration, ...]
    hourly_requests: Floats  # (168,) Monday 00:00 UTC first
    hourly_tokens: Floats  # (168,)
    peaks: tuple[Peak, ...]
    input_length: Quantiles
    output_length: Quantiles
    latency_s: Quantiles | None
    ttft_s: Quantiles | None
    trend_per_week_frac: float | None  # growth of daily tokens; None: log too short
    volume_relative_sd_frac: float | None  # sampling error of the total over this span
    caps: tuple[CapUse, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    cannot_tell: tuple[str, ...] = field(default=())  # what the sources do not record
    n_self_hosted: int = 0  # requests served by fleets of one's own, which have no price each
    sources: tuple[str, ...] = ()  # where the records came from: "gateway", or importers' names
    time_resolution_s: float | None = None  # of sums that stand for requests; None: every instant
