"""Measurements near a configuration, and what their errors say of its own: kriging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import architecture_of, generation_of
from weighbridge.capacity.prediction import ClosedLoop
from weighbridge.capacity.traffic import Floats


@dataclass(frozen=True, slots=True)
class Covariance:
    """How errors (natural logarithms of measured over predicted) go together.

    Attributes
    ----------
    setup_sd_ratio : float
        Of what all loads of one configuration share.
    load_sd_ratio : float
        Of what changes smoothly with the load.
    rough_sd_ratio : float
        Of what changes in steps: sizes of captured graphs, tiles of kernels, chunks.
    noise_sd_ratio : float
        Between repeats of one measurement.
    n_concurrent_ratio, length_ratio : float
        Distance, in natural logarithms of concurrency and of token lengths, over which errors
        become unlike.
    """

    setup_sd_ratio: float
    load_sd_ratio: float
    rough_sd_ratio: float
    noise_sd_ratio: float
    n_concurrent_ratio: float
    length_ratio: float


# Found by leaving out one concurrency at a time inside the configurations of the published
# measurements (`benchmarks/fit_serving.py`); a time to first token varies more between repeats.
COVARIANCES = {
    "tpot": Covariance(0.30, 0.50, 0.05, 0.02, 4.0, 4.0),
    "ttft": Covariance(0.45, 0.25, 0.20, 0.05, 1.8, 1.5),
}
# Share of the shared error that one difference between configurations leaves in common, as
# exponents: another architecture leaves little, twice the GPUs most of it.
_APART = {
    "architecture": 2.0,
    "generation": 1.0,
    "gpu": 0.4,
    "engine": 1.0,
    "precision": 0.7,
    "spread": 0.3,
}
_APART_PER_DOUBLING = 0.35
# Below this share of the variance explained, measurements say too little to be called a basis.
LEAST_EXPLAINED_FRAC = 0.5
N_NEAREST = 100
# By which factor what changes in steps becomes unlike sooner than what changes smoothly.
_ROUGHNESS = 1.2
_OUTLYING = 3.0
_N_MOST_OUTLIERS = 2


@dataclass(frozen=True, slots=True)
class Correction:
    """What measurements nearby add to a prediction.

    Attributes
    ----------
    log_ratio : float
        Expected natural logarithm of measured over predicted.
    sd_ratio : float
        Its standard deviation that remains.
    explained_frac : float
        Share of the variance that the measurements explain.
    n_same_setup : int
        Measurements of the very configuration among them.
    """

    log_ratio: float
    sd_ratio: float
    explained_frac: float
    n_same_setup: int


NOTHING_NEAR = Correction(0.0, float("inf"), 0.0, 0)


def nearest(
    wanted: tuple[Deployment, ClosedLoop], measured: Sequence[Configured], covariance: Covariance
) -> tuple[Configured, ...]:
    """The measurements that have most in common with what is wanted, at most `N_NEAREST`.

    Parameters
    ----------
    wanted : (Deployment, ClosedLoop)
    measured : sequence of Configured
    covariance : Covariance
    """
    if not measured:
        return ()
    places = [(one.deployment, one.load) for one in measured]
    common = _covariances([wanted], places, covariance)[0]
    order = np.argsort(-common, kind="stable")[:N_NEAREST]
    return tuple(measured[i] for i in order)


def correction(
    wanted: tuple[Deployment, ClosedLoop],
    nearby: Sequence[Configured],
    log_ratios: Floats,
    covariance: Covariance,
) -> Correction:
    """Expected error of a prediction from the errors of the same predictor nearby.

    Simple kriging about 0 [Cressie, Statistics for Spatial Data, 3.2]: covariance
    `c * (s**2 + l**2 * exp(-d**2 / 2) + r**2 * exp(-1.2 * d))` of configurations with c in common
    and loads d apart.

    Parameters
    ----------
    wanted : (Deployment, ClosedLoop)
    nearby : sequence of Configured
    log_ratios : float array of shape (len(nearby),)
        Natural logarithms of measured over predicted.
    covariance : Covariance

    Returns
    -------
    Correction
    """
    places = [(one.deployment, one.load) for one in nearby]
    among = _covariances(places, places, covariance)
    among[np.diag_indices_from(among)] += _noise(among, log_ratios, covariance)
    to = _covariances([wanted], places, covariance)[0]
    total = covariance.setup_sd_ratio**2 + covariance.load_sd_ratio**2
    total += covariance.rough_sd_ratio**2
    solved = np.linalg.solve(among, np.column_stack([log_ratios, to]))
    left = max(total - float(to @ solved[:, 1]), 0.0)
    return Correction(
        log_ratio=float(to @ solved[:, 0]),
        sd_ratio=float(np.sqrt(left + covariance.noise_sd_ratio**2)),
        explained_frac=1.0 - left / total,
        n_same_setup=int((_apart([wanted[0]], [one.deployment for one in nearby]) == 0.0).sum()),
    )


def _noise(among: Floats, log_ratios: Floats, covariance: Covariance) -> Floats:
    """Variance of noise of each measurement, raised for those that the others contradict.

    A measurement that lies `_OUTLYING` standard deviations from what all others predict of it (in
    closed form from the inverse) was disturbed, and is made to count for little.
    """
    noise = np.full(len(log_ratios), covariance.noise_sd_ratio**2)
    for _ in range(_N_MOST_OUTLIERS):
        inverse = np.linalg.inv(among + np.diag(noise))
        diagonal = np.diag(inverse)
        distances = np.abs(inverse @ log_ratios) / np.sqrt(diagonal)
        worst = int(np.argmax(distances))
        if distances[worst] < _OUTLYING:
            break
        noise[worst] *= (4.0 * distances[worst] / _OUTLYING) ** 2
    return noise


def _covariances(
    rows: Sequence[tuple[Deployment, ClosedLoop]],
    columns: Sequence[tuple[Deployment, ClosedLoop]],
    covariance: Covariance,
) -> Floats:
    common = np.exp(-_apart([a for a, _ in rows], [b for b, _ in columns]))
    at, to = _places(rows, covariance), _places(columns, covariance)
    squared = ((at[:, None, :] - to[None, :, :]) ** 2).sum(axis=2)
    load = covariance.load_sd_ratio**2 * np.exp(-0.5 * squared)
    rough = covariance.rough_sd_ratio**2 * np.exp(-_ROUGHNESS * np.sqrt(squared))
    return np.asarray(common * (covariance.setup_sd_ratio**2 + load + rough))


def _places(places: Sequence[tuple[Deployment, ClosedLoop]], covariance: Covariance) -> Floats:
    """Loads as points whose distance is in lengths of the covariance."""
    scales = np.array(
        [covariance.n_concurrent_ratio, covariance.length_ratio, covariance.length_ratio]
    )
    loads = [
        (load.n_concurrent / deployment.n_data_parallel, load.input_tokens, load.output_tokens)
        for deployment, load in places
    ]
    return np.asarray(np.log(loads) / scales)


def _apart(rows: Sequence[Deployment], columns: Sequence[Deployment]) -> Floats:
    """How unlike two lots of configurations are, each with each, as exponents."""
    here, there = _properties(rows), _properties(columns)
    apart = np.zeros((len(rows), len(columns)))
    for name, exponent in _APART.items():
        apart += exponent * (here[name][:, None] != there[name][None, :])
    sizes = [np.log2([one.n_gpus for one in lot]) for lot in (rows, columns)]
    return np.asarray(apart + _APART_PER_DOUBLING * np.abs(sizes[0][:, None] - sizes[1][None, :]))


def _properties(lot: Sequence[Deployment]) -> dict[str, NDArray[np.str_]]:
    return {
        "architecture": np.array([architecture_of(one.model) for one in lot]),
        "generation": np.array([generation_of(one.gpu) for one in lot]),
        "gpu": np.array([one.gpu.id for one in lot]),
        "engine": np.array([one.engine for one in lot]),
        "precision": np.array([one.precision for one in lot]),
        "spread": np.array([f"{one.expert_parallel} {one.n_data_parallel > 1}" for one in lot]),
    }
