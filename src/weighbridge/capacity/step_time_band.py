"""A step time at the fast end, the middle and the slow end of its 90 % interval."""

from __future__ import annotations

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
