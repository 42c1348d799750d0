"""Present value against numpy-financial, an independent library."""

import numpy as np
import numpy_financial
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.economics.cashflow import discount_factors, npv_usd

UNHURRIED = settings(max_examples=50, deadline=None)

usd = st.floats(-1e7, 1e7, allow_nan=False, width=32)
rates = st.floats(-0.9, 3.0)


@UNHURRIED
@given(st.lists(usd, min_size=1, max_size=120), rates)
def test_present_value_at_the_monthly_equivalent_of_a_yearly_rate(cash, rate_frac_per_year):
    monthly = (1 + rate_frac_per_year) ** (1 / 12) - 1
    expected = numpy_financial.npv(monthly, cash)
    scale = numpy_financial.npv(monthly, np.abs(cash))
    assert npv_usd(np.array(cash), rate_frac_per_year) == pytest.approx(
        expected, abs=1e-9 * scale + 1e-6
    )


@UNHURRIED
@given(st.lists(st.lists(usd, min_size=6, max_size=6), min_size=1, max_size=5), rates)
def test_many_cash_flows_at_once_give_what_each_gives_alone(rows, rate_frac_per_year):
    together = npv_usd(np.array(rows), rate_frac_per_year)
    alone = [npv_usd(np.array(row), rate_frac_per_year) for row in rows]
    assert together == pytest.approx(np.array(alone), rel=1e-9, abs=1e-6)


def test_a_rate_of_nothing_sums_the_cash():
    assert npv_usd(np.array([1.0, 2.0, 4.0]), 0.0) == 7.0


def test_money_a_year_away_is_worth_a_years_discount():
    assert discount_factors(25, 0.25)[[0, 12, 24]] == pytest.approx([1.0, 0.8, 0.64])
