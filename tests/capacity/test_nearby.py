"""Kriging of errors: exact where measured, silent where far, deaf to a disturbed measurement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.nearby import COVARIANCES, correction, nearest
from weighbridge.capacity.observed import ServingPoint
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.catalog.facts import load_catalog

CATALOG = load_catalog()
HERE = Deployment(CATALOG.model("minimax-m2.5"), CATALOG.gpu("h200-sxm"), 4, "fp8")
POINT = ServingPoint(
    source="own",
    model="",
    gpu="",
    n_gpus=4,
    n_tensor_parallel=4,
    expert_parallel=None,
    precision="fp8",
    engine="vllm",
    input_tokens=1024.0,
    output_tokens=1024.0,
    n_concurrent=1.0,
    ttft_s=0.1,
    tpot_s=0.01,
    output_tokens_per_s=None,
    disaggregated=False,
)
TPOT = COVARIANCES["tpot"]


def at(n_concurrent, deployment=HERE):
    return Configured(POINT, deployment, ClosedLoop(1024, 1024, n_concurrent), False)


def wanted(n_concurrent=16.0, deployment=HERE):
    return deployment, ClosedLoop(1024, 1024, n_concurrent)


def test_a_measurement_of_the_same_load_is_met_but_for_its_noise():
    found = correction(wanted(), [at(16)], np.array([0.4]), TPOT)
    assert found.log_ratio == pytest.approx(0.4, rel=0.01)
    assert found.explained_frac > 0.99
    assert found.sd_ratio < 2 * TPOT.noise_sd_ratio


@given(slope=st.floats(-0.1, 0.1), level=st.floats(-0.3, 0.3))
@settings(max_examples=40)
def test_errors_that_drift_with_concurrency_are_interpolated(slope, level):
    places = np.array([2.0, 4.0, 8.0, 32.0, 64.0])
    errors = level + slope * np.log(places / 16)
    found = correction(wanted(16), [at(n) for n in places], errors, TPOT)
    assert found.log_ratio == pytest.approx(level, abs=0.03)


def test_the_farther_the_load_the_less_is_explained():
    shares = [
        correction(wanted(16), [at(n)], np.array([0.3]), TPOT).explained_frac
        for n in (16, 64, 1024, 65_536)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5


def test_one_disturbed_measurement_among_many_counts_for_little():
    places = [2, 4, 8, 12, 24, 32, 64]
    errors = np.zeros(7)
    errors[3] = 0.7
    found = correction(wanted(16), [at(n) for n in places], errors, TPOT)
    assert abs(found.log_ratio) < 0.02


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({"engine": "sglang"}, 0.05, 0.6),
        ({"precision": "bf16"}, 0.05, 0.8),
        ({"n_tensor_parallel": 8}, 0.3, 0.95),
        ({"gpu": CATALOG.gpu("a100-80gb-sxm")}, 0.01, 0.4),
        ({"model": CATALOG.model("llama-3.1-8b")}, 0.0, 0.2),
    ],
)
def test_other_configurations_share_a_part_of_the_error(changes, least, most):
    other = replace(HERE, **changes)
    found = correction(wanted(), [at(16, other)], np.array([0.4]), TPOT)
    assert least <= found.log_ratio / 0.4 <= most
    assert found.n_same_setup == 0


def test_the_nearest_come_first_and_are_not_too_many():
    many = [at(n + 1.0) for n in range(300)]
    found = nearest(wanted(16), many, TPOT)
    assert len(found) == 100
    assert found[0].load.n_concurrent == 16
    assert nearest(wanted(16), (), TPOT) == ()
