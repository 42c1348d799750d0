"""The table built by simulation: its rows are searches, its error the step time's."""

import numpy as np
import pytest

from weighbridge.capacity.sizing import Needed, needed_replicas
from weighbridge.capacity.stretch import multiplied
from weighbridge.capacity.table_building import capacity_table, demand_grid
from weighbridge.units import InputError


@pytest.fixture(scope="module")
def table(made):
    case = made.case(made.requests(800, 15.0), certain=False)
    return capacity_table(case, 2, (0.25, 1.0, 3.0))


def test_each_row_is_what_a_search_of_that_traffic_gives(made, table) -> None:
    for row, ratio in enumerate(table.demand_ratio.tolist()):
        requests = multiplied(made.requests(800, 15.0), ratio)
        found, _ = needed_replicas(made.case(requests))
        assert isinstance(found, Needed)
        assert table.n_replicas_mid[row] == found.n_replicas


def test_bounds_surround_the_middle_and_rise_with_demand(table) -> None:
    assert (table.n_replicas_low <= table.n_replicas_mid).all()
    assert (table.n_replicas_mid <= table.n_replicas_high).all()
    assert table.n_replicas_low[-1] < table.n_replicas_high[-1]
    for n in (table.n_replicas_low, table.n_replicas_mid, table.n_replicas_high):
        assert (np.diff(n) >= 0).all()


def test_a_table_tells_of_the_stretch_it_was_made_from(made, table) -> None:
    requests = made.requests(800, 15.0)
    assert table.mean_requests_per_s == pytest.approx(800 / requests.duration_s)
    tokens = requests.input_tokens.sum() / requests.duration_s
    assert table.mean_input_tokens_per_s == pytest.approx(tokens)
    assert table.n_gpus_per_replica == 2
    assert (table.utilization_frac > 0).all()
    assert (table.utilization_frac <= 1).all()
    assert "held to ttft_p95=1s,tpot_p95=50ms" in table.why[0]


def test_without_error_the_three_columns_are_one(made) -> None:
    table = capacity_table(made.case(made.requests(300, 15.0)), 1, (0.5, 1.0))
    assert table.n_replicas_low.tolist() == table.n_replicas_high.tolist()


def test_a_slow_end_that_misses_the_target_is_counted_by_its_work_and_told(made) -> None:
    """Alone on the expected engine a token takes 12 ms, on the slow one 17."""
    case = made.case(made.requests(400, 15.0), "tpot_p95=16ms", certain=False)
    table = capacity_table(case, 1, (0.5, 1.0))
    assert any("slow end" in line for line in table.why)
    assert (table.n_replicas_high >= table.n_replicas_mid).all()


def test_a_target_that_nothing_meets_is_an_error_that_says_what_binds(made) -> None:
    case = made.case(made.requests(100), "tpot_p95=1ms")
    with pytest.raises(InputError, match=r"cannot be met at any size.*decode bandwidth binds"):
        capacity_table(case, 1, (0.5, 1.0))


def test_progress_rises_to_one(made) -> None:
    told = []
    case = made.case(made.requests(200), certain=False)
    capacity_table(case, 1, (0.5, 1.0), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) == 6


def test_the_grid_runs_from_a_twentieth_to_twenty_times_with_today_in_it() -> None:
    grid = demand_grid()
    assert (grid[0], grid[-1]) == (0.05, 20.0)
    assert 1.0 in grid
    assert (np.diff(grid) > 0).all()
