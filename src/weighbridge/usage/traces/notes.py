"""What a reader of traces gives: the requests, and what it left out or could not tell."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from weighbridge.usage.requests import Requests

_MONDAY = dt.datetime(1970, 1, 5, tzinfo=dt.UTC)
_WEEK_S = 168 * 3600.0


@dataclass(frozen=True, slots=True)
class TraceNotes:
    """How a trace was read.

    `n_rows` are all rows seen; those without output or input tokens and those that failed are left
    out of the requests. `first_at` is None where the trace counts from an unknown instant.
    `cached_input_frac` is the share of input tokens that a provider read from its cache; None
    where the source does not record it.
    """

    where: str
    kind: str
    title: str
    n_rows: int
    n_without_output: int = 0
    n_without_input: int = 0
    n_failed: int = 0
    n_out_of_order: int = 0
    first_at: dt.datetime | None = None
    cached_input_frac: float | None = None
    cannot_tell: tuple[str, ...] = ()

    @property
    def n_left_out(self) -> int:
        """Rows that are no request that an engine could serve."""
        return self.n_without_output + self.n_without_input + self.n_failed

    @property
    def origin_hour_of_week(self) -> float | None:
        """Hours from Monday 00:00 UTC to the first request; None: the trace does not tell."""
        if self.first_at is None:
            return None
        return ((self.first_at - _MONDAY).total_seconds() % _WEEK_S) / 3600.0


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """Requests of a trace, counted from the first one, with the notes of their reading."""

    requests: Requests
    notes: TraceNotes
