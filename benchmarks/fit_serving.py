"""Fit the serving efficiencies on published measurements and say how wrong they are elsewhere.

    python benchmarks/fit_serving.py --points FILE.csv [--write]

Writes `src/weighbridge/catalog/data/serving_fit.json` and the errors behind `docs/accuracy.md`
(`benchmarks/results/serving_errors.json`): figures of groups, never the measurements themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from serving_aggregates import is_aggregate, predicted

from weighbridge.capacity.configuration import Configured, configured, distinct
from weighbridge.capacity.earned import group_weights, weighted_quantile
from weighbridge.capacity.efficiency import generation_of, kind_of
from weighbridge.capacity.fitting import Fitter, cases_of
from weighbridge.capacity.held_out import HeldOut, Validation, bounds_of, spreads_of
from weighbridge.capacity.intervals import UNIT_SD_RATIO
from weighbridge.capacity.nearby import COVARIANCES, correction
from weighbridge.capacity.observed import ServingPoint
from weighbridge.catalog.canonical import canonical_engine
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import Effect, ServingFit, Spread
from weighbridge.usage.bench.points import read_serving_points

ROOT = Path(__file__).resolve().parents[1]
FIT = ROOT / "src" / "weighbridge" / "catalog" / "data" / "serving_fit.json"
ERRORS = ROOT / "benchmarks" / "results" / "serving_errors.json"


def main() -> None:
    """Fit, validate, print, and write where asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument(
        "--points", type=Path, default=ROOT.parent / "shared/measured/measured_points.csv"
    )
    asked.add_argument("--write", action="store_true", help="renew the fit and the errors")
    options = asked.parse_args()
    points = read_serving_points(options.points)
    measured, left_out, n_repeats = usable(points)
    fitter = Fitter(cases_of(measured))
    validation = Validation(measured, fitter)
    held_out = validation.held_out()
    inside = nested_cover(validation, held_out)
    print_table(held_out, inside)
    calibrated, spreads = left_out_concurrencies(measured, fitter)
    digest = hashlib.sha256(options.points.read_bytes()).hexdigest()
    fit = shipped(fitter, validation, held_out, spreads, digest)
    fit = replace(fit, effects=(*fit.effects, *of_unmeasured_vendors(fit, points)))
    errors = {
        "measured_on": fit.fitted_on.isoformat(),
        "data_digest": digest,
        "n_rows": len(points),
        "n_repeats": n_repeats,
        "left_out": dict(left_out),
        "overall": {m: summary(held_out, inside, m) for m in ("tpot", "ttft")},
        "by": {
            name: tables(held_out, inside, [key(one) for one in measured])
            for name, key in SPLITS.items()
        },
        "whole": whole_properties(validation, measured),
        "otherwise": chosen_otherwise(points),
        "calibrated": calibrated,
        "spreads": {name: [s.low_ratio, s.high_ratio] for name, s in fit.spreads.items()},
        "difficulties": dict(fit.difficulties),
    }
    if options.write:
        FIT.write_bytes(msgspec.json.format(msgspec.json.encode(fit), indent=1) + b"\n")
        ERRORS.parent.mkdir(exist_ok=True)
        ERRORS.write_text(json.dumps(errors, indent=1, sort_keys=True) + "\n")


SPLITS: dict[str, Callable[[Configured], str]] = {
    "group": lambda one: one.group,
    "family": lambda one: one.deployment.model.name.split()[0].split("-")[0],
    "kind": lambda one: kind_of(one.deployment.model),
    "gpu": lambda one: one.deployment.gpu.name,
    "engine": lambda one: one.deployment.engine,
    "precision": lambda one: one.deployment.precision,
    "n_gpus": lambda one: str(one.deployment.n_gpus),
}


WHOLES: dict[str, Callable[[Configured], str]] = {
    **{name: SPLITS[name] for name in ("gpu", "family", "engine")},
    "generation": lambda one: generation_of(one.deployment.gpu),
}


