"""Fleets looked up in a table of simulated ones: by hand, and nothing counted twice."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.economics.breakeven import along_utilization
from weighbridge.economics.capacity_curve import CapacityCurve, TypeWork
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.options import Option, Settings, utilization_by_month
from weighbridge.economics.unit_cost import unit_cost
from weighbridge.economics.workload import QueryType, Slice

RENTED = Option("rented", "rented", (0, 1))
INSIDE_THE_SIMULATION = (
    "within_hour_peak_ratio",
    "throughput_shortfall_frac",
    "replica_output_tokens_per_s",
    "input_token_work_ratio",
    "reference_input_per_output_ratio",
)
DAY, NIGHT = np.zeros(168), np.zeros(168)
DAY[:84], NIGHT[84:] = 2.0, 2.0


def query_type(label, inputs=1000.0, cached=0.0, outputs=100.0, hours=DAY):
    return QueryType(label, 10.0, inputs, cached, outputs, 50.0, inputs * hours, outputs * hours)


def curve(**changes):
    """One replica carries 0.4 of the stretch, two carry 1.0, and five carry 3.0."""
    made = CapacityCurve(
        demand_ratio=np.array([0.4, 1.0, 3.0]),
        n_replicas=np.array([1.0, 2.0, 5.0]),
        full_load_ratio=1.25,
        reference_work_s=4000.0,  # both types of `two`: 2 * (1000 * 1 + 100 * 10)
        reference_peak_ratio=1.0,
        work={"a": TypeWork(1.0, 10.0), "b": TypeWork(1.0, 10.0)},
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def two(world):
    """Two types of equal work, one by day and one by night: together they have no peak."""

    def make(capacity=None, sizing=None, types=None, **values):
        types = types or (query_type("a"), query_type("b", hours=NIGHT))
        sizing = sizing or Sizing(capacity=capacity or curve())
        return world(types=types, settings=Settings(3, sizing), **values)

    return make


def replicas(place, moved=(0, 1)):
    return float(np.ravel(place.case.fleet(moved).n_replicas)[0])


def test_the_whole_stretch_needs_what_was_simulated(two):
    assert replicas(two()) == 2


def test_between_two_sizes_the_next_whole_replica_is_kept(two):
    assert replicas(two(demand_multiplier_ratio=1.2)) == 3  # 2 + 3 * 0.2 / 2 = 2.3
    assert replicas(two(demand_multiplier_ratio=0.4)) == 1
    assert replicas(two(demand_multiplier_ratio=0.41)) == 2
    assert replicas(two(demand_multiplier_ratio=6)) == 10  # beyond: five for each three


def test_parts_of_a_replica_are_kept_where_nothing_is_rounded(two):
    place = two(sizing=Sizing(whole_replicas=False, capacity=curve()), demand_multiplier_ratio=1.2)
    assert replicas(place) == pytest.approx(2.3)


def test_headroom_multiplies_demand_and_spares_come_on_top(two):
    assert replicas(two(headroom_frac=0.2)) == 3
    assert replicas(two(headroom_frac=0.2, n_spare_replicas=1)) == 4
    assert replicas(two(n_min_replicas=4, n_spare_replicas=1)) == 5


def test_a_slower_engine_is_a_heavier_load(two):
    assert replicas(two(capacity_error_ratio=1.2)) == 3
    assert replicas(two(capacity_error_ratio=0.4)) == 1


def test_a_slice_brings_its_share_of_replica_time_at_its_own_peak(two):
    # Half of the work, but all of it by day: its busiest hour is as heavy as both together.
    assert replicas(two(), moved=(0,)) == 2
    steady = (query_type("a", hours=np.ones(168)), query_type("b", hours=np.ones(168)))
    assert replicas(two(types=steady), moved=(0,)) == 2  # half of it: 1 + 0.1 / 0.6
    assert replicas(two(types=steady, demand_multiplier_ratio=0.8), moved=(0,)) == 1


def test_types_are_weighed_by_the_time_that_they_take(two):
    heavy = curve(work={"a": TypeWork(1.0, 10.0), "b": TypeWork(3.0, 30.0)}, reference_work_s=8e3)
    steady = (query_type("a", hours=np.ones(168)), query_type("b", hours=np.ones(168)))
    place = two(heavy, types=steady)
    needed = [place.case.fleet(moved).mean_replicas * 1.25 for moved in ((0,), (1,), (0, 1))]
    assert np.ravel(needed) == pytest.approx([0.25, 0.75, 1.0])


def test_cached_input_is_computed_again_but_for_what_the_prefix_cache_keeps(two):
    cached = (query_type("a", inputs=0.0, cached=1000.0), query_type("b", inputs=0.0, outputs=0.0))
    place = two(types=cached, prefix_cache_retained_frac=0.75)
    load = float(place.case.fleet((0, 1)).mean_replicas) * 1.25
    assert load == pytest.approx((1000 * 0.25 + 100 * 10) / 4000)


@pytest.mark.parametrize("name", INSIDE_THE_SIMULATION)
def test_what_the_simulation_holds_is_not_applied_again(two, name):
    now = {"replica_output_tokens_per_s": 1.0}.get(name, 0.1)
    plain, changed = two(**{name: now}), two(**{name: now * 3})
    for moved in ((0,), (1,), (0, 1)):
        ours, theirs = plain.case.fleet(moved), changed.case.fleet(moved)
        assert np.array_equal(ours.n_replicas, theirs.n_replicas)
        assert np.array_equal(ours.busy_replicas, theirs.busy_replicas)


def test_a_measured_rhythm_takes_the_place_of_the_stated_peak(two):
    assert replicas(two(peak_to_mean_ratio=9)) == replicas(two(peak_to_mean_ratio=1))


def test_without_a_rhythm_the_peak_is_told_against_the_one_that_was_simulated(two):
    flat = tuple(
        dataclasses.replace(query_type(x), hourly_input_tokens=None, hourly_output_tokens=None)
        for x in "ab"
    )
    simulated = curve(reference_peak_ratio=3.5)
    assert replicas(two(simulated, types=flat, peak_to_mean_ratio=3.5)) == 2
    assert replicas(two(simulated, types=flat, peak_to_mean_ratio=4.2)) == 3  # 1.2 of it
    halved = two(simulated, types=flat, peak_to_mean_ratio=3.5, operating_hours_per_day=12)
    assert replicas(halved) == 4  # twice the load in half the hours: 2 + 3 * 1 / 2 = 3.5


def test_growth_walks_along_the_table(two):
    place = two(traffic_triples_event=1, traffic_event_month=2)
    assert np.ravel(place.case.fleet((0, 1)).n_replicas).tolist() == [2, 5, 5]


def test_utilisation_is_load_over_what_the_fleet_could_do_without_a_pause(two):
    place = two()
    used = utilization_by_month(place.case, RENTED)
    assert used[-1] == pytest.approx(1 / (2 * 1.25))
    spare = two(n_spare_replicas=2)
    assert utilization_by_month(spare.case, RENTED)[-1] == pytest.approx(1 / (4 * 1.25))


def test_a_published_utilisation_replaces_the_peak_and_keeps_the_full_load(two):
    sizing = Sizing(whole_replicas=False, utilization_frac=0.25, capacity=curve())
    assert replicas(two(sizing=sizing, headroom_frac=0.5)) == pytest.approx(1 / 1.25 / 0.25)


def test_break_even_utilisation_rests_on_the_full_load_too(two):
    place = two(gpu_usd_per_gpu_hour=0.1)
    found = along_utilization(place.problem, RENTED)
    # 100 USD on the API; 1 / 1.25 / u replicas of 0.1 USD for 720 hours.
    assert found.values == pytest.approx((72 / 1.25 / 100,), rel=1e-6)


def test_no_types_need_no_replicas_and_carry_no_load(two):
    fleet = two().case.fleet(())
    assert not np.any(fleet.n_replicas)
    assert not np.any(fleet.busy_replicas)


@given(
    st.lists(st.floats(0.01, 5.0), min_size=1, max_size=6),
    st.floats(0.0, 40.0),
    st.floats(0.0, 5.0),
)
def test_more_demand_never_needs_fewer_replicas(steps, demand, more):
    sizes = np.arange(1.0, len(steps) + 1)
    table = curve(demand_ratio=np.cumsum(steps), n_replicas=sizes)
    low, high = table.replicas_at(np.array([demand, demand + more]))
    assert 0 <= low <= high * (1 + 1e-12)


def test_tables_that_fall_or_do_not_match_are_refused():
    with pytest.raises(ValueError, match="demand_ratio does not rise"):
        curve(demand_ratio=np.array([0.4, 0.4, 3.0]))
    with pytest.raises(ValueError, match="n_replicas does not rise"):
        curve(n_replicas=np.array([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="not equally many"):
        curve(n_replicas=np.array([1.0, 2.0]))


def test_a_slice_without_hours_has_no_peak_of_its_own():
    assert curve().hourly_peak_ratio(Slice(())) == 1.0


def test_a_million_tokens_cost_the_hours_kept_and_at_full_load_only_the_busy_ones(two):
    place = two(n_spare_replicas=1, n_gpus_per_replica=4)
    cost = unit_cost(place.case.fleet((0, 1)), np.array(2.0))
    assert cost.n_replicas == 3
    assert cost.utilization_frac == pytest.approx(1 / 1.25 / 3)
    # 3 replicas of 4 GPUs at 2 USD for 720 hours, over 2 * 1,100 tokens.
    assert cost.reserved_usd_per_mtok == pytest.approx(3 * 4 * 2 * 720 / 2200 * 1e6)
    share = cost.full_load_usd_per_mtok / cost.reserved_usd_per_mtok
    assert share == pytest.approx(cost.utilization_frac)
