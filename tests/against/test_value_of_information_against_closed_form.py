"""Regret and the value of knowing against the unit normal loss integral.

Two options whose costs differ by a normal D ~ N(mean, sd^2): learning D before choosing saves
sd * L(|mean| / sd) on average, with L(k) = phi(k) - k * (1 - Phi(k)); learning one summand of D
saves the same with that summand's own spread (Raiffa and Schlaifer, 1961).
"""

import numpy as np
import pytest
from scipy.stats import norm

from weighbridge.economics.inputs import quasi_random
from weighbridge.economics.risk import (
    cheapest_probability,
    expected_regret_usd,
    value_of_knowing_usd,
)

N_DRAWS = 2**16


def loss(k):
    return norm.pdf(k) - k * (1 - norm.cdf(k))


def linear_costs(mean_usd, spreads_usd, rng):
    """Option 0 costs 1,000, option 1 as much plus a sum of independent normals."""
    u = quasi_random(len(spreads_usd), N_DRAWS, rng)
    difference = mean_usd + np.array(spreads_usd) @ norm.ppf(u)
    return u, 1000.0 + np.stack([np.zeros(N_DRAWS), difference])


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("mean_usd", [-80.0, -10.0, 0.0, 25.0, 120.0])
@pytest.mark.parametrize("spreads_usd", [(60.0, 20.0, 5.0), (1.0, 90.0), (40.0,)])
def test_value_of_knowing_each_input(mean_usd, spreads_usd, rng):
    u, costs = linear_costs(mean_usd, spreads_usd, rng)
    found = value_of_knowing_usd(u, costs)
    expected = [sd * loss(abs(mean_usd) / sd) for sd in spreads_usd]
    # bins blur the choice at the edge by far less than 1 % of the spread
    assert found == pytest.approx(np.array(expected), abs=0.01 * max(spreads_usd))


@pytest.mark.parametrize("mean_usd", [-80.0, -10.0, 0.0, 25.0, 120.0])
def test_regret_of_the_better_option_is_the_value_of_knowing_all(mean_usd, rng):
    spreads = np.array([60.0, 20.0, 5.0])
    _, costs = linear_costs(mean_usd, spreads, rng)
    sd = float(np.sqrt((spreads**2).sum()))
    worth = sd * loss(abs(mean_usd) / sd)
    expected = [worth, worth + abs(mean_usd)] if mean_usd > 0 else [worth + abs(mean_usd), worth]
    assert expected_regret_usd(costs) == pytest.approx(np.array(expected), abs=0.02)


@pytest.mark.parametrize("mean_usd", [-80.0, 0.0, 25.0])
def test_odds_of_being_cheapest(mean_usd, rng):
    _, costs = linear_costs(mean_usd, (60.0, 20.0), rng)
    share = cheapest_probability(costs)
    assert share[1] == pytest.approx(norm.cdf(-mean_usd / np.hypot(60, 20)), abs=1e-3)
    assert share.sum() == pytest.approx(1.0, abs=1e-12)


def test_odds_sum_to_one_over_many_options_and_count_those_that_never_win(rng):
    costs = rng.normal(size=(5, 999))
    costs[3] = 100.0
    share = cheapest_probability(costs)
    assert share.shape == (5,)
    assert share.sum() == pytest.approx(1.0)
    assert share[3] == 0
    winners = [sum(1 for draw in costs.T if min(draw) == draw[k]) / 999 for k in range(5)]
    assert share.tolist() == pytest.approx(winners)


def test_an_input_that_changes_no_choice_is_worth_nothing_to_know(rng):
    u, costs = linear_costs(500.0, (60.0, 20.0), rng)
    assert value_of_knowing_usd(u, costs) == pytest.approx(np.zeros(2), abs=1e-6)


def test_knowing_one_input_is_never_worth_more_than_knowing_all(rng):
    u, costs = linear_costs(10.0, (60.0, 20.0, 30.0), rng)
    assert max(value_of_knowing_usd(u, costs)) <= expected_regret_usd(costs).min() + 1e-9


def test_too_few_draws_for_the_bins_say_so_instead_of_a_number():
    u = np.linspace(0.01, 0.4, 50)[None, :]
    assert np.isnan(value_of_knowing_usd(u, np.zeros((2, 50)))).all()
