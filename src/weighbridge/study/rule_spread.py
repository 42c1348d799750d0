"""From how many tokens a month self-hosting pays, by the assumptions behind each published rule."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from weighbridge.economics.breakeven import Axis, surface
from weighbridge.economics.distributions import Fixed, Floats
from weighbridge.economics.inputs import Beliefs
from weighbridge.economics.risk import Problem
from weighbridge.study.pose import Facts
from weighbridge.study.rule_file import Compute, Curve, RuleFile, Swing, Threshold
from weighbridge.study.rule_measures import measured
from weighbridge.study.rule_world import Scalars, blended_usd_per_mtok, problem_of
from weighbridge.units import TOKENS_PER_MTOK

PRICES_USD_PER_MTOK = np.geomspace(0.1, 30.0, 181)
TOKENS_PER_MONTH = np.geomspace(1e7, 1e12, 181)


@dataclass(frozen=True, slots=True)
class BreakEvenCurve:
    """Break-even volume at each API price; NaN where self-hosting is never cheaper."""

    label: str
    article: str
    usd_per_mtok: Floats
    tokens_per_month: Floats


@dataclass(frozen=True, slots=True)
class Claimed:
    """A published threshold as a stretch of volumes at a stretch of prices."""

    rule: str
    label: str
    article: str
    tokens_per_month: tuple[float, float]
    usd_per_mtok: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PaysFrom:
    """Volume from which renting is cheaper, and the API bill that it makes; infinite for never."""

    tokens_per_month: float
    bill_usd_per_month: float


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the first curve pays from with one input at two values."""

    label: str
    told: tuple[str, str]
    pays_from: tuple[PaysFrom, PaysFrom]


@dataclass(frozen=True, slots=True)
class Spread:
    """What is drawn and told of all break-evens together."""

    curves: tuple[BreakEvenCurve, ...]
    claimed: tuple[Claimed, ...]
    base_inputs: Scalars
    base: PaysFrom
    moved: tuple[Moved, ...]


def spread_of(files: tuple[RuleFile, ...], facts: Facts) -> Spread:
    """Curves and thresholds of every file, and the swings of the one that has them."""
    own = next(file for file in files if file.swings)
    inputs = own.curves[0].inputs
    return Spread(
        curves=tuple(_curve(c, file, facts) for file in files for c in file.curves),
        claimed=tuple(_claimed(t, file, facts) for file in files for t in file.thresholds),
        base_inputs=inputs,
        base=_pays_from(inputs, own, facts),
        moved=tuple(_moved(swing, own, facts) for swing in own.swings),
    )


def _pays_from(inputs: Scalars, own: RuleFile, facts: Facts) -> PaysFrom:
    compute = Compute(measure="break_even", along="tokens_per_month")
    tokens = measured(inputs, own.curves[0].world, facts, compute)
    return PaysFrom(tokens, tokens / TOKENS_PER_MTOK * blended_usd_per_mtok(inputs, facts))


def _moved(swing: Swing, own: RuleFile, facts: Facts) -> Moved:
    inputs = own.curves[0].inputs
    first, last = (_pays_from({**inputs, swing.input: v}, own, facts) for v in swing.values)
    return Moved(swing.label, swing.told, (first, last))


def _curve(curve: Curve, file: RuleFile, facts: Facts) -> BreakEvenCurve:
    """Where the break-even surface over volume and API price changes sign, price by price."""
    values: Mapping[str, float | str] = {
        **{k: v for k, v in curve.inputs.items() if k not in {"model", "usd_per_mtok"}},
        "tokens_per_month": 1.0,
        "usd_per_mtok": 1.0,
    }
    problem = _certain(problem_of(values, curve.world, facts))
    x = Axis("demand_multiplier_ratio", TOKENS_PER_MONTH)
    y = Axis("api_price_ratio", PRICES_USD_PER_MTOK)
    grid = surface(problem, x, y, 1, np.random.default_rng(0))
    tokens = np.array([_first_gain(row) for row in grid.saving_usd])
    return BreakEvenCurve(curve.label, file.short, PRICES_USD_PER_MTOK, tokens)


def _certain(problem: Problem) -> Problem:
    """The central case as the only one, renting against the API."""
    central = problem.beliefs.central()
    fixed = Beliefs({name: Fixed(float(central[name])) for name in central})
    options = tuple(o for o in problem.options if o.hosting in {"api", "rented"})
    return replace(problem, beliefs=fixed, options=options)


def _first_gain(saving_usd: Floats) -> float:
    """Volume at which the saving turns positive and stays so, NaN where it does not."""
    below = np.flatnonzero(saving_usd <= 0)
    if below.size == 0 or below[-1] == saving_usd.size - 1:
        return float("nan")
    i = int(below[-1])
    low, high = saving_usd[i], saving_usd[i + 1]
    logs = np.log(TOKENS_PER_MONTH[i : i + 2])
    return float(np.exp(logs[0] + (logs[1] - logs[0]) * (-low) / (high - low)))


def _claimed(threshold: Threshold, file: RuleFile, facts: Facts) -> Claimed:
    values = threshold.values()
    spans = {k: v if isinstance(v, tuple) else (v,) for k, v in values.items()}
    corners = [dict(zip(spans, at, strict=True)) for at in itertools.product(*spans.values())]
    prices = [blended_usd_per_mtok(corner, facts) for corner in corners]
    if threshold.bill_usd_per_month is None:
        tokens = [problem_of(c, "bare", facts).workload.whole.total_tokens for c in corners]
    else:
        tokens = [threshold.bill_usd_per_month / p * TOKENS_PER_MTOK for p in prices]
    return Claimed(
        threshold.rule,
        threshold.label,
        file.short,
        (min(tokens), max(tokens)),
        (min(prices), max(prices)),
    )
