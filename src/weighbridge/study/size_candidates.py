"""Every deployment that could serve the model, and why the others cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.sizing import Case, Needed, needed_replicas
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.canonical import canonical_precision
from weighbridge.catalog.facts import Catalog
from weighbridge.catalog.rows import Gpu, Model, Precision
from weighbridge.catalog.serving_fit import ServingFit
from weighbridge.study.size_costs import price_of
from weighbridge.study.size_formats import doubts, has_units, why_impossible
from weighbridge.study.size_measured import Endpoint, endpoint_speed, under_load
from weighbridge.study.size_question import (
    ENGINES,
    KV_PRECISION,
    N_TENSOR_PARALLEL,
    PRECISIONS,
    SizeQuestion,
)
from weighbridge.study.size_result import Answer, Setup, Status
from weighbridge.study.size_search import Candidate
from weighbridge.study.size_speed import Load, Speed, speed_of
from weighbridge.units import InputError

# From so many GPUs on experts are tried spread over them, too: below that nobody does it.
N_LEAST_SPREAD = 4


@dataclass(frozen=True)
class World:
    """What candidates are made from: facts, fit, measurements near by."""

    catalog: Catalog
    fit: ServingFit
    points: tuple[Configured, ...] = ()
    endpoint: Endpoint | None = None


def candidates(
    question: SizeQuestion, world: World, requests: Requests
) -> tuple[list[Candidate], list[Answer]]:
    """Deployments to simulate, and those that are out before any simulation."""
    model = world.catalog.model(question.model)
    check_context(model, requests)
    if world.endpoint is not None:
        return [_calibrated(question, world, world.endpoint, requests)], []
    found: list[Candidate] = []
    out: list[Answer] = []
    for deployment in deployments(question, world.catalog, model):
        made = _candidate(deployment, question, world, requests)
        if isinstance(made, Candidate):
            found.append(made)
        else:
            out.append(made)
    if not found:
        raise _nothing_fits(question, out)
    return found, out


def check_context(model: Model, requests: Requests) -> None:
    """Requests longer than the model's context would be refused by every engine."""
    held = requests.input_tokens + requests.output_tokens
    n_over = int((held > model.context_tokens).sum())
    if n_over:
        problem = (
            f"{n_over:,} of {len(held):,} requests are longer than the {model.context_tokens:,} "
            f"tokens of {model.name} (the longest {int(held.max()):,})"
        )
        raise InputError("--model", model.id, problem, "choose a model with a longer context")


def deployments(question: SizeQuestion, catalog: Catalog, model: Model) -> Iterator[Deployment]:
    """GPUs, splits, number formats and engines that were asked for or make sense."""
    gpus = [catalog.gpu(name) for name in question.gpus] or _offered(catalog)
    for gpu in gpus:
        for precision in _precisions(question, model, gpu):
            for n_tensor, n_data, is_spread in _splits(question, model):
                for engine in question.engines or ENGINES:
                    yield Deployment(
                        model=model,
                        gpu=gpu,
                        n_tensor_parallel=n_tensor,
                        n_data_parallel=n_data,
                        expert_parallel=is_spread,
                        precision=precision,
                        kv_precision=question.kv_precision or KV_PRECISION,
                        engine=engine,
                    )


def _offered(catalog: Catalog) -> list[Gpu]:
    names = {offer.gpu for offer in catalog.offers if offer.plan == "on_demand"}
    return [gpu for gpu in catalog.gpus.values() if gpu.id in names]


def _precisions(question: SizeQuestion, model: Model, gpu: Gpu) -> list[Precision]:
    if question.precisions:
        return [canonical_precision(name) for name in question.precisions]
    native = (model.native_precision,) if model.native_precision else ()
    wanted = [p for p in PRECISIONS if p == "bf16" or has_units(gpu, p)]
    return list(dict.fromkeys((*wanted, *native)))


