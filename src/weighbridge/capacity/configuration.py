"""Which deployment and load a published measurement was of, or why that cannot be told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.observed import ServingPoint
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.capacity.shape import shape_of
from weighbridge.catalog.canonical import (
    canonical_engine,
    canonical_gpu,
    canonical_model,
    canonical_precision,
)
from weighbridge.catalog.facts import Catalog
from weighbridge.catalog.rows import Model, Precision
from weighbridge.units import InputError

# Ids of the silicon samples tell parallelism; where they name tp and ep, the columns of some of
# their files hold the product of both instead of the GPUs: the same measurement stands under 4
# GPUs in one file and under 16 in the next, and no machine of that kind has 16.
_PARALLELISM = re.compile(r"_tp(\d+)(?:_0)?_ep(\d+)")
_SILICON = "silicon_sample"
# Before captured graphs and chunked prompts; its overheads are another engine's.
_EAGER_VLLM = "vllm-2023"


@dataclass(frozen=True, slots=True)
class Configured:
    """A measurement with the deployment and the load that it is of."""

    point: ServingPoint
    deployment: Deployment
    load: ClosedLoop
    is_static_batch: bool

    @property
    def group(self) -> str:
        """Canonical model and GPU."""
        return f"{self.deployment.model.id} on {self.deployment.gpu.id}"


def configured(
    point: ServingPoint, catalog: Catalog, *, take_untold: bool = False
) -> Configured | str:
    """Deployment and load of a measurement; where it has none, the reason in words.

    What a row does not say is taken from what its engine does by default: the cache in 8 bits
    with TensorRT-LLM, with 4-bit weights (the published checkpoints say so) and with 8-bit
    weights, in 16 bits with vLLM's mixtures of experts in 8 bits (its default) and otherwise.

    Parameters
    ----------
    point : ServingPoint
    catalog : Catalog
        Resolves the names.
    take_untold : bool
        Take mixtures of experts of which nothing tells whether experts are spread as not spread.

    Returns
    -------
    Configured or str
    """
    reason = _unusable(point)
    if reason:
        return reason
    assert point.n_gpus is not None
    load = ClosedLoop(point.input_tokens or 0, point.output_tokens or 0, point.n_concurrent or 0)
    try:
        model = catalog.model(canonical_model(point.model, catalog))
        gpu = catalog.gpu(canonical_gpu(point.gpu, catalog))
        engine = canonical_engine(point.engine)
        precision = _precision(point, model, engine)
    except InputError as error:
        return f"{error.field} is not known"
    if model.n_experts and "_epnone" in point.source and not take_untold:
        return "whether experts, and attention with them, are spread is not told"
    n_tp, n_dp, expert_parallel = _parallelism(point, point.n_gpus)
    deployment = Deployment(
        model=model,
        gpu=gpu,
        n_tensor_parallel=n_tp,
        precision=precision,
        n_data_parallel=n_dp,
        expert_parallel=expert_parallel and n_tp * n_dp > 1,
        kv_precision=cache_precision(model, precision, engine),
        engine=_EAGER_VLLM if "(2023)" in point.engine else engine,
    )
    found = Configured(point, deployment, load, "static batch" in point.note)
    if is_beyond_peak(found):
        return "prompts computed faster than the GPUs can: cached, or other machines"
    return found


def distinct(measured: Iterable[Configured]) -> tuple[Configured, ...]:
    """Measurements without those that stand there again under another id.

    The silicon samples repeat runs from file to file; equal configuration, load and latencies are
    one measurement.

    Parameters
    ----------
    measured : iterable of Configured
    """
    found: dict[tuple[object, ...], Configured] = {}
    for one in measured:
        point, to = one.point, one.deployment
        size = (to.n_tensor_parallel, to.n_data_parallel, to.expert_parallel)
        key = (one.group, *size, to.precision, to.engine, one.load, point.ttft_s, point.tpot_s)
        found.setdefault(key, one)
    return tuple(found.values())


def is_beyond_peak(one: Configured) -> bool:
    """Whether prompts were computed faster than the GPUs' dense rate allows.

    Then they were cached, or more GPUs served them than the row says.

    Parameters
    ----------
    one : Configured
    """
    if one.point.ttft_s is None or one.point.tpot_s is None:
        return False
    shape = shape_of(one.deployment)
    life_s = one.point.ttft_s + (one.load.output_tokens - 1.0) * one.point.tpot_s
    prompts_per_s = one.load.n_concurrent / life_s / one.deployment.n_data_parallel
    flop = one.load.input_tokens * (shape.flop_per_token + shape.expert_flop_per_token)
    return prompts_per_s * flop > shape.peak_tflops * 1e12


def cache_precision(model: Model, precision: Precision, engine: str) -> Precision:
    """Number format that the cache usually has, where nothing says.

    Parameters
    ----------
    model : Model
    precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Of the weights.
    engine : str
        Id of an engine row.
    """
    if precision == "bf16":
        return "bf16"
    plain_vllm = engine == "vllm" and bool(model.n_experts)
    if engine == "tensorrt-llm" or precision == "fp4" or (precision == "fp8" and not plain_vllm):
        return "fp8"
    return "bf16"


def _unusable(point: ServingPoint) -> str:
    if point.disaggregated:
        return "prompts and answers on separate machines, without their number of GPUs"
    if point.n_gpus is None:
        return "no number of GPUs"
    if point.input_tokens is None or point.output_tokens is None:
        return "no prompt or answer length"
    if point.n_concurrent is None:
        return "no concurrency: open loop or offline"
    if point.ttft_s is None and point.tpot_s is None:
        return "no latency"
    return ""


def _precision(point: ServingPoint, model: Model, engine: str) -> Precision:
    if point.precision:
        return canonical_precision(point.precision)
    # Rows of TensorRT-LLM without a format, of Llama 3.1 8B on H100: nothing tells it, so that the
    # rows themselves had to: a fit without them is 12 % off with 8-bit weights and 41 % with 16-bit
    # ones. `docs/accuracy.md` tells what that adds to the figures.
    if engine == "tensorrt-llm":
        return "fp8"
    return model.native_precision or "bf16"


def _parallelism(point: ServingPoint, n_gpus: int) -> tuple[int, int, bool]:
    """GPUs of tensor parallelism, data-parallel ranks, and whether experts are spread."""
    n_tp = point.n_tensor_parallel or n_gpus
    told = _PARALLELISM.search(point.source)
    if told and _SILICON in point.source:
        n_told, spread = int(told[1]), int(told[2]) > 1
        if n_tp == 1 and n_told > 1:
            return 1, n_told, True
        return n_told, 1, spread
    if _SILICON in point.source and "_cfg" in point.source:
        root = round(n_gpus**0.5)
        if root * root == n_gpus and n_gpus in (16, 64):
            return root, 1, True
        if n_tp * n_tp == n_gpus and n_tp < n_gpus:
            return n_tp, 1, True
    spread = bool(point.expert_parallel)
    if n_tp < n_gpus and spread:
        return n_tp, n_gpus // n_tp, True
    return n_tp, 1, spread
