"""Sizing: the fewest replicas, monotone in traffic and target, told why where none is enough."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import (
    Impossible,
    Needed,
    confirmed,
    full_load_tokens_per_s,
    needed_replicas,
    sizer,
)
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.stretch import multiplied
from weighbridge.capacity.traffic import Requests


def needed(case) -> int:
    found, _ = needed_replicas(case)
    assert isinstance(found, Needed), found
    return found.n_replicas


def test_fewest_replicas_are_those_of_trying_every_number(made) -> None:
    case = made.case(made.requests(1500, 25.0))
    n = needed(case)
    assert n > 2
    for tried in range(1, n + 2):
        plan = FleetPlan(tried)
        outcome = simulate(case.requests, case.band.mid, case.limits, plan)
        assert case.slo.is_met(outcome) == (tried >= n)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.3, 5), st.floats(0.3, 5))
def test_more_traffic_never_needs_fewer_replicas(made, one, other) -> None:
    requests = made.requests(600, 8.0)
    less, more = sorted((one, other))
    counts = [needed(made.case(multiplied(requests, ratio))) for ratio in (less, more)]
    assert counts[0] <= counts[1]


@settings(max_examples=12, deadline=None)
@given(st.floats(0.4, 4), st.floats(0.4, 4))
def test_a_tighter_target_never_needs_fewer_replicas(made, one, other) -> None:
    requests = made.requests(800, 20.0)
    tight, loose = sorted((one, other))
    counts = [needed(made.case(requests, f"ttft_p95={limit}s")) for limit in (tight, loose)]
    assert counts[0] >= counts[1]


def test_several_targets_need_as_many_as_the_hardest_of_them(made) -> None:
    requests = made.requests(1000, 25.0)
    alone = [needed(made.case(requests, slo)) for slo in ("ttft_p95=0.6s", "tpot_p95=25ms")]
    assert needed(made.case(requests, "ttft_p95=0.6s,tpot_p95=25ms")) >= max(alone)


def test_a_slower_engine_never_needs_fewer_replicas(made) -> None:
    case = made.case(made.requests(1000, 20.0))
    load = sizer(case)
    slow = sizer(case, made.engine(1.6))
    assert slow.needed() >= load.needed()


def test_a_target_below_a_request_alone_says_the_best_and_what_binds(made) -> None:
    found, _ = needed_replicas(made.case(slo="ttft_p95=20ms,tpot_p95=5ms"))
    assert isinstance(found, Impossible)
    assert 0.05 < found.reached_s[0] < 0.3
    assert 0.012 < found.reached_s[1] < 0.014
    assert "ttft_p95 of 20ms cannot be met at any size" in found.why[0]
    assert "prefill compute binds" in found.why[0]
    assert "decode bandwidth binds" in found.why[1]


def test_a_request_longer_than_the_cache_is_told_before_anything_is_simulated(made) -> None:
    case = made.case()
    case = dataclasses.replace(case, limits=made.limits(kv_tokens=1600))
    found, _ = needed_replicas(case)
    assert isinstance(found, Impossible)
    assert "KV memory binds" in found.why[0]
    assert "1,600 tokens" in found.why[0]


def test_a_small_cache_is_named_as_what_binds(made) -> None:
    requests = Requests(np.linspace(0, 200, 600), np.full(600, 1500), np.full(600, 400))
    case = made.case(requests, "ttft_p95=2s")
    case = dataclasses.replace(case, limits=made.limits(kv_tokens=8000))
    found, _ = needed_replicas(case)
    assert isinstance(found, Needed)
    assert found.binds.resource == "kv_memory"
    assert "thrown out" in found.binds.text


def test_prompts_without_answers_bind_by_prefill_and_answers_without_prompts_by_decoding(
    made,
) -> None:
    n = 1500
    at = np.linspace(0, 60, n)
    prompts = Requests(at, np.full(n, 1900), np.full(n, 2))
    answers = Requests(at, np.full(n, 10), np.full(n, 300))
    told = [
        needed_replicas(made.case(prompts, "ttft_p95=1s"))[0],
        needed_replicas(made.case(answers, "tpot_p95=14ms"))[0],
    ]
    assert [found.binds.resource for found in told] == ["prefill_compute", "decode_bandwidth"]


def test_the_whole_stretch_may_ask_for_more_than_its_busiest_hour(made) -> None:
    """An hour of long prompts holds most work; another of bursts breaks the target."""
    rng = np.random.default_rng(5)
    steady = np.sort(rng.uniform(0, 3600, 2500))
    bursts = 7200 + np.sort(np.repeat(rng.uniform(0, 3600, 30), 50) + rng.uniform(0, 0.1, 1500))
    requests = Requests(
        np.concatenate((steady, bursts)),
        np.concatenate((np.full(2500, 1900), np.full(1500, 300))),
        np.full(4000, 20),
    )
    case = made.case(requests, "ttft_p95=600ms", window_s=3600.0)
    peak, sought = needed_replicas(case)
    decided = confirmed(case, peak, sought)
    assert decided.n_replicas > peak.n_replicas
    assert decided.whole.slo_met
    assert decided.sought.load.from_s > 3600, "the hour of bursts decides, not that of most work"
    assert not decided.too_few.slo_met
    assert decided.sought.try_out(decided.n_replicas).slo_met


def test_nothing_is_served_faster_than_at_full_load(made) -> None:
    case = made.case(made.requests(2000, 20.0))
    full = full_load_tokens_per_s(case)
    week = confirmed(case, *needed_replicas(case)).whole
    assert week.tokens / week.on_s <= full
    assert week.tokens / week.busy_s <= full * 1.02


def test_latencies_of_the_lead_in_do_not_count(made) -> None:
    case = made.case(made.requests(3000, 1.0), window_s=600.0)
    peak = sizer(case)
    assert not peak.load.judged.all()
    served = peak.try_out(1)
    outcome = simulate(peak.load.requests, case.band.mid, case.limits, FleetPlan(1))
    assert served.reached_s == parse_slo("ttft_p95=1s,tpot_p95=50ms").reached_s(
        outcome, peak.load.judged
    )


def test_a_target_that_only_a_sample_misses_is_left_to_the_search(made) -> None:
    """Alone, the slowest of many requests sets a 99th percentile that a sample overshoots."""
    case = made.case(made.requests(4000, 5.0), "e2e_p99=1min")
    best, _ = needed_replicas(case)
    assert isinstance(best, Needed)
    tight = best.alone.reached_s[0] * 0.97
    found, sought = needed_replicas(made.case(made.requests(4000, 5.0), f"e2e_p99={tight}s"))
    assert isinstance(found, Needed) or sought.most_tried().n_replicas >= 64
