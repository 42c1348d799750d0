"""Memory that a model needs: its weights, its KV cache, and how many GPUs hold both."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import get_args

from weighbridge.catalog.rows import Gpu, Model, Precision
from weighbridge.units import InputError

BYTES_PER_GIB = 2.0**30
# The state of linear attention is kept in float32: mamba_ssm_dtype in the config.json of Qwen3.5.
BYTES_PER_STATE_ELEMENT = 4.0
# Keys of a sparse-attention indexer are cached in fp8 with a 4-byte scale for each 128 numbers,
# whatever the format of the latent (DeepseekV32IndexerCache of vLLM; TensorRT-LLM likewise).
BYTES_PER_INDEXER_ELEMENT = 1.0 + 4 / 128
# A 4-bit weight carries its share of the block scales: 8 bits per 16 weights (NVFP4 blocks),
# 16 bits per 64 weights (the usual group of integer quantisation).
BYTES_PER_PARAMETER: dict[Precision, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.53125,
    "fp4": 0.5625,
}
BYTES_PER_KV_ELEMENT: dict[Precision, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5,
    "fp4": 0.5,
}
SIZES_OF_REPLICA = (1, 2, 4, 8, 16)  # tensor-parallel sizes that engines shard to


@dataclass(frozen=True, slots=True)
class KvDemand:
    """Tokens that the KV cache must hold at once, over all requests, and how they are stored."""

    min_kv_tokens: float
    precision: Precision = "bf16"


def weight_memory_gib(model: Model, precision: Precision) -> float:
    """Memory of a model's weights [GiB], every layer in the same precision.

    Parameters
    ----------
    model : Model
        Row of the catalog; all parameters count, also experts that a token does not pass.
    precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Number format of the weights; 4-bit formats include their block scales.

    Returns
    -------
    float
        Parameters times bytes per parameter [GiB].

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> round(weight_memory_gib(load_catalog().model("llama-3.1-8b"), "bf16"), 1)
    15.0
    """
    _check_precision("weight_memory_gib", precision)
    return model.parameters_billions * 1e9 * BYTES_PER_PARAMETER[precision] / BYTES_PER_GIB


def kv_bytes_per_token(model: Model, precision: Precision = "bf16") -> float:
    """KV cache that one further token takes while it is inside every layer's window [bytes].

    Multi-head and grouped-query attention store a key and a value per KV head in each layer,
    `2 * n_layers * n_kv_heads * head_size`; multi-head latent attention stores one latent and one
    rotary key per layer, `n_layers * (kv_lora_rank + qk_rope_head_dim)`, as DeepSeek-V3 does.
    Layers of linear attention cache nothing per token and do not count; the keys of a
    sparse-attention indexer are cached beside the latent.

    Parameters
    ----------
    model : Model
        Row of the catalog.
    precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Number format of the cache.

    Returns
    -------
    float
        Bytes per token; an upper bound where some layers see a sliding window only
        (`kv_cache_gib` counts those exactly).

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> catalog = load_catalog()
    >>> kv_bytes_per_token(catalog.model("llama-3.1-8b"))  # 2 * 32 * 8 * 128 * 2
    131072.0
    >>> kv_bytes_per_token(catalog.model("deepseek-v3"))  # 61 * (512 + 64) * 2
    70272.0
    """
    _check_precision("kv_bytes_per_token", precision)
    return _n_kv_layers(model) * _kv_bytes_per_layer(model, precision)


def linear_state_gib(model: Model) -> float:
    """State of one request in the layers of linear attention [GiB], whatever its length.

    Parameters
    ----------
    model : Model
        Row of the catalog.

    Returns
    -------
    float
        `n_linear_attention_layers * linear_state_elements` in float32; 0 without such layers.

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> linear_state_gib(load_catalog().model("llama-3.1-8b"))
    0.0
    """
    elements = model.n_linear_attention_layers * (model.linear_state_elements or 0)
    return elements * BYTES_PER_STATE_ELEMENT / BYTES_PER_GIB


def kv_cache_gib(model: Model, context_tokens: float, precision: Precision = "bf16") -> float:
    """KV cache of one request of a given length [GiB]; windowed layers stop at their window.

    Layers of linear attention add the state that they keep for each request.

    Parameters
    ----------
    model : Model
        Row of the catalog.
    context_tokens : float
        Prompt and answer of the request together [tokens], at most the model's context.
    precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Number format of the cache.

    Raises
    ------
    InputError
        Where the request is negative or longer than the model's context.

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> kv_cache_gib(load_catalog().model("llama-3.1-8b"), 8192)
    1.0
    """
    _check_precision("kv_cache_gib", precision)
    if not 0 <= context_tokens <= model.context_tokens:
        raise InputError(
            "kv_cache_gib",
            "context_tokens",
            f"is {context_tokens}; {model.name} takes 0 to {model.context_tokens}",
            "give the tokens of one request, prompt and answer together",
        )
    windowed = min(context_tokens, model.sliding_window_tokens or context_tokens)
    full_layers = _n_kv_layers(model) - model.n_sliding_layers
    layer_tokens = full_layers * context_tokens + model.n_sliding_layers * windowed
    cache_gib = layer_tokens * _kv_bytes_per_layer(model, precision) / BYTES_PER_GIB
    return cache_gib + linear_state_gib(model)


def n_gpus_to_fit(
    model: Model, gpu: Gpu, precision: Precision, overhead_frac: float, kv: KvDemand
) -> int:
    """Fewest GPUs of one replica that hold the weights and a KV cache.

    The smallest n of 1, 2, 4, 8, 16 with
    `weights + kv <= n * memory_gib * (1 - overhead_frac)`.

    Parameters
    ----------
    model, gpu : Model, Gpu
        Rows of the catalog.
    precision : {"bf16", "fp8", "int8", "int4", "fp4"}
        Number format of the weights.
    overhead_frac : float
        Share of each GPU's memory kept for activations, graphs and the engine (0 to below 1).
    kv : KvDemand
        Tokens that the cache must hold at once, and its number format.

    Raises
    ------
    InputError
        Where 16 GPUs are too few; the mend names the precisions and the tokens that would fit.

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> catalog = load_catalog()
    >>> llama, h100 = catalog.model("llama-3.3-70b"), catalog.gpu("h100-sxm")
    >>> n_gpus_to_fit(llama, h100, "fp8", 0.1, KvDemand(min_kv_tokens=100_000))
    2
    """
    _check_fit(precision, overhead_frac, kv)
    need_gib = _need_gib(model, precision, kv)
    for n_gpus in SIZES_OF_REPLICA:
        if need_gib <= n_gpus * _usable_gib(gpu, overhead_frac):
            return n_gpus
    raise InputError(
        "n_gpus_to_fit",
        "model",
        f"{model.name} in {precision} with {kv.min_kv_tokens:,.0f} tokens of cache needs "
        f"{need_gib:,.0f} GiB; {SIZES_OF_REPLICA[-1]} x {gpu.name} leave "
        f"{SIZES_OF_REPLICA[-1] * _usable_gib(gpu, overhead_frac):,.0f} GiB",
        _what_would_fit(model, gpu, overhead_frac, kv),
    )


def _n_kv_layers(model: Model) -> int:
    return model.n_layers - model.n_linear_attention_layers


def _kv_bytes_per_layer(model: Model, precision: Precision) -> float:
    indexer_bytes = (model.indexer_head_size or 0) * BYTES_PER_INDEXER_ELEMENT
    return _kv_elements_per_layer(model) * BYTES_PER_KV_ELEMENT[precision] + indexer_bytes


def _kv_elements_per_layer(model: Model) -> int:
    if model.kv_lora_rank is not None and model.qk_rope_head_dim is not None:
        return model.kv_lora_rank + model.qk_rope_head_dim
    return 2 * model.n_kv_heads * model.head_size


def _usable_gib(gpu: Gpu, overhead_frac: float) -> float:
    return gpu.memory_gib * (1.0 - overhead_frac)


def _need_gib(model: Model, precision: Precision, kv: KvDemand) -> float:
    cache_gib = kv.min_kv_tokens * kv_bytes_per_token(model, kv.precision) / BYTES_PER_GIB
    return weight_memory_gib(model, precision) + cache_gib


def _what_would_fit(model: Model, gpu: Gpu, overhead_frac: float, kv: KvDemand) -> str:
    most_gib = SIZES_OF_REPLICA[-1] * _usable_gib(gpu, overhead_frac)
    formats = [name for name in BYTES_PER_PARAMETER if _need_gib(model, name, kv) <= most_gib]
    if formats:
        return f"use weights in {' or '.join(formats)}"
    smallest_gib = min(weight_memory_gib(model, name) for name in BYTES_PER_PARAMETER)
    spare_tokens = (most_gib - smallest_gib) * BYTES_PER_GIB / kv_bytes_per_token(model, "fp8")
    if spare_tokens > 0:
        return f"ask for at most {spare_tokens:,.0f} tokens of cache (4-bit weights, fp8 cache)"
    per_gpu_gib = ceil(smallest_gib / SIZES_OF_REPLICA[-1] / (1.0 - overhead_frac))
    return f"choose a GPU with more than {per_gpu_gib} GiB, or a smaller model"


def _check_fit(precision: Precision, overhead_frac: float, kv: KvDemand) -> None:
    _check_precision("n_gpus_to_fit", precision)
    _check_precision("n_gpus_to_fit", kv.precision)
    if not 0 <= overhead_frac < 1:
        raise InputError(
            "n_gpus_to_fit",
            "overhead_frac",
            f"is {overhead_frac}",
            "give the share of memory kept back, from 0 to below 1",
        )
    if not kv.min_kv_tokens >= 0:
        raise InputError(
            "n_gpus_to_fit",
            "min_kv_tokens",
            f"is {kv.min_kv_tokens}",
            "give the tokens that the cache must hold, 0 or more",
        )


def _check_precision(where: str, precision: str) -> None:
    if precision not in BYTES_PER_PARAMETER:
        raise InputError(
            where, "precision", f"is {precision!r}", f"use one of {', '.join(get_args(Precision))}"
        )
