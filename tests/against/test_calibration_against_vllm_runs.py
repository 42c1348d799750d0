"""Calibrated on the first half of real vLLM runs, compared with the second half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weighbridge.capacity.calibrate import fit_first_part
from weighbridge.capacity.calibrate.search import Effort
from weighbridge.study.calibrate import Told, observe, prepare
from weighbridge.usage.observed import EngineSettings

RUNS = (
    "RTX4090/Llama-3.1-8B",  # the cache of 41,408 tokens is full most of the time: preemptions
    "RTXPRO6000/Llama-3.1-8B",
    "RTXPRO6000/Qwen3-30B-A3B-Instruct-2507",  # two data-parallel ranks with spread experts
)
MEAN_BAR_FRAC, P90_BAR_FRAC = 0.05, 0.12
EFFORT = Effort(
    n_starts=300, n_members=40, n_generations=50, n_polish=800, n_refits=0, n_per_refit=0
)


@pytest.mark.parametrize("run", RUNS)
def test_the_second_half_is_predicted_from_the_first(run: str, checkout: Path) -> None:
    folder = checkout.parent / "shared" / "measured" / "vllm_runs" / run
    if not folder.is_dir():
        pytest.skip("no ../shared/measured/vllm_runs beside this checkout")
    pytest.importorskip("numba")
    prepared = prepare(observe([folder], None, None), Told(EngineSettings()))
    rng = np.random.default_rng(0)
    fit = fit_first_part(prepared.runs, prepared.limits, rng, start=prepared.start, effort=EFFORT)
    assert [one.metric for one in fit.errors] == ["ttft", "tpot", "e2e"]
    for one in fit.errors:
        assert one.n_requests == 150
        assert abs(one.mean_error_frac) <= MEAN_BAR_FRAC, one
        assert abs(one.p90_error_frac) <= P90_BAR_FRAC, one
