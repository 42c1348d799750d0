"""Slices of the traffic, and readings of the cash: commitments, cancellation, payback."""

import numpy as np
import pytest

from weighbridge.economics.cashflow import payback_month
from weighbridge.economics.fleet import Sizing, purchases
from weighbridge.economics.lines import Line
from weighbridge.economics.options import Commitment, Option, Settings
from weighbridge.economics.timeline import calendar, elapsed
from weighbridge.economics.views import cancellation_usd, commitments_usd, owed_on_term_usd
from weighbridge.economics.workload import QueryType, Workload

API = Option("api", "api", ())
COMMITTED = Option("committed", "committed", ())
MANAGED = Option("managed", "managed", (0,))
RENTED = Option("rented", "rented", (0,))
OWNED = Option("owned", "owned", (0,))


# --- traffic --------------------------------------------------------------------------------------


def test_a_slice_sums_its_types():
    a = QueryType("a", 10, 100.0, 20.0, 3.0, 7.0)
    b = QueryType("b", 1, 200.0, 0.0, 5.0, 11.0, movable=False)
    c = QueryType("c", 5, 1.0, 1.0, 1.0, 1.0, forced=True)
    traffic = Workload((a, b, c))
    both = traffic.slice((0, 1))
    assert (both.n_types, both.requests_per_month, both.api_usd_per_month) == (2, 11, 18)
    assert (both.fresh_input_tokens, both.cache_read_tokens, both.output_tokens) == (300, 20, 8)
    assert both.total_tokens == 328
    assert traffic.whole.total_tokens == 331
    assert (traffic.movable, traffic.forced) == ((0, 2), (2,))


def test_one_type_without_a_rhythm_leaves_the_slice_without_one():
    flat = np.ones(168)
    known = QueryType("a", 1, 1.0, 0.0, 1.0, 1.0, flat, flat)
    unknown = QueryType("b", 1, 1.0, 0.0, 1.0, 1.0)
    traffic = Workload((known, unknown))
    assert traffic.slice((0,)).has_rhythm
    assert not traffic.whole.has_rhythm
    assert not traffic.slice(()).has_rhythm


def test_the_peak_hour_is_that_of_the_work_and_hours_not_seen_are_left_out():
    inputs, outputs = np.full(168, 100.0), np.full(168, 10.0)
    inputs[3], outputs[3] = 400.0, 10.0  # a burst of reading
    outputs[5] = 30.0  # a burst of writing
    inputs[160:] = outputs[160:] = np.nan
    slice_ = Workload((QueryType("a", 1, 1.0, 0.0, 1.0, 1.0, inputs, outputs),)).whole
    # reading counts nothing: 30 against (159 x 10 + 30) / 160
    assert slice_.hourly_peak_to_mean(np.array(0.0)) == pytest.approx(30 / (1620 / 160))
    # reading counts as much as writing: 410 against (158 x 110 + 410 + 130) / 160
    assert slice_.hourly_peak_to_mean(np.array(1.0)) == pytest.approx(410 / (17_920 / 160))


def test_a_type_that_writes_nothing_has_the_rhythm_of_what_it_reads():
    reads, nothing = np.ones(168), np.zeros(168)
    reads[9] = 3.0
    embedding = QueryType("embedding", 1, 1.0, 0.0, 0.0, 1.0, reads, nothing)
    peak = Workload((embedding,)).whole.hourly_peak_to_mean(np.array(0.01))
    assert peak == pytest.approx(3 / (170 / 168))


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("instant", [0.0, 0.3, 1.0, 2.5, 3.999, 4.0, 99.0])
def test_the_share_of_each_month_after_an_instant(instant):
    expected = [min(max(month + 1 - instant, 0.0), 1.0) for month in range(4)]
    assert elapsed(np.array(instant), calendar(4, 0)).tolist() == pytest.approx(expected)
    many = elapsed(np.array([instant, 1.5]), calendar(4, 1))
    assert many[:, 0].tolist() == pytest.approx(expected)
    assert many[:, 1].tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0])


def test_what_wears_out_twice_is_bought_three_times():
    owned = np.array([4.0, 4.0, 5.0, 5.0, 5.0])
    assert purchases(owned, 2).n_bought_gpus.tolist() == [4.0, 0.0, 5.0, 0.0, 5.0]


def test_payback_is_counted_from_the_last_time_the_saving_was_under_water():
    assert payback_month(np.array([-10.0, 20.0, -15.0, 10.0])) == pytest.approx(3.5)
    assert payback_month(np.array([5.0, 5.0])) == 0.0
    assert payback_month(np.array([-5.0, 5.0])) is None


def test_a_line_of_an_unknown_category_is_refused():
    with pytest.raises(ValueError, match="cost line lunch: unknown category catering"):
        Line("lunch", "catering", np.ones(()), np.ones(3))


# --- what is owed ---------------------------------------------------------------------------------