def chosen_otherwise(points: Sequence[ServingPoint]) -> dict:
    """Errors of groups left out where what was chosen about rows is chosen otherwise."""
    untold = [p for p in points if not p.precision and canonical_engine(p.engine) == TENSORRT]
    ids = {id(p) for p in untold}
    wide = [replace(p, precision="bf16") if id(p) in ids else p for p in points]
    lots = {
        "untold_experts": usable(points, take_untold=True)[0],
        "untold_formats_wide": usable(wide)[0],
    }
    found = {}
    for name, measured in lots.items():
        held = Validation(measured, Fitter(cases_of(measured))).held_out()
        weights = group_weights(held.groups.tolist())
        found[name] = {"n": len(measured)} | {
            metric: round(
                weighted_quantile(np.abs(np.expm1(-held.log_ratios[metric])), weights, 0.5), 4
            )
            for metric in ("tpot", "ttft")
        }
    return found


TENSORRT = "tensorrt-llm"


def usable(
    points: Iterable[ServingPoint], take_untold: bool = False
) -> tuple[tuple[Configured, ...], Counter[str], int]:
    """Measurements with a configuration, reasons of the others, and repeats taken once."""
    catalog = load_catalog()
    found = [configured(point, catalog, take_untold=take_untold) for point in points]
    kept = [one for one in found if not isinstance(one, str)]
    measured = distinct(kept)
    reasons = Counter(one for one in found if isinstance(one, str))
    return measured, reasons, len(kept) - len(measured)


