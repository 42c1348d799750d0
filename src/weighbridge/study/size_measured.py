"""What a person measured: points that correct step times, and the profile of an endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weighbridge.capacity.calibrate import AskedLoad, EndpointProfile, profile_from_dict
from weighbridge.capacity.configuration import Configured, configured
from weighbridge.capacity.estimate import work
from weighbridge.capacity.prediction import Interval
from weighbridge.capacity.step_time_band import band, jointly
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.canonical import canonical_engine, canonical_gpu, canonical_model
from weighbridge.catalog.facts import Catalog
from weighbridge.study.size_question import SizeQuestion
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


def _setup(profile: EndpointProfile, gpu: str, question: SizeQuestion, catalog: Catalog) -> Setup:
    told = profile.settings
    n_tensor = told.n_tensor_parallel or (question.n_tensor_parallel or (1,))[0]
    n_data = told.n_data_parallel or profile.limits.n_ranks
    return Setup(
        gpu=gpu,
        gpu_name=catalog.gpu(gpu).name,
        n_tensor_parallel=n_tensor,
        n_data_parallel=n_data,
        n_gpus=n_tensor * n_data,
        precision=(question.precisions or ("as measured",))[0],
        kv_precision="as measured",
        engine=canonical_engine(told.engine) if told.engine else question.engines[0],
    )


def endpoint_speed(endpoint: Endpoint, requests: Requests, where: str) -> Speed:
    """Step time of a profile with the band that its held-out requests earned under this traffic.

    Lengths beyond the measured ones widen it; traffic of which nothing lies inside is refused.
    """
    profile = endpoint.profile
    _check_overlap(profile, requests, where)
    mid = profile.step_time()
    asked = AskedLoad(
        input_tokens=float(requests.input_tokens.mean()),
        output_tokens=float(requests.output_tokens.mean()),
    )
    decode, why = _interval(profile, ("tpot", "e2e"), asked)
    prefill, _ = _interval(profile, ("ttft", "e2e"), asked)
    prefill_frac = work(requests, mid, profile.limits).prefill_frac
    return Speed(band(mid, *jointly(decode, prefill, prefill_frac)), (*why, *profile.notes))


def _interval(
    profile: EndpointProfile, metrics: tuple[str, ...], asked: AskedLoad
) -> tuple[Interval, tuple[str, ...]]:
    """Interval of the first metric that was measured."""
    measured = {error.metric for error in profile.held_out}
    found = next((metric for metric in metrics if metric in measured), metrics[0])
    return profile.interval(found, 1.0, asked)


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