def _splits(question: SizeQuestion, model: Model) -> list[tuple[int, int, bool]]:
    """GPUs of a tensor-parallel rank, ranks, and whether experts are spread over all of them.

    A mixture of experts is tried with its experts spread, too: beside split attention, and, where
    the split is not named, beside as many ranks of data parallelism as GPUs.
    """
    found = []
    for n in question.n_tensor_parallel or N_TENSOR_PARALLEL:
        if not question.n_tensor_parallel and model.n_heads is not None and model.n_heads % n:
            continue
        found.append((n, 1, False))
        if model.n_experts and n >= N_LEAST_SPREAD and model.n_experts % n == 0:
            found.append((n, 1, True))
            if not question.n_tensor_parallel:
                found.append((1, n, True))
    return found


def _candidate(
    deployment: Deployment, question: SizeQuestion, world: World, requests: Requests
) -> Candidate | Answer:
    setup = _setup(deployment)
    wrong = why_impossible(deployment, bool(question.precisions))
    if wrong:
        return _out(setup, "misfit", wrong)
    price = price_of(world.catalog, deployment.gpu.id, question.usd_per_gpu_hour)
    if price is None:
        why = f"no on-demand offer of {deployment.gpu.name} is known: give --usd-per-gpu-hour"
        return _out(setup, "unpriced", why)
    try:
        limits = engine_limits(deployment, others=world.catalog.gpus.values())
        speed = speed_of(deployment, limits, Load(requests, question.slo), world.fit, world.points)
    except InputError as fault:
        return _out(setup, "misfit", f"{fault.problem} ({fault.mend})")
    rests_on = (*speed.rests_on, *doubts(deployment))
    return Candidate(setup, _case(question, requests, speed, limits), price, rests_on)


def _case(question: SizeQuestion, requests: Requests, speed: Speed, limits: EngineLimits) -> Case:
    return Case(
        requests=requests,
        band=speed.band,
        limits=limits,
        slo=question.slo,
        routing="sticky" if len(requests.session) else "least_outstanding",
        headroom_frac=question.headroom_frac,
        n_spare_replicas=question.n_spare_replicas,
    )


def _calibrated(
    question: SizeQuestion, world: World, endpoint: Endpoint, requests: Requests
) -> Candidate:
    """The one deployment that was measured."""
    price = price_of(world.catalog, endpoint.setup.gpu, question.usd_per_gpu_hour)
    if price is None:
        problem = f"no on-demand offer of {endpoint.setup.gpu_name} is known"
        raise InputError("size", endpoint.setup.gpu, problem, "give --usd-per-gpu-hour")
    speed = endpoint_speed(endpoint, requests, str(question.profile))
    case = _case(question, requests, speed, endpoint.profile.limits)
    needed, _ = needed_replicas(case)
    if isinstance(needed, Needed):
        speed = under_load(endpoint, requests, speed, needed.peak)
        case = _case(question, requests, speed, endpoint.profile.limits)
    return Candidate(endpoint.setup, case, price, speed.rests_on)


def _setup(deployment: Deployment) -> Setup:
    return Setup(
        gpu=deployment.gpu.id,
        gpu_name=deployment.gpu.name,
        n_tensor_parallel=deployment.n_tensor_parallel,
        n_data_parallel=deployment.n_data_parallel,
        expert_parallel=deployment.expert_parallel,
        n_gpus=deployment.n_gpus,
        precision=deployment.precision,
        kv_precision=deployment.kv_precision,
        engine=deployment.engine,
    )


def _out(setup: Setup, status: Status, why: str) -> Answer:
    return Answer(
        setup=setup,
        status=status,
        why_not=why,
        basis=None,
        rests_on=(),
        kv_tokens=0,
        price=None,
        floor_usd_per_hour=math.nan,
        n_peak_replicas=None,
        peak_usd_per_hour=math.nan,
        binds=None,
        alone_s=(),
        peak=None,
        safety=None,
        week=None,
        cost=None,
    )


def _nothing_fits(question: SizeQuestion, out: Sequence[Answer]) -> InputError:
    if not out:
        return InputError("size", "", "no deployment is left to try", "name other GPUs or formats")
    first = out[0]
    return InputError(
        "size",
        question.model,
        f"none of {len(out)} deployments can be sized; {first.setup.label}: {first.why_not}",
        "choose more or larger GPUs (--gpu, --tensor-parallel) or fewer bits (--precision)",
    )
