"""Replicas that share, overflow, start, drain and get lost, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from weighbridge.capacity.fleet import Autoscaling, FleetPlan, Loss
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests

LIMITS = EngineLimits(kv_tokens=1600, n_max_requests=4, n_max_batched_tokens=100)
STEP = StepTime(np.full(5, 1.0), np.full(101, 2.0), 0.0, 0.0, 0.0, "roofline")


def evenly(n_requests: int, gap_s: float, n_tokens: int, n_sessions: int = 0) -> Requests:
    """Requests at even distances, all alike."""
    session = np.arange(n_requests) % n_sessions if n_sessions else np.empty(0, np.int64)
    return Requests(
        np.arange(n_requests) * gap_s,
        np.full(n_requests, 10),
        np.full(n_requests, n_tokens),
        session=session,
    )


def serve(requests: Requests, fleet: FleetPlan) -> Outcome:
    return simulate(requests, STEP, LIMITS, fleet, compiled=False)


def test_the_least_loaded_replica_is_chosen_and_ties_go_around() -> None:
    outcome = serve(evenly(4, 0.1, 5), FleetPlan(3))
    assert outcome.replica.tolist() == [0, 1, 2, 0]
    assert serve(evenly(3, 100.0, 5), FleetPlan(3)).replica.tolist() == [0, 1, 2]


def test_turns_are_taken_whatever_the_load() -> None:
    requests = replace(evenly(4, 0.1, 1), output_tokens=np.array([50, 1, 1, 1]))
    assert serve(requests, FleetPlan(2, "round_robin")).replica.tolist() == [0, 1, 0, 1]


def test_a_session_comes_back_to_its_replica() -> None:
    outcome = serve(evenly(9, 0.1, 20, n_sessions=3), FleetPlan(2, "sticky"))
    assert outcome.replica.tolist() == [0, 1, 0] * 3


def test_what_finds_every_replica_full_overflows() -> None:
    outcome = serve(evenly(5, 0.1, 5), FleetPlan(2, overflow_above_requests=2))
    assert outcome.replica.tolist() == [0, 1, 0, 1, -1]
    assert np.isnan(outcome.e2e_s).tolist() == [False] * 4 + [True]
    assert np.isnan(outcome.ttft_s[4])
    assert np.isnan(outcome.queue_s[4])


def test_replicas_are_paid_for_until_the_end() -> None:
    outcome = serve(evenly(2, 3.0, 5), FleetPlan(2))
    assert outcome.end_s == 3.0 + 6.0
    assert outcome.on_s.tolist() == [9.0, 9.0]
    assert outcome.busy_s.tolist() == [6.0, 6.0]


def test_what_a_lost_replica_held_starts_again_elsewhere() -> None:
    fleet = FleetPlan(2, losses=(Loss(0, 4.5, 100.0),))
    outcome = serve(evenly(2, 0.0, 11), fleet)
    assert outcome.replica.tolist() == [1, 1]
    # Both began at 0; the first is routed again at 4.5, joins at 5 and has its prompt by 7.
    assert outcome.ttft_s.tolist() == [7.0, 2.0]
    assert outcome.queue_s.tolist() == [5.0, 0.0]
    assert outcome.e2e_s[0] == 7.0 + 10.0
    assert outcome.on_s.tolist() == [4.5, 17.0]
    assert outcome.busy_s.tolist() == [4.5, 17.0]


def test_without_a_replica_requests_wait_for_one() -> None:
    outcome = serve(evenly(2, 1.0, 1), FleetPlan(1, losses=(Loss(0, 0.5, 50.0),)))
    assert outcome.ttft_s.tolist() == [52.0, 51.0]
    assert outcome.on_s[0] == pytest.approx(0.5 + 2.0)


def test_losses_that_overlap_last_until_the_latest_end() -> None:
    losses = (Loss(0, 0.5, 50.0), Loss(0, 10.0, 80.0))
    outcome = serve(evenly(1, 1.0, 1), FleetPlan(1, losses=losses))
    assert outcome.ttft_s.tolist() == [82.0]


def test_a_timetable_starts_and_drains_replicas() -> None:
    scaling = Autoscaling(1, 3, start_up_s=5.0, schedule=((10.0, 2), (40.0, 1)))
    outcome = serve(evenly(8, 6.0, 2), FleetPlan(1, autoscaling=scaling))
    # At 10 the second replica is ordered, at 15 it is ready, at 40 it has nothing left to do.
    assert outcome.replica.tolist() == [0, 0, 0, 1, 0, 1, 0, 0]
    assert outcome.on_s.tolist() == [45.0, 30.0, 0.0]


def test_a_draining_replica_finishes_and_is_paid_for_until_then() -> None:
    scaling = Autoscaling(1, 2, schedule=((4.0, 1),))
    outcome = serve(evenly(2, 0.0, 9), FleetPlan(2, autoscaling=scaling))
    assert outcome.replica.tolist() == [0, 1]
    assert outcome.e2e_s.tolist() == [10.0, 10.0]
    assert outcome.on_s.tolist() == [10.0, 10.0]
    longer = replace(evenly(2, 0.0, 9), output_tokens=np.array([30, 9]))
    assert serve(longer, FleetPlan(2, autoscaling=scaling)).on_s.tolist() == [31.0, 10.0]


def test_load_above_the_target_starts_replicas_and_calm_ends_them() -> None:
    scaling = Autoscaling(
        1, 3, start_up_s=1.0, period_s=2.0, target_requests=2.0, scale_down_after_s=10.0
    )
    burst = evenly(6, 0.0, 30)
    late = evenly(1, 0.0, 1)
    requests = Requests(
        np.concatenate((burst.arrival_s, [3.5, 100.0])),
        np.concatenate((burst.input_tokens, [10], late.input_tokens)),
        np.concatenate((burst.output_tokens, [30], late.output_tokens)),
    )
    outcome = serve(requests, FleetPlan(1, autoscaling=scaling))
    # Six requests want three replicas: seen at 2, ready at 3. Four of them end at 31, so that two
    # replicas are enough from the look at 32 on, and one from the look at 36 on: it takes ten
    # seconds to drop the third, and from the next look, at 44, ten more to drop the second.
    assert outcome.replica.tolist() == [0] * 6 + [1, 0]
    assert outcome.on_s.tolist() == [102.0, 52.0, 40.0]


def test_a_replica_that_comes_back_has_an_empty_cache() -> None:
    prefix = PrefixBlocks(np.zeros(3, np.int64), np.arange(4), 16)
    requests = Requests(np.array([0.0, 10.0, 30.0]), np.full(3, 20), np.full(3, 1), prefix=prefix)
    fleet = FleetPlan(1, losses=(Loss(0, 20.0, 25.0),))
    assert serve(requests, fleet).cached_tokens.tolist() == [0, 16, 0]
