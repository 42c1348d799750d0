"""Steady state of a closed loop in closed form: so many requests always in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import Efficiency, efficiency_of
from weighbridge.capacity.intervals import (
    conditions_of,
    interval_of,
    measured_interval_of,
    why,
)
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.nearby import (
    COVARIANCES,
    LEAST_EXPLAINED_FRAC,
    NOTHING_NEAR,
    Correction,
    correction,
    nearest,
)
from weighbridge.capacity.prediction import ClosedLoop, Prediction
from weighbridge.capacity.roofline import cache_s_per_token, decode_s, mixed_s, pair_s, request_s
from weighbridge.capacity.shape import Shape, shape_of
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import ServingFit
from weighbridge.units import InputError

# A running request holds its prompt and, on average over its life, half of its answer; engines
# keep some room for those that grow at the same time.
_HELD_OUTPUT_FRAC = 0.6
# A prompt gets at least this share of the token budget however many requests decode.
_LEAST_PROMPT_FRAC = 0.25


@dataclass(frozen=True, slots=True)
class Loop:
    """Loads with the limits of the rank that serves them; every field a number or an array.

    Attributes
    ----------
    input_tokens, output_tokens : float
    n_concurrent : float
        Of the whole replica.
    kv_tokens, n_max_requests, n_max_batched_tokens : float
        Of one rank.
    static_event : float
        1 where the requests are one batch, started at once and never refilled.
    """

    input_tokens: Floats
    output_tokens: Floats
    n_concurrent: Floats
    kv_tokens: Floats
    n_max_requests: Floats
    n_max_batched_tokens: Floats
    static_event: Floats


@dataclass(frozen=True, slots=True)
class SteadyState:
    """Means over requests; arrays like the loop's.

    Attributes
    ----------
    ttft_s, tpot_s : float array
        [s]
    n_running : float array
        Requests decoding at once in one rank.
    queue_s : float array
        Part of the time to first token that is waiting for a place in the cache [s].
    """

    ttft_s: Floats
    tpot_s: Floats
    n_running: Floats
    queue_s: Floats


def steady_state(shape: Shape, efficiency: Efficiency, loop: Loop) -> SteadyState:
    """Latency of requests that replace each other, so many always in flight.

    With b requests running, an answer of O tokens takes O decode iterations and is held up by
    the prompts of the b requests that start meanwhile, each of which adds m seconds of mixed
    iterations over the decode iterations that they replace:
    `tpot = decode(b) + b * m / O`. Requests that the cache does not hold wait: by Little's law
    `(n - b) / b` times the life of a running one.
    `ttft = first_token + decode / 2 + prompt + (burst * b + wait * b / O) * m + queue`.

    Parameters
    ----------
    shape : Shape
    efficiency : Efficiency
    loop : Loop

    Returns
    -------
    SteadyState
    """
    n = np.maximum(loop.n_concurrent / shape.n_ranks, 1.0)
    b = np.where(loop.static_event > 0, n, np.minimum(n, _n_fit(loop)))
    context = loop.input_tokens + 0.5 * loop.output_tokens
    cache_s = cache_s_per_token(shape, efficiency) * b * context
    decode = decode_s(shape, efficiency, b) + cache_s
    alone, m = _prompt_s(shape, efficiency, loop, b, cache_s)
    tpot = decode + b / loop.output_tokens * m
    queue = (n - b) / b * loop.output_tokens * tpot
    together = efficiency.burst_ratio * b + efficiency.wait_ratio * b / loop.output_tokens
    ttft = efficiency.first_token_s + 0.5 * decode + alone + together * m + queue
    started = _batch_start_s(shape, efficiency, loop, n)
    is_static = loop.static_event > 0
    return SteadyState(
        np.where(is_static, started, ttft), np.where(is_static, decode, tpot), b, queue
    )


def _n_fit(loop: Loop) -> Floats:
    held = loop.input_tokens + _HELD_OUTPUT_FRAC * loop.output_tokens
    return np.maximum(np.minimum(loop.kv_tokens / held, loop.n_max_requests), 1.0)


def _prompt_s(
    shape: Shape, efficiency: Efficiency, loop: Loop, n_running: Floats, cache_s: Floats
) -> tuple[Floats, Floats]:
    """Time of one prompt's iterations, and what a prompt adds to those of the others [s]."""
    decode = decode_s(shape, efficiency, n_running) + cache_s
    budget = loop.n_max_batched_tokens
    room = np.maximum(budget - n_running, _LEAST_PROMPT_FRAC * budget)
    n_chunks = np.maximum(1.0, loop.input_tokens / room)
    pairs_s = 0.5 * loop.input_tokens**2 * pair_s(shape, efficiency)

    def iterations(n_prompts: Floats) -> Floats:
        n_tokens = n_prompts * loop.input_tokens / n_chunks + n_running
        one = mixed_s(shape, efficiency, n_tokens) + n_running * request_s(shape, efficiency)
        return np.asarray(n_chunks * (one + cache_s) + n_prompts * pairs_s)

    # Prompts that arrive in the same iteration are computed together as far as the budget goes.
    n_together = np.minimum(
        1.0 + n_running / loop.output_tokens, np.maximum(budget / loop.input_tokens, 1.0)
    )
    added = np.maximum(iterations(n_together) - n_chunks * decode, 0.0) / n_together
    return iterations(np.ones_like(n_chunks)), added


