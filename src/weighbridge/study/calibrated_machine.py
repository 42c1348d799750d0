"""The endpoint that was calibrated, as a deployment to simulate."""

from __future__ import annotations

from pathlib import Path

from weighbridge.capacity.calibrate import EndpointProfile
from weighbridge.capacity.deployment import Deployment
from weighbridge.catalog.canonical import canonical_gpu, canonical_model
from weighbridge.catalog.facts import Catalog
from weighbridge.catalog.rows import Gpu, Model
from weighbridge.study.calibrate import load_endpoint_profile
from weighbridge.study.machines import Machine, n_unpriced, rent_usd_per_gpu_hour
from weighbridge.study.scenario import Scenario
from weighbridge.study.size_measured import Endpoint, endpoint_speed
from weighbridge.study.size_result import Setup
from weighbridge.study.stretch_traffic import StretchTraffic
from weighbridge.units import InputError

FIELD = "endpoint_profile"


def calibrated_machine(
    scenario: Scenario, catalog: Catalog, model: Model, traffic: StretchTraffic, where: str
) -> Machine:
    """The calibrated endpoint, with the errors that its own held-out requests earned.

    Raises
    ------
    InputError
        Where it is of another model or GPU than stated, or says neither its GPU nor how many, or
        measured no lengths like the traffic's.
    """
    assert scenario.endpoint_profile is not None
    profile = load_endpoint_profile(Path(scenario.endpoint_profile))
    _check_model(profile, catalog, model, where)
    gpu = _gpu(profile, scenario, catalog, where)
    deployment = Deployment(
        model=model,
        gpu=gpu,
        n_tensor_parallel=_n_gpus(profile, where) // profile.limits.n_ranks or 1,
        precision=scenario.precision or model.native_precision or "bf16",
        n_data_parallel=profile.limits.n_ranks,
        engine=profile.settings.engine or "vllm",
    )
    endpoint = Endpoint(_setup(deployment), profile)
    speed = endpoint_speed(endpoint, traffic.requests, scenario.endpoint_profile)
    return Machine(
        deployment=deployment,
        limits=profile.limits,
        step_time=speed.band.mid,
        usd_per_gpu_hour=rent_usd_per_gpu_hour(catalog, gpu.id),
        n_unpriced=n_unpriced(catalog, gpu.id),
        measured=speed,
    )


def _check_model(profile: EndpointProfile, catalog: Catalog, model: Model, where: str) -> None:
    """A profile that names its model must be of the candidate; one that names none is believed."""
    named = profile.settings.model
    if named is not None and canonical_model(named, catalog) != model.id:
        problem = f"is of {named}, and the candidate is {model.id}"
        raise InputError(where, FIELD, problem, "name that model as candidate, or drop the profile")


def _gpu(profile: EndpointProfile, scenario: Scenario, catalog: Catalog, where: str) -> Gpu:
    named = profile.settings.gpu
    told = None if named is None else canonical_gpu(named, catalog)
    if told is None and scenario.gpu is None:
        problem = "does not say on which GPU it was measured"
        raise InputError(where, FIELD, problem, "add gpu: with a catalog id")
    if told is not None and scenario.gpu not in {None, told}:
        problem = f"was measured on {told}, and gpu says {scenario.gpu}"
        raise InputError(where, FIELD, problem, "keep one of the two")
    return catalog.gpus[told or scenario.gpu or ""]


def _n_gpus(profile: EndpointProfile, where: str) -> int:
    n = profile.settings.n_tensor_parallel
    if n is None:
        problem = "does not say over how many GPUs one replica is split"
        mend = "calibrate again with the engine's settings told, or state throughput: instead"
        raise InputError(where, FIELD, problem, mend)
    return n * (profile.settings.n_data_parallel or 1)


def _setup(deployment: Deployment) -> Setup:
    return Setup(
        gpu=deployment.gpu.id,
        gpu_name=deployment.gpu.name,
        n_tensor_parallel=deployment.n_tensor_parallel,
        n_data_parallel=deployment.n_data_parallel,
        n_gpus=deployment.n_gpus,
        precision="as measured",
        kv_precision="as measured",
        engine=deployment.engine,
    )
