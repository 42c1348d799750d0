"""A step time at the fast end, the middle and the slow end of its 90 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from weighbridge.capacity.prediction import Interval
from weighbridge.capacity.step_time import StepTime

CERTAIN = Interval(1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class StepTimeBand:
    """Fast, expected and slow step times of one deployment."""

    low: StepTime
    mid: StepTime
    high: StepTime


def scaled(step_time: StepTime, decode_ratio: float, prefill_ratio: float) -> StepTime:
    """A step time whose decode and prompt parts take a multiple of their time.

    Parameters
    ----------
    step_time : StepTime
    decode_ratio, prefill_ratio : float
        [1]; `first_token_s` goes with the prompt.
    """
    return replace(
        step_time,
        decode_s=step_time.decode_s * decode_ratio,
        mixed_s=step_time.mixed_s * prefill_ratio,
        kv_s_per_token=step_time.kv_s_per_token * decode_ratio,
        attention_s_per_pair=step_time.attention_s_per_pair * prefill_ratio,
        first_token_s=step_time.first_token_s * prefill_ratio,
    )


def band(
    step_time: StepTime, decode: Interval = CERTAIN, prefill: Interval = CERTAIN
) -> StepTimeBand:
    """Step times at both ends of their intervals, taken together: decode and prompts both slow.

    Parameters
    ----------
    step_time : StepTime
    decode, prefill : Interval
        Of a time per output token and of a time to first token, in any unit: only the ratios of
        their bounds to their middle count.

    Examples
    --------
    >>> import numpy as np
    >>> st = StepTime(np.array([0, 0.02]), np.array([0, 0.03]), 0.0, 0.0, 0.0, "roofline")
    >>> band(st, Interval(0.01, 0.02, 0.04)).high.decode_s.tolist()
    [0.0, 0.04]
    """
    return StepTimeBand(
        low=scaled(step_time, decode.low / decode.mid, prefill.low / prefill.mid),
        mid=step_time,
        high=scaled(step_time, decode.high / decode.mid, prefill.high / prefill.mid),
    )


def jointly(decode: Interval, prefill: Interval, prefill_frac: float) -> tuple[Interval, Interval]:
    """Shrink two intervals so that the work of both together is inside with the same 90 %.

    Errors of prompts and of decoding are taken as independent: both at their bounds at once is
    rarer than either. With shares p and d of the work and logarithms a and b of the bounds over
    the middle, both are multiplied by `sqrt((p a)^2 + (d b)^2) / (p |a| + d |b|)`.

    Parameters
    ----------
    decode, prefill : Interval
    prefill_frac : float
        Share of the work that prompts are [1].

    Examples
    --------
    >>> wide = Interval(0.5, 1.0, 2.0)
    >>> round(jointly(wide, wide, 0.5)[0].high, 3), jointly(wide, wide, 1.0)[1].high
    (1.633, 2.0)
    """
    low = _shrunk(decode.low / decode.mid, prefill.low / prefill.mid, prefill_frac)
    high = _shrunk(decode.high / decode.mid, prefill.high / prefill.mid, prefill_frac)
    return Interval(low[0], 1.0, high[0]), Interval(low[1], 1.0, high[1])


def _shrunk(decode_ratio: float, prefill_ratio: float, prefill_frac: float) -> tuple[float, float]:
    p, d = prefill_frac, 1 - prefill_frac
    a, b = math.log(prefill_ratio), math.log(decode_ratio)
    both = p * abs(a) + d * abs(b)
    k = math.hypot(p * a, d * b) / both if both > 0 else 1.0
    return decode_ratio**k, prefill_ratio**k
