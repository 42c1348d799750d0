"""Laws of gaps have the mean, spread and first wait that theory gives them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from weighbridge.capacity.arrivals_gaps import FAMILIES, Family, GapLaw, fit_gaps, gap_law_of
from weighbridge.units import InputError

families = st.sampled_from(FAMILIES)


def in_scipy(law: GapLaw) -> stats.rv_continuous:
    kind = {"gamma": stats.gamma, "weibull": stats.weibull_min}[law.family]
    return kind(law.shape_ratio, scale=1 / kind(law.shape_ratio).mean())


@given(families, st.floats(0.1, 20.0))
def test_a_law_has_the_variation_asked_for(family: Family, cv_ratio: float) -> None:
    law = gap_law_of(family, cv_ratio)
    assert law.cv_ratio == pytest.approx(cv_ratio, rel=1e-9)
    assert in_scipy(law).std() == pytest.approx(cv_ratio, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape_ratio", [0.4, 1.0, 3.0])
def test_gaps_drawn_follow_the_law(family: Family, shape_ratio: float) -> None:
    law = GapLaw(family, shape_ratio)
    gaps = law.draw(np.random.default_rng(1), 20_000)
    assert stats.kstest(gaps, in_scipy(law).cdf).pvalue > 0.01


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape_ratio", [0.5, 1.0, 4.0])
def test_the_first_wait_is_that_of_a_process_long_under_way(
    family: Family, shape_ratio: float
) -> None:
    law = GapLaw(family, shape_ratio)
    rng = np.random.default_rng(2)
    first = np.array([law.first(rng) for _ in range(4000)])
    # Its density is the chance that a gap is longer: integrate that for the distribution.
    grid = np.linspace(0, first.max(), 20_000)
    ahead = np.concatenate(([0.0], np.cumsum((in_scipy(law).sf(grid[1:])) * np.diff(grid))))
    assert stats.kstest(first, lambda x: np.interp(x, grid, ahead)).pvalue > 0.01
    assert first.mean() == pytest.approx((1 + law.cv_ratio**2) / 2, rel=0.15)


@settings(max_examples=20, deadline=None)
@given(families, st.floats(0.25, 5.0), st.integers(0, 10**6))
def test_a_fit_finds_the_shape_again(family: Family, shape_ratio: float, seed: int) -> None:
    gaps = 7.0 * GapLaw(family, shape_ratio).draw(np.random.default_rng(seed), 20_000)
    law = fit_gaps(gaps)
    if abs(math.log(shape_ratio)) > 0.3:  # near 1 both are exponential
        assert law.family == family
        assert law.shape_ratio == pytest.approx(shape_ratio, rel=0.06)


def test_the_likelier_family_is_the_one_scipy_finds_likelier() -> None:
    rng = np.random.default_rng(3)
    for gaps in (rng.lognormal(0, 1, 3000), rng.pareto(3, 3000), rng.gamma(0.6, 1, 3000)):
        shape, _, scale = stats.gamma.fit(gaps, floc=0)
        other, _, wide = stats.weibull_min.fit(gaps, floc=0)
        gamma = stats.gamma.logpdf(gaps, shape, scale=scale).sum()
        weibull = stats.weibull_min.logpdf(gaps, other, scale=wide).sum()
        law = fit_gaps(gaps)
        assert law.family == ("gamma" if gamma >= weibull else "weibull")
        aim = shape if gamma >= weibull else other
        assert law.shape_ratio == pytest.approx(aim, rel=1e-3)


def test_gaps_that_tell_no_law_are_refused() -> None:
    with pytest.raises(InputError, match="49 gaps between arrivals are too few"):
        fit_gaps(np.concatenate((np.ones(49), np.zeros(50))))
    with pytest.raises(InputError, match="one fixed interval"):
        fit_gaps(np.ones(100))
    with pytest.raises(InputError, match="cv_ratio: is 0"):
        gap_law_of("gamma", 0.0)