def nested_cover(
    validation: Validation, held_out: HeldOut
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whether each case is inside its interval, and the interval's width in logarithms.

    The interval of a group is earned by errors of fits that saw neither it nor the group whose
    errors they are.
    """
    inside = {
        m: (np.zeros(len(held_out.groups), bool), np.zeros(len(held_out.groups)))
        for m in held_out.log_ratios
    }
    for name in sorted(set(held_out.groups.tolist())):
        is_held = held_out.groups == name
        others = validation.held_out(without=(name,))
        earned = spreads_of(others, validation.levels_held_out(without=(name,)))
        conditions = [held_out.conditions[i] for i in np.flatnonzero(is_held)]
        for metric, errors in held_out.log_ratios.items():
            low, high = bounds_of(metric, conditions, earned)
            inside[metric][0][is_held] = (low <= errors[is_held]) & (errors[is_held] <= high)
            inside[metric][1][is_held] = high - low
    return inside


def summary(held_out: HeldOut, inside: dict, metric: str, chosen: np.ndarray | None = None) -> dict:
    """Errors and intervals of one metric, groups weighing the same."""
    is_in = np.ones(len(held_out.groups), bool) if chosen is None else chosen
    errors = held_out.log_ratios[metric][is_in]
    weights = group_weights(held_out.groups[is_in].tolist())
    relative = np.abs(np.expm1(-errors))
    covered, widths = inside[metric][0][is_in], inside[metric][1][is_in]
    return {
        "n": int(is_in.sum()),
        "n_groups": len(set(held_out.groups[is_in].tolist())),
        "median_error": round(weighted_quantile(relative, weights, 0.5), 4),
        "p90_error": round(weighted_quantile(relative, weights, 0.9), 4),
        "predicted_over_measured": round(
            float(np.exp(weighted_quantile(-errors, weights, 0.5))), 4
        ),
        "covered": round(float(weights @ covered), 4),
        "interval_width": round(float(np.exp(weighted_quantile(widths, weights, 0.5))), 3),
        "interval_width_rows_alike": round(float(np.exp(np.median(widths))), 3),
    }


def tables(held_out: HeldOut, inside: dict, keys: Sequence[str]) -> dict:
    """Summaries by the values of some property."""
    column = np.array(keys)
    return {
        key: {m: summary(held_out, inside, m, column == key) for m in ("tpot", "ttft")}
        for key in sorted(set(keys))
    }


def whole_properties(validation: Validation, measured: Sequence[Configured]) -> dict:
    """Errors where all groups that share a property are left out at once."""
    found = {}
    for name, of in WHOLES.items():
        column = np.array([of(one) for one in measured])
        held = validation.left_out([column == value for value in sorted(set(column.tolist()))])
        weights = group_weights(held.groups.tolist())
        found[name] = {"n": len(held.groups), "n_left_out": len(set(column.tolist()))}
        for metric in ("tpot", "ttft"):
            relative = np.abs(np.expm1(-held.log_ratios[metric]))
            found[name][metric] = {
                "median_error": round(weighted_quantile(relative, weights, 0.5), 4),
                "p90_error": round(weighted_quantile(relative, weights, 0.9), 4),
            }
    return found


def print_table(held_out: HeldOut, inside: dict) -> None:
    """Leave-one-group-out errors on the terminal."""
    columns = f"{'median':>7}{'ratio':>7}{'in':>6}{'width':>7}"
    print(f"{'':<34}{'':>5}  {'TPOT':>27}  {'TTFT':>27}")
    print(f"{'group':<34}{'n':>5}  {columns}  {columns}")
    for name in [*sorted(set(held_out.groups.tolist())), "all, groups weighing the same"]:
        chosen = None if name not in held_out.groups else held_out.groups == name
        found = [summary(held_out, inside, metric, chosen) for metric in ("tpot", "ttft")]
        cells = "  ".join(
            f"{s['median_error']:>7.1%}{s['predicted_over_measured']:>7.2f}"
            f"{s['covered']:>6.0%}{s['interval_width']:>7.2f}"
            for s in found
        )
        print(f"{name:<34}{found[0]['n']:>5}  {cells}")


def left_out_concurrencies(
    measured: Sequence[Configured], fitter: Fitter
) -> tuple[dict, dict[str, Spread]]:
    """Errors at one concurrency of a series when four or more others of it are given.

    A series is what one source measured of one configuration and length mix with one engine
    version, its group left out of the fit. Series whose repeats differ by more than a tenth mix
    settings that no column tells, and are left out of the first figures, in the second.
    """
    series: dict[tuple, list[int]] = defaultdict(list)
    for i, one in enumerate(measured):
        to, load = one.deployment, one.load
        size = (to.n_tensor_parallel, to.n_data_parallel, to.expert_parallel, to.precision)
        lengths = (load.input_tokens, load.output_tokens)
        series[one.group, *size, one.point.engine, one.point.gpu, *lengths].append(i)
    long = [v for v in series.values() if len(concurrencies(measured, v)) >= 5]
    kept = [v for v in long if agrees(measured, v)]
    result: dict = {"n_series": len(kept), "n_contradictory": len(long) - len(kept)}
    spreads = {}
    for metric in ("tpot", "ttft"):
        errors, sds, groups = series_errors(measured, fitter, kept, metric)
        result[metric] = of_series(errors, groups)
        everything = series_errors(measured, fitter, long, metric)
        result[f"{metric}_with_contradictory"] = of_series(everything[0], everything[2])
        weights = group_weights(groups)
        low, high = (
            weighted_quantile(errors / sds, weights, p) * UNIT_SD_RATIO for p in (0.05, 0.95)
        )
        spreads[f"{metric}:measured"] = Spread(
            round(float(np.exp(low)), 4), round(float(np.exp(high)), 4)
        )
    spreads["throughput:measured"] = spreads["tpot:measured"]
    return result, spreads


def of_series(errors: np.ndarray, groups: list[str]) -> dict:
    """Errors with rows, and with groups, weighing the same."""
    relative = np.abs(np.expm1(-errors))
    weights = group_weights(groups)
    return {
        "n": len(errors),
        "median_error": round(float(np.median(relative)), 4),
        "p90_error": round(float(np.quantile(relative, 0.9)), 4),
        "median_error_groups_alike": round(weighted_quantile(relative, weights, 0.5), 4),
        "p90_error_groups_alike": round(weighted_quantile(relative, weights, 0.9), 4),
    }


def series_errors(
    measured: Sequence[Configured], fitter: Fitter, series: Sequence[Sequence[int]], metric: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Errors after correction by the rest of the series, what kriging expected, and groups."""
    errors, sds, groups = [], [], []
    start = fitter.fit(np.ones(len(measured), bool))
    by_group: dict[str, list[Sequence[int]]] = defaultdict(list)
    for v in series:
        by_group[measured[v[0]].group].append(v)
    for group, own in by_group.items():
        parameters = fitter.fit(fitter.cases.groups != group, start, 6)
        residuals = fitter.residuals(parameters)[("ttft", "tpot").index(metric)]
        for v in own:
            for n in concurrencies(measured, v):
                given = [i for i in v if measured[i].load.n_concurrent != n]
                asked = [i for i in v if measured[i].load.n_concurrent == n]
                wanted = (measured[asked[0]].deployment, measured[asked[0]].load)
                found = correction(
                    wanted, [measured[i] for i in given], residuals[given], COVARIANCES[metric]
                )
                errors += [residuals[i] - found.log_ratio for i in asked]
                sds += [found.sd_ratio] * len(asked)
                groups += [group] * len(asked)
    return np.array(errors), np.array(sds), groups


def concurrencies(measured: Sequence[Configured], places: Sequence[int]) -> list[float]:
    """Distinct concurrencies of some measurements."""
    return sorted({measured[i].load.n_concurrent for i in places})


def agrees(measured: Sequence[Configured], places: Sequence[int]) -> bool:
    """Whether repeats at one concurrency are within a tenth of each other."""
    by: dict[float, list[float]] = defaultdict(list)
    for i in places:
        by[measured[i].load.n_concurrent].append(measured[i].point.tpot_s or np.nan)
    return all(max(v) <= 1.1 * min(v) for v in by.values())


def of_unmeasured_vendors(fit: ServingFit, points: Iterable[ServingPoint]) -> tuple[Effect, ...]:
    """Effects of vendors whose GPUs no row at a stated concurrency is of, from their own pages.

    One ratio on everything that a kernel reaches of the data sheet, such that the median of the
    pages' offline throughputs would be met, then shrunk; MLPerf's rows of these GPUs stay to be
    judged.
    """
    catalog = load_catalog()
    pages = [p for p in points if is_aggregate(p) and "mlcommons" not in p.source]
    rows = [p for p in pages if p.gpu.startswith("MI300X")]
    log_ratio = 0.0
    for _ in range(4):  # throughput answers less than in proportion
        effects = tuple(
            Effect(REACHED, "generation", f"amd-{narrowest}", round(log_ratio, 4))
            for narrowest in ("fp8", "fp4")
        )
        tried = replace(fit, effects=(*fit.effects, *effects))
        found = [(p, predicted(p, catalog, tried)) for p in rows]
        ratios = [
            np.log((p.output_tokens_per_s or np.nan) / one[1].mid)
            for p, one in found
            if not isinstance(one, str)
        ]
        log_ratio += float(np.median(ratios))
    shrunk = round(SHRUNK_TO_FRAC * log_ratio, 4)
    return tuple(replace(effect, log_ratio=shrunk) for effect in effects)


# The pages are one group of tuning, MLPerf's submissions to the same GPUs reach nearly three times
# as much: so much of what the pages say is believed, which lies between both.
SHRUNK_TO_FRAC = 0.6
REACHED = ("memory_frac", "cache_frac", "compute_frac", "attention_frac", "expert_frac")


def shipped(
    fitter: Fitter,
    validation: Validation,
    held_out: HeldOut,
    measured: dict[str, Spread],
    digest: str,
) -> ServingFit:
    """The fit on everything, with the spreads that held-out errors earned."""
    everything = np.ones(len(fitter.cases), bool)
    parameters = fitter.fit(everything)
    difficulties, spreads = spreads_of(held_out, validation.levels_held_out())
    return replace(
        validation.seen_by(everything),
        coefficients=fitter.coefficients(parameters),
        effects=fitter.effects(parameters),
        spreads={f"{name}:roofline": one for name, one in spreads.items()} | measured,
        difficulties=difficulties,
        data_digest=digest,
        fitted_on=datetime.now(UTC).date(),
    )


if __name__ == "__main__":
    main()
