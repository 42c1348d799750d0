"""Predictions with the interval that their errors on held-out measurements earned."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.capacity.step_time import Basis


@dataclass(frozen=True, slots=True)
class Interval:
    """Central figure and the bounds that hold 90 % of held-out measurements."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A benchmark's load: always `n_concurrent` requests in flight, lengths about the same."""

    input_tokens: float
    output_tokens: float
    n_concurrent: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Steady-state latency and throughput of one replica under a closed loop.

    Attributes
    ----------
    ttft_s, tpot_s : Interval
        Time to first token and per output token after it [s].
    output_tokens_per_s : Interval
        Of the whole replica [tokens/s].
    basis : {"calibrated", "measured", "exported", "roofline"}
    why : tuple of str
        What the prediction rests on, and why its interval is as wide as it is.
    """

    ttft_s: Interval
    tpot_s: Interval
    output_tokens_per_s: Interval
    basis: Basis
    why: tuple[str, ...] = ()
