"""What a person measured: points that correct step times, and the profile of an endpoint."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weighbridge.capacity.calibrate import EndpointProfile, profile_from_dict
from weighbridge.capacity.configuration import Configured, configured
from weighbridge.capacity.estimate import work
from weighbridge.capacity.prediction import Interval
from weighbridge.capacity.served import Served
from weighbridge.capacity.step_time_band import band, jointly
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.canonical import canonical_engine, canonical_gpu, canonical_model
from weighbridge.catalog.facts import Catalog
from weighbridge.study.size_question import ENGINES, SizeQuestion
from weighbridge.study.size_result import Setup
from weighbridge.study.size_speed import Speed
from weighbridge.units import InputError
from weighbridge.usage.bench.points import read_serving_points


@dataclass(frozen=True)
class Endpoint:
    """A calibrated endpoint: its setup, its limits and how fast it is."""

    setup: Setup
    profile: EndpointProfile


def read_points(path: Path | None, catalog: Catalog, model: str) -> tuple[Configured, ...]:
    """Points of a table that the catalog can place; none of the model asked for is an error."""
    if path is None:
        return ()
    made = [configured(point, catalog) for point in read_serving_points(path)]
    points = tuple(point for point in made if isinstance(point, Configured))
    if not any(point.deployment.model.id == model for point in points):
        seen = sorted({point.deployment.model.id for point in points})
        problem = f"holds no usable measurement of {model}"
        mend = f"it measures {', '.join(seen[:6])}" if seen else "give rows that name model and GPU"
        raise InputError(str(path), "", problem, mend)
    return points


def read_endpoint(path: Path, question: SizeQuestion, catalog: Catalog) -> Endpoint:
    """A profile that `calibrate` wrote; it must be of the model that is asked for."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as fault:
        mend = "name a profile that `weighbridge calibrate` wrote"
        raise InputError(str(path), "", f"cannot be read ({fault})", mend) from None
    profile = profile_from_dict(data, str(path))
    _check_applies(profile, question)
    told = profile.settings
    if told.model is not None and canonical_model(told.model, catalog) != question.model:
        problem = f"is of {told.model}, and {question.model} is asked for"
        raise InputError(str(path), "model", problem, "ask for the model that was measured")
    if told.gpu is None and len(question.gpus) != 1:
        raise InputError(str(path), "gpu", "is not told", "name the one GPU with --gpu")
    gpu = question.gpus[0] if told.gpu is None else canonical_gpu(told.gpu, catalog)
    if question.gpus and gpu not in question.gpus:
        problem = f"is {gpu}, and {', '.join(question.gpus)} is asked for"
        raise InputError(str(path), "gpu", problem, "leave --gpu out, or name that GPU")
    return Endpoint(_setup(profile, gpu, question, catalog), profile)


def _check_applies(profile: EndpointProfile, question: SizeQuestion) -> None:
    """Options that say something else than the profile, or nothing that a profile could take."""
    told = profile.settings
    fixed = (
        ("--precision", ", ".join(question.precisions), "weights"),
        ("--kv-precision", question.kv_precision or "", "cache"),
    )
    for option, value, what in fixed:
        if value:
            problem = f"cannot be chosen: a profile holds for the format of the {what} it measured"
            mend = f"leave {option} out, or calibrate an endpoint in that format"
            raise InputError(option, value, problem, mend)
    if question.measured is not None:
        problem = "corrects a roofline, and a profile has none"
        raise InputError("--measured", str(question.measured), problem, "leave out one of the two")
    n_tensor = told.n_tensor_parallel
    engine = canonical_engine(told.engine) if told.engine else None
    stated: tuple[tuple[str, tuple[object, ...], object], ...] = (
        ("--tensor-parallel", question.n_tensor_parallel, n_tensor),
        ("--engine", question.engines, engine),
    )
    for option, asked, measured in stated:
        values = ", ".join(str(value) for value in asked)
        if measured is not None and any(value != measured for value in asked):
            problem = f"contradicts the profile, which is of {measured}"
            raise InputError(option, values, problem, f"leave {option} out, or say {measured}")
        if len(asked) > 1:
            problem = "is several, and a profile is of one endpoint"
            raise InputError(option, values, problem, "name the one that was measured")


def _setup(profile: EndpointProfile, gpu: str, question: SizeQuestion, catalog: Catalog) -> Setup:
    """What the profile tells; what it leaves open is as the question says."""
    told = profile.settings
    n_tensor = told.n_tensor_parallel or (question.n_tensor_parallel or (1,))[0]
    n_data = told.n_data_parallel or profile.limits.n_ranks
    return Setup(
        gpu=gpu,
        gpu_name=catalog.gpu(gpu).name,
        n_tensor_parallel=n_tensor,
        n_data_parallel=n_data,
        n_gpus=n_tensor * n_data,
        precision="as measured",
        kv_precision="as measured",
        engine=canonical_engine(told.engine) if told.engine else (question.engines or ENGINES)[0],
        expert_parallel=bool(told.expert_parallel),
    )


