"""Intervals: earned from held-out errors, wider outside, and honest on made-up errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.earned import (
    added_difficulties,
    earned_spread,
    group_weights,
    learned_difficulties,
    weighted_quantile,
)
from weighbridge.capacity.intervals import (
    CONDITIONS,
    LEARNED,
    conditions_of,
    difficulty,
    interval_of,
    measured_interval_of,
    why,
)
from weighbridge.capacity.nearby import Correction
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit

CATALOG = load_catalog()
FIT = load_serving_fit()
SEEN = Deployment(CATALOG.model("minimax-m2.5"), CATALOG.gpu("h200-sxm"), 4, "fp8")
INSIDE = ClosedLoop(1024, 1024, 16)


def conditions(deployment=SEEN, load=INSIDE, held=0.1):
    return conditions_of(deployment, load, held, FIT)


def width(metric, met):
    one = interval_of(metric, 1.0, met, FIT)
    return one.high / one.low


def test_a_configuration_like_the_measured_ones_meets_no_condition():
    assert not any(conditions().values())
    assert why(conditions()) == ()


def of(model="minimax-m2.5", gpu="h200-sxm", precision="fp8", engine="vllm"):
    return Deployment(CATALOG.model(model), CATALOG.gpu(gpu), 4, precision, engine=engine)


@pytest.mark.parametrize(
    ("deployment", "names"),
    [
        (of(model="gemma-3-27b"), {"new_architecture"}),
        (of(gpu="mi355x"), {"new_vendor", "new_generation", "new_format"}),
        (of(gpu="rtx-pro-6000"), {"new_generation", "new_format", "card"}),
        (of(engine="lmdeploy"), {"new_engine"}),
        (of(precision="int8"), {"new_format"}),
    ],
)
def test_what_was_never_seen_is_said(deployment, names):
    met = {name for name, share in conditions(deployment).items() if share}
    assert met == names
    assert set(why(conditions(deployment))) == {CONDITIONS[name] for name in names}


@pytest.mark.parametrize("metric", ["ttft", "tpot", "throughput"])
def test_a_gpu_of_an_unseen_vendor_is_less_certain(metric):
    amd = Deployment(CATALOG.model("minimax-m2.5"), CATALOG.gpu("mi300x"), 4, "fp8")
    assert width(metric, conditions(amd)) > 1.2 * width(metric, conditions())


@pytest.mark.parametrize("metric", ["ttft", "tpot", "throughput"])
@pytest.mark.parametrize(
    "load",
    [ClosedLoop(1024, 1024, 8192), ClosedLoop(65_536, 1024, 16), ClosedLoop(1024, 131_072, 16)],
)
def test_the_interval_widens_beyond_the_measured_range(metric, load):
    assert conditions(load=load)["beyond"] >= 2.0
    assert width(metric, conditions(load=load)) > width(metric, conditions())


def test_each_doubling_beyond_the_range_widens_further():
    widths = [
        width("tpot", conditions(load=ClosedLoop(n, 1024, 16))) for n in (2**15, 2**16, 2**17)
    ]
    assert widths == sorted(set(widths))


def test_bounds_are_ratios_about_the_middle():
    one, ten = (interval_of("tpot", value, conditions(), FIT) for value in (1.0, 10.0))
    assert ten.low == pytest.approx(10 * one.low)
    assert ten.high == pytest.approx(10 * one.high)
    assert one.low < 1.0 < one.high


def test_measurements_nearer_by_narrow_the_interval_and_none_widen_it():
    plain = interval_of("tpot", 1.0, conditions(), FIT)
    near, far, farther = (
        measured_interval_of("tpot", plain, Correction(0.1, sd, 0.9, 4), FIT)
        for sd in (0.03, 0.1, 3.0)
    )
    assert farther.high / farther.low == pytest.approx(plain.high / plain.low)
    assert near.mid == far.mid == pytest.approx(np.exp(0.1))
    assert near.high / near.low < far.high / far.low


def test_groups_weigh_the_same_whatever_their_size():
    weights = group_weights(["a"] * 99 + ["b"])
    assert weights[:99].sum() == pytest.approx(0.5)
    values = np.append(np.zeros(99), 1.0)
    assert weighted_quantile(values, weights, 0.49) == 0.0
    assert weighted_quantile(values, weights, 0.51) == 1.0


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), wide=st.floats(0.05, 1.0))
def test_a_spread_holds_nine_tenths_of_the_errors_it_was_earned_by(seed, wide):
    rng = np.random.default_rng(seed)
    groups = [f"g{i % 10}" for i in range(400)]
    errors = rng.normal(0.0, wide, 400)
    plain = [dict.fromkeys(CONDITIONS, 0.0)] * 400
    spread = earned_spread("tpot", errors, plain, groups, {})
    inside = (np.log(spread.low_ratio) <= errors) & (errors <= np.log(spread.high_ratio))
    assert 0.88 <= inside.mean() <= 0.93


def test_a_condition_under_which_errors_are_wider_is_learned():
    rng = np.random.default_rng(5)
    groups = [f"g{i % 20}" for i in range(2000)]
    hard = np.array([i % 20 < 8 for i in range(2000)])
    errors = rng.normal(0.0, np.where(hard, 0.6, 0.2))
    met = [dict.fromkeys(CONDITIONS, 0.0) | {"sglang": float(h)} for h in hard]
    found = learned_difficulties("tpot", errors, met, groups)
    assert found["tpot:sglang"] == pytest.approx(np.log(3.0), abs=0.35)
    assert difficulty("tpot", met[0], found) > 2.0
    assert difficulty("tpot", met[19], found) == 1.0


def test_what_an_unseen_level_adds_is_learned_from_the_same_cases_without_it():
    rng = np.random.default_rng(5)
    groups = [f"group {i % 20}" for i in range(2000)]
    without = rng.normal(0.0, 0.2, 2000)
    met = [{"new_engine": float(i % 4 == 0), "new_format": float(i % 4 == 1)} for i in range(2000)]
    factors = np.array(
        [2.0 if one["new_engine"] else 0.5 if one["new_format"] else 1.0 for one in met]
    )
    found = added_difficulties("tpot", (without * factors, without), met, groups)
    assert found["tpot:new_engine"] == pytest.approx(np.log(2.0), abs=0.2)
    assert found["tpot:new_format"] == 0.0  # nothing unseen makes a prediction more certain


def test_only_conditions_that_errors_met_are_learned():
    met = [dict.fromkeys(CONDITIONS, 0.0)] * 4
    assert learned_difficulties("ttft", np.ones(4), met, ["a", "a", "b", "b"]) == {}


def test_every_learned_condition_can_be_said():
    assert {name for names in LEARNED.values() for name in names} <= set(CONDITIONS)
