"""What memory leaves for the cache, and what would fit where nothing is left."""

from __future__ import annotations

import pytest

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.memory_fit import EngineMemory, engine_limits
from weighbridge.catalog.facts import load_catalog
from weighbridge.units import InputError

CATALOG = load_catalog()
LLAMA = CATALOG.model("llama-3.1-70b")
H100 = CATALOG.gpu("h100-sxm")
H200 = CATALOG.gpu("h200-sxm")


def kv_tokens(deployment, **settings):
    return engine_limits(deployment, EngineMemory(**settings)).kv_tokens


def test_cache_is_what_weights_and_the_engine_leave():
    # 72 GiB taken; 70.55e9 bytes of weights, the head and the embedding in 16 bits, over 4 GPUs.
    free = 80 * 0.9 * 2**30 - (70.55e9 + 2 * 1.0507e9) / 4 - 1.5 * 2**30 - 16 * 8192 * 2 * 8192
    per_token = 2 * 80 * 2 * 128 * 2.0  # two of eight KV heads on each GPU
    assert kv_tokens(Deployment(LLAMA, H100, 4, "fp8")) == pytest.approx(free / per_token, rel=1e-3)


def test_kv_heads_repeat_when_there_are_more_gpus_than_heads():
    qwen = CATALOG.model("qwen3.5-397b-a17b")  # two KV heads
    at_4 = kv_tokens(Deployment(qwen, H200, 4, "fp8"))
    at_8 = kv_tokens(Deployment(qwen, H200, 8, "fp8"))
    freed = 396e9 * (1 / 4 - 1 / 8)
    per_token = 15 * 2 * 256 * 2.0
    assert (at_8 - at_4) * per_token == pytest.approx(freed, rel=0.15)


def test_the_latent_of_every_token_lies_on_every_gpu():
    r1 = CATALOG.model("deepseek-r1")
    wide = kv_tokens(Deployment(r1, CATALOG.gpu("b300-sxm"), 8, "fp4"), utilization_frac=0.9)
    held = wide * 61 * 576 * 2.0
    assert held < 268 * 2**30 * 0.9 - 402e9 / 8


def test_an_8_bit_cache_holds_twice_the_tokens():
    in_16 = kv_tokens(Deployment(LLAMA, H100, 4, "fp8"))
    in_8 = kv_tokens(Deployment(LLAMA, H100, 4, "fp8", kv_precision="fp8"))
    assert in_8 == pytest.approx(2 * in_16, abs=32)


def test_windows_cost_requests_not_tokens():
    oss = CATALOG.model("gpt-oss-120b")
    few = kv_tokens(Deployment(oss, H100, 2, "fp4"), n_max_requests=1)
    many = kv_tokens(Deployment(oss, H100, 2, "fp4"), n_max_requests=256)
    window_bytes = 255 * 18 * 128 * 2 * 4 * 64 * 2.0
    token_bytes = 18 * 2 * 4 * 64 * 2.0
    assert (few - many) * token_bytes == pytest.approx(window_bytes, rel=0.01)


def test_data_parallel_ranks_are_ranks_of_the_limits():
    r1 = CATALOG.model("deepseek-r1")
    spread = Deployment(r1, H200, 1, "fp8", n_data_parallel=8, expert_parallel=True)
    assert engine_limits(spread).n_ranks == 8


def test_limits_are_whole_blocks_and_defaults_follow_the_gpu():
    limits = engine_limits(Deployment(LLAMA, H100, 4, "fp8"), EngineMemory(n_block_tokens=64))
    assert limits.kv_tokens % 64 == 0
    assert limits.n_max_requests == 1024
    small = Deployment(CATALOG.model("llama-3.1-8b"), CATALOG.gpu("l40s"), 1, "fp8")
    assert engine_limits(small).n_max_requests == 256


def test_a_model_that_does_not_fit_says_what_would():
    with pytest.raises(InputError) as caught:
        engine_limits(Deployment(LLAMA, H100, 1, "bf16"), others=[CATALOG.gpu("b300-sxm"), H200])
    assert str(caught.value) == (
        "engine_limits: model: Llama 3.1 70B in bf16 on 1 x H100 SXM 80 GB needs 135 GiB of each "
        "GPU before any cache, of 80 GiB the engine takes 72\n"
        "  mend: split it over 2 GPUs, or use weights in fp8 or int8 or int4 or fp4, "
        "or use B300 SXM 288 GB"
    )


def test_where_nothing_in_the_catalog_fits_the_size_is_said():
    with pytest.raises(InputError, match="choose GPUs with more than"):
        engine_limits(
            Deployment(CATALOG.model("kimi-k2.5"), CATALOG.gpu("l4"), 1, "fp4"), others=[H100]
        )


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_of_memory_outside_0_to_1_is_refused(share):
    with pytest.raises(InputError, match="utilization_frac"):
        engine_limits(Deployment(LLAMA, H100, 4, "fp8"), EngineMemory(utilization_frac=share))


def test_a_smaller_token_budget_leaves_its_activations_to_the_cache():
    llama, card = CATALOG.model("llama-3.1-8b"), CATALOG.gpu("rtx-4090")
    alone = Deployment(llama, card, 1, "bf16")
    narrow, wide = (kv_tokens(alone, n_max_batched_tokens=n) for n in (2048, 8192))
    freed_bytes = 16 * (8192 - 2048) * 2 * 4096
    assert (narrow - wide) * 2 * 32 * 8 * 128 * 2.0 == pytest.approx(freed_bytes, rel=0.01)
    # An engine of version 0.19 told 41,408 at this budget.
    assert narrow == pytest.approx(41_408, rel=0.05)
    assert kv_tokens(alone) == narrow


@pytest.mark.parametrize(("gpu", "n_tokens"), [("rtx-4090", 2048), ("h100-sxm", 8192)])
def test_the_token_budget_is_smaller_on_small_gpus_unless_told(gpu, n_tokens):
    alone = Deployment(CATALOG.model("llama-3.1-8b"), CATALOG.gpu(gpu), 1, "bf16")
    assert engine_limits(alone).n_max_batched_tokens == n_tokens
    told = EngineMemory(n_max_batched_tokens=512)
    assert engine_limits(alone, told).n_max_batched_tokens == 512
