"""The most demand of each size: what it says holds when simulated, and a little more does not."""

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.peak_load import PeakLoad, multiplied_load
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Requests
from weighbridge.economics.capacity_curve import CapacityCurve
from weighbridge.study import ladder
from weighbridge.study.ladder import Bounds, Ladder, _largest, bounds_of, cut, window

LIMITS = EngineLimits(kv_tokens=16_000, n_max_requests=16, n_max_batched_tokens=2048)
STEP = StepTime(
    np.linspace(0.02, 0.03, 17), np.linspace(0.02, 0.12, 2049), 0.0, 0.0, 0.0, "roofline"
)
WIDE = Bounds(400, 40_000, compiled=False)
SLO = parse_slo("ttft_p95=1s,tpot_p95=80ms")


def load(n=400, span_s=100.0, seed=5):
    rng = np.random.default_rng(seed)
    requests = Requests(
        np.sort(rng.random(n) * span_s), rng.integers(50, 800, n), rng.integers(5, 60, n)
    )
    return PeakLoad(requests, np.ones(n, bool), 0.0, span_s, is_whole=True)


def is_met(peak, n_replicas, demand_ratio):
    many = multiplied_load(peak, demand_ratio)
    outcome = simulate(many.requests, STEP, LIMITS, FleetPlan(n_replicas), compiled=False)
    return SLO.is_met(outcome, many.judged)


@pytest.fixture(scope="module")
def rungs():
    return Ladder(load(), STEP, LIMITS, SLO, bounds=WIDE).rungs((1, 2, 4), enough_ratio=1e9)


def test_each_rung_meets_its_targets_and_a_fifth_more_does_not(rungs):
    for rung in rungs:
        assert all(s <= t.limit_s for s, t in zip(rung.reached_s, SLO.targets, strict=True))
        assert is_met(load(), rung.n_replicas, rung.demand_ratio)
        assert not is_met(load(), rung.n_replicas, rung.demand_ratio * 1.25)


def test_larger_fleets_carry_more_and_at_least_in_proportion_where_bursts_share_them(rungs):
    demand = [rung.demand_ratio for rung in rungs]
    assert [rung.n_replicas for rung in rungs] == [1, 2, 4]
    assert demand == sorted(demand)
    assert demand[1] >= 2 * demand[0] * 0.9
    assert demand[2] >= 2 * demand[1] * 0.9


@pytest.mark.parametrize("enough_ratio", [0.5, 1.0, 1.5, 10.0])
def test_replicas_per_demand_never_jump_within_the_table_or_beyond_it(rungs, enough_ratio):
    found = Ladder(load(), STEP, LIMITS, SLO, bounds=WIDE).rungs((1, 2, 4), enough_ratio)
    assert found == rungs[: len(found)]  # the last one too is what that size really carries
    curve = CapacityCurve(
        np.array([r.demand_ratio for r in found]),
        np.array([float(r.n_replicas) for r in found]),
        1.0,
        1.0,
        1.0,
        {},
    )
    demand = np.geomspace(0.05, 200.0, 400)
    per_demand = curve.replicas_at(demand) / demand
    assert np.all(per_demand[1:] <= per_demand[:-1] * 1.05)
    beyond = per_demand[demand > found[-1].demand_ratio]
    assert beyond == pytest.approx(found[-1].n_replicas / found[-1].demand_ratio)


def test_sizes_that_carry_more_than_may_be_simulated_are_left_to_proportion(rungs):
    most = int(rungs[1].demand_ratio * 400 * 1.5)
    short = Ladder(load(), STEP, LIMITS, SLO, bounds=Bounds(400, most, compiled=False))
    assert short.rungs((1, 2, 4, 8)) == rungs[:2]


def test_every_demand_is_judged_on_the_same_window(monkeypatch):
    seen = []

    def spied(requests, *rest, **named):
        seen.append(requests)
        return simulate(requests, *rest, **named)

    monkeypatch.setattr(ladder, "simulate", spied)
    Ladder(load(), STEP, LIMITS, SLO).rungs((1, 2, 4))
    assert len({r.n_requests for r in seen}) > 5
    assert all(r.duration_s == pytest.approx(100, rel=0.1) for r in seen if r.n_requests > 100)


def test_the_whole_hour_is_judged_where_a_compiled_kernel_is(monkeypatch):
    hour = load(5000, 3600.0)
    monkeypatch.setattr(ladder, "numba_is_here", lambda: True)
    assert bounds_of(hour, 0.5).compiled
    assert not bounds_of(load(200), 0.5).compiled  # as much of it, sooner done than loaded
    assert window(hour, 0.5, bounds_of(hour, 0.5)) is hour
    monkeypatch.setattr(ladder, "numba_is_here", lambda: False)
    part = window(hour, 0.5, bounds_of(hour, 0.5))
    assert 2000 <= part.judged.sum() < 2300
    assert window(hour, 0.1, bounds_of(hour, 0.5)).judged.sum() < part.judged.sum()


def test_the_climb_ends_at_a_size_that_carries_enough():
    found = Ladder(load(), STEP, LIMITS, SLO).rungs((1, 2, 4, 8), enough_ratio=1e-3)
    assert [rung.n_replicas for rung in found] == [1]


def test_targets_that_one_request_alone_misses_give_no_rung():
    tight = parse_slo("ttft_p95=1ms")
    ladder = Ladder(load(60), STEP, LIMITS, tight)
    assert ladder.rung(1) is None
    assert ladder.rungs((1, 2), enough_ratio=1.0) == ()


@pytest.mark.parametrize("threshold", [0.03, 0.3, 0.7, 1.3])
@pytest.mark.parametrize("guess", [0.05, 0.7])
def test_the_search_finds_a_threshold_to_six_percent_from_below(threshold, guess):
    found = _largest(lambda x: x <= threshold, guess)
    assert threshold / 1.07 <= found <= threshold


def test_nothing_is_found_where_nothing_is_met():
    assert _largest(lambda x: False, 0.7) is None


def test_a_long_peak_is_cut_to_its_busiest_part_with_a_lead_in():
    rng = np.random.default_rng(2)
    at_s = np.sort(np.concatenate([rng.random(1000) * 3600, 2000 + rng.random(1000) * 300]))
    requests = Requests(at_s, np.full(2000, 10), np.full(2000, 5))
    whole = PeakLoad(requests, np.ones(2000, bool), 0.0, 3600.0, is_whole=True)
    part = cut(whole, 400)
    judged = part.requests.arrival_s[part.judged]
    assert part.judged.sum() >= 400
    assert judged[-1] - judged[0] <= 3600 * 400 / 2000 + 1
    assert part.from_s <= 2000
    assert part.to_s >= 2300
    assert not part.judged[0]  # the lead-in is served and not judged
    assert cut(part, 10_000) is part
