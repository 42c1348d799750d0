"""Spot: interruptions come at their rate, and what repairs them is enough."""

import itertools

import numpy as np
import pytest

from weighbridge.capacity.interruptions import SpotTerms, down_probability, losses, spot
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
