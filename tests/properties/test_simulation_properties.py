"""What holds of every simulation, whatever the traffic and the fleet."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.capacity.fleet import Autoscaling, FleetPlan, Loss
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate, simulate_closed_loop
from weighbridge.capacity.simulation.compiled import numba_is_here
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests

NO_DEADLINE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def engines(draw: st.DrawFn) -> tuple[StepTime, EngineLimits]:
    """Small engines with uneven step times, under every rule of scheduling."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    block = draw(st.sampled_from([1, 4, 16]))
    limits = EngineLimits(
        kv_tokens=block * draw(st.integers(128 // block, 640 // block)),
        n_max_requests=draw(st.integers(1, 16)),
        n_max_batched_tokens=draw(st.integers(128, 200)),
        n_block_tokens=block,
        n_ranks=draw(st.sampled_from([1, 1, 1, 2, 4])),
        chunked_prefill=draw(st.booleans()),
        prefix_caching=draw(st.booleans()),
        admission=draw(st.sampled_from(["first_come", "priority"])),
        async_scheduling=draw(st.booleans()),
        whole_prompt_must_fit=draw(st.booleans()),
    )
    decode = 0.01 + np.cumsum(rng.uniform(0, 1e-3, limits.n_max_requests + 1))
    mixed = 0.012 + np.cumsum(rng.uniform(0, 1e-4, limits.n_max_batched_tokens + 1))
    return StepTime(
        decode, mixed, draw(st.sampled_from([0.0, 5e-6])), 1e-8, 0.03, "roofline"
    ), limits


@st.composite
def traffic(draw: st.DrawFn) -> Requests:
    """Up to 120 requests of conversations that come back with their prompt grown."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 120))
    inputs = rng.integers(1, 96, n)
    sessions = rng.integers(0, max(1, n // 4), n)
    n_blocks = -(-inputs // 16)
    offsets = np.concatenate(([0], np.cumsum(n_blocks)))
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], n_blocks)
    return Requests(
        np.cumsum(rng.exponential(draw(st.sampled_from([0.003, 0.05, 0.5])), n)),
        inputs,
        rng.integers(1, 32, n),
        priority=rng.integers(0, 3, n),
        session=sessions,
        prefix=PrefixBlocks(np.repeat(sessions, n_blocks) * 8 + within, offsets, 16),
    )


@st.composite
def fleets(draw: st.DrawFn) -> FleetPlan:
    """One to four replicas that scale, fail and overflow."""
    n_replicas = draw(st.integers(1, 4))
    scaling = None
    kind = draw(st.sampled_from(["fixed", "fixed", "reactive", "timetable"]))
    if kind != "fixed":
        scaling = Autoscaling(
            n_min_replicas=1,
            n_max_replicas=5,
            start_up_s=draw(st.sampled_from([0.0, 0.7])),
            schedule=((0.5, 3), (2.0, 1), (4.0, 5)) if kind == "timetable" else (),
            period_s=0.3,
            target_requests=4.0,
            scale_down_after_s=draw(st.sampled_from([0.0, 1.0])),
        )
    times = st.floats(0.01, 6.0)
    losses = tuple(
        Loss(draw(st.integers(0, n_replicas - 1)), from_s, from_s + draw(times))
        for from_s in draw(st.lists(times, max_size=3))
    )
    routing = draw(st.sampled_from(["least_outstanding", "round_robin", "sticky"]))
    overflow = draw(st.sampled_from([None, None, 0, 5, 30]))
    return FleetPlan(n_replicas, routing, scaling, losses, overflow)


def differences(one: Outcome, other: Outcome) -> list[str]:
    """Names of what is not the same to the last bit."""
    return [
        item.name
        for item in fields(Outcome)
        if not np.array_equal(getattr(one, item.name), getattr(other, item.name), equal_nan=True)
    ]


@pytest.mark.skipif(not numba_is_here(), reason="numba is not installed")
@NO_DEADLINE
@given(traffic(), engines(), fleets(), st.booleans())
def test_compiled_and_plain_agree_to_the_last_bit(
    requests: Requests,
    engine: tuple[StepTime, EngineLimits],
    fleet: FleetPlan,
    fast_forward: bool,
) -> None:
    both = [
        simulate(requests, *engine, fleet, compiled=compiled, fast_forward=fast_forward)
        for compiled in (True, False)
    ]
    assert differences(*both) == []


@pytest.mark.skipif(not numba_is_here(), reason="numba is not installed")
@NO_DEADLINE
@given(traffic(), engines(), st.integers(1, 20), st.integers(1, 3))
def test_a_closed_loop_is_the_same_compiled_and_plain(
    requests: Requests, engine: tuple[StepTime, EngineLimits], n_concurrent: int, n_replicas: int
) -> None:
    both = [
        simulate_closed_loop(
            requests, n_concurrent, *engine, FleetPlan(n_replicas), compiled=compiled
        )
        for compiled in (True, False)
    ]
    assert differences(*both) == []


@NO_DEADLINE
@given(traffic(), engines(), fleets())
def test_fast_forward_is_stepping(
    requests: Requests, engine: tuple[StepTime, EngineLimits], fleet: FleetPlan
) -> None:
    fast, slow = (
        simulate(requests, *engine, fleet, compiled=False, fast_forward=fast_forward)
        for fast_forward in (True, False)
    )
    for name in ("queue_s", "ttft_s", "tpot_s", "e2e_s", "busy_s", "on_s", "mean_batch_requests"):
        np.testing.assert_allclose(
            getattr(fast, name), getattr(slow, name), rtol=0, atol=1e-9, err_msg=name
        )
    counted = ("replica", "n_preemptions", "cached_tokens", "n_iterations", "decoded_tokens")
    for name in (*counted, "computed_prompt_tokens", "peak_kv_frac"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name), err_msg=name)


@NO_DEADLINE
@given(traffic(), engines(), fleets())
def test_every_request_is_served_once_or_overflows(
    requests: Requests, engine: tuple[StepTime, EngineLimits], fleet: FleetPlan
) -> None:
    step, limits = engine
    outcome = simulate(requests, step, limits, fleet, compiled=False)
    served = outcome.replica >= 0
    assert (outcome.replica < len(outcome.busy_s)).all()
    if fleet.overflow_above_requests is None:
        assert served.all()
    for latency_s in (outcome.queue_s, outcome.ttft_s, outcome.e2e_s):
        np.testing.assert_array_equal(np.isnan(latency_s), ~served)
    assert (outcome.queue_s[served] >= 0.0).all()
    assert (outcome.ttft_s[served] > outcome.queue_s[served]).all()
    assert (outcome.e2e_s[served] >= outcome.ttft_s[served]).all()
    assert (outcome.peak_kv_frac <= 1.0).all()
    assert (outcome.mean_kv_frac <= outcome.peak_kv_frac + 1e-12).all()
    assert (outcome.mean_batch_requests <= limits.n_max_requests * limits.n_ranks).all()
    assert (outcome.busy_s <= outcome.on_s + 1e-9).all()
    assert (outcome.cached_tokens < requests.input_tokens).all()
    enough = requests.input_tokens - outcome.cached_tokens
    assert outcome.computed_prompt_tokens.sum() >= enough[served].sum()
    n_decoded = (requests.output_tokens - 1)[served].sum()
    if not fleet.losses and outcome.n_preemptions.sum() == 0:
        assert outcome.decoded_tokens.sum() == n_decoded
        assert outcome.computed_prompt_tokens.sum() == enough[served].sum()


@NO_DEADLINE
@given(traffic(), engines(), st.integers(1, 3))
def test_littles_law_holds(
    requests: Requests, engine: tuple[StepTime, EngineLimits], n_replicas: int
) -> None:
    """Requests in decode, integrated over time, are the time that requests decode; so are all."""
    step, limits = engine
    outcome = simulate(requests, step, limits, FleetPlan(n_replicas), compiled=False)
    if outcome.n_preemptions.sum() == 0:
        decoding_s = (outcome.e2e_s - outcome.ttft_s).sum()
        in_decode = (outcome.mean_batch_requests * outcome.busy_s).sum()
        assert in_decode == pytest.approx(decoding_s, rel=1e-9, abs=1e-9)
    ends_s = requests.arrival_s + outcome.e2e_s - step.first_token_s
    instants_s = np.sort(np.concatenate((requests.arrival_s, ends_s)))
    n_inside = np.searchsorted(requests.arrival_s, instants_s, side="right") - np.searchsorted(
        np.sort(ends_s), instants_s, side="right"
    )
    area = (n_inside[:-1] * np.diff(instants_s)).sum()
    assert area == pytest.approx((outcome.e2e_s - step.first_token_s).sum(), rel=1e-9)
    assert outcome.end_s == pytest.approx(ends_s.max())


@NO_DEADLINE
@given(traffic(), engines(), st.integers(1, 20))
def test_a_closed_loop_keeps_its_concurrency(
    requests: Requests, engine: tuple[StepTime, EngineLimits], n_concurrent: int
) -> None:
    step, limits = engine
    outcome = simulate_closed_loop(requests, n_concurrent, step, limits, compiled=False)
    lasted_s = np.sort(outcome.e2e_s) - step.first_token_s
    total_s = lasted_s.sum()
    assert total_s <= n_concurrent * outcome.end_s * (1 + 1e-9)
    if requests.n_requests <= n_concurrent:
        assert outcome.end_s == pytest.approx(lasted_s[-1])
    else:
        n_last = n_concurrent - 1
        idle_s = n_last * lasted_s[-1]
        assert total_s >= n_concurrent * outcome.end_s - idle_s - 1e-9 * total_s - n_last * 1e-9


@NO_DEADLINE
@given(traffic(), engines(), fleets())
def test_a_rerun_is_the_same(
    requests: Requests, engine: tuple[StepTime, EngineLimits], fleet: FleetPlan
) -> None:
    one, other = (simulate(requests, *engine, fleet, compiled=False) for _ in range(2))
    assert differences(one, other) == []


@NO_DEADLINE
@given(traffic(), engines(), st.integers(2, 4))
def test_sessions_stay_where_they_began(
    requests: Requests, engine: tuple[StepTime, EngineLimits], n_replicas: int
) -> None:
    outcome = simulate(requests, *engine, FleetPlan(n_replicas, "sticky"), compiled=False)
    for session in np.unique(requests.session):
        assert len(set(outcome.replica[requests.session == session])) == 1


@NO_DEADLINE
@given(traffic(), engines(), st.integers(1, 4))
def test_all_times_doubled_is_the_same_run_in_slow_motion(
    requests: Requests, engine: tuple[StepTime, EngineLimits], factor: int
) -> None:
    """Everything twice as slow, arrivals included, is the same run in slow motion."""
    step, limits = engine
    k = float(2**factor)
    slow = StepTime(
        step.decode_s * k,
        step.mixed_s * k,
        step.kv_s_per_token * k,
        step.attention_s_per_pair * k,
        step.first_token_s * k,
        step.basis,
    )
    one = simulate(requests, step, limits, compiled=False)
    stretched = replace(requests, arrival_s=requests.arrival_s * k)
    other = simulate(stretched, slow, limits, compiled=False)
    np.testing.assert_array_equal(one.e2e_s * k, other.e2e_s)
