"""How much choosing the strengths of the priors on all groups flatters the errors of the fit.

    python benchmarks/serving_priors.py --points FILE.csv [--write]

Strengths are chosen among draws about those that ship, for each lot of model families by the
errors on all other families, and the lot is judged under them, leave-one-group-out as in
`fit_serving.py`. Writes `benchmarks/results/serving_priors.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from fit_serving import SPLITS, usable

from weighbridge.capacity.earned import group_weights, weighted_quantile
from weighbridge.capacity.fitting import PRIORS, Fitter, Priors, cases_of
from weighbridge.usage.bench.points import read_serving_points

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "serving_priors.json"
N_DRAWS, SEED = 5, 4
# Standard deviations, in natural logarithms, of the draws of effects' and coefficients' strengths.
DRAWN_BY = (0.5, 0.4)
LOTS = (("Llama", "BLOOM"), ("DeepSeek", "Kimi"), ("gpt",), ("MiniMax", "Qwen3.5", "GLM", "Qwen3"))
METRICS = ("ttft", "tpot")
BARS = {"tpot": 0.15, "ttft": 0.25}
Errors = dict[str, np.ndarray]


def main() -> None:
    """Choose, judge, print, and write where asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    shared = ROOT.parent / "shared/measured/measured_points.csv"
    asked.add_argument("--points", type=Path, default=shared)
    asked.add_argument("--write", action="store_true", help="renew the results")
    options = asked.parse_args()
    measured = usable(read_serving_points(options.points))[0]
    families = np.array([SPLITS["family"](one) for one in measured])
    fitters = [Fitter(cases_of(measured), priors) for priors in strengths()]
    everything = np.ones(len(measured), bool)
    starts = [fitter.fit(everything) for fitter in fitters]
    whole = [errors(f, s, everything) for f, s in zip(fitters, starts, strict=True)]
    groups = fitters[0].cases.groups
    chosen = {metric: np.zeros(len(measured)) for metric in METRICS}
    for lot in LOTS:
        out = np.isin(families, lot)
        inner = [errors(f, s, ~out) for f, s in zip(fitters, starts, strict=True)]
        best = int(np.argmin([loss(one, groups, ~out) for one in inner]))
        print(f"{', '.join(lot)}: draw {best}", flush=True)
        for metric in METRICS:
            chosen[metric][out] = whole[best][metric][out]
    result = {
        "n_draws": N_DRAWS,
        "shipped": medians(whole[0], groups, everything),
        "untuned": medians(whole[1], groups, everything),
        "drawn": [medians(one, groups, everything) for one in whole[2:]],
        "chosen_on_other_families": medians(chosen, groups, everything),
    }
    print(json.dumps(result, indent=1))
    if options.write:
        RESULTS.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def strengths() -> list[Priors]:
    """Those that ship, one strength for all, and draws."""
    generator = np.random.default_rng(SEED)
    flat = replace(
        PRIORS,
        effects=tuple(replace(one, sd_ratio=0.4) for one in PRIORS.effects),
        sd_ratios=dict.fromkeys(PRIORS.sd_ratios, 0.7),
    )
    drawn = []
    for _ in range(N_DRAWS):
        effects = [
            replace(one, sd_ratio=one.sd_ratio * np.exp(generator.normal(0.0, DRAWN_BY[0])))
            for one in PRIORS.effects
        ]
        sds = {
            name: sd * np.exp(generator.normal(0.0, DRAWN_BY[1]))
            for name, sd in PRIORS.sd_ratios.items()
        }
        drawn.append(replace(PRIORS, effects=tuple(effects), sd_ratios=sds))
    return [PRIORS, flat, *drawn]


def errors(fitter: Fitter, start: np.ndarray, among: np.ndarray) -> Errors:
    """Errors of each group among some cases by fits on the others among them."""
    groups = fitter.cases.groups
    found = {metric: np.zeros(len(groups)) for metric in METRICS}
    for name in sorted(set(groups[among].tolist())):
        held = groups == name
        residuals = fitter.residuals(fitter.fit(among & ~held, start, 5))
        for metric, residual in zip(METRICS, residuals, strict=True):
            found[metric][held] = residual[held]
    return found


def medians(found: Errors, groups: np.ndarray, among: np.ndarray) -> dict[str, float]:
    """Median errors, groups weighing the same."""
    weights = group_weights(groups[among].tolist())
    return {
        metric: round(weighted_quantile(np.abs(np.expm1(-found[metric][among])), weights, 0.5), 4)
        for metric in METRICS
    }


def loss(found: Errors, groups: np.ndarray, among: Sequence[bool] | np.ndarray) -> float:
    """Median errors over their bars."""
    medians_found = medians(found, groups, np.asarray(among))
    return sum(medians_found[metric] / bar for metric, bar in BARS.items())


if __name__ == "__main__":
    main()
