"""The traffic to be served: query types with their monthly volumes and hour-of-week rhythm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weighbridge.economics.distributions import Floats

WORK_RATIO_GRID = np.linspace(0.0, 1.0, 41)


@dataclass(frozen=True)
class QueryType:
    """Demand of one query type in a month, and what may be done with it.

    Attributes
    ----------
    fresh_input_tokens, cache_read_tokens, output_tokens : float
        Tokens per month; fresh input is uncached and cache-written input together.
    api_usd_per_month : float
        List cost of today's traffic at today's prices.
    hourly_input_tokens, hourly_output_tokens : (168,) array or None
        Mean tokens in each hour of the week (any scale; NaN: hour not observed).
    movable : bool
        Whether it may leave the API at all; `forced` says that it must, `proven` that another
        model is known to answer well enough.
    """

    label: str
    requests_per_month: float
    fresh_input_tokens: float
    cache_read_tokens: float
    output_tokens: float
    api_usd_per_month: float
    hourly_input_tokens: Floats | None = None
    hourly_output_tokens: Floats | None = None
    movable: bool = True
    forced: bool = False
    proven: bool = False

    @property
    def total_tokens(self) -> float:
        """Tokens a month, cache reads included [tokens]."""
        return self.fresh_input_tokens + self.cache_read_tokens + self.output_tokens


@dataclass(frozen=True)
class Workload:
    """All query types, and sums over any subset of them."""

    types: tuple[QueryType, ...]

    @cached_property
    def _slices(self) -> dict[tuple[int, ...], Slice]:
        return {}

    def slice(self, members: Sequence[int]) -> Slice:
        """The subset of query types at these positions; its sums are made once."""
        key = tuple(members)
        if key not in self._slices:
            self._slices[key] = Slice(tuple(self.types[i] for i in key))
        return self._slices[key]

    @cached_property
    def whole(self) -> Slice:
        """Every query type."""
        return Slice(self.types)

    @property
    def movable(self) -> tuple[int, ...]:
        """Positions of the types that may leave the API."""
        return tuple(i for i, t in enumerate(self.types) if t.movable)

    @property
    def forced(self) -> tuple[int, ...]:
        """Positions of the types that must leave the API."""
        return tuple(i for i, t in enumerate(self.types) if t.forced)


@dataclass(frozen=True)
class Slice:
    """Some query types taken together, as one fleet sees them."""

    types: tuple[QueryType, ...]

    @property
    def n_types(self) -> int:
        """How many query types."""
        return len(self.types)

    @cached_property
    def requests_per_month(self) -> float:
        """Requests a month."""
        return sum(t.requests_per_month for t in self.types)

    @cached_property
    def fresh_input_tokens(self) -> float:
        """Fresh input tokens a month [tokens]."""
        return sum(t.fresh_input_tokens for t in self.types)

    @cached_property
    def cache_read_tokens(self) -> float:
        """Input tokens a month read from the provider's cache [tokens]."""
        return sum(t.cache_read_tokens for t in self.types)

    @cached_property
    def output_tokens(self) -> float:
        """Output tokens a month [tokens]."""
        return sum(t.output_tokens for t in self.types)

    @cached_property
    def total_tokens(self) -> float:
        """All tokens a month [tokens]."""
        return sum(t.total_tokens for t in self.types)

    @cached_property
    def api_usd_per_month(self) -> float:
        """List cost a month on the API [USD]."""
        return sum(t.api_usd_per_month for t in self.types)

    @cached_property
    def has_rhythm(self) -> bool:
        """Whether every type brings its hour-of-week rhythm."""
        return bool(self.types) and all(t.hourly_output_tokens is not None for t in self.types)

    @cached_property
    def _hourly_peaks(self) -> Floats:
        zero = np.zeros(168)
        inputs = sum(
            (t.hourly_input_tokens for t in self.types if t.hourly_input_tokens is not None), zero
        )
        outputs = sum(
            (t.hourly_output_tokens for t in self.types if t.hourly_output_tokens is not None), zero
        )
        work = WORK_RATIO_GRID[:, None] * inputs + outputs
        if not np.any(outputs > 0):  # embeddings: what is read sets the rhythm at any ratio
            work = np.broadcast_to(inputs, work.shape)
        peak, mean = np.nanmax(work, axis=1), np.nanmean(work, axis=1)
        ratio = np.ones(len(WORK_RATIO_GRID))
        np.divide(peak, mean, out=ratio, where=mean > 0)
        return ratio

    def hourly_peak_to_mean(self, input_token_work_ratio: Floats) -> Floats:
        """Busiest hour of the week against the mean hour, for the work that the slice makes [1].

        Types peak at different hours: a fleet sees the peak of their sum, not the sum of peaks.
        Interpolated between 41 values of the work ratio.
        """
        return np.asarray(np.interp(input_token_work_ratio, WORK_RATIO_GRID, self._hourly_peaks))
