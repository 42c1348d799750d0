"""A step time in nine numbers, so that a few hundred requests can tell them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from weighbridge.capacity.step_time import Basis, EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats

Parameter = Literal[
    "decode_base_s",
    "decode_s_per_request",
    "saturating_s",
    "saturating_requests",
    "kv_s_per_token",
    "mixed_extra_s",
    "mixed_s_per_token",
    "attention_s_per_pair",
    "first_token_s",
]


@dataclass(frozen=True, slots=True)
class StepParameters:
    """What a `StepTime` is made of; all positive.

    With B decoding requests and T tokens in the iteration, prompt and decode together:

    * decode table: `decode_base_s + decode_s_per_request * B + saturating_s * grows(B)`
    * mixed table: `decode_base_s + mixed_extra_s + mixed_s_per_token * T + saturating_s * grows(T)`
    * `grows(n) = 1 - exp(-n / saturating_requests)`

    Attributes
    ----------
    decode_base_s : float
        Weights that every iteration reads, launches, scheduling [s].
    decode_s_per_request : float
        For each decoding request [s].
    saturating_s, saturating_requests : float
        What grows with the batch at first and then no more: the experts of a mixture that any
        token of the batch wakes. With E experts of which a token wakes k, a share
        `1 - (1 - k / E) ** n` is read, so that the scale is about E / k [s], [requests].
    kv_s_per_token : float
        For each token of context that decoding requests read [s/token].
    mixed_extra_s : float
        For an iteration that computes prompts too [s].
    mixed_s_per_token : float
        For each token of such an iteration [s/token].
    attention_s_per_pair : float
        For each query-key pair of prompt tokens [s].
    first_token_s : float
        Outside the iterations: network, tokenizing [s].
    """

    decode_base_s: float
    decode_s_per_request: float
    saturating_s: float
    saturating_requests: float
    kv_s_per_token: float
    mixed_extra_s: float
    mixed_s_per_token: float
    attention_s_per_pair: float
    first_token_s: float


NAMES: tuple[str, ...] = tuple(field.name for field in fields(StepParameters))

# Where the search looks. The low ends are too little to be noticed in any run; the high ends are
# a large model on one slow GPU, or a tiny one on a CPU.
_BOUNDS: dict[str, tuple[float, float]] = {
    "decode_base_s": (1e-5, 2.0),
    "decode_s_per_request": (1e-8, 0.5),
    "saturating_s": (1e-6, 1.0),
    "saturating_requests": (2.0, 300.0),
    "kv_s_per_token": (1e-10, 1e-4),
    "mixed_extra_s": (1e-6, 1.0),
    "mixed_s_per_token": (1e-8, 5e-2),
    "attention_s_per_pair": (1e-14, 1e-5),
    "first_token_s": (1e-5, 2.0),
}
LOW: Floats = np.log([_BOUNDS[name][0] for name in NAMES])
HIGH: Floats = np.log([_BOUNDS[name][1] for name in NAMES])


def parameters_at(x: Floats) -> StepParameters:
    """Parameters at a point of the search, which goes by their logarithms.

    Parameters
    ----------
    x : float64 array of shape (9,)
        Natural logarithms, in the order of `NAMES`.

    Returns
    -------
    StepParameters
    """
    return StepParameters(*np.exp(x).tolist())


def logs_of(parameters: StepParameters) -> Floats:
    """The point of the search that parameters lie at, moved to its bounds where beyond.

    Parameters
    ----------
    parameters : StepParameters

    Returns
    -------
    float64 array of shape (9,)
    """
    values = np.array([getattr(parameters, name) for name in NAMES])
    return np.asarray(np.clip(np.log(np.maximum(values, 1e-300)), LOW, HIGH))


def step_time_of(
    parameters: StepParameters, limits: EngineLimits, basis: Basis = "calibrated"
) -> StepTime:
    """Tables for the simulation.

    Parameters
    ----------
    parameters : StepParameters
    limits : EngineLimits
        How far the tables reach.
    basis : {"calibrated", "measured", "exported", "roofline"}

    Returns
    -------
    StepTime

    Examples
    --------
    >>> p = StepParameters(0.01, 1e-5, 1e-6, 8.0, 1e-8, 0.002, 4e-5, 1e-12, 0.001)
    >>> step = step_time_of(p, EngineLimits(kv_tokens=4096))
    >>> round(float(step.decode_s[100]), 6), round(float(step.mixed_s[1000]), 6)
    (0.011001, 0.052001)
    """
    p = parameters
    requests = np.arange(limits.n_max_requests + 1.0)
    tokens = np.arange(limits.n_max_batched_tokens + 1.0)
    return StepTime(
        decode_s=p.decode_base_s
        + p.decode_s_per_request * requests
        + p.saturating_s * -np.expm1(-requests / p.saturating_requests),
        mixed_s=p.decode_base_s
        + p.mixed_extra_s
        + p.mixed_s_per_token * tokens
        + p.saturating_s * -np.expm1(-tokens / p.saturating_requests),
        kv_s_per_token=p.kv_s_per_token,
        attention_s_per_pair=p.attention_s_per_pair,
        first_token_s=p.first_token_s,
        basis=basis,
    )


def parameters_near(step_time: StepTime) -> StepParameters:
    """Parameters whose tables come nearest to those of a step time, by relative squares.

    Parameters
    ----------
    step_time : StepTime
        Of any source: a prediction from the GPU's data, say, as a place to start from.

    Returns
    -------
    StepParameters

    Examples
    --------
    >>> p = StepParameters(0.01, 1e-5, 0.004, 16.0, 1e-8, 0.002, 4e-5, 1e-12, 0.001)
    >>> near = parameters_near(step_time_of(p, EngineLimits(kv_tokens=4096)))
    >>> round(near.decode_base_s, 4), round(near.saturating_s, 4), near.saturating_requests
    (0.01, 0.004, 16.0)
    """
    from scipy.optimize import nnls  # noqa: PLC0415  (slow to import; only who calibrates pays)

    requests = np.arange(1.0, len(step_time.decode_s))
    tokens = np.unique(np.geomspace(1, len(step_time.mixed_s) - 1, 200).astype(np.int64))
    decode_s, mixed_s = step_time.decode_s[1:], step_time.mixed_s[tokens]
    best, found = np.inf, np.zeros(5)
    scale_requests = 2.0
    for one in 2.0 ** np.arange(1, 9):
        grows = -np.expm1(-requests / one), -np.expm1(-tokens / one)
        none, ones = np.zeros(len(requests)), np.ones(len(requests))
        above = np.column_stack([ones, requests, grows[0], none, none]) / decode_s[:, None]
        n = len(tokens)
        below = np.column_stack([np.ones(n), np.zeros(n), grows[1], np.ones(n), tokens])
        rows = np.vstack([above, below / mixed_s[:, None]])
        shares, misfit = nnls(rows, np.ones(len(rows)))
        if misfit < best - 1e-9:
            best, found, scale_requests = misfit, shares, float(one)
    base_s, per_request_s, saturating_s, extra_s, per_token_s = found.tolist()
    return StepParameters(
        decode_base_s=base_s,
        decode_s_per_request=per_request_s,
        saturating_s=saturating_s,
        saturating_requests=scale_requests,
        kv_s_per_token=step_time.kv_s_per_token,
        mixed_extra_s=extra_s,
        mixed_s_per_token=per_token_s,
        attention_s_per_pair=step_time.attention_s_per_pair,
        first_token_s=step_time.first_token_s,
    )
