"""Predict published aggregate throughputs (MLPerf, vendors' pages) that the fit never uses.

    python benchmarks/serving_aggregates.py --points FILE.csv [--write]

Writes `benchmarks/results/serving_aggregates.json`: figures of groups of rows, by source, model,
GPU and scenario.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from weighbridge.capacity.configuration import cache_precision
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.observed import ServingPoint
from weighbridge.capacity.offline import (
    Lengths,
    Targets,
    predict_offline_throughput,
    predict_served_throughput,
)
from weighbridge.capacity.prediction import Interval
from weighbridge.catalog.canonical import (
    canonical_engine,
    canonical_gpu,
    canonical_model,
    canonical_precision,
)
from weighbridge.catalog.facts import Catalog, load_catalog
from weighbridge.catalog.serving_fit import ServingFit, load_serving_fit
from weighbridge.units import InputError
from weighbridge.usage.bench.points import read_serving_points

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "serving_aggregates.json"
# Bounds on the 99th percentile of MLPerf inference v5.1's LLM scenarios: `ttft_latency` and
# `tpot_latency` in github.com/mlcommons/inference, loadgen/mlperf.conf at 001712e9.
TARGETS = {
    ("llama-2-70b", "Server"): Targets(2.0, 0.2),
    ("llama-2-70b", "Interactive"): Targets(0.45, 0.04),
    ("llama-3.1-405b", "Server"): Targets(6.0, 0.175),
    ("llama-3.1-405b", "Interactive"): Targets(4.5, 0.08),
    ("llama-3.1-8b", "Server"): Targets(2.0, 0.1),
    ("llama-3.1-8b", "Interactive"): Targets(0.5, 0.03),
    ("mixtral-8x7b", "Server"): Targets(2.0, 0.2),
}
SIZES = (1, 2, 4, 8, 16)


def main() -> None:
    """Predict every aggregate row, print by group, write where asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    shared = ROOT.parent / "shared/measured/measured_points.csv"
    asked.add_argument("--points", type=Path, default=shared)
    asked.add_argument("--write", action="store_true", help="renew the results")
    options = asked.parse_args()
    catalog, fit = load_catalog(), load_serving_fit()
    rows = [p for p in read_serving_points(options.points) if is_aggregate(p)]
    groups: dict[str, list[tuple[float, Interval]]] = defaultdict(list)
    reasons: Counter[str] = Counter()
    for point in rows:
        found = predicted(point, catalog, fit)
        if isinstance(found, str):
            reasons[found] += 1
        else:
            groups[found[0]].append((point.output_tokens_per_s or 0.0, found[1]))
    result = {
        "n_rows": len(rows),
        "left_out": dict(reasons),
        "groups": {name: summary(pairs) for name, pairs in sorted(groups.items())},
    }
    for name, one in result["groups"].items():
        print(f"{name:<70}{one['n']:>4}{one['predicted_over_measured']:>7.2f}{one['inside']:>4}")
    n = sum(one["n"] for one in result["groups"].values())
    print(
        f"{sum(one['inside'] for one in result['groups'].values())} of {n} inside; {dict(reasons)}"
    )
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def is_aggregate(point: ServingPoint) -> bool:
    """Whether a row measured a throughput at no stated concurrency."""
    return (
        point.output_tokens_per_s is not None
        and not point.disaggregated
        and (point.n_concurrent is None or "offline" in point.note)
        and "open-loop trace" not in point.note
    )


def predicted(point: ServingPoint, catalog: Catalog, fit: ServingFit) -> tuple[str, Interval] | str:
    """Group and predicted throughput of the whole system, or why there is none."""
    if point.input_tokens is None or point.output_tokens is None:
        return "no prompt or answer length"
    if point.n_gpus is None:
        return "no number of GPUs"
    try:
        model = catalog.model(canonical_model(point.model, catalog))
        gpu = catalog.gpu(canonical_gpu(point.gpu, catalog))
        engine = canonical_engine(point.engine)
        precision = canonical_precision(point.precision or "fp8")
    except InputError as error:
        return f"{error.field} is not known"
    scenario = scenario_of(point)
    sizes = [point.n_tensor_parallel] if point.n_tensor_parallel else SIZES
    kv = "fp8" if precision != "bf16" else cache_precision(model, precision, engine)
    lengths = Lengths(point.input_tokens, point.output_tokens)
    best: Interval | None = None
    for n in sizes:
        if n > point.n_gpus or point.n_gpus % n:
            continue
        deployment = Deployment(model, gpu, n, precision, kv_precision=kv, engine=engine)
        one = replica_throughput(deployment, lengths, scenario, fit)
        if one is not None:
            copies = point.n_gpus // n
            whole = Interval(one.low * copies, one.mid * copies, one.high * copies)
            best = whole if best is None or whole.mid > best.mid else best
    if best is None:
        return "does not fit the GPUs at any size, or no batch meets the targets"
    source = (
        "MLPerf v5.1"
        if "mlcommons" in point.source
        else re.sub(r"^https?://|github ", "", point.source).split("/")[0]
    )
    return f"{source}, {scenario}: {model.id} on {gpu.id}, {precision}", best


def scenario_of(point: ServingPoint) -> str:
    """Scenario of an MLPerf row, else offline."""
    found = re.search(r"/(Server|Interactive|Offline)$", point.source)
    return found[1] if found else "Offline"


def replica_throughput(
    deployment: Deployment, lengths: Lengths, scenario: str, fit: ServingFit
) -> Interval | None:
    """Of one replica under a scenario; None where it does not fit or meets no target."""
    try:
        if scenario == "Offline":
            return predict_offline_throughput(deployment, lengths, fit)
        targets = TARGETS[deployment.model.id, scenario]
        found = predict_served_throughput(deployment, lengths, fit, targets)
    except InputError:
        return None
    return found if found.mid > 0 else None


def summary(pairs: Sequence[tuple[float, Interval]]) -> dict[str, float]:
    """How a group of rows compares."""
    return {
        "n": len(pairs),
        "inside": sum(one.low <= seen <= one.high for seen, one in pairs),
        "predicted_over_measured": round(median(one.mid / seen for seen, one in pairs), 3),
        "interval_width": round(median(one.high / one.low for _, one in pairs), 2),
    }


if __name__ == "__main__":
    main()
