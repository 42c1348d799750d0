"""Requests as arrays: what readers give and the simulation is fed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from weighbridge.units import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _none() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class PrefixBlocks:
    """Prefix blocks that each request's prompt begins with, in order; ids are dense from 0.

    Attributes
    ----------
    block_ids : int64 array of shape (M,)
        Blocks of all requests, one after the other. Two requests whose first k ids agree share
        the first `k * n_tokens_per_block` tokens of their prompts.
    offsets : int64 array of shape (N + 1,)
        Request i owns `block_ids[offsets[i]:offsets[i + 1]]`.
    n_tokens_per_block : int
        Tokens in a block; the last block of a prompt may be partly filled and is not shared then.
    """

    block_ids: Ints
    offsets: Ints
    n_tokens_per_block: int


@dataclass(frozen=True, slots=True)
class Requests:
    """A stretch of traffic, sorted by arrival; every array of shape (N,).

    Attributes
    ----------
    arrival_s : float64 array
        Seconds from the start of the stretch, not falling.
    input_tokens, output_tokens : int64 arrays
        Prompt tokens (at least 1) and answer tokens (at least 1).
    priority : int64 array, optional
        Smaller is served first where the engine admits by priority; empty for one class.
    session : int64 array, optional
        Conversation of each request, for sticky routing; empty where there are none.
    prefix : PrefixBlocks, optional
    """

    arrival_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    priority: Ints = field(default_factory=_none)
    session: Ints = field(default_factory=_none)
    prefix: PrefixBlocks | None = None

    def __post_init__(self) -> None:
        n = len(self.arrival_s)
        for name in ("input_tokens", "output_tokens"):
            if len(getattr(self, name)) != n:
                raise InputError("Requests", name, f"has not {n} values", "give one per request")
            if n and getattr(self, name).min() < 1:
                raise InputError("Requests", name, "has a value below 1", "leave such requests out")
        for name in ("priority", "session"):
            if len(getattr(self, name)) not in (0, n):
                raise InputError("Requests", name, f"has not {n} values", "give one per request")
        if n and not np.isfinite(self.arrival_s).all():
            raise InputError("Requests", "arrival_s", "is not finite", "give seconds")
        if n and (np.diff(self.arrival_s) < 0).any():
            raise InputError("Requests", "arrival_s", "falls", "sort the requests by arrival")

    @property
    def n_requests(self) -> int:
        """How many there are."""
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """From the first arrival to the last [s]."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self.arrival_s) else 0.0
