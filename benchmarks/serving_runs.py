"""Simulate recorded runs of engines on cards of which the fit has no measurement.

    python benchmarks/serving_runs.py [--runs FOLDER] [--write]

Every run's requests go through the simulation at the speeds that data sheets and fit predict, under
the limits that the engine told. Writes `benchmarks/results/serving_runs.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from weighbridge.capacity.calibrate.evidence import evidence_of
from weighbridge.capacity.calibrate.held_out import held_out_errors
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.intervals import conditions_of, interval_of
from weighbridge.capacity.memory_fit import EngineMemory, engine_limits
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.catalog.canonical import canonical_gpu, canonical_model
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study.calibrate import Prepared, Told, observe, prepare
from weighbridge.usage.observed import EngineSettings

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "serving_runs.json"


def main() -> None:
    """Judge every run, print, and write where asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=Path, default=ROOT.parent / "shared/measured/vllm_runs")
    asked.add_argument("--write", action="store_true", help="renew the results")
    options = asked.parse_args()
    folders = sorted(path.parent for path in options.runs.glob("*/*/meta.json"))
    result = {"/".join(one.parts[-2:]): judged(one) for one in folders}
    print(json.dumps(result, indent=1))
    if options.write:
        RESULTS.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def judged(folder: Path) -> dict:
    """One run: means over its requests, their intervals, and the cache."""
    run = prepare(observe([folder], None, None), Told(EngineSettings()))
    assert run.start is not None
    evidence = evidence_of(run.runs)
    requests = evidence[0].requests
    deployment = deployment_of(run)
    load = ClosedLoop(
        float(np.mean(requests.input_tokens)),
        float(np.mean(requests.output_tokens)),
        float(run.limits.n_max_requests),
    )
    fit = load_serving_fit()
    met = conditions_of(deployment, load, 1.0, fit)
    found: dict = {
        "kv_tokens": {"predicted": predicted_kv_tokens(run, deployment)},
        "metrics": {},
    }
    found["kv_tokens"]["told"] = run.settings.kv_tokens
    for one in held_out_errors(evidence, run.start, run.limits):
        # What a request takes from end to end is what a replica's throughput is by Little's law.
        metric = "throughput" if one.metric == "e2e" else one.metric
        sign = -1.0 if one.metric == "e2e" else 1.0
        ratio = (one.measured_mean_s / one.simulated_mean_s) ** sign
        interval = interval_of(metric, 1.0, met, fit)
        found["metrics"][metric] = {
            "measured_over_predicted": round(ratio, 3),
            "low_ratio": round(interval.low, 3),
            "high_ratio": round(interval.high, 3),
            "inside": bool(interval.low <= ratio <= interval.high),
        }
    return found


def deployment_of(run: Prepared) -> Deployment:
    """What the engine told of itself, in the catalog's names."""
    catalog, settings = load_catalog(), run.settings
    return Deployment(
        catalog.model(canonical_model(settings.model or "", catalog)),
        catalog.gpu(canonical_gpu(settings.gpu or "", catalog)),
        settings.n_tensor_parallel or 1,
        "bf16",
        n_data_parallel=settings.n_data_parallel or 1,
        expert_parallel=bool(settings.expert_parallel),
    )


def predicted_kv_tokens(run: Prepared, deployment: Deployment) -> int:
    """Cache of one rank under the engine's own limits, by the model's memory."""
    memory = EngineMemory(
        n_max_requests=run.limits.n_max_requests,
        n_max_batched_tokens=run.limits.n_max_batched_tokens,
        n_block_tokens=run.limits.n_block_tokens,
    )
    return engine_limits(deployment, memory).kv_tokens


if __name__ == "__main__":
    main()
