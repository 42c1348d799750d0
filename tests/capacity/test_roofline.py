"""Physical terms of an iteration: bounds, scaling, and the tables that they fill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import EFFICIENCY_FIELDS, Efficiency, efficiency_of
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.roofline import (
    cache_s_per_token,
    collective_s,
    decode_s,
    distinct_experts,
    linear_s,
    mixed_s,
    step_time,
)
from weighbridge.capacity.shape import shape_of, stacked
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit

CATALOG = load_catalog()
FIT = load_serving_fit()
PERFECT = Efficiency(**{name: 0.0 if name.endswith("_s") else 1.0 for name in EFFICIENCY_FIELDS})


def of(model, gpu="h100-sxm", n=4, precision="fp8", **more):
    return Deployment(CATALOG.model(model), CATALOG.gpu(gpu), n, precision, **more)


def test_one_token_reads_all_dense_weights_once():
    shape = shape_of(of("llama-3.1-8b", n=1, precision="bf16"))
    seconds = float(linear_s(shape, PERFECT, np.array(1.0)))
    weights = (8.03e9 - 128256 * 4096) * 2.0  # the embedding is looked up, not read
    assert seconds == pytest.approx(weights / 3.35e12, rel=1e-3)


def test_many_tokens_compute_at_the_dense_rate():
    shape = shape_of(of("llama-3.1-8b", n=1, precision="bf16"))
    n = 100_000.0
    flop = 2.0 * n * (8.03e9 - 2 * 128256 * 4096)
    assert float(linear_s(shape, PERFECT, np.array(n))) == pytest.approx(flop / 989e12, rel=0.01)


def test_distinct_experts_start_at_the_active_ones_and_end_at_all():
    n = np.array([1.0, 10.0, 1e6])
    experts = distinct_experts(np.array(256.0), np.array(8.0), n)
    assert experts[0] == pytest.approx(8.0)
    assert experts[1] == pytest.approx(256 * (1 - (1 - 8 / 256) ** 10))
    assert experts[2] == pytest.approx(256.0)


@given(n=st.integers(1, 500), drawn=st.integers(0, 2**32 - 1))
def test_distinct_experts_agree_with_drawing_them(n, drawn):
    rng = np.random.default_rng(drawn)
    hits = [len(np.unique(np.argsort(rng.random((n, 16)), axis=1)[:, :2])) for _ in range(30)]
    expected = float(distinct_experts(np.array(16.0), np.array(2.0), np.array(float(n))))
    assert np.mean(hits) == pytest.approx(expected, abs=1.6)


def test_tensor_parallelism_splits_reading_and_adds_collectives():
    alone, split = (shape_of(of("llama-3.1-70b", "h200-sxm", n)) for n in (1, 8))
    one = np.array(1.0)
    assert float(linear_s(split, PERFECT, one)) * 8 == pytest.approx(
        float(linear_s(alone, PERFECT, one))
    )
    assert float(collective_s(alone, PERFECT, one)) == 0.0
    assert float(collective_s(split, PERFECT, one)) > 0.0


def test_a_gpu_without_units_for_the_format_computes_in_16_bits():
    assert shape_of(of("gpt-oss-120b", "h100-sxm", 1, "fp4")).peak_tflops == 989.0
    assert shape_of(of("gpt-oss-120b", "b200-sxm", 1, "fp4")).peak_tflops == 9000.0


def test_experts_in_4_bits_leave_the_rest_in_16():
    in_8, in_4 = (shape_of(of("deepseek-r1", "b200-sxm", 8, p)) for p in ("fp8", "fp4"))
    assert in_4.dense_read_bytes > 1.8 * in_8.dense_read_bytes
    assert in_4.expert_read_bytes == pytest.approx(0.5625 * in_8.expert_read_bytes)


def test_only_full_layers_cost_with_the_context():
    qwen = shape_of(of("qwen3.5-397b-a17b", "b200-sxm", 8))
    assert qwen.kv_read_bytes_per_token == 15 * 2 * 1 * 256 * 2.0
    oss = shape_of(of("gpt-oss-120b", "b200-sxm", 1, "fp4"))
    assert oss.kv_read_bytes_per_token == 18 * 2 * 8 * 64 * 2.0
    assert oss.request_read_bytes == 18 * 128 * 2 * 8 * 64 * 2.0


def test_sparse_attention_reads_the_chosen_tokens_whatever_the_context():
    full = shape_of(of("deepseek-v3.1", "b200-sxm", 8))
    sparse = shape_of(of("deepseek-v3.2", "b200-sxm", 8))
    assert float(cache_s_per_token(sparse, PERFECT)) < 0.2 * float(cache_s_per_token(full, PERFECT))
    assert sparse.request_read_bytes > 0.0


def test_tables_of_a_step_time_are_the_terms_and_never_fall():
    deployment = of("minimax-m2.5", "h200-sxm", 4)
    limits = replace(engine_limits(deployment), n_max_requests=300, n_max_batched_tokens=2000)
    step = step_time(deployment, limits, FIT)
    shape, efficiency = shape_of(deployment), efficiency_of(deployment, FIT)
    assert step.decode_s.shape == (301,)
    assert step.mixed_s.shape == (2001,)
    assert step.basis == "roofline"
    assert step.decode_s[64] == pytest.approx(float(decode_s(shape, efficiency, np.array(64.0))))
    assert step.mixed_s[999] == pytest.approx(float(mixed_s(shape, efficiency, np.array(999.0))))
    assert (np.diff(step.decode_s[1:]) > 0).all()
    assert (np.diff(step.mixed_s[1:]) > 0).all()
    assert step.kv_s_per_token > 0
    assert step.attention_s_per_pair > 0


def test_an_iteration_is_never_faster_than_the_data_sheet():
    for model, precision in (("llama-3.1-70b", "fp8"), ("gpt-oss-120b", "fp4")):
        deployment = of(model, "b200-sxm", 2, precision)
        shape, efficiency = shape_of(deployment), efficiency_of(deployment, FIT)
        n = np.array([1.0, 16.0, 256.0])
        assert (decode_s(shape, efficiency, n) > linear_s(shape, PERFECT, n)).all()


def test_a_stack_of_shapes_is_the_shapes():
    shapes = [shape_of(of("llama-3.1-8b", n=n)) for n in (1, 2)]
    both = stacked(shapes)
    n = np.array([8.0, 8.0])
    alone = [float(linear_s(shape, PERFECT, np.array(8.0))) for shape in shapes]
    assert linear_s(both, PERFECT, n).tolist() == pytest.approx(alone)


def test_a_model_without_its_sizes_still_has_a_shape():
    bare = replace(
        CATALOG.model("llama-3.1-8b"), hidden_size=None, n_heads=None, vocabulary_size=None
    )
    shape = shape_of(Deployment(bare, CATALOG.gpu("h100-sxm"), 1, "bf16"))
    assert shape.dense_read_bytes == pytest.approx(8.03e9 * 2, rel=0.01)
