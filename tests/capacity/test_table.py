"""The table that a Monte Carlo reads: exact at its rows, monotone, honest beyond them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.capacity.table import BOUND_SCORE, CapacityTable
from weighbridge.units import InputError


def make_table(low: list[float], mid: list[float], high: list[float]) -> CapacityTable:
    demand = 0.5 * 2.0 ** np.arange(len(low))
    return CapacityTable(
        demand_ratio=demand,
        n_replicas_low=np.array(low, float),
        n_replicas_mid=np.array(mid, float),
        n_replicas_high=np.array(high, float),
        utilization_frac=np.linspace(0.2, 0.6, len(low)),
        n_gpus_per_replica=2,
        mean_requests_per_s=1.0,
        mean_input_tokens_per_s=1000.0,
        mean_output_tokens_per_s=200.0,
        prefix_hit_frac=0.0,
        basis="roofline",
    )


@st.composite
def tables(draw: st.DrawFn) -> CapacityTable:
    n = draw(st.integers(2, 8))
    rises = st.lists(st.integers(0, 7), min_size=n, max_size=n)
    low = 1 + np.cumsum(draw(rises))
    mid = low + np.cumsum(draw(rises))
    high = mid + np.cumsum(draw(rises))
    return make_table(low.tolist(), mid.tolist(), high.tolist())


@given(tables())
def test_the_rows_are_given_back_exactly(table: CapacityTable) -> None:
    for score, n in (
        (-BOUND_SCORE, table.n_replicas_low),
        (0.0, table.n_replicas_mid),
        (BOUND_SCORE, table.n_replicas_high),
    ):
        assert table.replicas_at(table.demand_ratio, score).tolist() == n.tolist()


@given(tables(), st.lists(st.floats(0, 100), min_size=2, max_size=20), st.floats(-4, 4))
def test_more_demand_never_takes_fewer_replicas(
    table: CapacityTable, demands: list[float], score: float
) -> None:
    assert (np.diff(table.replicas_at(sorted(demands), score)) >= 0).all()


@given(tables(), st.floats(0, 100), st.lists(st.floats(-4, 4), min_size=2, max_size=20))
def test_a_slower_engine_never_takes_fewer_replicas(
    table: CapacityTable, demand: float, scores: list[float]
) -> None:
    assert (np.diff(table.replicas_at(demand, sorted(scores))) >= 0).all()


def test_draws_of_any_shape_are_looked_up_at_once() -> None:
    table = make_table([1, 2], [2, 4], [4, 8])
    demand = np.linspace(0, 3, 12).reshape(3, 4)
    assert table.replicas_at(demand, np.zeros(4)).shape == (3, 4)
    one_by_one = [[table.replicas_at(d, 0.0).item() for d in row] for row in demand]
    assert table.replicas_at(demand, 0.0).tolist() == one_by_one


def test_beyond_the_table_every_further_multiple_costs_as_much_as_the_last() -> None:
    table = make_table([1, 2], [2, 4], [4, 8])
    assert table.replicas_at([1.0, 10.0], 0.0).tolist() == [4.0, 40.0]
    assert table.is_extrapolated([1.0, 10.0]).tolist() == [False, True]


def test_no_traffic_needs_no_replica_and_a_little_needs_one() -> None:
    table = make_table([1, 2], [2, 4], [4, 8])
    assert table.replicas_at([0.0, 1e-9], 0.0).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("demand", "score"), [(-1.0, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)]
)
def test_a_demand_or_score_that_is_no_number_is_refused(demand: float, score: float) -> None:
    with pytest.raises(InputError):
        make_table([1, 2], [2, 4], [4, 8]).replicas_at(demand, score)


@pytest.mark.parametrize(
    ("low", "mid", "high"),
    [
        ([1, 2], [2, 1], [4, 8]),
        ([3, 3], [2, 4], [4, 8]),
        ([0, 1], [1, 2], [2, 3]),
        ([1], [1], [1]),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    low: list[float], mid: list[float], high: list[float]
) -> None:
    with pytest.raises(InputError):
        make_table(low, mid, high)
