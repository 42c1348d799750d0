"""Shares of a fleet's work."""

import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.distributions import Fixed
from weighbridge.economics.inputs import Beliefs
from weighbridge.economics.options import Option, Settings
from weighbridge.economics.risk import Problem
from weighbridge.economics.workload import QueryType, Workload
from weighbridge.planning.assignment import best_split, cost_of_split_usd, work_shares_frac


def problem(*types):
    values = {name: row.p50 for name, row in load_assumptions().items()}
    values |= {"input_token_work_ratio": 0.1, "prefix_cache_retained_frac": 0.75}
    beliefs = Beliefs({name: Fixed(float(value)) for name, value in values.items()})
    return Problem(Workload(types), beliefs, Settings(12), (Option("api", "api", ()),))


def test_work_is_output_and_weighed_input_with_the_cache_that_is_kept():
    a = QueryType("a", 1, 1000.0, 0.0, 100.0, 1.0)  # 100 + 100 = 200
    b = QueryType("b", 1, 500.0, 2000.0, 500.0, 1.0)  # 0.1 x (500 + 2,000 x 0.25) + 500 = 600
    c = QueryType("c", 1, 0.0, 0.0, 9e9, 1.0)
    shares = work_shares_frac(problem(a, b, c), (0, 1))
    assert shares == pytest.approx({0: 0.25, 1: 0.75})


def test_types_without_work_share_nothing():
    idle = QueryType("idle", 0, 0.0, 0.0, 0.0, 0.0)
    assert work_shares_frac(problem(idle), (0,)) == {0: 0.0}
    assert work_shares_frac(problem(idle), ()) == {}


def test_moving_nothing_costs_what_the_api_costs():
    a = QueryType("a", 1, 1000.0, 0.0, 100.0, 5000.0)
    place = problem(a)
    assert cost_of_split_usd(place, "rented", ()) == cost_of_split_usd(place, "managed", ())
    assert best_split(place, "owned", ()).moved == ()
