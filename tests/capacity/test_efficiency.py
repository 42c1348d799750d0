"""Effects reach the efficiencies they name, and fitting finds what made the data."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.capacity.closed_loop import steady_state
from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import (
    EFFICIENCY_FIELDS,
    architecture_of,
    bounded,
    bounded_slope,
    efficiency_of,
    generation_of,
    kind_of,
    levels_of,
    stacked_efficiencies,
)
from weighbridge.capacity.fitting import PRIORS, Cases, Fitter, cases_of
from weighbridge.capacity.observed import ServingPoint
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import Effect, ServingFit, load_serving_fit

CATALOG = load_catalog()
PLAIN = ServingFit(
    coefficients=dict.fromkeys(EFFICIENCY_FIELDS, 0.5),
    effects=(),
    spreads={},
    difficulties={},
    seen={},
    ranges={},
    n_points=0,
    n_groups=0,
    data_digest="",
    fitted_on=date(2026, 11, 21),
)


def of(model="llama-3.1-8b", gpu="h100-sxm", n=1, precision="fp8", engine="vllm"):
    return Deployment(CATALOG.model(model), CATALOG.gpu(gpu), n, precision, engine=engine)


def test_an_effect_multiplies_its_fields_at_its_level_only():
    effect = Effect(("memory_frac", "layer_s"), "engine", "sglang", float(np.log(2.0)))
    fit = replace(PLAIN, effects=(effect,))
    with_it, without = efficiency_of(of(engine="sglang"), fit), efficiency_of(of(), fit)
    assert with_it.memory_frac == pytest.approx(2.0 ** (-1 / 8))  # 1, bounded
    assert with_it.layer_s == pytest.approx(1.0)
    assert with_it.compute_frac == pytest.approx(0.5, rel=1e-3)
    assert without.memory_frac == pytest.approx(0.5, rel=1e-3)


def test_a_level_that_no_measurement_has_no_effect():
    fit = load_serving_fit()
    strange = efficiency_of(of(engine="an engine nobody measured"), fit)
    own = [e for e in fit.effects if e.factor not in {"engine", "setup"}]
    assert strange == efficiency_of(of(), replace(fit, effects=tuple(own)))


def test_generations_are_told_by_the_formats_they_compute_in():
    names = {
        gpu: generation_of(CATALOG.gpu(gpu)) for gpu in ("a100-80gb-sxm", "h200-sxm", "mi300x")
    }
    assert names == {
        "a100-80gb-sxm": "nvidia-bf16",
        "h200-sxm": "nvidia-fp8",
        "mi300x": "amd-fp8",
    }
    assert generation_of(CATALOG.gpu("gb200")) == generation_of(CATALOG.gpu("b200-sxm"))


def test_cards_with_graphics_memory_take_no_effect_of_the_modules():
    fit = load_serving_fit()
    assert generation_of(CATALOG.gpu("rtx-5090")) == "nvidia-fp4-card"
    assert generation_of(CATALOG.gpu("h100-pcie")) == generation_of(CATALOG.gpu("h100-sxm"))
    own = [e for e in fit.effects if e.factor not in {"generation", "units", "pair", "setup"}]
    card = of(gpu="rtx-5090", precision="bf16")
    assert efficiency_of(card, fit) == efficiency_of(card, replace(fit, effects=tuple(own)))


@given(x=st.floats(1e-6, 1e6), more=st.floats(1.0, 1e3))
def test_a_bounded_fraction_stays_below_one_and_in_order(x, more):
    low, high = bounded(np.array(x)), bounded(np.array(x * more))
    assert low <= high < 1.0
    assert low <= x


@given(log=st.floats(-2.0, 0.8))
def test_the_slope_of_the_bound_is_that_of_finite_differences(log):
    at, there = (float(np.log(bounded(np.exp(np.array(v))))) for v in (log, log + 1e-6))
    slope = float(bounded_slope(np.exp(np.array(at))))
    assert slope == pytest.approx((there - at) / 1e-6, abs=1e-3)


def test_effects_of_formats_stay_inside_what_keeps_the_narrower_faster():
    cases = invented(sglang_slower=1.5)
    fitter = Fitter(cases)
    far = fitter.start() + 50.0
    mosts = {(p.fields, p.factor): p.most_ratio for p in PRIORS.effects if p.factor == "units"}
    assert 2 * max(mosts.values()) < np.log(2.0)
    sizes = [
        abs(e.log_ratio) - mosts[e.fields, e.factor]
        for e in fitter.effects(far)
        if e.factor == "units"
    ]
    assert sizes
    assert max(sizes) <= 0.0


def test_kinds_are_told_by_experts_and_attention():
    kinds = [
        kind_of(CATALOG.model(name))
        for name in ("llama-3.1-8b", "deepseek-r1", "gpt-oss-120b", "minimax-m2.5")
    ]
    assert kinds == ["dense", "latent", "hybrid", "grouped"]


def test_later_training_keeps_the_architecture():
    assert architecture_of(CATALOG.model("llama-3.1-70b")) == architecture_of(
        CATALOG.model("llama-3.3-70b")
    )
    assert architecture_of(CATALOG.model("kimi-k2.5")) != architecture_of(
        CATALOG.model("deepseek-r1")
    )


def test_every_prior_names_fields_and_factors_that_exist():
    assert set(PRIORS.centres) == set(PRIORS.sd_ratios) == set(EFFICIENCY_FIELDS)
    assert {name for effect in PRIORS.effects for name in effect.fields} <= set(EFFICIENCY_FIELDS)
    assert {effect.factor for effect in PRIORS.effects} <= set(levels_of(of()))


def invented(sglang_slower=1.0):
    """Measurements that some efficiencies made, of three models on two GPUs."""
    truth = replace(
        load_serving_fit(),
        effects=(Effect(("memory_frac",), "engine", "sglang", -float(np.log(sglang_slower))),),
    )
    measured = []
    for model in ("llama-3.1-8b", "minimax-m2.5", "qwen3-32b"):
        for gpu in ("h200-sxm", "b200-sxm"):
            for engine in ("vllm", "sglang"):
                for n_concurrent in (1, 8, 64):
                    for input_tokens in (512, 4096):
                        deployment = of(model, gpu, 4, engine=engine)
                        load = ClosedLoop(input_tokens, 512, n_concurrent)
                        measured.append(Configured(blank(), deployment, load, False))
    return filled(measured, truth)


def blank():
    return ServingPoint(
        source="made", model="", gpu="", n_gpus=4, n_tensor_parallel=4, expert_parallel=None,
        precision="fp8", engine="vllm", input_tokens=1.0, output_tokens=1.0, n_concurrent=1.0,
        ttft_s=1.0, tpot_s=1.0, output_tokens_per_s=None, disaggregated=False,
    )  # fmt: skip


def filled(measured, truth) -> Cases:
    cases = cases_of(measured)
    efficiency = stacked_efficiencies([efficiency_of(one.deployment, truth) for one in measured])
    state = steady_state(cases.shape, efficiency, cases.loop)
    return replace(cases, log_ttft=np.log(state.ttft_s), log_tpot=np.log(state.tpot_s))


def test_fitting_reproduces_latencies_that_efficiencies_made():
    cases = invented(sglang_slower=1.5)
    fitter = Fitter(cases)
    parameters = fitter.fit(np.ones(len(cases), np.bool_), n_most_steps=20)
    ttft, tpot = fitter.residuals(parameters)
    assert np.median(np.abs(tpot)) < 0.02
    assert np.median(np.abs(ttft)) < 0.05


def test_fitting_finds_which_engine_is_slower():
    cases = invented(sglang_slower=1.5)
    fitter = Fitter(cases)
    effects = fitter.effects(fitter.fit(np.ones(len(cases), np.bool_)))
    found = {
        e.level: e.log_ratio
        for e in effects
        if e.fields == ("memory_frac",) and e.factor == "engine"
    }
    assert found["sglang"] < found["vllm"] - 0.1


def test_cases_left_out_of_training_do_not_move_the_fit():
    cases = invented()
    train = cases.groups != "qwen3-32b on b200-sxm"
    spoiled = replace(cases, log_tpot=np.where(train, cases.log_tpot, 5.0))
    assert np.array_equal(Fitter(cases).fit(train), Fitter(spoiled).fit(train))


def test_slopes_by_effects_are_those_of_finite_differences():
    cases = invented()
    fitter = Fitter(cases)
    at = fitter.start() + 0.01
    by_sums = fitter._slopes(fitter.residuals(at), at)
    for j in (len(EFFICIENCY_FIELDS), len(at) - 1):
        there = at.copy()
        there[j] += 1e-4
        moved = fitter.residuals(there)
        for k in (0, 1):
            directly = (fitter.residuals(at)[k] - moved[k]) / 1e-4
            assert by_sums[k][j] == pytest.approx(directly, abs=2e-3)
