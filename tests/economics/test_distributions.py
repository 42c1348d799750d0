"""Distributions hold what was said of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.economics.distributions import (
    Banded,
    Discrete,
    Event,
    Fixed,
    Triangular,
    Uniform,
    quantiles,
)

UNHURRIED = settings(max_examples=50, deadline=None)

size = st.integers(-(10**8), 10**8).map(lambda cents: cents / 100)
U = np.linspace(1e-6, 1 - 1e-6, 2001)
KINDS = [
    Fixed(3.0),
    Banded(1.0, 2.0, 9.0),
    Banded(-5.0, 0.0, 1.0),
    Banded(0.0, 0.0, 1.0, lower=0.0),
    Banded(2.0, 2.0, 2.0),
    Uniform(-1.0, 4.0),
    Triangular(0.0, 0.5, 3.0),
    Triangular(0.0, 0.0, 3.0),
    Triangular(1.0, 1.0, 1.0),
    Discrete((5.0, 1.0, 3.0), (1.0, 2.0, 1.0)),
    Event(0.3),
]


@UNHURRIED
@given(st.tuples(size, size, size).map(sorted))
def test_p10_p50_and_p90_are_met_exactly(three):
    p10, p50, p90 = three
    found = quantiles(Banded(p10, p50, p90), (0.1, 0.5, 0.9))
    assert found == pytest.approx((p10, p50, p90), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("distribution", KINDS, ids=repr)
def test_values_never_fall_as_the_probability_rises(distribution):
    values = distribution.quantile(U)
    assert values.shape == U.shape
    assert np.all(np.diff(values) >= 0)


@pytest.mark.parametrize("distribution", KINDS, ids=repr)
def test_certain_means_that_every_draw_is_the_same(distribution):
    assert distribution.is_certain == bool(np.ptp(distribution.quantile(U)) == 0)


@UNHURRIED
@given(st.tuples(size, size, size).map(sorted), size, size)
def test_bounds_of_the_meaning_are_kept(three, one, other):
    lower, upper = min(one, other), max(one, other)
    values = Banded(*three, lower, upper).quantile(U)
    assert np.all((lower <= values) & (values <= upper))


def test_a_band_above_zero_stays_above_zero_and_has_a_long_upper_tail():
    values = Banded(1.0, 10.0, 100.0).quantile(U)
    assert values.min() > 0
    # normal in logarithms: the P99 of log10 is 2.326 / 1.2816 = 1.8153 above its median
    assert Banded(1.0, 10.0, 100.0).quantile(np.array(0.99)) == pytest.approx(
        10 ** (1 + 1.8153), 1e-3
    )


def test_a_band_through_zero_is_normal_on_either_side():
    # P99 of the upper half: 2 x 2.3263 / 1.2816
    assert Banded(-1.0, 0.0, 2.0).quantile(np.array(0.99)) == pytest.approx(3.6305, abs=1e-4)


def test_uniform_and_triangular_quantiles_by_hand():
    assert quantiles(Uniform(2.0, 6.0), (0.25, 0.5)) == pytest.approx((3.0, 4.0))
    # area left of the mode 1 of (0, 1, 4) is 1/4; at u = 1/4 the mode, at 1/16 half of it
    found = quantiles(Triangular(0.0, 1.0, 4.0), (1 / 16, 1 / 4, 1 - 3 / 16))
    assert found == pytest.approx((0.5, 1.0, 2.5))


def test_discrete_values_come_as_often_as_their_weights_say():
    u = (np.arange(1000) + 0.5) / 1000
    values = Discrete((5.0, 1.0, 3.0), (1.0, 2.0, 5.0)).quantile(u)
    counts = {value: int((values == value).sum()) for value in (1.0, 3.0, 5.0)}
    assert counts == {1.0: 250, 3.0: 625, 5.0: 125}


def test_the_highest_probability_still_picks_a_value():
    assert Discrete((1.0, 2.0), (0.1, 0.2)).quantile(np.array([1.0])).tolist() == [2.0]


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.3, 0.75, 1.0])
def test_an_event_happens_as_often_as_its_probability(probability):
    u = (np.arange(1000) + 0.5) / 1000
    assert Event(probability).quantile(u).mean() == pytest.approx(probability)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Banded(1.0, 0.0, 2.0), "P10 1.0, P50 0.0, P90 2.0 are not in order"),
        (lambda: Banded(float("nan"), 1.0, 2.0), "P10 nan, P50 1.0, P90 2.0 are not in order"),
        (lambda: Uniform(2.0, 1.0), "low 2.0 and high 1.0 are not in order"),
        (lambda: Triangular(0.0, 3.0, 2.0), "low 0.0, mode 3.0, high 2.0 are not in order"),
        (lambda: Discrete((), ()), "values and weights must be equally many, and at least one"),
        (lambda: Discrete((1.0,), (1.0, 2.0)), "values and weights must be equally many"),
        (lambda: Discrete((1.0, 2.0), (1.0, -1.0)), "weights must be finite, not negative"),
        (lambda: Discrete((1.0,), (0.0,)), "one above zero"),
        (lambda: Event(1.5), "probability 1.5 is not between 0 and 1"),
        (lambda: Event(float("nan")), "probability nan is not between 0 and 1"),
    ],
)
def test_what_contradicts_itself_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="weights"):
        Discrete((1.0, 2.0), (float("nan"), 1.0))


def test_a_uniform_bound_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="low"):
        Uniform(float("nan"), 1.0)
