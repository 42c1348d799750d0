"""A rate that wanders has the spread and memory told of it, and a fit finds them again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from weighbridge.capacity.arrivals_modulation import (
    RateModulation,
    Wandering,
    _covariances,
    dispersion,
    fit_modulation,
    renewal_dispersion,
)
from weighbridge.units import InputError


def modulation(variance: float, *terms: tuple[float, float]) -> RateModulation:
    times, weights = zip(*terms, strict=True)
    return RateModulation(variance, np.array(times), np.array(weights))


def cox(rate: float, wander: RateModulation, duration_s: float, seed: int) -> np.ndarray:
    """Poisson arrivals in cells of 0.1 s: another way than the synthesis goes."""
    rng = np.random.default_rng(seed)
    cells = Wandering(wander, 0.1, rng).next_cells(int(duration_s * 10))
    counts = rng.poisson(rate * 0.1 * cells)
    at = np.repeat(np.arange(len(counts)), counts) + rng.random(counts.sum())
    return np.sort(at) * 0.1


@pytest.mark.parametrize("variance", [0.04, 0.7, 5.0])
def test_the_multiplier_is_gamma_of_mean_one(variance: float) -> None:
    wander = modulation(variance, (2.0, 0.6), (0.5, 0.4))
    drawn = Wandering(wander, 10.0, np.random.default_rng(4)).next_cells(20_000)
    law = stats.gamma(1 / variance, scale=variance)
    assert stats.kstest(drawn, law.cdf).pvalue > 0.01
    assert drawn.mean() == pytest.approx(1.0, abs=4 * math.sqrt(variance / 20_000))
    assert wander.cv_ratio == pytest.approx(law.std())


def test_its_score_forgets_by_e_in_the_correlation_time_across_pieces_too() -> None:
    wandering = Wandering(modulation(0.5, (5.0, 1.0)), 1.0, np.random.default_rng(5))
    drawn = np.concatenate([wandering.next_cells(7) for _ in range(20_000)])
    scores = stats.norm.ppf(stats.gamma(2.0, scale=0.5).cdf(drawn))
    for lag in (1, 5, 10):
        found = np.corrcoef(scores[:-lag], scores[lag:])[0, 1]
        assert found == pytest.approx(math.exp(-lag / 5.0), abs=0.03)


@pytest.mark.parametrize("variance", [0.1, 2.0, 6.0])
def test_covariances_of_multipliers_are_those_of_drawn_pairs(variance: float) -> None:
    rng = np.random.default_rng(10)
    law = stats.gamma(1 / variance, scale=variance)
    z, other = rng.standard_normal((2, 200_000))
    for at, rho in ((100, 0.5), (180, 0.9)):
        pair = law.ppf(stats.norm.cdf(np.stack([z, rho * z + math.sqrt(1 - rho**2) * other])))
        drawn = np.cov(pair)[0, 1]
        assert _covariances(variance)[at] == pytest.approx(drawn, rel=0.1)


def test_counts_of_poisson_traffic_disperse_as_much_as_their_mean() -> None:
    at_s = np.sort(np.random.default_rng(6).random(50_000)) * 5_000
    for window_s in (0.5, 5.0, 20.0):
        assert dispersion(at_s, window_s, 5_000.0) == pytest.approx(1.0, abs=0.2)


def test_poisson_traffic_is_fitted_no_wandering() -> None:
    at_s = np.sort(np.random.default_rng(7).random(40_000)) * 8_000
    fit = fit_modulation(at_s, 8_000.0, math.inf)
    assert fit is not None
    assert fit[0] == pytest.approx(1.0, abs=0.05)
    assert fit[1].cv_ratio < 0.15


@settings(max_examples=4, deadline=None)
@given(st.floats(3.0, 30.0), st.floats(0.1, 0.6), st.integers(0, 10**6))
def test_a_fit_finds_wandering_again(time_s: float, variance: float, seed: int) -> None:
    wander = modulation(variance, (time_s, 1.0))
    fit = fit_modulation(cox(20.0, wander, 20_000.0, seed), 20_000.0, math.inf)
    assert fit is not None
    own_cv_ratio, found = fit
    assert own_cv_ratio == pytest.approx(1.0, abs=0.25)
    assert found.cv_ratio == pytest.approx(wander.cv_ratio, rel=0.25)
    for lag_s in (time_s, 3 * time_s):
        kept = found.weight_ratio @ np.exp(-lag_s / found.correlation_s)
        assert kept == pytest.approx(math.exp(-lag_s / time_s), abs=0.25)


def test_a_stretch_too_short_for_any_wandering_is_fitted_none() -> None:
    assert fit_modulation(np.linspace(0, 2, 50), 2.0, math.inf) is None


@pytest.mark.parametrize("cv_ratio", [0.5, 2.0])
def test_a_renewal_process_disperses_as_drawn_ones_do(cv_ratio: float) -> None:
    gaps = np.random.default_rng(8).gamma(cv_ratio**-2, cv_ratio**2, 400_000)
    at_s = np.cumsum(gaps)
    windows = np.array([0.3, 2.0, 20.0, 300.0])
    drawn = [dispersion(at_s, w, at_s[-1]) for w in windows]
    assert renewal_dispersion(cv_ratio, windows) == pytest.approx(drawn, rel=0.1)


@pytest.mark.parametrize("cv_ratio", [0.6, 1.5, 2.5])
def test_bursts_of_the_gaps_are_not_taken_for_wandering(cv_ratio: float) -> None:
    gaps = np.random.default_rng(9).gamma(cv_ratio**-2, cv_ratio**2, 40_000)
    fit = fit_modulation(np.cumsum(gaps), float(gaps.sum()), math.inf, cv_ratio)
    assert fit is not None
    assert fit[0] == pytest.approx(cv_ratio, rel=0.1)
    assert fit[1].cv_ratio < 0.3 * cv_ratio


def test_windows_that_do_not_fit_twice_are_refused() -> None:
    with pytest.raises(InputError, match="hold fewer than two windows of 60 s"):
        dispersion(np.array([1.0, 2.0]), 60.0, 100.0)
