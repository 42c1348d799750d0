"""`decide` and `size` on the same requests: the same replicas within both their intervals."""

import datetime as dt
import math
from functools import cache

import numpy as np
import pytest

from weighbridge.capacity.sizing import Case, sizer
from weighbridge.capacity.slo import parse_slo
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study import simulated_fleet
from weighbridge.study.capacity_model import Log, Simulation, simulation
from weighbridge.study.ladder import Bounds
from weighbridge.study.measured import open_facts
from weighbridge.study.scenario import parse_scenario
from weighbridge.study.size_speed import Load, speed_of
from weighbridge.study.traffic import from_scenario
from weighbridge.study.typed_requests import TypedRequests

SLO = "ttft_p95=2s,tpot_p95=60ms"
SCENARIO = f"""
monthly_requests: 1500000
tokens_per_request: 1200
price: {{input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: made for the test}}
candidate: llama-3.1-70b
gpu: h100-sxm
precision: fp8
slo: {SLO}
query_types: [{{replaceable: 'yes', evidence: made for the test}}]
"""
N, N_MINUTES = 600, 8


@cache
def made() -> TypedRequests:
    """Minutes of which every fifth is twice as busy."""
    rng = np.random.default_rng(4)
    weight = np.where(np.arange(N_MINUTES) % 5 == 0, 2.0, 1.0)
    minute = rng.choice(N_MINUTES, N, p=weight / weight.sum())
    nothing = np.zeros(N, np.int64)
    return TypedRequests(
        first_at=dt.datetime(2026, 11, 2, tzinfo=dt.UTC),
        arrival_s=np.sort((minute + rng.random(N)) * 60.0),
        fresh_tokens=rng.integers(200, 3000, N),
        cached_tokens=nothing,
        output_tokens=rng.integers(50, 500, N),
        type_index=nothing,
    )


@cache
def decided() -> Simulation:
    with pytest.MonkeyPatch.context() as patch:
        quick = Bounds(N, 8_000, compiled=False)
        patch.setattr(simulated_fleet, "bounds_of", lambda *_: quick)
        scenario = parse_scenario(SCENARIO)
        book = open_facts(scenario, dt.date(2026, 11, 21)).book
        traffic = from_scenario(scenario, book, dt.date(2026, 11, 21), "s")
        found = simulation(scenario, load_catalog(), traffic, "s", Log(made))
    assert found is not None
    return found


def by_size(demand_ratio):
    """Replicas at the fast end, the middle and the slow end of size's own interval."""
    fleet = decided().choice.fleet
    slo = parse_slo(SLO)
    machine = fleet.machine
    requests = simulated_fleet.picked(decided().choice.benches[0].load.requests, np.arange(N))
    load = Load(requests, slo)
    band = speed_of(machine.deployment, machine.limits, load, load_serving_fit()).band
    case = Case(requests, band, machine.limits, slo)
    return [sizer(case, step, demand_ratio).needed() for step in (band.low, band.mid, band.high)]


@pytest.mark.parametrize("demand_ratio", [1.0, 5.0])
def test_decide_and_size_need_the_same_replicas_for_the_same_requests(demand_ratio):
    fleet = decided().choice.fleet
    demand = demand_ratio * np.array([fleet.error_ratios[0], 1.0, fleet.error_ratios[1]])
    low, mid, high = np.ceil(fleet.curve.replicas_at(demand) - 1e-9)
    size_low, size_mid, size_high = by_size(demand_ratio)
    assert abs(mid - size_mid) <= max(1, 0.1 * size_mid)
    assert low <= size_mid <= high
    assert size_low <= mid <= (size_high or math.inf)


def test_what_was_judged_is_told_with_its_number_and_length():
    told = decided().choice.fleet.why[-1]
    assert "fleets of 1, 2, 4 simulated on multiples of the 600 requests of their busiest" in told
