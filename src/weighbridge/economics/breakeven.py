"""Where an option costs the same as the API: along one input, and as a surface over two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.inputs import Inputs, quasi_random
from weighbridge.economics.lines import total_usd
from weighbridge.economics.options import Case, Option, option_lines
from weighbridge.economics.risk import Problem, saving_usd

SEARCH = np.geomspace(1e-3, 1e3, 361)
BISECTIONS = 40
NEARBY = np.geomspace(0.1, 10.0, 81)
DRAWS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Crossing:
    """Values of one input at which the saving changes sign, from the lowest up."""

    values: tuple[float, ...]
    cheaper_at_start: bool  # whether the option beats the API at the low end of the search

    @property
    def first(self) -> float | None:
        """Lowest crossing, None where there is none."""
        return self.values[0] if self.values else None

    @property
    def last(self) -> float | None:
        """Highest crossing, None where there is none."""
        return self.values[-1] if self.values else None


def crossings(saving: Callable[[Floats], Floats], grid: Floats) -> Crossing:
    """Every sign change of `saving` over an increasing grid, each narrowed by bisection.

    Whole replicas make steps, so there may be several crossings: all are given.
    """
    values = np.broadcast_to(saving(grid), grid.shape)
    signs = values > 0
    changes = np.flatnonzero(signs[:-1] != signs[1:])
    low, high = grid[changes].copy(), grid[changes + 1].copy()
    if changes.size:
        low_sign = signs[changes]
        for _ in range(BISECTIONS):
            middle = np.sqrt(low * high)
            same = (np.broadcast_to(saving(middle), middle.shape) > 0) == low_sign
            low, high = np.where(same, middle, low), np.where(same, high, middle)
    return Crossing(tuple(float(x) for x in high), bool(signs[0]))


def along_ratio(problem: Problem, option: Option, *names: str) -> Crossing:
    """Break-even as a multiple of today's value of one input (or of several moved together)."""
    central = problem.beliefs.central()

    def saving(ratio: Floats) -> Floats:
        moved = {name: float(central[name]) * ratio for name in names}
        return saving_usd(problem, central.replaced(**moved), option)

    return crossings(saving, SEARCH)


def along_ratio_on_average(problem: Problem, option: Option, name: str, u: Floats) -> Crossing:
    """Break-even of the mean saving over draws, as a multiple of one input in every draw.

    `u` are the uniforms of the draws, shape (n_uncertain, n_draws). Between the points of the
    search the mean saving is taken as straight over the logarithm of the ratio.
    """
    drawn = problem.beliefs.from_probabilities(u)
    cells = {key: values[None, :] for key, values in drawn.arrays.items()}
    cells[name] = cells[name] * NEARBY[:, None]
    worth = saving_usd(problem, Inputs(cells), option)
    mean = np.broadcast_to(worth, (NEARBY.size, u.shape[1])).mean(axis=1)
    changes = np.flatnonzero((mean[:-1] > 0) != (mean[1:] > 0))
    part = mean[changes] / (mean[changes] - mean[changes + 1])
    logs = np.log(NEARBY)
    roots = np.exp(logs[changes] + part * (logs[changes + 1] - logs[changes]))
    return Crossing(tuple(float(r) for r in roots), bool(mean[0] > 0))


def along_utilization(problem: Problem, option: Option) -> Crossing:
    """Break-even as the utilisation that the serving replicas would have to reach [fraction].

    The fleet is sized by utilisation instead of by peak, in parts of a replica and without a
    minimum: the question is what the hardware must earn, not what can be bought.
    """
    central = problem.beliefs.central()

    def saving(utilization: Floats) -> Floats:
        inputs = central.replaced(n_min_replicas=np.zeros_like(utilization))
        return saving_usd(_at_utilization(problem, utilization), inputs, option)

    return crossings(saving, np.geomspace(0.001, 1.0, 121))


def _at_utilization(problem: Problem, utilization_frac: Floats) -> Problem:
    capacity = problem.settings.sizing.capacity
    sizing = Sizing(False, utilization_frac, capacity)
    return replace(problem, settings=replace(problem.settings, sizing=sizing))


@dataclass(frozen=True)
class SurfaceGrid:
    """Costs over two inputs: mean saving of the best alternative and its odds.

    Attributes
    ----------
    saving_usd, win_probability : (ny, nx) array
    best : (ny, nx) array of int
        Position of the option with the least mean cost.
    """

    x: Floats
    y: Floats
    saving_usd: Floats
    win_probability: Floats
    best: np.ndarray[tuple[int, ...], np.dtype[np.intp]]
    n_draws: int


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the surface: an input and the values it takes."""

    name: str
    values: Floats


def surface(
    problem: Problem, x: Axis, y: Axis, n_draws: int, rng: np.random.Generator
) -> SurfaceGrid:
    """Evaluate every option over a grid of two inputs, the same draws in every cell [USD].

    Inputs have shape (1, 1, draws), the axes (1, nx, 1) and (ny, 1, 1): a line that depends on
    neither axis is computed once for all cells.
    """
    u = problem.beliefs.correlated(quasi_random(len(problem.beliefs.uncertain), n_draws, rng))
    factors = problem.discount_factors
    shape = (len(problem.options), y.values.size, x.values.size)
    costs = np.zeros(shape)
    wins = np.zeros(shape[1:])
    for start in range(0, n_draws, DRAWS_AT_ONCE):
        case = problem.case(_on_grid(problem, u[:, start : start + DRAWS_AT_ONCE], x, y))
        npv = np.stack([_npv(case, option, factors) for option in problem.options])
        costs += npv.sum(axis=-1)
        wins += (npv[1:].min(axis=0) < npv[0]).sum(axis=-1)
    means = costs / n_draws
    saving = means[0] - means[1:].min(axis=0)
    best = np.argmin(means, axis=0)
    return SurfaceGrid(x.values, y.values, saving, wins / n_draws, best, n_draws)


def _on_grid(problem: Problem, u: Floats, x: Axis, y: Axis) -> Inputs:
    inputs = problem.beliefs.from_probabilities(u)
    cells = {name: values[None, None, :] for name, values in inputs.arrays.items()}
    cells[x.name] = x.values[None, :, None]
    cells[y.name] = y.values[:, None, None]
    return Inputs(cells)


def _npv(case: Case, option: Option, factors: Floats) -> Floats:
    worth = total_usd(option_lines(case, option), factors)
    return np.broadcast_to(worth, case.shape)
