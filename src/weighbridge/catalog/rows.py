"""The kinds of fact that the catalog holds: one dated, sourced row each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Positive = Annotated[float, Meta(gt=0)]
PositiveInt = Annotated[int, Meta(gt=0)]
NotNegativeInt = Annotated[int, Meta(ge=0)]

OfferKind = Literal["hyperscaler", "specialist", "managed"]
Plan = Literal["on_demand", "reserved", "spot"]
Attention = Literal["gqa", "mha", "mla", "hybrid"]
Precision = Literal["bf16", "fp8", "int8", "int4", "fp4"]
EngineStatus = Literal["active", "maintenance", "deprecated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU; compute is dense, without the doubling by sparsity that data sheets print.

    `link_gb_per_s` is what one GPU sends to the others of its domain, in one direction (data
    sheets of NVLink print both directions together); `n_gpus_per_domain` is how many GPUs such
    links join: 8 in an HGX server, 72 in an NVL72 rack, 1 where GPUs meet over PCIe only, whose
    rate `link_gb_per_s` then is. Before Ampere and CDNA there is no BF16: `has_bf16` is false and
    `dense_bf16_tflops` is the rate of FP16.
    """

    id: Text
    name: Text
    vendor: Text
    memory_gib: Positive
    bandwidth_gb_per_s: Positive
    dense_bf16_tflops: Positive
    has_bf16: bool = True
    dense_fp8_tflops: Positive | None = None
    dense_fp4_tflops: Positive | None = None
    dense_int8_tflops: Positive | None = None
    link_gb_per_s: Positive | None = None
    n_gpus_per_domain: PositiveInt | None = None
    tdp_w: Positive
    purchase_usd: Positive | None = None
    purchase_source: Text | None = None
    source: Text
    checked_on: date
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one provider asks for one GPU and hour under one plan."""

    id: Text
    provider: Text
    kind: OfferKind
    gpu: Text
    n_gpus: PositiveInt
    plan: Plan
    commitment_months: PositiveInt | None = None
    usd_per_gpu_hour: Positive
    region: Text | None = None
    instance: Text | None = None
    source: Text
    checked_on: date
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An open-weight model: enough for the memory and the time of its weights and KV cache.

    Sizes that no source gave are None. Of a mixture of experts, `intermediate_size` is that of
    its `n_dense_layers` layers without experts, wherever they stand; every other layer has
    `n_experts` experts of `expert_intermediate_size`, of which a token passes `n_active_experts`,
    and `n_shared_experts` of the same size that every token passes. A gated feed-forward has three
    matrices, another two.

    `n_linear_attention_layers` layers keep a state of `linear_state_elements` numbers per request
    instead of a KV cache. With `n_attended_tokens`, a token attends to so many earlier ones only,
    which an indexer chooses by a key of `indexer_head_size` cached per token beside the latent.
    `native_precision` is the format in which the weights are published, where below 16 bits.
    """

    id: Text
    name: Text
    parameters_billions: Positive
    active_parameters_billions: Positive
    n_layers: PositiveInt
    n_kv_heads: PositiveInt
    head_size: PositiveInt
    attention: Attention
    kv_note: str = ""
    kv_lora_rank: PositiveInt | None = None
    qk_rope_head_dim: PositiveInt | None = None
    sliding_window_tokens: PositiveInt | None = None
    n_sliding_layers: NotNegativeInt = 0
    n_linear_attention_layers: NotNegativeInt = 0
    linear_state_elements: PositiveInt | None = None
    hidden_size: PositiveInt | None = None
    n_heads: PositiveInt | None = None
    intermediate_size: PositiveInt | None = None
    gated_ffn: bool = True
    n_experts: PositiveInt | None = None
    n_active_experts: PositiveInt | None = None
    expert_intermediate_size: PositiveInt | None = None
    n_shared_experts: NotNegativeInt = 0
    n_dense_layers: NotNegativeInt = 0
    vocabulary_size: PositiveInt | None = None
    tied_embeddings: bool = False
    q_lora_rank: PositiveInt | None = None
    qk_nope_head_dim: PositiveInt | None = None
    v_head_dim: PositiveInt | None = None
    n_attended_tokens: PositiveInt | None = None
    indexer_head_size: PositiveInt | None = None
    native_precision: Precision | None = None
    context_tokens: PositiveInt
    licence: Text
    source: Text
    checked_on: date
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A serving engine, and whether it is fit for production load from many users."""

    id: Text
    name: Text
    production_multi_user: bool
    status: EngineStatus
    warning: str = ""
    source: Text
    checked_on: date
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """One published measurement; `output_tokens_per_s` is of all `n_gpus` GPUs together."""

    id: Text
    model: Text
    gpu: Text
    n_gpus: PositiveInt
    precision: Precision
    engine: Text
    input_tokens: PositiveInt
    output_tokens: PositiveInt
    concurrency: PositiveInt | None = None
    output_tokens_per_s: Positive
    source: Text
    checked_on: date
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedThroughput:
    """Hosted capacity sold by the hour; `commitment_months` is 0 where none is asked."""

    id: Text
    provider: Text
    model: Text
    unit_name: Text
    usd_per_hour: Positive
    commitment_months: NotNegativeInt
    serves_input_tokens_per_min: Positive | None = None
    serves_output_tokens_per_min: Positive | None = None
    n_min_units: PositiveInt = 1
    n_step_units: PositiveInt = 1
    source: Text
    checked_on: date
    note: str = ""
