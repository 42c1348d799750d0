"""Drawn traffic against what was measured: ServeGen's fourteen days of rates, Azure's hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weighbridge.capacity.arrivals import (
    ArrivalStatistics,
    Bursts,
    Span,
    dispersion,
    profile_of,
    statistics_of,
    synthesize,
    synthesize_clients,
)
from weighbridge.capacity.traffic import Requests
from weighbridge.usage.request_traces import RateWindows, read_rate_windows, read_request_trace

WEEK_S = 7 * 86_400.0
SHARE = 0.005  # of ServeGen's 196 requests a second, for the tests' time


@pytest.fixture(scope="module")
def rates(shared_traces: Path) -> RateWindows:
    return read_rate_windows(shared_traces / "servegen" / "m_large_rates.csv.gz")


@pytest.fixture(scope="module")
def azure(shared_traces: Path) -> dict[str, Requests]:
    folder = shared_traces / "azure2023"
    return {
        name: read_request_trace(folder / f"AzureLLMInferenceTrace_{name}.csv").requests
        for name in ("code", "conv")
    }


@pytest.fixture(scope="module")
def weeks(rates: RateWindows, azure: dict[str, Requests]) -> list[Requests]:
    return [
        synthesize_clients(
            rates.between(k * WEEK_S, (k + 1) * WEEK_S).times(SHARE),
            azure["conv"],
            np.random.default_rng(k),
        )
        for k in range(2)
    ]


def counts_of(requests: Requests, window_s: float) -> np.ndarray:
    n_windows = int(WEEK_S / window_s)
    index = (requests.arrival_s / window_s).astype(int)
    return np.bincount(index, minlength=n_windows)[:n_windows]


def relative_variance(requests: Requests, window_s: float) -> float:
    counts = counts_of(requests, window_s)
    return float((counts.var() - counts.mean()) / counts.mean() ** 2)  # less Poisson's part


def test_rates_are_those_of_162_clients_over_fourteen_days(rates: RateWindows) -> None:
    assert (rates.n_clients, rates.duration_s, rates.window_s) == (162, 14 * 86_400.0, 600.0)
    assert rates.n_requests == pytest.approx(236_892_826)


def test_drawn_windows_have_the_measured_counts(rates: RateWindows, weeks: list[Requests]) -> None:
    for k, week in enumerate(weeks):
        measured = rates.between(k * WEEK_S, (k + 1) * WEEK_S).total_requests_per_s() * 600 * SHARE
        drawn = counts_of(week, 600.0)
        # Fractions of a request come by chance, at most one for each of 162 clients.
        assert np.abs(drawn - measured).max() < 4 * np.sqrt(162 / 4)
        assert drawn.sum() == pytest.approx(measured.sum(), rel=0.005)


def test_a_week_drawn_from_the_first_is_like_it(weeks: list[Requests]) -> None:
    first = weeks[0]
    profile = profile_of(first, 0.0)
    drawn = synthesize(profile, Span(WEEK_S), np.random.default_rng(2), bursts="wandering")
    assert drawn.n_requests == pytest.approx(first.n_requests, rel=0.05)
    hours = counts_of(drawn, 3600.0), counts_of(first, 3600.0)
    assert np.abs(hours[0] - hours[1]).mean() < 0.12 * hours[1].mean()
    for window_s in (1.0, 10.0, 60.0, 600.0):
        found = [dispersion(r.arrival_s, window_s, WEEK_S) for r in (drawn, first)]
        assert found[0] == pytest.approx(found[1], rel=0.25)


def test_the_second_week_is_foretold_roughly_and_not_by_the_hour(weeks: list[Requests]) -> None:
    first, second = weeks
    profile = profile_of(first, 0.0, pattern="day")
    drawn = [
        synthesize(profile, Span(WEEK_S), np.random.default_rng(seed), bursts="wandering")
        for seed in range(4)
    ]
    assert np.mean([d.n_requests for d in drawn]) == pytest.approx(second.n_requests, rel=0.35)
    # The second week swings more than twice as widely as the first, which nothing in it told.
    for window_s in (60.0, 600.0):
        aim = relative_variance(second, window_s)
        found = np.mean([relative_variance(d, window_s) for d in drawn])
        assert 0.2 < found / aim < 1.0
    hours = counts_of(second, 3600.0)
    error = np.abs(counts_of(drawn[0], 3600.0) - hours).mean() / hours.mean()
    assert 0.25 < error < 0.7


def mean_dispersion(found: list[ArrivalStatistics], window_s: float) -> float:
    return float(np.mean([one.dispersion_ratio[window_s] for one in found]))


@pytest.mark.parametrize("name", ["conv", "code"])
@pytest.mark.parametrize("bursts", ["wandering", "replayed"])
def test_hours_of_azure_are_drawn_as_bursty_as_they_were(
    azure: dict[str, Requests], name: str, bursts: Bursts
) -> None:
    real = azure[name]
    profile, aim = profile_of(real, None), statistics_of(real)
    found = [
        statistics_of(
            synthesize(profile, Span(real.duration_s), np.random.default_rng(seed), bursts=bursts)
        )
        for seed in range(20)
    ]
    for window_s in (1.0, 10.0, 60.0):
        measured = aim.dispersion_ratio[window_s]
        assert mean_dispersion(found, window_s) == pytest.approx(measured, rel=0.45)
    lengths = np.mean([one.output_tokens for one in found], axis=0)
    assert lengths == pytest.approx(aim.output_tokens, rel=0.1)
    together = np.mean([one.length_correlation_ratio for one in found])
    assert together == pytest.approx(aim.length_correlation_ratio, abs=0.05)


@pytest.mark.parametrize("name", ["conv", "code"])
def test_gaps_alone_are_too_even_over_a_minute(azure: dict[str, Requests], name: str) -> None:
    real = azure[name]
    drawn = synthesize(
        profile_of(real, None), Span(real.duration_s), np.random.default_rng(0), bursts="renewal"
    )
    found = statistics_of(drawn).dispersion_ratio[60.0]
    assert found < 0.15 * statistics_of(real).dispersion_ratio[60.0]
