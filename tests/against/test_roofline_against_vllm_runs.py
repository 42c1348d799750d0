"""Speeds from data sheets and fit against recorded runs on cards that the fit never saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.capacity.calibrate.evidence import evidence_of
from weighbridge.capacity.calibrate.held_out import held_out_errors
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.intervals import CONDITIONS, conditions_of, interval_of, why
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study.calibrate import Told, observe, prepare
from weighbridge.usage.observed import EngineSettings

# Means, measured over predicted, are 0.6 to 1.1: the predictions are too slow. Twice off would be
# news in either direction.
WORST_RATIO = 2.0


@pytest.mark.parametrize(
    ("run", "model", "gpu"),
    [
        ("RTX4090/Llama-3.1-8B", "llama-3.1-8b", "rtx-4090"),
        ("RTXPRO6000/Llama-3.1-8B", "llama-3.1-8b", "rtx-pro-6000"),
        ("RTXPRO6000/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b", "rtx-pro-6000"),
    ],
)
def test_runs_on_unmeasured_cards_are_inside_their_intervals(
    run: str, model: str, gpu: str, checkout: Path
) -> None:
    folder = checkout.parent / "shared" / "measured" / "vllm_runs" / run
    if not folder.is_dir():
        pytest.skip("no ../shared/measured/vllm_runs beside this checkout")
    pytest.importorskip("numba")
    prepared = prepare(observe([folder], None, None), Told(EngineSettings()))
    assert prepared.start is not None
    assert prepared.start.basis == "roofline"
    catalog, fit = load_catalog(), load_serving_fit()
    deployment = Deployment(catalog.model(model), catalog.gpu(gpu), 1, "bf16")
    met = conditions_of(deployment, ClosedLoop(1000.0, 500.0, 64.0), 0.5, fit)
    assert CONDITIONS["card"] in why(met)
    errors = held_out_errors(evidence_of(prepared.runs), prepared.start, prepared.limits)
    for one in (one for one in errors if one.metric != "e2e"):
        ratio = one.measured_mean_s / one.simulated_mean_s
        interval = interval_of(one.metric, 1.0, met, fit)
        assert interval.low <= ratio <= interval.high, one
        assert 1 / WORST_RATIO <= ratio <= WORST_RATIO, one
