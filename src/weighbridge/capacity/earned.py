"""Spreads learned from errors on groups that the fit never saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from weighbridge.capacity.intervals import LEARNED, difficulty
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import Spread

# Errors below this (natural logarithms) are as good as none: their logarithm is cut off here.
_LEAST_RATIO = 0.03
# Before data a condition makes no difference: so many groups of weight stand against it.
_GROUPS_AGAINST = 1.0
COVERED_FRAC = 0.9


def group_weights(groups: Sequence[str]) -> Floats:
    """Weights under which every group counts the same; their sum is 1.

    >>> group_weights(["a", "a", "b"]).tolist()
    [0.25, 0.25, 0.5]
    """
    counts = Counter(groups)
    return np.array([1.0 / counts[group] / len(counts) for group in groups])


def weighted_quantile(values: Floats, weights: Floats, probability: float) -> float:
    """Smallest value at which the weights below it reach a share of all.

    Parameters
    ----------
    values, weights : float array
    probability : float

    Examples
    --------
    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0]), 0.5)
    2.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = np.searchsorted(reached, probability * reached[-1] * (1 - 1e-12))
    return float(values[order][min(int(place), len(values) - 1)])


def learned_difficulties(
    metric: str,
    log_ratios: Floats,
    conditions: Sequence[Mapping[str, float]],
    groups: Sequence[str],
) -> dict[str, float]:
    """How much wider errors are under each condition, as natural logarithms.

    Ridge regression of `log|error|` on the conditions of `intervals.LEARNED`, every group
    weighing the same. Conditions that no error met are left out.

    Parameters
    ----------
    metric : {"ttft", "tpot", "throughput"}
    log_ratios : float array
        Natural logarithms of measured over predicted, on groups that the fit did not see.
    conditions : sequence of mapping
        Of each of them.
    groups : sequence of str
    """
    names = [name for name in LEARNED[metric] if any(one[name] for one in conditions)]
    x = np.array([[one[name] for name in names] for one in conditions])
    weights = group_weights(groups)
    n_groups = len(set(groups))
    y = np.log(np.maximum(np.abs(log_ratios), _LEAST_RATIO))
    x_mean, y_mean = weights @ x, weights @ y
    centred = x - x_mean
    curvature = (centred.T * weights) @ centred * n_groups
    slope = (centred.T * weights) @ (y - y_mean) * n_groups
    found = np.linalg.solve(curvature + _GROUPS_AGAINST * np.eye(len(names)), slope)
    return {f"{metric}:{name}": round(float(d), 3) for name, d in zip(names, found, strict=True)}


def added_difficulties(
    metric: str,
    log_ratios: tuple[Floats, Floats],
    conditions: Sequence[Mapping[str, float]],
    groups: Sequence[str],
) -> dict[str, float]:
    """How much wider errors become where conditions come in addition, as natural logarithms.

    Ridge regression, without a constant, of the difference of `log|error|` between two predictions
    of the same case on what the first meets in addition; never below 0.

    Parameters
    ----------
    metric : {"ttft", "tpot", "throughput"}
    log_ratios : (float array, float array)
        Natural logarithms of measured over predicted, with the conditions and without.
    conditions : sequence of mapping
        What each case meets in addition.
    groups : sequence of str
    """
    names = list(conditions[0])
    x = np.array([[one[name] for name in names] for one in conditions])
    weights = group_weights(groups) * len(set(groups))
    with_it, without = (np.log(np.maximum(np.abs(e), _LEAST_RATIO)) for e in log_ratios)
    curvature = (x.T * weights) @ x + _GROUPS_AGAINST * np.eye(len(names))
    found = np.linalg.solve(curvature, (x.T * weights) @ (with_it - without))
    return {
        f"{metric}:{name}": max(round(float(d), 3), 0.0)
        for name, d in zip(names, found, strict=True)
    }


def earned_spread(
    metric: str,
    log_ratios: Floats,
    conditions: Sequence[Mapping[str, float]],
    groups: Sequence[str],
    difficulties: Mapping[str, float],
) -> Spread:
    """Narrowest ratios that hold 90 % of held-out errors at difficulty 1, groups weighing alike.

    Of all pairs of quantiles of the errors, divided by their difficulty, that are 90 % apart, the
    nearest together: errors lean to one side, and what is far off is mostly one group.
    """
    wider = np.array([difficulty(metric, one, difficulties) for one in conditions])
    weights = group_weights(groups)
    order = np.argsort(log_ratios / wider, kind="stable")
    values, reached = (log_ratios / wider)[order], np.cumsum(weights[order])
    last = np.searchsorted(reached, np.append(0.0, reached[:-1]) + COVERED_FRAC - 1e-12)
    is_within = last < len(values)
    first = np.flatnonzero(is_within)
    best = first[np.argmin(values[last[is_within]] - values[first])]
    low, high = values[best], values[last[best]]
    return Spread(round(float(np.exp(min(low, 0.0))), 4), round(float(np.exp(max(high, 0.0))), 4))
