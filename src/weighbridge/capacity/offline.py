"""Throughput without a fixed concurrency: as many requests as run at once, or as targets let."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from weighbridge.capacity.closed_loop import Loop, loop_of, steady_state
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import efficiency_of
from weighbridge.capacity.intervals import conditions_of, interval_of
from weighbridge.capacity.memory_fit import EngineMemory, engine_limits
from weighbridge.capacity.prediction import ClosedLoop, Interval
from weighbridge.capacity.shape import shape_of
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import ServingFit

# Offline runs raise the engine's own limits until memory binds.
OFFLINE_MEMORY = EngineMemory(utilization_frac=0.95, n_max_requests=4096)
# A target on the 99th percentile is met while the mean stays below this share of it.
MEAN_OF_P99_FRAC = 0.8


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean tokens of prompts and answers."""

    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class Targets:
    """Bounds on the 99th percentile of both latencies [s]."""

    ttft_s: float
    tpot_s: float


def predict_offline_throughput(
    deployment: Deployment,
    lengths: Lengths,
    fit: ServingFit,
    limits: EngineLimits | None = None,
) -> Interval:
    """Output tokens per second of one replica that never waits for requests [tokens/s].

    The best over the batches that the cache holds: `n_running / tpot`.

    Parameters
    ----------
    deployment : Deployment
    lengths : Lengths
    fit : ServingFit
    limits : EngineLimits, optional
        By default those of an engine set up for offline work (`OFFLINE_MEMORY`).

    Raises
    ------
    InputError
        Where the model does not fit.
    """
    return _best(deployment, lengths, fit, limits, None)


def predict_served_throughput(
    deployment: Deployment,
    lengths: Lengths,
    fit: ServingFit,
    targets: Targets,
    limits: EngineLimits | None = None,
) -> Interval:
    """Most output tokens per second of one replica within latency targets [tokens/s].

    As offline, over the batches whose means stay below `MEAN_OF_P99_FRAC` of the targets; zero
    where none does.

    Parameters
    ----------
    deployment : Deployment
    lengths : Lengths
    fit : ServingFit
    targets : Targets
    limits : EngineLimits, optional
    """
    return _best(deployment, lengths, fit, limits, targets)


def _best(
    deployment: Deployment,
    lengths: Lengths,
    fit: ServingFit,
    limits: EngineLimits | None,
    targets: Targets | None,
) -> Interval:
    limits = limits or engine_limits(deployment, OFFLINE_MEMORY)
    batches = np.unique(np.geomspace(1, limits.n_max_requests, 60).round())
    loop = _loops(lengths, limits, batches)
    shape, efficiency = shape_of(deployment), efficiency_of(deployment, fit)
    state = steady_state(shape, efficiency, loop)
    rate = state.n_running / state.tpot_s * limits.n_ranks
    if targets is not None:
        is_within = (state.ttft_s <= MEAN_OF_P99_FRAC * targets.ttft_s) & (
            state.tpot_s <= MEAN_OF_P99_FRAC * targets.tpot_s
        )
        rate = np.where(is_within, rate, 0.0)
    best = int(np.argmax(rate))
    load = ClosedLoop(
        lengths.input_tokens, lengths.output_tokens, float(batches[best]) * limits.n_ranks
    )
    conditions = conditions_of(deployment, load, 0.5, fit)
    return interval_of("throughput", float(rate[best]), conditions, fit)


def _loops(lengths: Lengths, limits: EngineLimits, n_concurrent: Floats) -> Loop:
    one = loop_of(ClosedLoop(lengths.input_tokens, lengths.output_tokens, 1.0), limits)
    return replace(one, n_concurrent=n_concurrent * limits.n_ranks)
