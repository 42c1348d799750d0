"""Intervals that held-out errors earned, wider where a prediction stands on less."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import levels_of
from weighbridge.capacity.nearby import Correction
from weighbridge.capacity.prediction import ClosedLoop, Interval
from weighbridge.catalog.serving_fit import ServingFit

# What makes a prediction uncertain, and how it is said. Each is 0 or 1 but "beyond", which counts
# how many times the measured range is exceeded, in powers of two.
CONDITIONS: Mapping[str, str] = {
    "sglang": "SGLang's versions and settings differ more among themselves than vLLM's",
    "tensorrt-llm": "TensorRT-LLM's versions and settings differ more among themselves than vLLM's",
    "data_parallel": "ranks of data-parallel attention wait for each other",
    "waiting": "more requests than the cache holds: their wait adds to the error",
    "new_architecture": "no measurement of a model of this architecture is in the fit",
    "new_vendor": "no measurement of this vendor's GPUs is in the fit",
    "new_generation": "no measurement of this generation of GPU is in the fit",
    "card": "no measurement of a card with graphics memory is in the fit, and engines on some that "
    "were held against it ran up to 1.6 times as fast as predicted",
    "new_engine": "no measurement of this engine is in the fit",
    "new_format": "no measurement of this number format on this generation of GPU is in the fit",
    "beyond": "outside the measured range of load",
}
# Conditions whose widening is learned from errors of groups left out one by one. Those of a time to
# first token hang on the engine above all; more conditions only spread their noise.
_ENGINES = ("sglang", "tensorrt-llm")
LEARNED: Mapping[str, tuple[str, ...]] = {
    "ttft": _ENGINES,
    "tpot": (*_ENGINES, "data_parallel", "waiting", "new_architecture"),
    "throughput": (*_ENGINES, "data_parallel", "waiting", "new_architecture"),
}
# Conditions that a group left out alone hardly meets: learned by leaving out all groups that share
# a generation, an engine or a number format.
LEARNED_OF_LEVELS = ("new_generation", "new_engine", "new_format")
# Widening that no held-out measurement can show: each doubling beyond the measured range, and a
# vendor, of which there is only one in the fit. That of cards is chosen by hand so that the
# intervals hold the three runs of `benchmarks/serving_runs.py`, which are too few to learn from.
ASSUMED_DIFFICULTY: Mapping[str, float] = {"beyond": 0.15, "new_vendor": 0.35, "card": 0.5}

# Standard deviation after kriging for which the ratios of "measured" spreads are given.
UNIT_SD_RATIO = 0.05


def conditions_of(
    deployment: Deployment, load: ClosedLoop, held_frac: float, fit: ServingFit
) -> dict[str, float]:
    """How much of each of `CONDITIONS` a prediction meets.

    Parameters
    ----------
    deployment : Deployment
    load : ClosedLoop
    held_frac : float
        Requests in flight over those that the cache holds [1].
    fit : ServingFit
        Tells what was seen, and in which ranges.
    """
    levels, seen = levels_of(deployment), fit.seen
    is_unseen = levels["generation"] not in seen["generation"]
    vendors = {generation.split("-")[0] for generation in seen["generation"]}
    return {
        "sglang": float(deployment.engine == "sglang"),
        "tensorrt-llm": float(deployment.engine == "tensorrt-llm"),
        "data_parallel": float(deployment.n_data_parallel > 1),
        "waiting": float(held_frac > 1.0),
        "new_architecture": float(levels["architecture"] not in seen["architecture"]),
        "new_vendor": float(levels["generation"].split("-")[0] not in vendors),
        "new_generation": float(is_unseen),
        "card": float(levels["generation"].endswith("-card") and is_unseen),
        "new_engine": float(levels["engine"] not in seen["engine"]),
        "new_format": float(levels["units"] not in seen["units"]),
        "beyond": _doublings_beyond(deployment, load, fit),
    }


def interval_of(
    metric: str, value: float, conditions: Mapping[str, float], fit: ServingFit
) -> Interval:
    """Interval of 90 % about a prediction from data sheets and fit.

    Bounds are `value * ratio**difficulty`, with the ratios of measured over predicted that hold
    90 % of unseen groups at difficulty 1, and `difficulty = exp(sum of its conditions)`.

    Parameters
    ----------
    metric : {"ttft", "tpot", "throughput"}
    value : float
    conditions : mapping of str to float
    fit : ServingFit
    """
    spread = fit.spreads[f"{metric}:roofline"]
    wider = difficulty(metric, conditions, fit.difficulties)
    return Interval(value * spread.low_ratio**wider, value, value * spread.high_ratio**wider)


def measured_interval_of(
    metric: str, plain: Interval, near: Correction, fit: ServingFit
) -> Interval:
    """Interval of 90 % about a prediction that measurements nearby corrected.

    Bounds are `mid * ratio**(sd / typical sd)`: the ratios hold 90 % of measurements that were
    left out among their neighbours, in units of the standard deviation that kriging left. They
    are no farther apart than without the correction, with which other lengths of the same
    configuration are predicted better, not worse (4 % against 14 % at the median).

    Parameters
    ----------
    metric : {"ttft", "tpot", "throughput"}
    plain : Interval
        Of the prediction before correction.
    near : Correction
    fit : ServingFit
    """
    spread = fit.spreads[f"{metric}:measured"]
    wider = near.sd_ratio / UNIT_SD_RATIO
    mid = plain.mid * float(np.exp(near.log_ratio))
    low_ratio = max(spread.low_ratio**wider, plain.low / plain.mid)
    high_ratio = min(spread.high_ratio**wider, plain.high / plain.mid)
    return Interval(mid * low_ratio, mid, mid * high_ratio)


def difficulty(
    metric: str, conditions: Mapping[str, float], difficulties: Mapping[str, float]
) -> float:
    """How many times wider than plain ones the errors of a prediction are.

    Parameters
    ----------
    metric : {"ttft", "tpot", "throughput"}
    conditions : mapping of str to float
    difficulties : mapping of str to float
        As in `ServingFit`; for conditions that no held-out measurement met,
        `ASSUMED_DIFFICULTY`.
    """
    logs = (
        share * difficulties.get(f"{metric}:{name}", ASSUMED_DIFFICULTY.get(name, 0.0))
        for name, share in conditions.items()
    )
    return float(np.exp(sum(logs)))


def why(conditions: Mapping[str, float]) -> tuple[str, ...]:
    """Conditions that a prediction meets, in words."""
    return tuple(CONDITIONS[name] for name, share in conditions.items() if share > 0)


def _doublings_beyond(deployment: Deployment, load: ClosedLoop, fit: ServingFit) -> float:
    values = {
        "n_concurrent": load.n_concurrent / deployment.n_data_parallel,
        "input_tokens": load.input_tokens,
        "output_tokens": load.output_tokens,
        "n_gpus": float(deployment.n_gpus),
    }
    beyond = 0.0
    for name, value in values.items():
        least, most = fit.ranges[name]
        beyond += max(np.log2(value / most), np.log2(least / value), 0.0)
    return float(beyond)
