"""Small runs whose every iteration was worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import simulate, simulate_closed_loop
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests

LIMITS = EngineLimits(kv_tokens=1600, n_max_requests=4, n_max_batched_tokens=100)


def requests(*rows: tuple[float, int, int], priority: tuple[int, ...] = ()) -> Requests:
    """Rows of arrival, prompt and answer."""
    arrival_s, inputs, outputs = zip(*rows, strict=True)
    return Requests(
        np.array(arrival_s, float), np.array(inputs), np.array(outputs), np.array(priority, int)
    )


def steps(decode_s: float = 1.0, mixed_s: float = 2.0, **costs: float) -> StepTime:
    """Iterations of the same length, whatever is in them, but for what `costs` says."""
    costs = {"kv_s_per_token": 0.0, "attention_s_per_pair": 0.0, "first_token_s": 0.0} | costs
    return StepTime(np.full(5, decode_s), np.full(101, mixed_s), **costs, basis="roofline")


def test_a_prompt_longer_than_the_budget_is_computed_in_parts() -> None:
    outcome = simulate(requests((0.0, 250, 2)), steps(), LIMITS, compiled=False)
    assert outcome.ttft_s.tolist() == [6.0]
    assert outcome.e2e_s.tolist() == [7.0]
    assert outcome.n_iterations.tolist() == [4]
    assert outcome.computed_prompt_tokens.tolist() == [250]


def test_decoding_requests_take_their_token_of_the_budget_first() -> None:
    two = requests((0.0, 10, 9), (0.0, 199, 1))
    outcome = simulate(two, steps(), LIMITS, compiled=False)
    # 10 + 90, then 1 + 99, then 1 + 10 tokens.
    assert outcome.ttft_s.tolist() == [2.0, 6.0]
    assert outcome.e2e_s.tolist() == [2.0 + 2 * 2.0 + 6 * 1.0, 6.0]


def test_without_parts_a_prompt_waits_until_it_fits_whole() -> None:
    two = requests((0.0, 10, 3), (0.0, 95, 1))
    whole = replace(LIMITS, chunked_prefill=False)
    outcome = simulate(two, steps(), whole, compiled=False)
    assert outcome.queue_s.tolist() == [0.0, 2.0]
    assert outcome.ttft_s.tolist() == [2.0, 4.0]


def test_a_step_costs_its_context_and_its_pairs() -> None:
    step = steps(kv_s_per_token=0.001, attention_s_per_pair=0.0001)
    outcome = simulate(requests((0.0, 150, 4)), step, LIMITS, compiled=False)
    pairs = 100 * 101 / 2 + 50 * 100 + 50 * 51 / 2
    assert outcome.ttft_s[0] == pytest.approx(4.0 + 0.0001 * pairs)
    # The first answer token is fed back: contexts of 151, 152 and 153.
    assert outcome.tpot_s[0] == pytest.approx(1.0 + 0.001 * 152)


def test_time_outside_the_engine_is_added_to_first_tokens_only() -> None:
    outcome = simulate(requests((0.0, 10, 3)), steps(first_token_s=0.5), LIMITS, compiled=False)
    assert (outcome.ttft_s[0], outcome.e2e_s[0], outcome.tpot_s[0]) == (2.5, 4.5, 1.0)


def test_an_arrival_within_an_iteration_joins_at_its_end() -> None:
    two = requests((0.0, 10, 50), (5.3, 10, 1))
    outcome = simulate(two, steps(), LIMITS, compiled=False)
    assert outcome.queue_s[1] == pytest.approx(0.7)


def test_scheduled_ahead_it_joins_one_iteration_later() -> None:
    two = requests((0.0, 10, 50), (5.3, 10, 1))
    ahead = replace(LIMITS, async_scheduling=True)
    outcome = simulate(two, steps(), ahead, compiled=False)
    assert outcome.queue_s[1] == pytest.approx(1.7)


def test_the_last_admitted_is_preempted_and_computed_again() -> None:
    small = replace(LIMITS, kv_tokens=64, prefix_caching=False)
    two = requests((0.0, 31, 20), (0.0, 31, 4))
    outcome = simulate(two, steps(), small, compiled=False)
    assert outcome.n_preemptions.tolist() == [0, 1]
    # Both decode once, then each needs a third block of the four: the second gives way until the
    # first has ended (19 tokens later), and is computed again, 31 + 2 tokens, making its third.
    assert outcome.e2e_s[0] == 2.0 + 19.0
    assert outcome.e2e_s[1] == outcome.e2e_s[0] + 2.0 + 1.0
    assert outcome.computed_prompt_tokens.tolist() == [31 + 31 + 33]


def test_a_preempted_request_finds_what_is_left_of_its_blocks() -> None:
    small = replace(LIMITS, kv_tokens=64, prefix_caching=True)
    two = requests((0.0, 31, 20), (0.0, 31, 4))
    outcome = simulate(two, steps(), small, compiled=False)
    assert outcome.n_preemptions.tolist() == [0, 1]
    # The first ends with 50 tokens in 4 blocks, which took both blocks that the second left.
    assert outcome.computed_prompt_tokens.tolist() == [31 + 31 + 33]
    roomy = replace(small, kv_tokens=80)
    outcome = simulate(requests((0.0, 31, 34), (0.0, 31, 20)), steps(), roomy, compiled=False)
    assert outcome.n_preemptions.sum() == 1
    assert outcome.computed_prompt_tokens[0] < 31 + 31 + 33 + 15


def test_the_lowest_priority_waits_and_is_preempted() -> None:
    one_place = replace(LIMITS, n_max_requests=1, admission="priority")
    three = requests((0.0, 10, 5), (1.0, 10, 1), (1.5, 10, 1), priority=(0, 2, 1))
    outcome = simulate(three, steps(), one_place, compiled=False)
    assert outcome.queue_s.tolist() == [0.0, 7.0, 4.5]
    small = replace(LIMITS, kv_tokens=64, admission="priority", prefix_caching=False)
    two = requests((0.0, 31, 4), (0.0, 31, 20), priority=(1, 0))
    assert simulate(two, steps(), small, compiled=False).n_preemptions.tolist() == [1, 0]


def test_a_prompt_that_begins_like_another_is_computed_from_there_on() -> None:
    prefix = PrefixBlocks(np.array([0, 1, 2, 0, 1, 3]), np.array([0, 3, 6]), 16)
    two = Requests(np.array([0.0, 10.0]), np.array([48, 40]), np.array([1, 1]), prefix=prefix)
    outcome = simulate(two, steps(), LIMITS, compiled=False)
    assert outcome.cached_tokens.tolist() == [0, 32]
    assert outcome.computed_prompt_tokens.tolist() == [48 + 8]
    off = replace(LIMITS, prefix_caching=False)
    assert simulate(two, steps(), off, compiled=False).cached_tokens.tolist() == [0, 0]


def test_of_a_prompt_that_is_cached_whole_the_last_block_is_computed() -> None:
    prefix = PrefixBlocks(np.array([0, 1, 0, 1]), np.array([0, 2, 4]), 16)
    two = Requests(np.array([0.0, 10.0]), np.array([32, 32]), np.array([1, 1]), prefix=prefix)
    outcome = simulate(two, steps(), LIMITS, compiled=False)
    assert outcome.cached_tokens.tolist() == [0, 16]


def test_the_least_recently_used_blocks_are_evicted() -> None:
    prefix = PrefixBlocks(np.array([0, 1, 2, 0, 1]), np.array([0, 1, 2, 3, 4, 5]), 16)
    five = Requests(np.arange(5) * 10.0, np.full(5, 17), np.full(5, 1), prefix=prefix)
    small = replace(LIMITS, kv_tokens=64)
    outcome = simulate(five, steps(), small, compiled=False)
    # Two blocks a request: the third takes blank ones no more than the second did.
    assert outcome.cached_tokens.tolist() == [0, 0, 0, 0, 0]
    outcome = simulate(five, steps(), replace(LIMITS, kv_tokens=96), compiled=False)
    assert outcome.cached_tokens.tolist() == [0, 0, 0, 16, 16]


def test_an_id_that_follows_another_block_is_another_block() -> None:
    prefix = PrefixBlocks(np.array([0, 5, 1, 5, 0, 5]), np.array([0, 2, 4, 6]), 16)
    three = Requests(np.arange(3) * 10.0, np.full(3, 33), np.full(3, 1), prefix=prefix)
    outcome = simulate(three, steps(), LIMITS, compiled=False)
    assert outcome.cached_tokens.tolist() == [0, 0, 32]


def test_a_replica_waits_for_its_slowest_rank() -> None:
    two_ranks = replace(LIMITS, n_ranks=2, prefix_caching=False)
    two = requests((0.0, 10, 3), (0.0, 90, 3))
    step = replace(steps(), mixed_s=np.arange(101) * 0.1)
    outcome = simulate(two, step, two_ranks, compiled=False)
    assert outcome.ttft_s.tolist() == [9.0, 9.0]
    assert outcome.n_iterations.tolist() == [3]
    assert outcome.mean_batch_requests[0] == pytest.approx(2 * 2.0 / 11.0)


def test_a_closed_loop_sends_when_one_ends() -> None:
    four = requests((0.0, 10, 3), (0.0, 10, 1), (0.0, 10, 1), (0.0, 10, 1))
    outcome = simulate_closed_loop(four, 2, steps(), LIMITS, compiled=False)
    assert outcome.ttft_s.tolist() == [2.0, 2.0, 2.0, 2.0]
    assert outcome.e2e_s.tolist() == [6.0, 2.0, 2.0, 2.0]
    assert outcome.end_s == 6.0
    on_two = simulate_closed_loop(four, 2, steps(), LIMITS, FleetPlan(2), compiled=False)
    # Alone, the first one ends at 4 as the third does; its replica is looked at first.
    assert on_two.replica.tolist() == [0, 1, 1, 0]
    assert on_two.end_s == 6.0


def test_no_traffic_is_no_work() -> None:
    empty = Requests(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    outcome = simulate(empty, steps(), LIMITS, compiled=False)
    assert outcome.end_s == 0.0
    assert outcome.on_s.tolist() == [0.0]


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    simulate(
        requests((0.0, 10, 3), (1.0, 10, 1)),
        steps(),
        LIMITS,
        compiled=False,
        on_progress=lambda n_routed, n_requests: told.append((n_routed, n_requests)),
    )
    assert told == [(2, 2)]
