"""Memory of weights and KV caches against figures worked out by hand or published."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.memory import (
    BYTES_PER_PARAMETER,
    KvDemand,
    kv_bytes_per_token,
    kv_cache_gib,
    n_gpus_to_fit,
    weight_memory_gib,
)
from weighbridge.units import InputError

CATALOG = load_catalog()


@pytest.mark.parametrize(
    ("model", "kv_bytes"),
    [
        ("llama-3.1-8b", 2 * 32 * 8 * 128 * 2),
        ("llama-3.3-70b", 2 * 80 * 8 * 128 * 2),
        ("qwen3-30b-a3b", 2 * 48 * 4 * 128 * 2),
        ("gpt-oss-120b", 2 * 36 * 8 * 64 * 2),
        ("deepseek-v3", 61 * (512 + 64) * 2),
    ],
)
def test_cache_of_one_token_by_hand(model, kv_bytes):
    assert kv_bytes_per_token(CATALOG.model(model)) == kv_bytes


def test_cache_in_fp8_is_half_of_that_in_bf16():
    model = CATALOG.model("llama-3.1-8b")
    assert kv_bytes_per_token(model, "fp8") == kv_bytes_per_token(model) / 2


def test_cache_measured_by_vllm_on_an_h100_is_met_within_ten_percent():
    # vLLM 0.30.0, Qwen3 8B in bf16, 90 % of an 80 GB H100: 377,024 tokens of cache (SilyBench).
    model, gpu = CATALOG.model("qwen3-8b"), CATALOG.gpu("h100-sxm")
    free_gib = 0.9 * gpu.memory_gib - weight_memory_gib(model, "bf16")
    tokens = free_gib * 2**30 / kv_bytes_per_token(model)
    assert 377_024 < tokens < 1.1 * 377_024  # activations take the rest


def test_weights_of_a_70b_model_by_hand():
    model = CATALOG.model("llama-3.3-70b")
    assert weight_memory_gib(model, "bf16") == pytest.approx(70.55e9 * 2 / 2**30)
    assert weight_memory_gib(model, "fp8") == pytest.approx(65.7, abs=0.1)
    assert 33 < weight_memory_gib(model, "int4") < weight_memory_gib(model, "fp4") < 40


def test_windowed_layers_stop_growing_at_their_window():
    model = CATALOG.model("gemma-3-27b")
    short, long = kv_cache_gib(model, 1024), kv_cache_gib(model, 131_072)
    per_token_gib = kv_bytes_per_token(model) / 2**30
    assert short == pytest.approx(1024 * per_token_gib)
    full_share = (62 - 52) / 62
    assert long == pytest.approx(short + (131_072 - 1024) * per_token_gib * full_share)


def test_a_request_beyond_the_context_is_refused():
    model = CATALOG.model("phi-4")
    with pytest.raises(InputError, match="16384"):
        kv_cache_gib(model, 20_000)
    with pytest.raises(InputError):
        kv_cache_gib(model, -1)


@pytest.mark.parametrize(
    ("model", "gpu", "precision", "kv_tokens", "n_gpus"),
    [
        ("llama-3.1-8b", "l4", "bf16", 16_384, 1),
        ("llama-3.3-70b", "h100-sxm", "fp8", 65_536, 2),
        ("llama-3.3-70b", "h100-sxm", "bf16", 65_536, 4),
        ("llama-3.3-70b", "h200-sxm", "fp8", 65_536, 1),
        ("llama-3.1-405b", "h100-sxm", "fp8", 65_536, 8),
        ("llama-3.1-405b", "h100-sxm", "bf16", 65_536, 16),
        ("deepseek-v3", "h200-sxm", "fp8", 65_536, 8),
        ("gpt-oss-120b", "h100-sxm", "fp4", 65_536, 1),
    ],
)
def test_fewest_gpus_that_people_serve_these_models_on(model, gpu, precision, kv_tokens, n_gpus):
    demand = KvDemand(min_kv_tokens=kv_tokens)
    found = n_gpus_to_fit(CATALOG.model(model), CATALOG.gpu(gpu), precision, 0.1, demand)
    assert found == n_gpus


def test_what_would_fit_is_told_where_a_model_does_not():
    deepseek, a100 = CATALOG.model("deepseek-v3"), CATALOG.gpu("a100-80gb-sxm")
    with pytest.raises(InputError, match=r"DeepSeek-V3 in bf16") as caught:
        n_gpus_to_fit(deepseek, a100, "bf16", 0.1, KvDemand(100_000))
    assert caught.value.mend == "use weights in fp8 or int8 or int4 or fp4"


def test_tokens_that_would_fit_are_told_where_only_the_cache_is_too_large():
    llama, l4 = CATALOG.model("llama-3.1-8b"), CATALOG.gpu("l4")
    with pytest.raises(InputError) as caught:
        n_gpus_to_fit(llama, l4, "bf16", 0.1, KvDemand(1e9))
    tokens = int(caught.value.mend.split("at most ")[1].split(" ")[0].replace(",", ""))
    assert n_gpus_to_fit(llama, l4, "int4", 0.1, KvDemand(tokens - 1, "fp8")) == 16


def test_a_larger_gpu_is_asked_for_where_even_4_bit_weights_are_too_large():
    deepseek, small = CATALOG.model("deepseek-v3"), replace(CATALOG.gpu("l4"), memory_gib=16)
    with pytest.raises(InputError, match="choose a GPU with more than") as caught:
        n_gpus_to_fit(deepseek, small, "fp8", 0.1, KvDemand(0))
    memory_gib = int(caught.value.mend.split("more than ")[1].split(" ")[0])
    larger = replace(small, memory_gib=memory_gib + 1)
    assert n_gpus_to_fit(deepseek, larger, "int4", 0.1, KvDemand(0)) == 16


@pytest.mark.parametrize(
    ("precision", "overhead_frac", "demand", "field"),
    [
        ("fp6", 0.1, KvDemand(0), "precision"),
        ("fp8", 0.1, KvDemand(0, "fp6"), "precision"),  # type: ignore[arg-type]
        ("fp8", 1.0, KvDemand(0), "overhead_frac"),
        ("fp8", -0.1, KvDemand(0), "overhead_frac"),
        ("fp8", float("nan"), KvDemand(0), "overhead_frac"),
        ("fp8", 0.1, KvDemand(-1), "min_kv_tokens"),
        ("fp8", 0.1, KvDemand(float("nan")), "min_kv_tokens"),
    ],
)
def test_contradictory_input_is_refused(precision, overhead_frac, demand, field):
    llama, h100 = CATALOG.model("llama-3.1-8b"), CATALOG.gpu("h100-sxm")
    with pytest.raises(InputError) as caught:
        n_gpus_to_fit(llama, h100, precision, overhead_frac, demand)
    assert caught.value.field == field


@given(
    model=st.sampled_from(sorted(CATALOG.models)),
    precision=st.sampled_from(sorted(BYTES_PER_PARAMETER)),
    tokens=st.integers(0, 500_000),  # BLOOM keeps 2 MB a token: more would not fit on 16 GPUs
    more=st.integers(0, 500_000),
)
def test_more_cache_never_needs_fewer_gpus(model, precision, tokens, more):
    row, gpu = CATALOG.model(model), CATALOG.gpu("b300-sxm")
    fewer = n_gpus_to_fit(row, gpu, precision, 0.1, KvDemand(tokens, "fp8"))
    assert n_gpus_to_fit(row, gpu, precision, 0.1, KvDemand(tokens + more, "fp8")) >= fewer
