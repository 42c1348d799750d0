"""Drawing of inputs: quasi-random points, seeds, correlations."""

import numpy as np
import pytest
from scipy.stats import norm

from weighbridge.economics.distributions import Banded, Event, Fixed, Uniform
from weighbridge.economics.inputs import Beliefs, Inputs, quasi_random

BAND = Banded(-1.0, 0.0, 1.0)


def drawn(beliefs, n_draws, rng):
    u = quasi_random(len(beliefs.uncertain), n_draws, rng)
    return beliefs.from_probabilities(beliefs.correlated(u))


@pytest.mark.parametrize("n_draws", [1, 2, 3, 100, 1000, 4096])
def test_points_lie_strictly_between_0_and_1(n_draws, rng):
    u = quasi_random(7, n_draws, rng)
    assert u.shape == (7, n_draws)
    assert np.all((u > 0) & (u < 1))
    assert np.all(np.isfinite(norm.ppf(u)))


def test_points_are_the_same_for_a_seed_and_different_for_another():
    one, same, other = (quasi_random(3, 64, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_points_are_spread_more_evenly_than_chance_would(rng):
    u = quasi_random(5, 1024, rng)
    for row in u:  # one point in each of 1,024 cells
        assert len(set((row * 1024).astype(int))) == 1024


def test_no_uncertain_input_needs_no_points(rng):
    assert quasi_random(0, 10, rng).shape == (0, 10)


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.5, 0.95])
def test_correlation_of_normal_inputs_is_the_one_stated(rho, rng):
    beliefs = Beliefs({"a": BAND, "x": BAND, "b": BAND}, {("a", "b"): rho})
    inputs = drawn(beliefs, 2**14, rng)
    assert np.corrcoef(inputs["a"], inputs["b"])[0, 1] == pytest.approx(rho, abs=0.01)
    assert np.corrcoef(inputs["a"], inputs["x"])[0, 1] == pytest.approx(0.0, abs=0.01)


def test_correlation_leaves_each_inputs_own_distribution_alone(rng):
    beliefs = Beliefs(
        {"a": Banded(1.0, 3.0, 4.0), "b": Uniform(0.0, 10.0), "e": Event(0.2)},
        {("a", "b"): 0.8, ("a", "e"): 0.5},
    )
    inputs = drawn(beliefs, 2**14, rng)
    assert np.quantile(inputs["a"], [0.1, 0.5, 0.9]) == pytest.approx([1, 3, 4], abs=0.02)
    assert np.quantile(inputs["b"], [0.1, 0.5, 0.9]) == pytest.approx([1, 5, 9], abs=0.05)
    assert inputs["e"].mean() == pytest.approx(0.2, abs=0.005)
    ranks = [np.argsort(np.argsort(inputs[n])) for n in "ab"]
    # rank correlation of a Gaussian copula: 6 / pi x asin(rho / 2)
    expected = 6 / np.pi * np.arcsin(0.4)
    assert np.corrcoef(*ranks)[0, 1] == pytest.approx(expected, abs=0.01)
    assert inputs["a"][inputs["e"] == 1].mean() > inputs["a"][inputs["e"] == 0].mean()


def test_correlation_with_a_certain_input_changes_nothing(rng):
    plain = Beliefs({"a": BAND, "b": Fixed(2.0)})
    paired = Beliefs({"a": BAND, "b": Fixed(2.0)}, {("a", "b"): 0.7})
    u = quasi_random(1, 32, rng)
    assert np.array_equal(plain.correlated(u), paired.correlated(u))


def test_correlations_that_contradict_each_other_raise(rng):
    pairs = {("a", "b"): 0.9, ("b", "c"): 0.9, ("a", "c"): -0.9}
    beliefs = Beliefs(dict.fromkeys("abc", BAND), pairs)
    with pytest.raises(ValueError, match="correlations of a, b, c contradict each other"):
        drawn(beliefs, 4, rng)


def test_central_case_is_every_median_and_events_happen_where_likelier_than_not():
    central = Beliefs({"a": Banded(1.0, 3.0, 4.0), "e": Event(0.49), "f": Event(0.51)}).central()
    assert {name: float(x) for name, x in central.items()} == pytest.approx(
        {"a": 3.0, "e": 0.0, "f": 1.0}
    )


def test_certain_inputs_are_kept_as_one_number_for_all_draws(rng):
    inputs = drawn(Beliefs({"a": BAND, "b": Fixed(2.0)}), 16, rng)
    assert inputs["a"].shape == (16,)
    assert inputs["b"].shape == (1,)


def test_a_number_for_all_draws_that_varies_raises():
    assert Inputs({"h": np.array([3.0, 3.0])}).fixed("h") == 3.0
    with pytest.raises(ValueError, match="h must be one number, not a distribution"):
        Inputs({"h": np.array([3.0, 4.0])}).fixed("h")


def test_replacing_an_input_leaves_the_original_alone():
    inputs = Inputs({"a": np.array(1.0)})
    assert float(inputs.replaced(a=2)["a"]) == 2.0
    assert float(inputs["a"]) == 1.0
