"""The coefficients that ship with the package: how far serving is from the data sheets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

import msgspec


@dataclass(frozen=True, slots=True)
class Effect:
    """What one level of one property multiplies some efficiencies by.

    Attributes
    ----------
    fields : tuple of str
        Names of `capacity.efficiency.Efficiency`.
    factor, level : str
        "engine" and "vllm", say.
    log_ratio : float
        Natural logarithm of what the fields are multiplied by.
    """

    fields: tuple[str, ...]
    factor: str
    level: str
    log_ratio: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Spread of errors on measurements that the fit never saw.

    `low_ratio` and `high_ratio` bound 90 % of measured over predicted, for a configuration of
    difficulty 1; a difficulty d widens both to their d-th power.
    """

    low_ratio: float
    high_ratio: float


@dataclass(frozen=True, slots=True)
class ServingFit:
    """Efficiencies fitted on published measurements, and how wrong they were on unseen groups.

    Attributes
    ----------
    coefficients : mapping of str to float
        Efficiency of a configuration without any effect, by field.
    effects : tuple of Effect
    spreads : mapping of str to Spread
        By metric ("ttft", "tpot", "throughput") and trust level ("roofline", "measured"), joined
        by a colon.
    difficulties : mapping of str to float
        Natural logarithm of how much wider errors are under a condition, by metric and
        condition, joined by a colon.
    seen : mapping of str to tuple of str
        Levels of each factor that the fit saw, and "pair" of architecture and generation.
    ranges : mapping of str to (float, float)
        Least and most of n_concurrent, input_tokens, output_tokens and n_gpus that it saw.
    n_points, n_groups : int
        Measurements, and (model, GPU) groups, that it rests on.
    data_digest : str
        SHA-256 of the file of measurements.
    fitted_on : date
    """

    coefficients: Mapping[str, float]
    effects: tuple[Effect, ...]
    spreads: Mapping[str, Spread]
    difficulties: Mapping[str, float]
    seen: Mapping[str, tuple[str, ...]]
    ranges: Mapping[str, tuple[float, float]]
    n_points: int
    n_groups: int
    data_digest: str
    fitted_on: date


@cache
def load_serving_fit() -> ServingFit:
    """Packaged fit, written by `benchmarks/fit_serving.py`."""
    file = resources.files("weighbridge.catalog") / "data" / "serving_fit.json"
    return msgspec.json.decode(file.read_bytes(), type=ServingFit)
