"""The break-even surface over any two inputs of a scenario."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.prices import compile_prices
from weighbridge.economics.breakeven import Axis
from weighbridge.study.entries import known_assumption
from weighbridge.study.pose import Facts, pose
from weighbridge.study.result import Surface
from weighbridge.study.scenario import Scenario
from weighbridge.study.sensitivity import evenly, surface_of
from weighbridge.units import InputError
from weighbridge.usage.results import Profile

MAX_CELLS = 250_000
DEFAULT_POINTS = 50


@dataclass(frozen=True, slots=True)
class Sweep:
    """Two axes as a person writes them, and how finely to draw."""

    over: tuple[Axis, Axis]
    n_draws: int = 256
    seed: int = 0
    as_of: dt.date | None = None
    where: str = "scenario"


def read_axis(text: str, option: str = "--over") -> Axis:
    """`name=low:high[:points]` or `name=a,b,c` as an axis; errors name the mend."""
    name, equals, values = text.partition("=")
    if not equals:
        raise InputError(option, text, "has no values", "write name=low:high or name=a,b,c")
    row = known_assumption(name, option, "axis")
    if row.fixed or row.event:
        raise InputError(option, name, "is one number for a whole study", "sweep another input")
    grid = _grid(values, option, name)
    for value in (grid[0], grid[-1]):
        if (row.min is not None and value < row.min) or (row.max is not None and value > row.max):
            raise InputError(
                option, name, f"{value:g} is out of its range", f"stay in {row.min} to {row.max}"
            )
    return Axis(name, grid)


def _grid(values: str, option: str, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    try:
        if ":" not in values:
            grid = np.array([float(x) for x in values.split(",")])
        else:
            parts = values.split(":")
            low, high = float(parts[0]), float(parts[1])
            grid = evenly(low, high, int(parts[2]) if len(parts) > 2 else DEFAULT_POINTS)
    except (ValueError, IndexError):
        raise InputError(
            option, name, f"cannot read {values!r}", "write name=low:high[:points] or name=a,b,c"
        ) from None
    if grid.size < 2 or not np.all(np.diff(grid) > 0) or not np.all(np.isfinite(grid)):
        raise InputError(
            option, name, f"{values!r} does not rise", "give at least two rising values"
        )
    return grid


def sweep(scenario: Scenario, plan: Sweep, profile: Profile | None = None) -> Surface:
    """Mean saving, odds and best option in every cell [USD, net present].

    Raises
    ------
    InputError
        Where both axes are one input, the grid is too fine, or there is nothing to compare.
    """
    x, y = plan.over
    if x.name == y.name:
        raise InputError("--over", x.name, "is given twice", "name two different inputs")
    if x.values.size * y.values.size > MAX_CELLS:
        raise InputError("--over", "", "has too many cells", f"stay under {MAX_CELLS:,}")
    facts = Facts(
        load_catalog(Path(scenario.catalog_file) if scenario.catalog_file else None),
        compile_prices(Path(scenario.prices_file) if scenario.prices_file else None),
        plan.as_of or dt.datetime.now(dt.UTC).date(),
    )
    posed = pose(scenario, profile, facts, plan.where)
    if len(posed.problem.options) < 2:
        raise InputError(plan.where, "options", "leaves only the API", "add an alternative")
    return surface_of(posed.problem, x, y, plan.n_draws, np.random.default_rng(plan.seed))
