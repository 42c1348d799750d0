"""Money as words, and where words and cells go."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.charts.placing import cell_edges, is_geometric, nice_step, spread
from weighbridge.units.money import MINUS, Money, percent, short_number

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("amount_usd", "text"),
    [
        (0, "$0"),
        (0.0123, "$0.0123"),
        (7.362, "$7.36"),
        (99.999, "$100"),
        (640, "$640"),
        (999.6, "$1.00k"),
        (12_345, "$12.3k"),
        (999_960, "$1.00M"),
        (1_999_500, "$2.00M"),
        (2.5e9, "$2.50B"),
        (-1_100, f"{MINUS}$1.10k"),
    ],
)
def test_money_keeps_three_digits_at_every_size(amount_usd, text):
    assert Money().short(amount_usd) == text


def test_money_is_shown_in_the_reporting_currency_at_its_rate():
    assert Money("EUR", 0.92).short(1000) == "€920"
    assert Money("CHF", 0.9).short(1_000_000) == f"CHF{NBSP}900k"


def test_a_missing_amount_is_a_dash_and_never_zero():
    assert Money().short(None) == Money().short(float("nan")) == "\N{EN DASH}"


def test_a_percentage_never_rounds_to_a_false_certainty():
    assert percent(0.9996) == f">{NBSP}99{NBSP}%"
    assert percent(0.0004) == f"<{NBSP}1{NBSP}%"
    assert percent(1.0) == f"100{NBSP}%"


@given(st.floats(1e-3, 1e12))
def test_a_short_number_stays_within_half_a_percent_of_the_number(value):
    text = short_number(value)
    scale = {"k": 1e3, "M": 1e6, "B": 1e9}.get(text[-1], 1.0)
    assert math.isclose(float(text.rstrip("kMB")) * scale, value, rel_tol=0.0051)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.floats(0.1, 1e5))
def test_spread_labels_keep_their_order_their_mean_and_their_distance(positions, gap):
    placed = spread(positions, gap)
    order = sorted(range(len(positions)), key=lambda index: (positions[index], placed[index]))
    steps = np.diff([placed[index] for index in order])
    assert (steps >= gap * (1 - 1e-6)).all()
    assert math.isclose(np.mean(placed), np.mean(positions), abs_tol=1e-3)


def test_labels_that_do_not_touch_stay_where_they_are():
    assert spread([3.0, 1.0, 9.0], 1.5) == [3.0, 1.0, 9.0]


def test_cells_of_a_geometric_grid_have_geometric_edges():
    grid = np.geomspace(1e3, 1e6, 7)
    edges = cell_edges(grid)
    assert is_geometric(grid)
    assert np.allclose(np.sqrt(edges[1:] * edges[:-1]), grid)


def test_a_grid_of_one_point_still_has_a_cell():
    assert cell_edges(np.array([4.0])).tolist() == [2.0, 6.0]


@given(st.floats(1e-6, 1e12))
def test_a_nice_step_covers_its_span_and_is_not_much_more(span):
    assert span * (1 - 1e-6) <= nice_step(span) <= 2.0001 * span * 1.25
