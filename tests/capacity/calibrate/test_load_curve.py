"""Latency over concurrency, from aggregate points."""

from __future__ import annotations

import pytest

from weighbridge.capacity.calibrate import load_curves
from weighbridge.capacity.observed import ServingPoint
from weighbridge.units import InputError


def point(
    n: float, tpot_s: float | None, ttft_s: float | None = None, isl: float = 512
) -> ServingPoint:
    return ServingPoint(
        "points.csv", "m", "g", 1, 1, None, None, "vllm", isl, 128.0, n, ttft_s, tpot_s, None, False
    )


def test_a_dense_and_a_saturating_curve_are_met_between_their_points() -> None:
    for law in (lambda n: 0.01 + 2e-4 * n, lambda n: 0.01 + 3e-3 * n**0.5):
        (curve,) = load_curves([point(n, law(n)) for n in (1, 4, 16, 64, 256)])
        assert curve.metric == "tpot"
        for n in (2, 8, 32, 128):
            found, why = curve.at(n)
            assert found.mid == pytest.approx(law(n), rel=0.02)
            assert found.low <= found.mid <= found.high
            assert why == ()


def test_beyond_the_measured_concurrencies_the_interval_widens_and_says_so() -> None:
    noisy = [(1, 0.010), (4, 0.0118), (16, 0.0135), (64, 0.0251), (256, 0.058)]
    (curve,) = load_curves([point(n, s) for n, s in noisy])
    edge, _ = curve.at(256)
    beyond, why = curve.at(1024)
    assert beyond.high / beyond.low > edge.high / edge.low
    assert "1024 at once lie outside the measured 1 to 256" in why[0]


def test_both_latencies_have_a_curve_where_both_were_measured() -> None:
    curves = load_curves([point(n, 0.01 + 1e-4 * n, 0.1 + 0.01 * n) for n in (1, 4, 16, 64)])
    assert [one.metric for one in curves] == ["ttft", "tpot"]


def test_fewer_than_four_concurrencies_are_refused() -> None:
    with pytest.raises(InputError, match="has fewer than 4 values with a latency"):
        load_curves([point(n, 0.01) for n in (1, 4, 16)])


def test_points_of_two_mixes_are_refused() -> None:
    with pytest.raises(InputError, match="differ among the points"):
        load_curves([point(1, 0.01), point(2, 0.01, isl=1024)])
