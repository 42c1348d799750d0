"""Closed loops in closed form: limits, monotony, Little's law, and the simulation beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.closed_loop import held_frac, loop_of, predict, steady_state
from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import efficiency_of
from weighbridge.capacity.memory_fit import EngineMemory, engine_limits
from weighbridge.capacity.observed import ServingPoint
from weighbridge.capacity.offline import (
    Lengths,
    Targets,
    predict_offline_throughput,
    predict_served_throughput,
)
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.capacity.roofline import decode_s, step_time
from weighbridge.capacity.shape import shape_of
from weighbridge.capacity.simulation import simulate_closed_loop
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit

CATALOG = load_catalog()
FIT = load_serving_fit()
LLAMA = Deployment(CATALOG.model("llama-3.1-70b"), CATALOG.gpu("h100-sxm"), 4, "fp8")
OSS = Deployment(CATALOG.model("gpt-oss-120b"), CATALOG.gpu("b200-sxm"), 2, "fp4")
R1 = Deployment(CATALOG.model("deepseek-r1"), CATALOG.gpu("b200-sxm"), 8, "fp8", engine="sglang")


def state_of(deployment, load, limits=None, static=False):
    limits = limits or engine_limits(deployment)
    loop = loop_of(load, limits, static)
    return steady_state(shape_of(deployment), efficiency_of(deployment, FIT), loop)


@pytest.mark.parametrize("deployment", [LLAMA, OSS, R1])
@pytest.mark.parametrize(
    "load", [(1024, 1024, 4), (1024, 1024, 32), (8192, 512, 16), (512, 128, 32)]
)
def test_closed_form_is_within_10_percent_of_the_simulation(deployment, load):
    input_tokens, output_tokens, n = load
    limits = engine_limits(deployment, EngineMemory(n_max_requests=64))
    rng = np.random.default_rng(11)
    n_requests = n * 5

    def lengths(mean):
        return rng.integers(int(0.9 * mean), int(1.1 * mean) + 1, n_requests)

    requests = Requests(np.zeros(n_requests), lengths(input_tokens), lengths(output_tokens))
    step = step_time(deployment, limits, FIT)
    outcome = simulate_closed_loop(requests, n, step, limits)
    steady = slice(n, 4 * n)  # neither the start, all at once, nor the end, when slots run empty
    closed = state_of(deployment, ClosedLoop(*load), limits)
    assert float(closed.tpot_s) == pytest.approx(float(outcome.tpot_s[steady].mean()), rel=0.1)
    # A generator's burst at the start is in the closed form and not in the steady stretch.
    assert float(closed.ttft_s) > 0.9 * float(outcome.ttft_s[steady].mean())


def test_one_request_at_a_time_waits_for_nobody():
    shape, efficiency = shape_of(LLAMA), efficiency_of(LLAMA, FIT)
    state = state_of(LLAMA, ClosedLoop(1, 4096, 1))
    step = step_time(LLAMA, engine_limits(LLAMA), FIT)
    alone = float(decode_s(shape, efficiency, np.array(1.0))) + step.kv_s_per_token * 2049
    assert float(state.tpot_s) == pytest.approx(alone, rel=0.01)
    assert float(state.queue_s) == 0.0


def test_requests_beyond_the_cache_wait_by_littles_law():
    limits = replace(engine_limits(LLAMA), kv_tokens=16_000)
    load = ClosedLoop(1000, 1000, 40)
    state = state_of(LLAMA, load, limits)
    assert float(state.n_running) == pytest.approx(10.0)
    assert held_frac(load, limits) == pytest.approx(4.0)
    life = 1000 * float(state.tpot_s)
    assert float(state.queue_s) == pytest.approx(30 / 10 * life)


@settings(max_examples=60)
@given(
    input_tokens=st.integers(256, 16_000),
    output_tokens=st.integers(16, 8_000),
    n=st.integers(1, 512),
)
def test_more_of_anything_is_never_faster(input_tokens, output_tokens, n):
    base = state_of(OSS, ClosedLoop(input_tokens, output_tokens, n))
    more_requests = state_of(OSS, ClosedLoop(input_tokens, output_tokens, n + 8))
    longer = state_of(OSS, ClosedLoop(input_tokens + 512, output_tokens, n))
    for state in (more_requests, longer):
        # Prompts that are computed together share the reading of weights.
        assert float(state.ttft_s) >= float(base.ttft_s) * 0.99
    assert float(more_requests.tpot_s) >= float(base.tpot_s) * (1 - 1e-9)
    assert float(base.tpot_s) > 0


def test_data_parallel_ranks_share_the_requests():
    r1 = CATALOG.model("deepseek-r1")
    spread = Deployment(
        r1, CATALOG.gpu("b200-sxm"), 1, "fp4", n_data_parallel=8, expert_parallel=True
    )
    assert float(state_of(spread, ClosedLoop(1024, 1024, 64)).n_running) == pytest.approx(8.0)


def test_a_static_batch_starts_with_all_its_prompts():
    loop = ClosedLoop(512, 128, 16)
    batch, steady = state_of(LLAMA, loop, static=True), state_of(LLAMA, loop)
    assert float(batch.ttft_s) > float(state_of(LLAMA, ClosedLoop(512, 128, 1), static=True).ttft_s)
    assert float(batch.tpot_s) < float(steady.tpot_s)


def test_a_prediction_brackets_its_middle_and_says_what_it_rests_on():
    told = predict(LLAMA, ClosedLoop(1024, 256, 16), FIT)
    for one in (told.ttft_s, told.tpot_s, told.output_tokens_per_s):
        assert one.low < one.mid < one.high
    assert told.basis == "roofline"
    assert f"{FIT.n_points:,} measurements" in told.why[0]
    rate = 16 * 256 / (told.ttft_s.mid + 255 * told.tpot_s.mid)
    assert told.output_tokens_per_s.mid == pytest.approx(rate)


def points_of(slower, concurrencies, deployment=LLAMA):
    """Measurements of a machine that is slower than predicted by some ratio."""
    points = []
    for n in concurrencies:
        load = ClosedLoop(1024, 256, n)
        state = state_of(deployment, load)
        point = ServingPoint(
            source="own", model="", gpu="", n_gpus=4, n_tensor_parallel=4, expert_parallel=None,
            precision="fp8", engine="vllm", input_tokens=1024, output_tokens=256, n_concurrent=n,
            ttft_s=float(state.ttft_s) * slower, tpot_s=float(state.tpot_s) * slower,
            output_tokens_per_s=None, disaggregated=False,
        )  # fmt: skip
        points.append(Configured(point, deployment, load, False))
    return points


def test_measurements_of_the_same_configuration_correct_the_prediction():
    load = ClosedLoop(1024, 256, 16)
    plain = predict(LLAMA, load, FIT)
    told = predict(LLAMA, load, FIT, points_of(1.3, (4, 8, 32, 64)))
    assert told.basis == "measured"
    assert told.tpot_s.mid == pytest.approx(1.3 * plain.tpot_s.mid, rel=0.03)
    assert told.tpot_s.high / told.tpot_s.low < plain.tpot_s.high / plain.tpot_s.low
    assert "4 of them of this configuration" in told.why[1]


def test_a_measurement_that_cannot_be_as_its_row_says_is_no_evidence():
    impossible = Deployment(LLAMA.model, LLAMA.gpu, 1, "bf16")
    load = ClosedLoop(1024, 256, 16)
    one = replace(points_of(1.3, (16,))[0], deployment=impossible)
    assert predict(LLAMA, load, FIT, [one]) == predict(LLAMA, load, FIT)


def test_measurements_of_another_model_are_no_basis():
    told = predict(LLAMA, ClosedLoop(1024, 256, 16), FIT, points_of(1.3, (4, 8), OSS))
    assert told.basis == "roofline"
    assert told == predict(LLAMA, ClosedLoop(1024, 256, 16), FIT)


def test_offline_is_the_ceiling_of_what_targets_let():
    lengths = Lengths(1024, 256)
    offline = predict_offline_throughput(LLAMA, lengths, FIT)
    loose = predict_served_throughput(LLAMA, lengths, FIT, Targets(1e6, 1e6))
    tight = predict_served_throughput(LLAMA, lengths, FIT, Targets(2.0, 0.04))
    never = predict_served_throughput(LLAMA, lengths, FIT, Targets(0.001, 0.001))
    assert offline == loose
    assert 0 < tight.mid < offline.mid
    assert never.mid == 0.0
