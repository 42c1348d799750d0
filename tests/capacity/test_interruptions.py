"""Spot: interruptions come at their rate, and what repairs them is enough."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from weighbridge.capacity.interruptions import (
    NOT_MODELLED,
    SpotTerms,
    down_probability,
    losses,
    n_down_at_once,
    n_down_replicas,
    spot,
    spot_range,
)
from weighbridge.capacity.sizing import needed_replicas
from weighbridge.capacity.traffic import Requests

MONTH_S = 730 * 3600.0


def test_interruptions_come_at_their_rate_and_never_overlap_on_one_replica(made) -> None:
    stretch = Requests(np.array([0.0, 3 * MONTH_S]), np.ones(2, np.int64), np.ones(2, np.int64))
    drawn = losses(made.case(stretch), 400, SpotTerms(5.0, 3600.0), 7)
    assert len(drawn) / (400 * 3) == pytest.approx(5.0, rel=0.06)
    by_replica: dict[int, list[tuple[float, float]]] = {}
    for loss in drawn:
        by_replica.setdefault(loss.replica, []).append((loss.from_s, loss.to_s))
    for times in by_replica.values():
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(times))


def test_the_share_of_time_down_is_that_of_the_drawn_interruptions(made) -> None:
    stretch = Requests(np.array([0.0, 6 * MONTH_S]), np.ones(2, np.int64), np.ones(2, np.int64))
    terms = SpotTerms(20.0, 4 * 3600.0)
    drawn = losses(made.case(stretch), 300, terms, 1)
    down_s = sum(min(loss.to_s, 6 * MONTH_S) - loss.from_s for loss in drawn)
    assert down_s / (300 * 6 * MONTH_S) == pytest.approx(down_probability(terms), rel=0.03)


def test_a_further_replica_changes_no_interruption_of_the_others(made) -> None:
    stretch = Requests(np.array([0.0, MONTH_S]), np.ones(2, np.int64), np.ones(2, np.int64))
    case, terms = made.case(stretch), SpotTerms(5.0, 3600.0)
    few, many = losses(case, 3, terms, 0), losses(case, 9, terms, 0)
    assert set(few) <= set(many)
    assert losses(case, 3, terms, 0) == few
    assert losses(case, 3, terms, 1) != few


def test_frequent_interruptions_take_more_replicas_and_none_take_none(made) -> None:
    case = made.case(made.requests(3000, 25.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    calm = spot(case, sought, needed.n_replicas, SpotTerms(0.0, 600.0), 0)
    rough = spot(case, sought, needed.n_replicas, SpotTerms(2000.0, 200.0), 0)
    assert (calm.n_interruptions, calm.n_extra_replicas, calm.n_down_replicas) == (0, 0, 0)
    assert calm.slo_met
    assert rough.n_extra_replicas >= 1
    assert rough.repaired.slo_met


def test_all_replicas_of_a_machine_are_lost_together(made) -> None:
    stretch = Requests(np.array([0.0, 3 * MONTH_S]), np.ones(2, np.int64), np.ones(2, np.int64))
    drawn = losses(made.case(stretch), 8, SpotTerms(5.0, 3600.0, 3), 7)
    times = [{(x.from_s, x.to_s) for x in drawn if x.replica == r} for r in range(8)]
    assert times[0] == times[1] == times[2] != set()
    assert times[3] == times[4] == times[5] != times[0]
    assert times[6] == times[7] != times[3]
    few = losses(made.case(stretch), 7, SpotTerms(5.0, 3600.0, 3), 7)
    assert set(few) == {x for x in drawn if x.replica < 7}


def test_a_stretch_begins_with_as_many_down_as_it_goes_on_with(made) -> None:
    """Shorter than a restart, a stretch that began with all up would see hardly any loss."""
    terms = SpotTerms(20.0, 12 * 3600.0)
    length_s = 600.0
    stretch = Requests(np.array([0.0, length_s]), np.ones(2, np.int64), np.ones(2, np.int64))
    n = 6000
    drawn = losses(made.case(stretch), n, terms, 3)
    down_s = sum(min(x.to_s, length_s) - min(x.from_s, length_s) for x in drawn)
    expected = down_probability(terms)
    assert expected > 0.2
    assert down_s / (n * length_s) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(("n", "down"), [(5, 0.1), (12, 0.03), (40, 0.01)])
def test_the_number_down_at_once_is_the_least_that_leaves_one_moment_in_a_hundred(n, down) -> None:
    rng = np.random.default_rng(n)
    drawn = rng.binomial(n, down, 200_000)
    k = n_down_at_once(n, down)
    assert (drawn <= k).mean() >= 0.989
    assert (drawn <= k - 1).mean() < 0.99


def test_one_interruption_takes_a_machine_with_all_its_replicas(made) -> None:
    """Three replicas in one machine: what repairs them stands on another machine."""
    case = made.case(made.requests(1200, 25.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    n = needed.n_replicas
    assert n >= 2
    # Down 2 % of the time: more than 1 % for one machine, so that it is provided for.
    terms = SpotTerms(2.0, 0.01 * MONTH_S)
    apart = spot(case, sought, n, terms, 0)
    together = spot(case, sought, n, replace(terms, n_per_machine_replicas=n), 0)
    assert apart.n_down_replicas == n_down_replicas(n + apart.n_extra_replicas, 2 / 102)
    assert together.n_down_replicas >= n
    assert together.n_extra_replicas >= n > apart.n_extra_replicas
    assert together.is_repaired


def test_replicas_that_are_added_may_be_down_too(made) -> None:
    case = made.case(made.requests(1200, 25.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    terms = SpotTerms(100.0, 0.002 * MONTH_S)
    found = spot(case, sought, needed.n_replicas, terms, 1)
    n = needed.n_replicas + found.n_extra_replicas
    assert found.n_down_replicas == n_down_at_once(n, found.down_probability)
    assert found.n_down_replicas > n_down_at_once(needed.n_replicas, found.down_probability)


def test_a_fleet_that_nothing_repairs_says_so(made) -> None:
    case = made.case(made.requests(150, 25.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    found = spot(case, sought, needed.n_replicas, SpotTerms(1e6, 1e9), 0)
    assert not found.is_repaired


def test_the_rough_rate_stands_beside_the_central_one(made) -> None:
    case = made.case(made.requests(1200, 25.0), headroom_frac=0.0, n_spare_replicas=0)
    needed, sought = needed_replicas(case)
    rates = SpotTerms(0.2, 10_800.0, 2), SpotTerms(30.0, 10_800.0, 2)
    both = spot_range(case, sought, needed.n_replicas, rates, 0)
    assert (both.central.terms, both.rough.terms) == rates
    assert both.central == spot(case, sought, needed.n_replicas, rates[0], 0)
    assert both.rough.n_extra_replicas > both.central.n_extra_replicas
    assert "independently" in NOT_MODELLED