def test_a_term_that_outlasts_the_horizon_is_still_owed():
    # term of 3: after month 4 two months are owed, both beyond the horizon
    assert owed_on_term_usd(np.full(4, 10.0), 3).tolist() == [20.0, 10.0, 0.0, 20.0]


def test_reserved_gpus_are_owed_to_the_end_of_their_term(world):
    place = world(
        gpu_usd_per_gpu_hour=1,
        reserved_frac=0.5,
        reserved_term_months=3,
        settings=Settings(6),
    )
    owed = commitments_usd(place.case, place.lines(RENTED))
    assert owed.tolist() == pytest.approx([720, 360, 0, 720, 360, 0])


def test_a_yearly_minimum_is_owed_until_spend_has_drawn_it_down(world):
    place = world(api_commitment_usd_per_year=2500, settings=Settings(14))
    owed = commitments_usd(place.case, place.lines(API))  # 1,000 a month is spent
    assert owed.tolist() == pytest.approx([1500, 500, *[0] * 10, 1500, 500])
    moved = commitments_usd(place.case, place.lines(MANAGED))  # nothing is, once all has moved
    assert moved.tolist() == pytest.approx([*[2500] * 11, 0, 2500, 2500])


def test_committed_throughput_is_owed_for_its_term(world):
    settings = Settings(4, commitment=Commitment(1.0, 600.0, 60.0, 2))
    place = world(settings=settings)
    owed = commitments_usd(place.case, place.lines(COMMITTED))
    assert owed.tolist() == pytest.approx([720, 0, 720, 0])
    by_the_hour = world(settings=Settings(4, commitment=Commitment(1.0, 600.0, 60.0, 0)))
    assert not commitments_usd(by_the_hour.case, by_the_hour.lines(COMMITTED)).any()


def test_giving_up_writes_off_hardware_above_its_resale_and_costs_the_way_back(world):
    place = world(
        gpu_purchase_usd_per_gpu=1000,
        residual_value_frac=0.25,
        fte_usd_per_year=52_000,
        exit_engineer_weeks=3,
        deployment_months=1,
        go_live_frac=1,
        settings=Settings(3),
    )
    lost = cancellation_usd(place.case, OWNED, place.lines(OWNED))
    above_resale = [1000 * ((1 - age / 48) - 0.25 ** (age / 36)) for age in (1, 2, 3)]
    way_back = [0, 3000, 3000]  # from go-live on
    expected = [max(a, 0) + b for a, b in zip(above_resale, way_back, strict=True)]
    assert lost.tolist() == pytest.approx(expected)
    lost = cancellation_usd(place.case, RENTED, place.lines(RENTED))
    assert lost.tolist() == pytest.approx([0, 3000, 3000])
    assert not cancellation_usd(place.case, API, place.lines(API)).any()


def test_committed_throughput_without_an_offer_raises(world):
    with pytest.raises(ValueError, match="no committed throughput is configured"):
        world().lines(COMMITTED)


# --- what falls short -----------------------------------------------------------------------------


def committed_usd(world, sizing=None, **values):
    settings = Settings(1, sizing or Sizing(), commitment=Commitment(1.0, 600.0, 60.0, 0))
    return world(settings=settings, **values).table(COMMITTED)["committed throughput"]


def test_tokens_behind_a_stated_spend_are_served_by_committed_units_too(world):
    assert committed_usd(world, tokens_behind_spend_ratio=2) == pytest.approx([1440])


def test_retries_take_committed_units_too(world):
    assert committed_usd(world, api_overhead_frac=1) == pytest.approx([1440])


def test_a_stated_utilisation_replaces_the_peak_of_committed_units_too(world):
    sizing = Sizing(whole_replicas=False, utilization_frac=0.25)
    assert committed_usd(world, sizing, peak_to_mean_ratio=9) == pytest.approx([4 * 720])


def test_committed_units_may_be_fewer_from_a_renewal_on(world):
    settings = Settings(4, commitment=Commitment(1.0, 600.0, 60.0, 2))
    place = world(
        demand_multiplier_ratio=4, traffic_halves_event=1, traffic_event_month=2, settings=settings
    )
    units = np.array(place.table(COMMITTED)["committed throughput"]) / 720
    assert units.tolist() == pytest.approx([4, 4, 2, 2])


def test_a_yearly_minimum_is_owed_beside_committed_throughput(world):
    # 8,640 of committed throughput in a year: at best it counts towards the 20,000 promised
    settings = Settings(12, commitment=Commitment(1.0, 600.0, 60.0, 0))
    table = world(api_commitment_usd_per_year=20_000, settings=settings).table(COMMITTED)
    assert sum(map(sum, table.values())) >= 20_000


def test_giving_up_loses_only_hardware_that_still_stands(world):
    place = world(gpu_purchase_usd_per_gpu=1000, depreciation_years=0.5, settings=Settings(12))
    lost = cancellation_usd(place.case, OWNED, place.lines(OWNED))
    once = [1000 * (1 - age / 6) for age in range(1, 7)]
    assert lost.tolist() == pytest.approx(once * 2)  # bought again after half a year
