"""What one GPU of a deployment holds, reads and computes: bytes and operations, before any fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil

import numpy as np

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.memory import BYTES_PER_KV_ELEMENT, BYTES_PER_PARAMETER
from weighbridge.catalog.rows import Gpu, Model, Precision

# GPUs without a link of their own talk over PCIe: 64 GB/s each way in its fifth generation.
PCIE_GB_PER_S = 64.0
_FOUR_BIT = ("fp4", "int4")


@dataclass(frozen=True, slots=True)
class Shape:
    """Work of one GPU; every field a number, or in a stack an array with one for each deployment.

    Attributes
    ----------
    weight_bytes : float
        Weights that the GPU holds [bytes].
    dense_read_bytes : float
        Weights read in every iteration: attention, dense and shared feed-forward, head [bytes].
    expert_read_bytes : float
        Weights read for each distinct expert of the model that any token passes, over all
        layers, averaged over the GPUs of the replica [bytes].
    n_experts, n_active_experts : float
        Routed experts of a layer, and those that a token passes; 0 for dense models.
    flop_per_token, expert_flop_per_token : float
        Of the dense linear layers, and of the routed experts, for each token of the rank.
    activation_bytes_per_token : float
        One pass over the residual stream of every layer and over the copies that are sent to the
        experts; every GPU does all of it [bytes].
    peak_tflops, peak_bf16_tflops : float
        Dense rate in the format that the linear layers, and that attention, compute in.
    bandwidth_gb_per_s, link_gb_per_s : float
    kv_bytes_per_token : float
        Cache that one token takes while it stays [bytes].
    kv_read_bytes_per_token, kv_flop_per_token : float
        Of one decoding request for each token of its context.
    request_read_bytes : float
        Of one decoding request whatever its context: windows, states [bytes].
    request_held_bytes : float
        Cache of one request whatever its context [bytes].
    flop_per_pair : float
        Of attention for each query-key pair of a prompt.
    n_layers, n_expert_layers, n_linear_layers : float
    n_all_reduces : float
        Collectives of one iteration; 0 on a single GPU.
    reduced_bytes_per_token : float
        That one GPU sends in them for each token of the rank [bytes].
    n_ranks, n_gpus, n_tensor_parallel : float
    """

    weight_bytes: float
    dense_read_bytes: float
    expert_read_bytes: float
    n_experts: float
    n_active_experts: float
    flop_per_token: float
    expert_flop_per_token: float
    activation_bytes_per_token: float
    peak_tflops: float
    peak_bf16_tflops: float
    bandwidth_gb_per_s: float
    link_gb_per_s: float
    kv_bytes_per_token: float
    kv_read_bytes_per_token: float
    kv_flop_per_token: float
    request_read_bytes: float
    request_held_bytes: float
    flop_per_pair: float
    n_layers: float
    n_expert_layers: float
    n_linear_layers: float
    n_all_reduces: float
    reduced_bytes_per_token: float
    n_ranks: float
    n_gpus: float
    n_tensor_parallel: float


@dataclass(frozen=True, slots=True)
class _Weights:
    """Parameters of a model by what happens to them."""

    n_attention: float
    n_feed_forward: float
    n_head: float
    n_embedding: float
    n_per_expert: float  # of one expert in one layer
    n_expert_layers: int


def shape_of(deployment: Deployment) -> Shape:
    """Bytes and operations of one GPU of a deployment.

    Tensor parallelism splits every matrix; data-parallel ranks repeat the attention layers and
    share the experts. Grouped KV heads are repeated where there are fewer of them than GPUs; the
    latent of multi-head latent attention is repeated on each. An untied embedding is looked up,
    not read. In 4-bit mixtures of experts only the experts are 4-bit, as published (gpt-oss,
    Kimi K2.5, NVFP4 releases of DeepSeek).

    Parameters
    ----------
    deployment : Deployment

    Returns
    -------
    Shape

    Examples
    --------
    >>> from weighbridge.catalog.facts import load_catalog
    >>> catalog = load_catalog()
    >>> llama, h100 = catalog.model("llama-3.1-70b"), catalog.gpu("h100-sxm")
    >>> shape = shape_of(Deployment(llama, h100, 4, "fp8"))
    >>> round(shape.weight_bytes / 1e9), round(shape.kv_bytes_per_token / 1024)
    (18, 80)
    """
    model, gpu = deployment.model, deployment.gpu
    weights = _weights_of(model)
    n_tp, n_gpus = deployment.n_tensor_parallel, deployment.n_gpus
    expert_bytes = BYTES_PER_PARAMETER[deployment.precision]
    rest_bytes = _rest_bytes(model, deployment.precision)
    rest = weights.n_attention + weights.n_feed_forward
    dense_read = (rest * rest_bytes + weights.n_head * 2.0) / n_tp
    n_experts = float(model.n_experts or 0)
    all_experts_bytes = weights.n_per_expert * weights.n_expert_layers * n_experts * expert_bytes
    read_per_expert = weights.n_per_expert * weights.n_expert_layers * expert_bytes / n_gpus
    active = weights.n_per_expert * weights.n_expert_layers * (model.n_active_experts or 0)
    hidden = hidden_size(model)
    n_copies = weights.n_expert_layers * (model.n_active_experts or 0)
    return Shape(
        weight_bytes=dense_read + weights.n_embedding * 2.0 / n_tp + all_experts_bytes / n_gpus,
        dense_read_bytes=dense_read,
        expert_read_bytes=read_per_expert,
        n_experts=n_experts,
        n_active_experts=float(model.n_active_experts or 0),
        flop_per_token=2.0 * rest / n_tp,
        expert_flop_per_token=2.0 * active / n_tp,
        activation_bytes_per_token=2.0 * hidden * (model.n_layers + n_copies),
        peak_tflops=_peak_tflops(gpu, deployment.precision),
        peak_bf16_tflops=gpu.dense_bf16_tflops,
        bandwidth_gb_per_s=gpu.bandwidth_gb_per_s,
        link_gb_per_s=gpu.link_gb_per_s or PCIE_GB_PER_S,
        n_layers=float(model.n_layers),
        n_expert_layers=float(weights.n_expert_layers),
        n_linear_layers=float(model.n_linear_attention_layers),
        n_all_reduces=2.0 * model.n_layers if n_gpus > 1 else 0.0,
        reduced_bytes_per_token=2.0 * model.n_layers * hidden * 4.0 * (n_gpus - 1) / n_gpus,
        n_ranks=float(deployment.n_data_parallel),
        n_gpus=float(n_gpus),
        n_tensor_parallel=float(n_tp),
        **_attention(model, n_tp, BYTES_PER_KV_ELEMENT[deployment.kv_precision]),
    )


def stacked(shapes: Sequence[Shape]) -> Shape:
    """One shape whose fields are arrays over the given ones.

    Parameters
    ----------
    shapes : sequence of Shape

    Returns
    -------
    Shape
        With float64 arrays of shape (len(shapes),).
    """
    columns: dict[str, Floats] = {
        field.name: np.array([getattr(shape, field.name) for shape in shapes], np.float64)
        for field in fields(Shape)
    }
    return Shape(**columns)  # type: ignore[arg-type]


def hidden_size(model: Model) -> float:
    """Width of the residual stream; where no source gave it, that of heads times their size.

    Parameters
    ----------
    model : Model

    Returns
    -------
    float
        `hidden_size` of the row, else from `P = 12 * n_layers * hidden**2`, the usual
        proportions of a transformer, with P the parameters that a token passes.
    """
    if model.hidden_size is not None:
        return float(model.hidden_size)
    return float((model.active_parameters_billions * 1e9 / 12.0 / model.n_layers) ** 0.5)


def _weights_of(model: Model) -> _Weights:
    hidden = hidden_size(model)
    head = (model.vocabulary_size or 0) * hidden
    embedding = 0.0 if model.tied_embeddings else head
    attention = _attention_parameters(model, hidden)
    if not model.n_experts:
        rest = model.parameters_billions * 1e9 - head - embedding
        attention = min(attention, rest)
        return _Weights(attention, rest - attention, head, embedding, 0.0, 0)
    n_expert_layers = model.n_layers - model.n_dense_layers
    per_expert = _parameters_per_expert(model, hidden, n_expert_layers)
    n_matrices = 3.0 if model.gated_ffn else 2.0
    dense = model.n_dense_layers * n_matrices * hidden * (model.intermediate_size or 0)
    beside = n_expert_layers * (model.n_shared_experts * per_expert + hidden * model.n_experts)
    return _Weights(attention, dense + beside, head, embedding, per_expert, n_expert_layers)


def _parameters_per_expert(model: Model, n_hidden: float, n_expert_layers: int) -> float:
    """From the sizes of the row; where it has none, from total and active parameters."""
    if model.expert_intermediate_size:
        return n_hidden * model.expert_intermediate_size * (3.0 if model.gated_ffn else 2.0)
    idle = (model.parameters_billions - model.active_parameters_billions) * 1e9
    n_idle = (model.n_experts or 0) - (model.n_active_experts or 0)
    return idle / max(n_idle * n_expert_layers, 1)


def _attention_parameters(model: Model, n_hidden: float) -> float:
    n_heads = model.n_heads or model.n_kv_heads
    if model.kv_lora_rank is not None and model.qk_rope_head_dim is not None:
        nope, rope = model.qk_nope_head_dim or model.head_size, model.qk_rope_head_dim
        value, query_rank = model.v_head_dim or model.head_size, model.q_lora_rank or n_hidden
        per_layer = n_hidden * query_rank + query_rank * n_heads * (nope + rope)
        per_layer += n_hidden * (model.kv_lora_rank + rope)
        per_layer += model.kv_lora_rank * n_heads * (nope + value) + n_heads * value * n_hidden
    else:
        per_layer = n_hidden * model.head_size * 2.0 * (n_heads + model.n_kv_heads)
    return model.n_layers * per_layer


def _attention(model: Model, n_tp: int, element_bytes: float) -> dict[str, float]:
    """Fields of the cache and of attention, per GPU."""
    n_linear = model.n_linear_attention_layers
    n_windowed = model.n_sliding_layers
    n_full = model.n_layers - n_linear - n_windowed
    window = float(model.sliding_window_tokens or 0)
    n_heads = (model.n_heads or model.n_kv_heads) / n_tp
    latent = model.kv_lora_rank is not None and model.qk_rope_head_dim is not None
    if latent:
        width = float((model.kv_lora_rank or 0) + (model.qk_rope_head_dim or 0))
        pair_flop = 2.0 * n_heads * _latent_pair_width(model)
        read_flop = 2.0 * n_heads * (width + float(model.kv_lora_rank or 0))
    else:
        width = 2.0 * ceil(model.n_kv_heads / n_tp) * model.head_size
        pair_flop = read_flop = 4.0 * n_heads * model.head_size
    held = width * element_bytes + float(model.indexer_head_size or 0)
    read, always = width * element_bytes, 0.0
    if model.n_attended_tokens is not None:
        # A token attends to the chosen ones; the indexer alone looks at all of them.
        always, read = model.n_attended_tokens * read, float(model.indexer_head_size or 0)
        read_flop = 0.0
    state_bytes = n_linear * float(model.linear_state_elements or 0) * 4.0 / n_tp
    return {
        "kv_bytes_per_token": n_full * held,
        "kv_read_bytes_per_token": n_full * read,
        "kv_flop_per_token": n_full * read_flop,
        "request_read_bytes": n_full * always
        + n_windowed * window * width * element_bytes
        + 2.0 * state_bytes,
        "request_held_bytes": n_windowed * window * width * element_bytes + state_bytes,
        "flop_per_pair": n_full * pair_flop,
    }


def _latent_pair_width(model: Model) -> float:
    nope = model.qk_nope_head_dim or model.head_size
    return nope + float(model.qk_rope_head_dim or 0) + (model.v_head_dim or model.head_size)


def _rest_bytes(model: Model, precision: Precision) -> float:
    if model.n_experts and precision in _FOUR_BIT:
        return BYTES_PER_PARAMETER["bf16"]
    return BYTES_PER_PARAMETER[precision]


def _peak_tflops(gpu: Gpu, precision: Precision) -> float:
    """Rate of the linear layers; a format that the GPU has no units for computes in 16 bits."""
    if precision == "fp4":
        return gpu.dense_fp4_tflops or gpu.dense_bf16_tflops
    if precision == "fp8":
        return gpu.dense_fp8_tflops or gpu.dense_bf16_tflops
    if precision == "int8":
        return gpu.dense_int8_tflops or gpu.dense_fp8_tflops or gpu.dense_bf16_tflops
    return gpu.dense_bf16_tflops
