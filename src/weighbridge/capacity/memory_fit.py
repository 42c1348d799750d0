"""What a deployment's memory leaves for the KV cache, or what would fit where nothing is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.shape import Shape, hidden_size, shape_of
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.catalog.memory import BYTES_PER_GIB, BYTES_PER_PARAMETER
from weighbridge.catalog.rows import Gpu, Precision
from weighbridge.units import InputError

# Library code, graphs and communication buffers of one GPU.
ENGINE_OVERHEAD_GIB = 1.5
# Buffers of the widest iteration: so many residual streams of 2 bytes for every token of it.
N_ACTIVATION_BUFFERS = 16
# Windows and states of at most so many requests are set aside beside the cache.
N_MOST_RESERVED_REQUESTS = 256
_SMALLEST_BIG_GPU_GIB = 70.0
_SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Settings of an engine that memory follows from.

    Attributes
    ----------
    utilization_frac : float
        Share of each GPU's memory that the engine takes (vLLM: gpu_memory_utilization).
    n_max_requests : int, optional
        Most requests running at once in one rank; by default 1,024 on GPUs of 70 GiB or more and
        256 on smaller ones, as vLLM does.
    n_max_batched_tokens : int, optional
        Most tokens of one iteration of one rank, for whose activations memory is set aside; by
        default 8,192 on GPUs of 70 GiB or more and 2,048 on smaller ones, as vLLM's server does.
    n_block_tokens : int
        Tokens of one cache block.
    """

    utilization_frac: float = 0.9
    n_max_requests: int | None = None
    n_max_batched_tokens: int | None = None
    n_block_tokens: int = 16


DEFAULT_MEMORY = EngineMemory()


def engine_limits(
    deployment: Deployment, memory: EngineMemory = DEFAULT_MEMORY, others: Iterable[Gpu] = ()
) -> EngineLimits:
    """Limits of one rank: the tokens that its cache holds, and the defaults of its scheduler.

    `kv_tokens = (utilization * memory - weights - activations - engine) / kv_bytes_per_token` of
    one GPU, in whole blocks; windows and states of running requests are set aside first.

    Parameters
    ----------
    deployment : Deployment
    memory : EngineMemory
    others : iterable of Gpu
        Looked through for GPUs that would hold the model where this one does not.

    Returns
    -------
    EngineLimits

    Raises
    ------
    InputError
        Where the weights leave no block of cache; the mend names what would fit.

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> catalog = load_catalog()
    >>> llama, h100 = catalog.model("llama-3.1-70b"), catalog.gpu("h100-sxm")
    >>> engine_limits(Deployment(llama, h100, 2, "fp8")).kv_tokens
    227200
    """
    if not 0 < memory.utilization_frac <= 1:
        raise InputError(
            "engine_limits",
            "utilization_frac",
            f"is {memory.utilization_frac}",
            "give the share of memory that the engine takes, above 0 and at most 1",
        )
    kv_tokens = _kv_tokens(deployment, memory)
    if kv_tokens < memory.n_block_tokens:
        raise _does_not_fit(deployment, memory, others)
    return EngineLimits(
        kv_tokens=kv_tokens,
        n_max_requests=_n_max_requests(deployment.gpu, memory),
        n_max_batched_tokens=_n_max_batched_tokens(deployment.gpu, memory),
        n_block_tokens=memory.n_block_tokens,
        n_ranks=deployment.n_data_parallel,
    )


def _n_max_requests(gpu: Gpu, memory: EngineMemory) -> int:
    if memory.n_max_requests is not None:
        return memory.n_max_requests
    return 1024 if gpu.memory_gib >= _SMALLEST_BIG_GPU_GIB else 256


def _n_max_batched_tokens(gpu: Gpu, memory: EngineMemory) -> int:
    if memory.n_max_batched_tokens is not None:
        return memory.n_max_batched_tokens
    return 8192 if gpu.memory_gib >= _SMALLEST_BIG_GPU_GIB else 2048


def _kv_tokens(deployment: Deployment, memory: EngineMemory) -> int:
    shape = shape_of(deployment)
    free_bytes = deployment.gpu.memory_gib * memory.utilization_frac * BYTES_PER_GIB
    free_bytes -= _taken_bytes(deployment, shape, memory)
    if free_bytes <= 0:
        return 0
    # Where no layer caches every token, blocks cost nothing: one request's context each.
    per_token = shape.kv_bytes_per_token or 1.0
    return int(free_bytes / per_token) // memory.n_block_tokens * memory.n_block_tokens


def _taken_bytes(deployment: Deployment, shape: Shape, memory: EngineMemory) -> float:
    width_bytes = 2.0 * hidden_size(deployment.model)
    n_tokens = _n_max_batched_tokens(deployment.gpu, memory)
    activations = N_ACTIVATION_BUFFERS * n_tokens * width_bytes
    n_reserved = min(_n_max_requests(deployment.gpu, memory), N_MOST_RESERVED_REQUESTS)
    reserved = n_reserved * shape.request_held_bytes
    return shape.weight_bytes + activations + reserved + ENGINE_OVERHEAD_GIB * BYTES_PER_GIB


def _does_not_fit(
    deployment: Deployment, memory: EngineMemory, others: Iterable[Gpu]
) -> InputError:
    model, gpu = deployment.model, deployment.gpu
    need_gib = _taken_bytes(deployment, shape_of(deployment), memory) / BYTES_PER_GIB
    mends = [*_more_gpus(deployment, memory), *_other_formats(deployment, memory)]
    mends += _other_gpus(deployment, memory, others)
    if not mends:
        mends = [f"choose GPUs with more than {ceil(need_gib / memory.utilization_frac)} GiB"]
    return InputError(
        "engine_limits",
        "model",
        f"{model.name} in {deployment.precision} on {deployment.n_gpus} x {gpu.name} needs "
        f"{need_gib:,.0f} GiB of each GPU before any cache, of {gpu.memory_gib:,.0f} GiB the "
        f"engine takes {gpu.memory_gib * memory.utilization_frac:,.0f}",
        ", or ".join(mends),
    )


def _fits(deployment: Deployment, memory: EngineMemory) -> bool:
    return _kv_tokens(deployment, memory) >= memory.n_block_tokens


def _more_gpus(deployment: Deployment, memory: EngineMemory) -> list[str]:
    for n in _SIZES:
        if n > deployment.n_gpus:
            larger = replace(deployment, n_tensor_parallel=n, n_data_parallel=1)
            if _fits(larger, memory):
                return [f"split it over {n} GPUs"]
    return []


def _other_formats(deployment: Deployment, memory: EngineMemory) -> list[str]:
    now_bytes = BYTES_PER_PARAMETER[deployment.precision]
    formats: list[Precision] = [
        name
        for name, size in BYTES_PER_PARAMETER.items()
        if size < now_bytes and _fits(replace(deployment, precision=name), memory)
    ]
    return [f"use weights in {' or '.join(formats)}"] if formats else []


def _other_gpus(deployment: Deployment, memory: EngineMemory, others: Iterable[Gpu]) -> list[str]:
    names = [gpu.name for gpu in others if _fits(replace(deployment, gpu=gpu), memory)]
    return [f"use {' or '.join(names[:3])}"] if names else []
