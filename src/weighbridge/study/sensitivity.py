"""What moves the answer: tornado, value of knowing more, and the break-even surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.breakeven import Axis, surface
from weighbridge.economics.distributions import Floats
from weighbridge.economics.options import Option
from weighbridge.economics.risk import (
    Draws,
    Problem,
    sobol_total_frac,
    tornado,
    value_of_knowing_usd,
)
from weighbridge.study.flips import blended_usd_per_mtok
from weighbridge.study.result import InformationValue, Surface, TornadoBar

SURFACE_CELLS = 50
SURFACE_DRAWS = 256
SURFACE_SPAN = (0.1, 10.0)
SOBOL_N = 1024
NOISE_INPUTS, NOISE_SEED = 16, 0
DEFAULT_AXES = ("demand_multiplier_ratio", "api_price_ratio")


def tornado_bars(
    problem: Problem, option: Option, sobol: Mapping[str, float]
) -> tuple[TornadoBar, ...]:
    """Swing of the saving by each uncertain input, widest first."""
    rows = load_assumptions()
    return tuple(
        TornadoBar(
            input=s.name,
            label=rows[s.name].label,
            unit=rows[s.name].unit,
            low_input=s.low_input,
            high_input=s.high_input,
            saving_at_low_usd=s.saving_at_low_usd,
            saving_at_high_usd=s.saving_at_high_usd,
            sobol_total_frac=sobol.get(s.name),
        )
        for s in tornado(problem, option)
        if s.width_usd > 0
    )


def sobol_indices(
    problem: Problem, option: Option, rng: np.random.Generator
) -> Mapping[str, float]:
    """Total-order Sobol indices, on request: they cost as much as a second simulation."""
    return sobol_total_frac(problem, option, SOBOL_N, rng)


def information_values(draws: Draws, positions: Sequence[int]) -> tuple[InformationValue, ...]:
    """Value of knowing each input before choosing among these options, largest first.

    Binned values are never below 0, so an input without any bearing shows the noise of its bins.
    What does not exceed the most that made-up inputs show is left out.
    """
    if len(positions) < 2:
        return ()
    rows = load_assumptions()
    costs = draws.npv_usd[list(positions)]
    made_up = np.random.default_rng(NOISE_SEED).random((NOISE_INPUTS, draws.n_draws))
    floor = float(np.nanmax(value_of_knowing_usd(made_up, costs)))
    values = value_of_knowing_usd(draws.u, costs)
    found = [
        InformationValue(
            input=name,
            label=rows[name].label,
            value_usd=float(usd),
            how_to_measure=rows[name].measure or "no measurement known: watch it",
        )
        for name, usd in zip(draws.uncertain, values, strict=True)
        if np.isfinite(usd) and usd > floor
    ]
    return tuple(sorted(found, key=lambda i: i.value_usd, reverse=True))


def default_surface(problem: Problem, rng: np.random.Generator) -> Surface:
    """Monthly volume against blended API price, each from a tenth to ten times today's."""
    grid = np.geomspace(*SURFACE_SPAN, SURFACE_CELLS)
    x, y = (Axis(name, grid) for name in DEFAULT_AXES)
    return surface_of(problem, x, y, SURFACE_DRAWS, rng)


def surface_of(
    problem: Problem, x: Axis, y: Axis, n_draws: int, rng: np.random.Generator
) -> Surface:
    """Break-even surface over any two inputs, told in the units that people pay in."""
    grid = surface(problem, x, y, n_draws, rng)
    ids = [option.id for option in problem.options]
    central = problem.beliefs.central()
    x_name, x_scale, x_label = _telling(problem, x.name)
    y_name, y_scale, y_label = _telling(problem, y.name)
    return Surface(
        x_name=x_name,
        x_label=x_label,
        x=grid.x * x_scale,
        y_name=y_name,
        y_label=y_label,
        y=grid.y * y_scale,
        saving_usd=grid.saving_usd,
        win_probability=grid.win_probability,
        best_option=tuple(tuple(ids[k] for k in row) for row in grid.best),
        here_x=float(central[x.name]) * x_scale,
        here_y=float(central[y.name]) * y_scale,
        n_draws=n_draws,
    )


def _telling(problem: Problem, name: str) -> tuple[str, float, str]:
    """Name, scale and label of an axis: ratios become what they are ratios of."""
    row = load_assumptions()[name]
    if name == "demand_multiplier_ratio":
        tokens = problem.workload.whole.total_tokens
        return "monthly_tokens", tokens, "Traffic [tokens per month]"
    if name == "api_price_ratio":
        usd = blended_usd_per_mtok(problem)
        return "blended_api_usd_per_mtok", usd, "Blended API price [USD per million tokens]"
    return name, 1.0, f"{row.label} [{row.unit}]"


def evenly(low: float, high: float, n: int) -> Floats:
    """Grid of an axis: in logarithms where it spans more than tenfold above zero."""
    if low > 0 and high / low > 10:
        return np.asarray(np.geomspace(low, high, n))
    return np.linspace(low, high, n)
