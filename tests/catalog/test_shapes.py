"""The sizes of a model's layers make the parameters that its makers state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.memory import (
    kv_bytes_per_token,
    kv_cache_gib,
    linear_state_gib,
    weight_memory_gib,
)
from weighbridge.catalog.rows import Model
from weighbridge.units import InputError

CATALOG = load_catalog()
SHAPED = [m for m in CATALOG.models.values() if m.hidden_size is not None]
# Linear attention has projections that a row does not hold, so its layers are not summed.
SUMMED = [m for m in SHAPED if m.n_linear_attention_layers == 0]


def attention_parameters(model: Model) -> int:
    """Of one layer, without its norms."""
    hidden = model.hidden_size
    if model.attention == "mla":
        query_size = model.qk_nope_head_dim + model.qk_rope_head_dim
        return (
            hidden * model.q_lora_rank
            + model.q_lora_rank * model.n_heads * query_size
            + hidden * (model.kv_lora_rank + model.qk_rope_head_dim)
            + model.kv_lora_rank * model.n_heads * (model.qk_nope_head_dim + model.v_head_dim)
            + model.n_heads * model.v_head_dim * hidden
        )
    return 2 * hidden * model.head_size * (model.n_heads + model.n_kv_heads)


def parameters(model: Model, n_experts: int) -> float:
    """Of the whole model with so many routed experts a layer [billions]."""
    matrices = 3 if model.gated_ffn else 2
    n_expert_layers = model.n_layers - model.n_dense_layers if model.n_experts else 0
    feed_forward = matrices * model.hidden_size * (model.intermediate_size or 0)
    expert = matrices * model.hidden_size * (model.expert_intermediate_size or 0)
    total = model.n_layers * attention_parameters(model)
    total += (model.n_layers - n_expert_layers) * feed_forward
    total += n_expert_layers * (n_experts + model.n_shared_experts) * expert
    total += n_expert_layers * model.hidden_size * (model.n_experts or 0)  # the router
    total += model.vocabulary_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    return total / 1e9


@pytest.mark.parametrize("model", SUMMED, ids=lambda model: model.id)
def test_layers_sum_to_all_parameters(model):
    # Rounded statements, vision parts and predictors of further tokens make up the rest.
    assert parameters(model, model.n_experts or 0) == pytest.approx(
        model.parameters_billions, rel=0.015
    )


@pytest.mark.parametrize("model", SUMMED, ids=lambda model: model.id)
def test_layers_sum_to_what_one_token_passes(model):
    # Some makers leave embeddings out of the active parameters, which is most for small ones.
    summed = parameters(model, model.n_active_experts or 0)
    embeddings = 2 * model.vocabulary_size * model.hidden_size / 1e9
    assert summed - embeddings <= model.active_parameters_billions * 1.02
    assert summed >= model.active_parameters_billions * 0.98


@pytest.mark.parametrize("model", SHAPED, ids=lambda model: model.id)
def test_every_shape_is_whole(model):
    assert model.n_heads is not None
    assert model.vocabulary_size is not None
    assert model.n_heads % model.n_kv_heads == 0
    has_dense_layers = model.n_experts is None or model.n_dense_layers > 0
    assert (model.intermediate_size is not None) == has_dense_layers
    if model.attention == "mla":
        assert None not in {model.q_lora_rank, model.qk_nope_head_dim, model.v_head_dim}


def test_every_model_of_the_package_has_a_shape():
    assert [m.id for m in CATALOG.models.values() if m.hidden_size is None] == []


def test_layers_of_linear_attention_cache_nothing_and_keep_a_state():
    model = CATALOG.model("qwen3.5-397b-a17b")
    assert kv_bytes_per_token(model) == 15 * 2 * 2 * 256 * 2  # 15 of 60 layers
    # 45 layers, 64 heads of 128 x 128, and three steps of the convolution over 12,288 channels
    state_gib = 45 * (64 * 128 * 128 + 3 * 12_288) * 4 / 2**30
    assert linear_state_gib(model) == pytest.approx(state_gib)
    assert kv_cache_gib(model, 0) == pytest.approx(state_gib)
    cache_gib = 10_000 * kv_bytes_per_token(model, "fp8") / 2**30
    assert kv_cache_gib(model, 10_000, "fp8") == pytest.approx(cache_gib + state_gib)


def test_a_model_without_such_layers_keeps_no_state():
    assert linear_state_gib(CATALOG.model("llama-3.3-70b")) == 0


def test_keys_of_an_indexer_are_cached_beside_the_latent_in_fp8_always():
    plain, sparse = CATALOG.model("deepseek-v3"), CATALOG.model("deepseek-v3.2")
    for precision in ("bf16", "fp8"):
        more = kv_bytes_per_token(sparse, precision) - kv_bytes_per_token(plain, precision)
        assert more == 61 * (128 + 4)


def test_half_of_the_layers_in_linear_attention_halve_the_cache():
    full = CATALOG.model("qwen3-8b")
    half = replace(full, n_linear_attention_layers=18, linear_state_elements=1)
    assert kv_bytes_per_token(half) == kv_bytes_per_token(full) / 2


def test_published_formats_are_what_the_checkpoints_weigh():
    # openai/gpt-oss-120b is stated to run in 80 GB; Kimi-K2.5's files are about 600 GB.
    gpt_oss, kimi = CATALOG.model("gpt-oss-120b"), CATALOG.model("kimi-k2.5")
    assert gpt_oss.native_precision == "fp4"
    assert weight_memory_gib(gpt_oss, "fp4") < 80
    assert kimi.native_precision == "int4"
    assert 500 < weight_memory_gib(kimi, "int4") * 2**30 / 1e9 < 630


BASE = (
    "id: lab, name: Lab, parameters_billions: 8, active_parameters_billions: 8, n_layers: 32, "
    "n_kv_heads: 8, head_size: 128, attention: gqa, context_tokens: 8192, licence: own, "
    "source: our own training, checked_on: 2026-11-01"
)


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ("n_linear_attention_layers: 8", "linear_state_elements"),
        ("linear_state_elements: 8", "n_linear_attention_layers"),
        ("n_experts: 8, n_active_experts: 2", "expert_intermediate_size"),
        ("n_experts: 8, n_active_experts: 9, expert_intermediate_size: 64", "n_active_experts"),
        ("n_attended_tokens: 2048", "indexer_head_size"),
        ("n_dense_layers: 33", "n_dense_layers"),
        ("n_linear_attention_layers: 33, linear_state_elements: 1", "n_sliding_layers"),
        ("hidden_size: 0", "hidden_size"),
        ("native_precision: fp6", "native_precision"),
    ],
)
def test_a_shape_that_contradicts_itself_is_refused(tmp_path: Path, extra, field):
    own = tmp_path / "own.yaml"
    own.write_text(f"models:\n  - {{{BASE}, {extra}}}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_catalog(own)
    assert caught.value.field == field
    assert "models lab" in caught.value.where