def _batch_start_s(shape: Shape, efficiency: Efficiency, loop: Loop, n_requests: Floats) -> Floats:
    """Prompts of a static batch, all computed in one iteration [s]."""
    pairs_s = n_requests * 0.5 * loop.input_tokens**2 * pair_s(shape, efficiency)
    prompts = mixed_s(shape, efficiency, n_requests * loop.input_tokens)
    return np.asarray(efficiency.first_token_s + prompts + pairs_s)


def predict(
    deployment: Deployment,
    load: ClosedLoop,
    fit: ServingFit,
    points: Sequence[Configured] = (),
    limits: EngineLimits | None = None,
) -> Prediction:
    """Latency and throughput of one replica under a closed loop, with 90 % intervals.

    From data sheets and fit; where measurements near the configuration are given, their errors
    correct it and the basis is "measured".

    Parameters
    ----------
    deployment : Deployment
    load : ClosedLoop
    fit : ServingFit
    points : sequence of Configured
        Measurements of this or of like configurations (`configuration.configured`).
    limits : EngineLimits, optional
        By default those that the memory leaves (`memory_fit.engine_limits`).

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        Where the model does not fit.
    """
    limits = limits or engine_limits(deployment)
    plain = _plain(deployment, load, fit, limits)
    near = {name: _nearby(name, (deployment, load), fit, points) for name in ("ttft", "tpot")}
    conditions = conditions_of(deployment, load, held_frac(load, limits), fit)
    is_measured = min(one.explained_frac for one in near.values()) >= LEAST_EXPLAINED_FRAC
    rate = _rate(load, *plain.values())
    bounds = {
        name: interval_of(name, value, conditions, fit)
        for name, value in (*plain.items(), ("throughput", rate))
    }
    said = (_rests_on(fit), *why(conditions))
    if is_measured:
        for name in plain:
            bounds[name] = measured_interval_of(name, bounds[name], near[name], fit)
        rate = _rate(load, bounds["ttft"].mid, bounds["tpot"].mid)
        plain_rate = interval_of("throughput", rate, conditions, fit)
        at_rate = replace(near["tpot"], log_ratio=0.0)
        bounds["throughput"] = measured_interval_of("throughput", plain_rate, at_rate, fit)
        said = (_rests_on(fit), _corrected_by(len(points), near["tpot"]))
    return Prediction(
        ttft_s=bounds["ttft"],
        tpot_s=bounds["tpot"],
        output_tokens_per_s=bounds["throughput"],
        basis="measured" if is_measured else "roofline",
        why=said,
    )


def _plain(
    deployment: Deployment, load: ClosedLoop, fit: ServingFit, limits: EngineLimits
) -> dict[str, float]:
    """Times to first token and per output token from data sheets and fit [s]."""
    efficiency = efficiency_of(deployment, fit)
    state = steady_state(shape_of(deployment), efficiency, loop_of(load, limits))
    return {"ttft": float(state.ttft_s), "tpot": float(state.tpot_s)}


def _rate(load: ClosedLoop, ttft_s: float, tpot_s: float) -> float:
    """Output tokens a second of the replica, by Little's law."""
    life_s = ttft_s + (load.output_tokens - 1.0) * tpot_s
    return load.n_concurrent * load.output_tokens / life_s


def _nearby(
    name: str,
    wanted: tuple[Deployment, ClosedLoop],
    fit: ServingFit,
    points: Sequence[Configured],
) -> Correction:
    """What the errors of the same prediction at measurements nearby say of this one."""
    covariance = COVARIANCES[name]
    measured, errors = [], []
    for one in nearest(wanted, [p for p in points if not p.is_static_batch], covariance):
        seen = one.point.ttft_s if name == "ttft" else one.point.tpot_s
        predicted = _predicted_s(name, one, fit)
        if seen is not None and predicted is not None:
            measured.append(one)
            errors.append(np.log(seen / predicted))
    if not measured:
        return NOTHING_NEAR
    return correction(wanted, measured, np.array(errors), covariance)


def _predicted_s(name: str, one: Configured, fit: ServingFit) -> float | None:
    """Latency of a measurement's own configuration [s]; None where it cannot be as told."""
    try:
        limits = engine_limits(one.deployment)
    except InputError:  # it ran, so that its number format or its GPUs are not what the row says
        return None
    return _plain(one.deployment, one.load, fit, limits)[name]


def _corrected_by(n_points: int, near: Correction) -> str:
    same = f", {near.n_same_setup} of them of this configuration" if near.n_same_setup else ""
    return (
        f"corrected by {n_points:,} measurements{same}: they explain "
        f"{near.explained_frac:.0%} of what the fit leaves open"
    )


def loop_of(load: ClosedLoop, limits: EngineLimits, static: bool = False) -> Loop:
    """A load under the limits of the ranks that serve it."""
    return Loop(
        input_tokens=np.asarray(load.input_tokens),
        output_tokens=np.asarray(load.output_tokens),
        n_concurrent=np.asarray(load.n_concurrent),
        kv_tokens=np.asarray(float(limits.kv_tokens)),
        n_max_requests=np.asarray(float(limits.n_max_requests)),
        n_max_batched_tokens=np.asarray(float(limits.n_max_batched_tokens)),
        static_event=np.asarray(float(static)),
    )


def held_frac(load: ClosedLoop, limits: EngineLimits) -> float:
    """Requests in flight over those that run at once under the limits [1]."""
    fit = float(_n_fit(loop_of(load, limits)))
    return load.n_concurrent / limits.n_ranks / fit


def _rests_on(fit: ServingFit) -> str:
    return (
        f"data sheets, with efficiencies fitted on {fit.n_points:,} measurements of "
        f"{fit.n_groups} pairs of model and GPU ({fit.fitted_on})"
    )
