"""How fast a deployment is, and how sure: the step time with its band, from the best source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weighbridge.capacity.closed_loop import predict
from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.estimate import mean_context_tokens, work
from weighbridge.capacity.prediction import ClosedLoop, Interval, Prediction
from weighbridge.capacity.roofline import step_time
from weighbridge.capacity.slo import Slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.step_time_band import StepTimeBand, band, jointly, scaled
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.serving_fit import ServingFit


@dataclass(frozen=True, slots=True)
class Speed:
    """A step time with both ends of its 90 % interval, and what it rests on."""

    band: StepTimeBand
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Traffic and the targets that it is served to."""

    requests: Requests
    slo: Slo


def speed_of(
    deployment: Deployment,
    limits: EngineLimits,
    load: Load,
    fit: ServingFit,
    points: Sequence[Configured] = (),
) -> Speed:
    """Step time from data sheets and fit, corrected by measurements near it where there are any.

    The interval is that of a closed loop of the traffic's mean lengths, at the batch that a full
    replica would hold within the targets: its time per output token spreads decoding, its time to
    first token spreads prompts, both together as `jointly` says.
    """
    plain = step_time(deployment, limits, fit)
    loop = loop_like(load, plain, limits)
    told = predict(deployment, loop, fit, points, limits)
    mid = _corrected(plain, told, predict(deployment, loop, fit, (), limits)) if points else plain
    prefill_frac = work(load.requests, mid, limits, load.slo).prefill_frac
    return Speed(band(mid, *jointly(told.tpot_s, told.ttft_s, prefill_frac)), told.why)


def loop_like(load: Load, plain: StepTime, limits: EngineLimits) -> ClosedLoop:
    """The benchmark that is most like a full replica under this traffic."""
    requests = load.requests
    n_batch = work(requests, plain, limits, load.slo).n_batch_requests
    held = limits.kv_tokens / max(mean_context_tokens(requests), 1.0)
    return ClosedLoop(
        input_tokens=float(requests.input_tokens.mean()),
        output_tokens=float(requests.output_tokens.mean()),
        n_concurrent=max(1.0, min(n_batch, held / 2)) * limits.n_ranks,
    )


def _corrected(plain: StepTime, told: Prediction, uncorrected: Prediction) -> StepTime:
    decode = _ratio(told.tpot_s, uncorrected.tpot_s)
    prefill = _ratio(told.ttft_s, uncorrected.ttft_s)
    return replace(scaled(plain, decode, prefill), basis=told.basis)


def _ratio(told: Interval, uncorrected: Interval) -> float:
    return told.mid / uncorrected.mid
