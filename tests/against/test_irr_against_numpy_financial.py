"""Internal rate of return against numpy-financial, and the cases in which there is none."""

import numpy as np
import numpy_financial
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from weighbridge.economics.cashflow import irr_frac_per_year, npv_usd

UNHURRIED = settings(max_examples=50, deadline=None)


@pytest.mark.parametrize(
    "cash",
    [
        [-100.0, 60.0, 60.0],
        [-1000.0] + [0.0] * 11 + [1100.0],
        [-50_000.0, -20_000.0] + [4000.0] * 34,
        [-50_000.0] + [500.0] * 35,  # loses money: a negative rate
        [100.0, -60.0, -60.0],  # a loan
        [-1.0, 0.0, 0.0, 250.0],
    ],
)
def test_rate_is_the_monthly_rate_of_the_other_library_over_a_year(cash):
    expected = (1 + numpy_financial.irr(cash)) ** 12 - 1
    assert irr_frac_per_year(np.array(cash)) == pytest.approx(expected, rel=1e-6)


@UNHURRIED
@given(
    st.floats(1.0, 1e6),
    st.lists(st.floats(0.0, 1e5), min_size=1, max_size=60),
)
def test_an_outlay_that_pays_back_has_the_rate_of_the_other_library(outlay, returns):
    cash = np.array([-outlay, *returns])
    assume(0.2 < sum(returns) / outlay < 50)
    assume(abs(sum(returns) / outlay - 1) > 1e-3)  # a rate of 0: a test of its own, below
    found = irr_frac_per_year(cash)
    assert found is not None
    monthly = (1 + found) ** (1 / 12) - 1
    worth = numpy_financial.npv(monthly, cash)
    assert abs(worth) <= 1e-6 * numpy_financial.npv(monthly, np.abs(cash))
    assert npv_usd(cash, found) == pytest.approx(worth, abs=1e-5 * outlay)


@pytest.mark.parametrize(
    "cash",
    [
        [0.0, 0.0, 0.0],
        [100.0, 50.0],
        [-100.0, -50.0],
        [-100.0, 300.0, -300.0],  # 1 - 3x + 3x^2 has no real root
    ],
)
def test_no_rate_where_no_rate_makes_it_worth_nothing(cash):
    assert irr_frac_per_year(np.array(cash)) is None


def test_several_rates_mean_nothing_so_none_is_given():
    # worth nothing at 10 % and at 20 % a month: (x - 1/1.1)(x - 1/1.2) with x = 1 / (1 + rate)
    cash = np.array([-1.0, 2.3, -1.32])
    for monthly in (0.1, 0.2):
        assert numpy_financial.npv(monthly, cash) == pytest.approx(0.0, abs=1e-12)
    assert irr_frac_per_year(cash) is None


@pytest.mark.parametrize("cash", [[-100.0, 100.0], [-100.0, 50.0, 50.0], [90.0, -30.0, -60.0]])
def test_money_back_and_nothing_more_is_a_rate_of_zero(cash):
    assert numpy_financial.irr(cash) == pytest.approx(0.0, abs=1e-12)
    assert irr_frac_per_year(np.array(cash)) == pytest.approx(0.0, abs=1e-9)
