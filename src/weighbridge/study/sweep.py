"""The break-even surface over any two inputs of a scenario."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weighbridge.economics.breakeven import Axis
from weighbridge.study.capacity_model import Log
from weighbridge.study.entries import known_assumption
from weighbridge.study.measured import open_facts, open_profile, requests_reader
from weighbridge.study.pose import pose
from weighbridge.study.result import Surface
from weighbridge.study.scenario import Scenario
from weighbridge.study.sensitivity import evenly, surface_of
from weighbridge.study.traffic import is_long_enough
from weighbridge.units import InputError

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
            (n,) = parts[2:] or [str(DEFAULT_POINTS)]
            grid = evenly(low, high, int(n))
    except (ValueError, IndexError):
        raise InputError(
            option, name, f"cannot read {values!r}", "write name=low:high[:points] or name=a,b,c"
        ) from None
    if grid.size < 2 or not np.all(np.diff(grid) > 0) or not np.all(np.isfinite(grid)):
        raise InputError(
            option, name, f"{values!r} does not rise", "give at least two rising values"
        )
    return grid


def sweep(scenario: Scenario, plan: Sweep, usage: Path | str | None = None) -> Surface:
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
    facts = open_facts(scenario, plan.as_of)
    profile = None
    if usage is not None:
        profile, _ = open_profile(scenario, usage, facts.book)
        if not is_long_enough(profile):
            days = profile.span.span_days
            raise InputError(
                str(usage),
                "",
                f"covers {days:.1f} days: no month",
                "sweep over a week of log or more",
            )
    log = Log(requests_reader(scenario, usage, profile))
    posed = pose(scenario, profile, facts, plan.where, log)
    if len(posed.problem.options) < 2:
        raise InputError(plan.where, "options", "leaves only the API", "add an alternative")
    return surface_of(posed.problem, x, y, plan.n_draws, np.random.default_rng(plan.seed))