def endpoint_speed(endpoint: Endpoint, requests: Requests, where: str) -> Speed:
    """Step time of a profile with the band that its held-out requests earned under this traffic.

    Requests longer or shorter than the measured ones widen it by their share of the work;
    traffic of which nothing lies inside is refused.
    """
    profile = endpoint.profile
    _check_overlap(profile, requests, where)
    return _speed(profile, requests, outside(profile, requests))


def under_load(endpoint: Endpoint, requests: Requests, speed: Speed, peak: Served) -> Speed:
    """The speed with a wider band where the simulated peak is beyond what was measured."""
    beyond = beyond_load(endpoint.profile, peak)
    if not beyond.n_doublings:
        return speed
    lengths = outside(endpoint.profile, requests)
    both = Beyond(lengths.n_doublings + beyond.n_doublings, (*lengths.why, *beyond.why))
    return _speed(endpoint.profile, requests, both)


@dataclass(frozen=True, slots=True)
class Beyond:
    """How far traffic is from what was measured, in doublings, and in words."""

    n_doublings: float
    why: tuple[str, ...]


def outside(profile: EndpointProfile, requests: Requests) -> Beyond:
    """Doublings beyond the measured lengths, mean over the work of all requests."""
    weight = work(requests, profile.step_time(), profile.limits).total_s
    weight = weight / weight.sum()
    total, why = 0.0, []
    for name, values in (("input", requests.input_tokens), ("output", requests.output_tokens)):
        least, most = getattr(profile.covered, f"{name}_tokens")
        n_tokens = np.maximum(values, 1).astype(np.float64)
        doublings = np.maximum(np.log2(n_tokens / most), np.log2(max(least, 1) / n_tokens)).clip(0)
        mean = float((weight * doublings).sum())
        if mean > 0:
            total += mean
            why.append(
                f"wider: requests with {float(weight[doublings > 0].sum()):.0%} of the work have "
                f"{name}s that lie outside the measured {least:,.0f} to {most:,.0f} tokens"
            )
    return Beyond(total, tuple(why))


def beyond_load(profile: EndpointProfile, peak: Served) -> Beyond:
    """Doublings of the peak's load of one replica beyond what was measured; flight or rate."""
    n_flight = peak.mean_requests_per_s * peak.latency_s["e2e"]["mean"] / peak.n_replicas
    rate = peak.mean_requests_per_s / peak.n_replicas
    told = (
        (n_flight, profile.covered.in_flight_requests[1], "requests in flight"),
        (rate, profile.covered.requests_per_s[1], "requests/s"),
    )
    found = [
        (
            math.log2(value / most),
            f"wider: in the peak a replica has {value:.3g} {unit}, and {most:.3g} at most were "
            "measured",
        )
        for value, most, unit in told
        if 0 < most < value
    ]
    # More in flight is more a second: one of them counts, the further.
    return Beyond(max((n for n, _ in found), default=0.0), tuple(words for _, words in found))


def _speed(profile: EndpointProfile, requests: Requests, beyond: Beyond) -> Speed:
    mid = profile.step_time()
    decode, why = _interval(profile, ("tpot", "e2e"))
    prefill, _ = _interval(profile, ("ttft", "e2e"))
    prefill_frac = work(requests, mid, profile.limits).prefill_frac
    wide = (_widened(decode, beyond.n_doublings), _widened(prefill, beyond.n_doublings))
    rests_on = (*why, *beyond.why, *profile.notes)
    return Speed(band(mid, *jointly(*wide, prefill_frac)), rests_on)


def _widened(interval: Interval, n_doublings: float) -> Interval:
    """Twice as wide in logarithms for each doubling, as `EndpointProfile.interval` has it."""
    power = 1.0 + n_doublings
    mid = interval.mid
    return Interval(mid * (interval.low / mid) ** power, mid, mid * (interval.high / mid) ** power)


def _interval(
    profile: EndpointProfile, metrics: tuple[str, ...]
) -> tuple[Interval, tuple[str, ...]]:
    """Interval of the first metric that was measured."""
    measured = {error.metric for error in profile.held_out}
    found = next((metric for metric in metrics if metric in measured), metrics[0])
    return profile.interval(found, 1.0)


def _check_overlap(profile: EndpointProfile, requests: Requests, where: str) -> None:
    for name, values in (("input", requests.input_tokens), ("output", requests.output_tokens)):
        least, most = getattr(profile.covered, f"{name}_tokens")
        if not np.any((values >= least) & (values <= most)):
            problem = (
                f"measured {least:,.0f} to {most:,.0f} {name} tokens; none of the traffic's "
                f"requests ({values.min():,} to {values.max():,}) lies inside"
            )
            mend = "benchmark the endpoint with lengths like the traffic's, and calibrate again"
            raise InputError(where, f"{name}_tokens", problem, mend)
