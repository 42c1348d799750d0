"""Headroom, spares and error: each only ever adds, and each is what simulation says."""

import dataclasses

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan, Loss
from weighbridge.capacity.frontier import frontier
from weighbridge.capacity.safety import one_lost, safety
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import confirmed, needed_replicas
from weighbridge.capacity.stretch import inside, multiplied
from weighbridge.capacity.traffic import Requests


@pytest.fixture(scope="module")
def sized(made):
    case = made.case(made.requests(1500, 25.0), certain=False)
    needed, sought = needed_replicas(case)
    return case, sought, needed.n_replicas


def test_from_needed_to_kept_nothing_shrinks(sized) -> None:
    safe = safety(*sized)
    counts = [safe.needed.n_mid, safe.n_headroom_replicas, safe.n_fleet_replicas]
    assert counts == sorted(counts)
    assert safe.n_fleet_replicas > safe.n_headroom_replicas
    assert safe.needed.n_low <= safe.needed.n_mid <= safe.needed.n_high


@pytest.mark.parametrize("part", [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.0, 1.0)])
def test_the_fleet_meets_the_slo_with_a_fifth_more_users_and_one_replica_lost(sized, part) -> None:
    case, sought, n_needed = sized
    safe = safety(case, sought, n_needed)
    requests = multiplied(sought.load.requests, 1.2)
    first, last = requests.arrival_s[0], requests.arrival_s[-1]
    lost = tuple(float(first + share * (last - first)) for share in part)
    plan = FleetPlan(safe.n_fleet_replicas, losses=(Loss(0, *lost),))
    outcome = simulate(requests, case.band.mid, case.limits, plan)
    assert case.slo.is_met(outcome, inside(requests, *lost))


@pytest.mark.parametrize("burst_at", [0, 1, 2])
def test_a_spare_stands_in_wherever_in_the_window_the_burst_is(made, burst_at: int) -> None:
    """One replica is lost for just the half of the window that the burst takes."""
    rng = np.random.default_rng(burst_at)
    rates = [9.0, 9.0, 9.0, 9.0]
    rates[burst_at : burst_at + 2] = [26.0, 26.0]
    quarter_s = 60.0
    arrival_s = np.concatenate(
        [
            i * quarter_s + np.sort(rng.random(int(rate * quarter_s))) * quarter_s
            for i, rate in enumerate(rates)
        ]
    )
    n = len(arrival_s)
    requests = Requests(arrival_s, rng.integers(100, 2000, n), rng.integers(1, 200, n))
    case = made.case(requests, headroom_frac=0.0)
    needed, sought = needed_replicas(case)
    n_fleet = safety(case, sought, needed.n_replicas).n_fleet_replicas
    start, end = burst_at * quarter_s, (burst_at + 2) * quarter_s
    plan = FleetPlan(n_fleet, losses=(Loss(0, start, end),))
    outcome = simulate(requests, case.band.mid, case.limits, plan)
    assert case.slo.is_met(outcome, inside(requests, start, end))


def test_what_is_said_of_a_loss_never_contradicts_the_smaller_fleet(sized) -> None:
    """One lost of n cannot hold where n - 1 were seen to break."""
    case, sought, n_needed = sized
    for n in range(max(2, n_needed - 1), n_needed + 3):
        lost = one_lost(case, sought.load, n)
        fewer = sought.try_out(n - 1)
        assert fewer.slo_met or not lost.during.slo_met
        ratios = [
            [r / t.limit_s for r, t in zip(of.reached_s, case.slo.targets, strict=True)]
            for of in (lost.during, fewer)
        ]
        assert max(ratios[0]) >= max(ratios[1])


def test_a_loss_without_a_spare_is_worse_than_none(sized) -> None:
    case, sought, n_needed = sized
    lost = one_lost(case, sought.load, n_needed)
    whole = sought.try_out(n_needed)
    assert lost.during.reached_s[0] > whole.reached_s[0]
    assert not lost.during.slo_met


def test_without_headroom_and_spare_the_fleet_is_what_is_needed(made) -> None:
    case = made.case(made.requests(1500, 25.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    safe = safety(case, sought, needed.n_replicas)
    assert safe.n_headroom_replicas == safe.n_fleet_replicas == needed.n_replicas
    assert safe.needed.n_low == safe.needed.n_high == needed.n_replicas


def test_a_single_replica_without_spare_says_that_its_loss_stops_everything(made) -> None:
    case = made.case(made.requests(200, 1.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    safe = safety(case, sought, needed.n_replicas)
    assert safe.n_fleet_replicas == 1
    assert safe.unspared is None
    assert safe.spared.lost_s == 0.0


def test_more_spares_keep_more_replicas(sized) -> None:
    case, sought, n_needed = sized
    kept = [
        safety(dataclasses.replace(case, n_spare_replicas=n), sought, n_needed).n_fleet_replicas
        for n in (0, 1, 2)
    ]
    assert kept[0] < kept[1] < kept[2]


def test_the_frontier_holds_its_fleet_and_ends_where_the_target_breaks(sized) -> None:
    case, sought, n_needed = sized
    points = frontier(case, sought, n_needed)
    assert {point.peak.n_replicas for point in points} == {n_needed}
    rates = [point.tokens_per_s for point in points]
    assert rates == sorted(rates)
    assert all(point.peak.slo_met for point in points if point.load_ratio <= 1.0)
    assert not points[-1].peak.slo_met


@pytest.mark.parametrize("seed", range(6))
def test_a_loss_is_never_told_better_than_what_binds(made, seed: int) -> None:
    """What binds may be seen in the whole stretch only, whose queues began before the window."""
    rng = np.random.default_rng(seed)
    hours = [made.requests(int(rng.integers(500, 1400)), 25.0, seed + i).arrival_s for i in (0, 9)]
    arrival_s = np.concatenate([hours[0], hours[0][-1] + 20.0 + hours[1]])
    n = len(arrival_s)
    requests = Requests(arrival_s, rng.integers(100, 2000, n), rng.integers(1, 200, n))
    case = made.case(requests, window_s=30.0, headroom_frac=0.0)
    needed, sought = needed_replicas(case)
    decided = confirmed(case, needed, sought)
    assert decided.too_few is not None
    safe = safety(case, decided.sought, decided.n_replicas)
    assert safe.unspared is not None
    assert decided.too_few.n_replicas == decided.n_replicas - 1
    assert not safe.unspared.during.slo_met
    worst = [
        max(r / t.limit_s for r, t in zip(of.reached_s, case.slo.targets, strict=True))
        for of in (safe.unspared.during, decided.too_few)
    ]
    assert worst[0] >= worst[1]
