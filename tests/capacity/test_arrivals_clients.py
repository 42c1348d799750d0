"""Requests of clients come in the windows, number and gaps that their rates tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.arrivals import GapLaw, synthesize_clients
from weighbridge.capacity.traffic import Requests
from weighbridge.units import InputError
from weighbridge.usage.traces.rate_windows import RateWindows

ROWS = Requests(np.arange(3.0), np.array([10, 20, 30]), np.array([1, 2, 3]))


def windows_of(*windows: tuple[int, float, float, float, bool]) -> RateWindows:
    client, start, rate, shape, weibull = (np.array(c) for c in zip(*windows, strict=True))
    return RateWindows(
        client=client,
        start_s=start,
        rate_requests_per_s=rate,
        cv_ratio=np.ones(len(rate)),
        is_weibull=weibull,
        shape_ratio=shape,
        window_s=600.0,
        duration_s=3600.0,
        n_clients=len(np.unique(client)),
    )


window = st.tuples(
    st.integers(0, 3),
    st.sampled_from([0.0, 600.0, 1800.0]),
    st.integers(1, 3000).map(lambda n: n / 600),
    st.floats(0.05, 5.0),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(window, min_size=1, max_size=6, unique_by=lambda w: w[:2]).map(sorted))
def test_each_window_has_the_requests_it_counted(
    told: list[tuple[int, float, float, float, bool]],
) -> None:
    windows = windows_of(*told)
    drawn = synthesize_clients(windows, ROWS, np.random.default_rng(0))
    found = np.histogram(drawn.arrival_s, np.arange(0, 3601, 600.0))[0]
    due = windows.total_requests_per_s() * 600
    # Some may stand on an edge, where rounding puts them to one side or the other.
    assert found.sum() == pytest.approx(due.sum())
    assert np.abs(found - due).max() <= 0.01 * due.max() + 1
    assert (np.diff(drawn.arrival_s) >= 0).all()
    assert (drawn.input_tokens == 10 * drawn.output_tokens).all()


@pytest.mark.parametrize("keep_counts", [True, False])
def test_fractions_of_a_request_come_by_chance(keep_counts: bool) -> None:
    windows = windows_of((0, 0.0, 0.3 / 600, 1.0, False), (1, 600.0, 2.5 / 600, 1.0, True))
    rng = np.random.default_rng(1)
    counts = [
        synthesize_clients(windows, ROWS, rng, keep_counts=keep_counts).n_requests
        for _ in range(2000)
    ]
    assert np.mean(counts) == pytest.approx(2.8, abs=0.15)


@pytest.mark.parametrize("family", ["gamma", "weibull"])
@pytest.mark.parametrize("keep_counts", [True, False])
def test_gaps_have_the_shape_told(family: str, keep_counts: bool) -> None:
    law = GapLaw(family, 0.4)  # type: ignore[arg-type]
    windows = windows_of((0, 0.0, 50.0, 0.4, family == "weibull"))
    drawn = synthesize_clients(windows, ROWS, np.random.default_rng(2), keep_counts=keep_counts)
    gaps = np.diff(drawn.arrival_s)
    assert gaps.std() / gaps.mean() == pytest.approx(law.cv_ratio, rel=0.1)
    assert gaps.mean() == pytest.approx(1 / 50.0, rel=0.06)


def test_a_renewal_process_counts_right_on_average_however_bursty() -> None:
    windows = windows_of((0, 0.0, 0.05, 0.05, False))  # thirty requests, cv 4.5
    rng = np.random.default_rng(3)
    counts = [
        synthesize_clients(windows, ROWS, rng, keep_counts=False).n_requests for _ in range(3000)
    ]
    assert np.mean(counts) == pytest.approx(30.0, abs=4 * np.std(counts) / math.sqrt(3000))
    assert np.std(counts) > 2 * math.sqrt(30)


def test_a_seed_draws_the_same_again() -> None:
    windows = windows_of((0, 0.0, 1.0, 0.3, True), (1, 600.0, 1.0, 0.3, False))
    one, same = (synthesize_clients(windows, ROWS, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one.arrival_s, same.arrival_s)


def test_silent_stretches_and_floods_are_refused() -> None:
    windows = windows_of((0, 0.0, 1000.0, 1.0, True))
    with pytest.raises(InputError, match="no client sends anything in these 600 s"):
        synthesize_clients(windows.between(600.0, 1200.0), ROWS, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"about 600,000 requests, and 1,000 are allowed"):
        synthesize_clients(windows, ROWS, np.random.default_rng(0), n_most_requests=1000)
    with pytest.raises(InputError, match="demand_ratio: is 0"):
        windows.times(0.0)
