"""Fleets that follow the load: paid for less, and held to the same target."""

import dataclasses

import numpy as np
import pytest

from weighbridge.capacity.elastic import overflowing, reactive, scheduled
from weighbridge.capacity.sizing import confirmed, needed_replicas
from weighbridge.capacity.traffic import Requests


@pytest.fixture(scope="module")
def rhythm(made):
    """Two days, busy for eight hours in each."""
    rng = np.random.default_rng(2)
    at = rng.uniform(0, 2 * 86400, 60_000)
    hour = at % 86400 / 3600
    kept = (hour >= 9) & (hour < 17) | (rng.random(len(at)) < 0.1)
    arrival_s = np.sort(at[kept])
    n = len(arrival_s)
    requests = Requests(arrival_s, np.full(n, 1800), np.full(n, 60))
    case = made.case(requests, "ttft_p95=30s", headroom_frac=0.0)
    slow = dataclasses.replace(case.band.mid, mixed_s=case.band.mid.mixed_s * 80)
    band = dataclasses.replace(case.band, low=slow, mid=slow, high=slow)
    return dataclasses.replace(case, band=band)


@pytest.fixture(scope="module")
def sized(rhythm):
    case = rhythm
    needed, sought = needed_replicas(case)
    n = confirmed(case, needed, sought).n_replicas
    assert n >= 3, "a fleet too small to follow anything"
    return case, n, needed.peak


def test_a_timetable_costs_fewer_hours_and_holds_the_target(sized) -> None:
    case, n, _ = sized
    found = scheduled(case, n, n, 300.0)
    assert found.mean_replicas_ratio < 0.75
    assert found.n_least_replicas < found.n_most_replicas
    assert found.slo_met
    assert "hindsight" in found.why


def test_reactive_scaling_pays_for_less_than_the_fixed_fleet(sized) -> None:
    case, n, peak = sized
    found = reactive(case, n, n, peak, 120.0)
    assert found.mean_replicas_ratio < 0.95
    assert found.n_most_replicas <= n


def test_what_overflows_is_what_the_small_fleet_could_not_take(sized) -> None:
    case, n, peak = sized
    tries = overflowing(case, n + 1, n, peak)
    shares = [item.overflow_frac for item in tries]
    assert shares == sorted(shares)
    assert shares[-1] > 0
    for item in tries:
        served = item.week.tokens
        over = item.overflow_input_tokens + item.overflow_output_tokens
        total = int((case.requests.input_tokens + case.requests.output_tokens).sum())
        assert served + over == total
