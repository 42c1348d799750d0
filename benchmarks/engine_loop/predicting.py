"""From runs to figures: what was measured, what is predicted, how the two compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from weighbridge.capacity.calibrate import AskedLoad, EndpointProfile
from weighbridge.capacity.simulation import simulate, simulate_closed_loop
from weighbridge.study.calibrate import Told, calibrate_prepared, prepare
from weighbridge.usage.observed import EngineSettings, ObservedRun

METRICS = ("ttft", "tpot", "e2e")
Figures = dict[str, dict[str, float]]


def measured(run: ObservedRun) -> Figures:
    """Mean and 90th percentile of what the load generator saw."""
    n_after = run.requests.output_tokens - 1
    tpot_s = np.where(n_after > 0, (run.e2e_s - run.ttft_s) / np.maximum(n_after, 1), np.nan)
    return _figures({"ttft": run.ttft_s, "tpot": tpot_s, "e2e": run.e2e_s})


def calibrated(
    runs: Sequence[ObservedRun], settings: EngineSettings, seed: int, today: date
) -> EndpointProfile:
    """As `weighbridge calibrate` does it."""
    return calibrate_prepared(prepare(runs, Told(settings)), today, seed)


def predicted(profile: EndpointProfile, run: ObservedRun) -> Figures:
    """What the profile says of a load, given lengths in order, and arrivals of an open loop.

    No latency of the run goes in, and of a closed loop no time at all: when requests are sent
    follows from when simulated ones end.
    """
    step, limits, requests = profile.step_time(), profile.limits, run.requests
    if run.n_concurrent is None:
        outcome = simulate(requests, step, limits)
        asked = AskedLoad(requests_per_s=requests.n_requests / requests.duration_s)
    else:
        outcome = simulate_closed_loop(requests, run.n_concurrent, step, limits)
        asked = AskedLoad(in_flight_requests=run.n_concurrent)
    asked = AskedLoad(
        float(requests.input_tokens.mean()),
        float(requests.output_tokens.mean()),
        asked.in_flight_requests,
        asked.requests_per_s,
    )
    found = _figures({"ttft": outcome.ttft_s, "tpot": outcome.tpot_s, "e2e": outcome.e2e_s})
    for metric, figures in found.items():
        interval, _ = profile.interval(metric, figures["mean_s"], asked)
        figures |= {"low_s": interval.low, "high_s": interval.high}
    return found


def _figures(by_metric: Mapping[str, Any]) -> Figures:
    return {
        metric: {
            "mean_s": float(np.nanmean(values)),
            "p90_s": float(np.nanquantile(values, 0.9)),
        }
        for metric, values in by_metric.items()
    }


def profile_figures(profile: EndpointProfile) -> dict[str, Any]:
    """What of the profile the page shows."""
    return {
        "n_evaluations": profile.n_evaluations,
        "parameters": [
            {"name": one.name, "value": one.value, "low": one.low, "high": one.high}
            for one in profile.parameters
        ],
        "held_out": [
            {
                "run": one.run.rpartition("#")[2],
                "metric": one.metric,
                "mean_error_frac": one.mean_error_frac,
                "p90_error_frac": one.p90_error_frac,
            }
            for one in profile.held_out
        ],
        "notes": list(profile.notes),
    }
