"""Efficiencies fitted on measurements: penalised least squares that outliers do not pull."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.closed_loop import Loop, steady_state
from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.efficiency import (
    EFFICIENCY_FIELDS,
    FRACTIONS,
    Efficiency,
    bounded_slope,
    efficiency_at,
    levels_of,
)
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.shape import Shape, shape_of, stacked
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import Effect

_Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EffectPrior:
    """A family of effects: one for each level of a factor on some fields, about 0.

    Attributes
    ----------
    fields : tuple of str
    factor : str
    sd_ratio : float
        Standard deviation of the natural logarithm before data.
    most_ratio : float
        The natural logarithm stays nearer to 0 than this, whatever the data say.
    """

    fields: tuple[str, ...]
    factor: str
    sd_ratio: float
    most_ratio: float = np.inf


@dataclass(frozen=True, slots=True)
class Priors:
    """What is believed before data, in natural logarithms.

    Attributes
    ----------
    centres : mapping of str to float
        By field of `Efficiency`.
    sd_ratios : mapping of str to float
    effects : tuple of EffectPrior
    shrinkage_ratio : float
        All effects' standard deviations are multiplied by it; chosen by inner validation.
    """

    centres: Mapping[str, float]
    sd_ratios: Mapping[str, float]
    effects: tuple[EffectPrior, ...]
    shrinkage_ratio: float = 1.0


_OVERHEADS = ("iteration_s", "layer_s", "expert_layer_s", "linear_layer_s", "reduce_s")
_STARTS = ("first_token_s", "mixed_s", "mixed_layer_s")
_PRODUCTS = ("compute_frac", "attention_frac", "expert_frac")
# A format of half the width computes twice as fast by every data sheet, and reads half the bytes.
# What two formats of one generation may differ by in efficiency is kept below those two, so that
# the narrower is never predicted the slower of the two because another kind of model, or few rows,
# taught its effect: twice `most_ratio` is less than the logarithm of the ratio of rates (2), and of
# the ratio of bytes where a large head stays in 16 bits (1.6).
_MOST_PRODUCTS_RATIO = 0.34
_MOST_MEMORY_RATIO = 0.2

# Centres are what kernels usually reach; their spreads are wide, so that data decide. The
# families of effects are those with a mechanism: kernels differ by generation and format, launch
# and scheduling overheads by engine, everything a little by architecture.
PRIORS = Priors(
    centres={
        "memory_frac": 0.7,
        "cache_frac": 0.5,
        "compute_frac": 0.6,
        "expert_frac": 0.4,
        "attention_frac": 0.4,
        "n_activation_passes": 8.0,
        "link_frac": 0.4,
        "iteration_s": 1.5e-3,
        "layer_s": 2e-5,
        "expert_layer_s": 1.5e-5,
        "linear_layer_s": 1e-5,
        "reduce_s": 6e-6,
        "request_s": 1e-5,
        "mixed_s": 2e-3,
        "mixed_layer_s": 3e-5,
        "first_token_s": 0.03,
        "burst_ratio": 0.05,
        "wait_ratio": 0.5,
    },
    sd_ratios={
        "memory_frac": 0.4,
        "cache_frac": 0.5,
        "compute_frac": 0.3,
        "expert_frac": 0.4,
        "attention_frac": 0.5,
        "n_activation_passes": 0.35,
        "link_frac": 0.7,
        "iteration_s": 1.0,
        "layer_s": 1.6,
        "expert_layer_s": 0.8,
        "linear_layer_s": 0.8,
        "reduce_s": 0.7,
        "request_s": 1.0,
        "mixed_s": 0.7,
        "mixed_layer_s": 1.0,
        "first_token_s": 1.0,
        "burst_ratio": 0.25,
        "wait_ratio": 0.7,
    },
    effects=(
        EffectPrior(_OVERHEADS, "engine", 0.5),
        EffectPrior(_OVERHEADS, "generation", 0.15),
        EffectPrior(_OVERHEADS, "architecture", 0.6),
        EffectPrior(("memory_frac",), "units", 0.25, _MOST_MEMORY_RATIO),
        EffectPrior(("memory_frac",), "architecture", 0.3),
        EffectPrior(("memory_frac",), "engine", 0.2),
        EffectPrior(("cache_frac",), "engine", 0.3),
        EffectPrior(_PRODUCTS, "generation", 0.6),
        EffectPrior(_PRODUCTS, "units", 0.8, _MOST_PRODUCTS_RATIO),
        EffectPrior(_PRODUCTS, "architecture", 0.6),
        EffectPrior(_PRODUCTS, "engine", 0.3),
        EffectPrior(("attention_frac",), "engine", 0.3),
        EffectPrior(_STARTS, "engine", 1.0),
        EffectPrior(_STARTS, "architecture", 0.2),
        EffectPrior(("request_s",), "engine", 0.5),
        EffectPrior(("request_s",), "architecture", 0.5),
        EffectPrior(("burst_ratio",), "engine", 0.15),
        EffectPrior(_OVERHEADS, "setup", 0.2),
        EffectPrior(("memory_frac",), "setup", 0.2),
        EffectPrior(_PRODUCTS, "setup", 0.3),
    ),
)

# Residuals beyond these (natural logarithms) count by their logarithm, no longer by their square:
# cold starts and caps of the batch that no column tells are off by factors of ten and more.
TTFT_KNEE, TPOT_KNEE = 0.4, 0.12
# A TTFT says less than a TPOT: load generators and warm-up are in it.
TTFT_WEIGHT = 0.7
# Groups weigh by the root of their size or so: neither the largest nor the smallest rules.
_GROUP_POWER = 0.7
_TOTAL_WEIGHT = 400.0
_STEP = 1e-3


@dataclass(frozen=True, slots=True)
class Cases:
    """Measurements as arrays, ready to fit.

    Attributes
    ----------
    shape : Shape
        Of arrays.
    loop : Loop
    log_ttft, log_tpot : float64 array
        Natural logarithms of what was measured [s]; NaN where it was not.
    levels : mapping of str to sequence of str
        Level of each case by factor.
    groups : array of str
    """

    shape: Shape
    loop: Loop
    log_ttft: Floats
    log_tpot: Floats
    levels: Mapping[str, Sequence[str]]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.groups)


def cases_of(measured: Sequence[Configured]) -> Cases:
    """Shapes, limits and measured logarithms of configured measurements.

    Parameters
    ----------
    measured : sequence of Configured
    """
    limits = [engine_limits(one.deployment) for one in measured]
    all_levels = [levels_of(one.deployment) for one in measured]

    def column(values: Sequence[float]) -> Floats:
        return np.asarray(values, np.float64)

    return Cases(
        shape=stacked([shape_of(one.deployment) for one in measured]),
        loop=Loop(
            input_tokens=column([one.load.input_tokens for one in measured]),
            output_tokens=column([one.load.output_tokens for one in measured]),
            n_concurrent=column([one.load.n_concurrent for one in measured]),
            kv_tokens=column([one.kv_tokens for one in limits]),
            n_max_requests=column([one.n_max_requests for one in limits]),
            n_max_batched_tokens=column([one.n_max_batched_tokens for one in limits]),
            static_event=column([one.is_static_batch for one in measured]),
        ),
        log_ttft=np.log(column([one.point.ttft_s or np.nan for one in measured])),
        log_tpot=np.log(column([one.point.tpot_s or np.nan for one in measured])),
        levels={factor: [levels[factor] for levels in all_levels] for factor in all_levels[0]},
        groups=np.array([one.group for one in measured]),
    )


class Fitter:
    """Parameters of one set of cases: coefficients first, then effects level by level."""

    def __init__(self, cases: Cases, priors: Priors = PRIORS) -> None:
        self.cases, self.priors = cases, priors
        self._effects: list[tuple[EffectPrior, str]] = []
        indicators: list[Floats] = []
        for prior in priors.effects:
            column = np.array(cases.levels[prior.factor])
            for level in sorted(set(column.tolist())):
                self._effects.append((prior, level))
                indicators.append((column == level).astype(np.float64))
        self._indicators = np.array(indicators)
        sds = [priors.sd_ratios[name] for name in EFFICIENCY_FIELDS]
        sds += [prior.sd_ratio * priors.shrinkage_ratio for prior, _ in self._effects]
        self._sds = np.array(sds)
        self._mosts = np.array([prior.most_ratio for prior, _ in self._effects])
        self._centres = np.log([priors.centres[name] for name in EFFICIENCY_FIELDS])

    def start(self) -> Floats:
        """Parameters before data."""
        return np.zeros(len(self._sds))

    def efficiency(self, parameters: Floats) -> Efficiency:
        """Efficiencies of all cases under some parameters."""
        logs = {
            name: np.full(len(self.cases), self._centres[i] + parameters[i])
            for i, name in enumerate(EFFICIENCY_FIELDS)
        }
        for (prior, _), value, indicator in zip(
            self._effects, self._log_ratios(parameters), self._indicators, strict=True
        ):
            if value != 0.0:
                for name in prior.fields:
                    logs[name] = logs[name] + value * indicator
        return efficiency_at(logs)

    def _log_ratios(self, parameters: Floats) -> Floats:
        """Effects from their parameters: those with a bound come near it, `m * tanh(x / m)`."""
        values = parameters[len(EFFICIENCY_FIELDS) :]
        held = np.isfinite(self._mosts)
        most = np.where(held, self._mosts, 1.0)
        return np.where(held, most * np.tanh(values / most), values)

    def predicted(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Logarithms of time to first token and per output token of all cases [s]."""
        return self._under(self.efficiency(parameters))

    def residuals(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Measured less predicted logarithms; 0 where nothing was measured."""
        return self._less(self.predicted(parameters))

    def _under(self, efficiency: Efficiency) -> tuple[Floats, Floats]:
        state = steady_state(self.cases.shape, efficiency, self.cases.loop)
        return np.log(state.ttft_s), np.log(state.tpot_s)

    def _less(self, values: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        ttft, tpot = values
        return np.nan_to_num(self.cases.log_ttft - ttft), np.nan_to_num(self.cases.log_tpot - tpot)

    def fit(self, train: _Bools, start: Floats | None = None, n_most_steps: int = 12) -> Floats:
        """Parameters that fit some of the cases best, by damped Gauss-Newton steps.

        Parameters
        ----------
        train : array of bool
            Cases to fit; the others have no part in it.
        start : float array, optional
            Parameters to start from.
        n_most_steps : int
        """
        at = self.start() if start is None else start.copy()
        weights = _weights(self.cases.groups, train)
        damping, residuals = 1e-3, self.residuals(at)
        cost = self._cost(weights, residuals, at)
        for _ in range(n_most_steps):
            curvature, slope = self._normal_equations(weights, residuals, at)
            while True:
                damped = curvature + damping * np.diag(np.diag(curvature))
                there = at + np.linalg.solve(damped, slope)
                new = self.residuals(there)
                new_cost = self._cost(weights, new, there)
                if new_cost < cost:
                    break
                damping *= 5.0
                if damping > 1e6:
                    return at
            is_done = cost - new_cost < 1e-4 * cost
            at, residuals, cost = there, new, new_cost
            damping = max(damping / 5.0, 1e-6)
            if is_done:
                break
        return at

    def effects(self, parameters: Floats) -> tuple[Effect, ...]:
        """Effects under some parameters, those of no size left out."""
        values = self._log_ratios(parameters)
        return tuple(
            Effect(prior.fields, prior.factor, level, round(float(value), 4))
            for (prior, level), value in zip(self._effects, values, strict=True)
            if abs(value) >= 5e-4
        )

    def coefficients(self, parameters: Floats) -> dict[str, float]:
        """Efficiencies without effects, by field."""
        values = np.exp(self._centres + parameters[: len(EFFICIENCY_FIELDS)])
        return {
            name: float(f"{value:.5g}")
            for name, value in zip(EFFICIENCY_FIELDS, values, strict=True)
        }

    def _cost(self, weights: Floats, residuals: tuple[Floats, Floats], at: Floats) -> float:
        ttft, tpot = residuals
        loss = TTFT_WEIGHT * np.log1p((ttft / TTFT_KNEE) ** 2)
        loss += np.log1p((tpot / TPOT_KNEE) ** 2)
        cost = float((weights * loss).sum() + ((at / self._sds) ** 2).sum())
        return cost if np.isfinite(cost) else np.inf

    def _normal_equations(
        self, weights: Floats, residuals: tuple[Floats, Floats], at: Floats
    ) -> tuple[Floats, Floats]:
        """Curvature and downhill slope of the cost, by finite differences."""
        slopes = self._slopes(residuals, at)
        curvature, slope = np.diag(1.0 / self._sds**2), -at / self._sds**2
        knees = ((TTFT_KNEE, TTFT_WEIGHT), (TPOT_KNEE, 1.0))
        for residual, jacobian, (knee, share) in zip(residuals, slopes, knees, strict=True):
            w = weights * share / (knee**2 + residual**2)
            curvature = curvature + (jacobian * w) @ jacobian.T
            slope = slope + jacobian @ (w * residual)
        return curvature, slope

    def _slopes(self, residuals: tuple[Floats, Floats], at: Floats) -> tuple[Floats, Floats]:
        """Of both predictions by every parameter.

        Effects add to the logarithms of their fields, so that the slope by an effect is the sum
        of the slopes by its fields, where its level is met.
        """
        ttft, tpot = (np.zeros((len(at), len(self.cases))) for _ in range(2))
        n, here = len(EFFICIENCY_FIELDS), self.efficiency(at)
        for i, name in enumerate(EFFICIENCY_FIELDS):
            there = replace(here, **{name: getattr(here, name) * np.exp(_STEP)})
            moved_ttft, moved_tpot = self._less(self._under(there))
            of_link = bounded_slope(getattr(here, name)) if name in FRACTIONS else 1.0
            ttft[i] = (residuals[0] - moved_ttft) / _STEP * of_link
            tpot[i] = (residuals[1] - moved_tpot) / _STEP * of_link
        of_bound = 1.0 - np.tanh(at[n:] / self._mosts) ** 2
        for j, (prior, _) in enumerate(self._effects):
            places = [EFFICIENCY_FIELDS.index(name) for name in prior.fields]
            ttft[n + j] = ttft[places].sum(axis=0) * self._indicators[j] * of_bound[j]
            tpot[n + j] = tpot[places].sum(axis=0) * self._indicators[j] * of_bound[j]
        return ttft, tpot


def _weights(groups: NDArray[np.str_], train: _Bools) -> Floats:
    counts = Counter(groups[train].tolist())
    sizes = np.array([counts.get(group, 1) for group in groups.tolist()], np.float64)
    weights = train / sizes**_GROUP_POWER
    return np.asarray(weights / weights.sum() * _TOTAL_WEIGHT)
