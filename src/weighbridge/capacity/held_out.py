"""Errors on groups that a fit never saw, and intervals that never saw them either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.closed_loop import held_frac
from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.earned import earned_spread, learned_difficulties
from weighbridge.capacity.efficiency import levels_of
from weighbridge.capacity.fitting import Fitter
from weighbridge.capacity.intervals import conditions_of, difficulty
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import ServingFit, Spread

METRICS = ("ttft", "tpot", "throughput")
Conditions = Mapping[str, float]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors of cases whose group had no part in the fit.

    Attributes
    ----------
    log_ratios : mapping of str to float64 array
        Natural logarithm of measured over predicted, by metric; throughput by Little's law.
    conditions : sequence of mapping
        Of each case, as a fit without its group sees it.
    groups : array of str
    """

    log_ratios: Mapping[str, Floats]
    conditions: Sequence[Conditions]
    groups: NDArray[np.str_]


class Validation:
    """Leave-one-group-out over measurements: every fit is made anew without the group."""

    def __init__(
        self, measured: Sequence[Configured], fitter: Fitter, n_most_steps: int = 6
    ) -> None:
        self._measured, self._fitter, self._n_most_steps = measured, fitter, n_most_steps
        self._groups = fitter.cases.groups
        self._names = sorted(set(self._groups.tolist()))
        self._levels = [levels_of(one.deployment) for one in measured]
        limits = [engine_limits(one.deployment) for one in measured]
        self._held = [held_frac(one.load, to) for one, to in zip(measured, limits, strict=True)]
        self._start = fitter.fit(np.ones(len(measured), np.bool_))

    def held_out(self, without: Sequence[str] = (), progress: Progress | None = None) -> HeldOut:
        """Errors of every group but those given, each by a fit without it and without those.

        Parameters
        ----------
        without : sequence of str
            Groups that have no part in anything.
        progress : callable, optional
            Called with groups done and all.
        """
        kept = ~np.isin(self._groups, without)
        errors = {metric: np.zeros(len(self._groups)) for metric in METRICS}
        conditions: list[Conditions] = [{} for _ in self._measured]
        names = [name for name in self._names if name not in without]
        for n_done, name in enumerate(names):
            held, train = self._groups == name, kept & (self._groups != name)
            parameters = self._fitter.fit(train, self._start, self._n_most_steps)
            for metric, error in self._errors(parameters).items():
                errors[metric][held] = error[held]
            for i, one in zip(np.flatnonzero(held), self.conditions(held, train), strict=True):
                conditions[i] = one
            if progress is not None:
                progress(n_done + 1, len(names))
        chosen = [one for one, is_in in zip(conditions, kept, strict=True) if is_in]
        return HeldOut({m: e[kept] for m, e in errors.items()}, chosen, self._groups[kept])

    def conditions(self, held: NDArray[np.bool_], train: NDArray[np.bool_]) -> list[Conditions]:
        """Conditions of some cases as a fit on others sees them."""
        like = self.seen_by(train)
        return [
            conditions_of(one.deployment, one.load, self._held[i], like)
            for i in np.flatnonzero(held).tolist()
            for one in (self._measured[i],)
        ]

    def seen_by(self, train: NDArray[np.bool_]) -> ServingFit:
        """A fit without coefficients that tells what some cases have shown."""
        picked = [self._measured[i] for i in np.flatnonzero(train).tolist()]
        levels = [self._levels[i] for i in np.flatnonzero(train).tolist()]
        loads = {
            "n_concurrent": [
                one.load.n_concurrent / one.deployment.n_data_parallel for one in picked
            ],
            "input_tokens": [one.load.input_tokens for one in picked],
            "output_tokens": [one.load.output_tokens for one in picked],
            "n_gpus": [float(one.deployment.n_gpus) for one in picked],
        }
        return ServingFit(
            coefficients={},
            effects=(),
            spreads={},
            difficulties={},
            seen={name: tuple(sorted({one[name] for one in levels})) for name in levels[0]},
            ranges={name: (min(values), max(values)) for name, values in loads.items()},
            n_points=len(picked),
            n_groups=len({one.group for one in picked}),
            data_digest="",
            fitted_on=date.min,
        )

    def _errors(self, parameters: Floats) -> dict[str, Floats]:
        ttft, tpot = self._fitter.residuals(parameters)
        cases = self._fitter.cases
        answers = np.maximum(cases.loop.output_tokens - 1.0, 1.0)
        life = np.exp(cases.log_ttft) + answers * np.exp(cases.log_tpot)
        predicted = np.exp(cases.log_ttft - ttft) + answers * np.exp(cases.log_tpot - tpot)
        return {"ttft": ttft, "tpot": tpot, "throughput": np.log(predicted / life)}


def spreads_of(held_out: HeldOut) -> tuple[dict[str, float], dict[str, Spread]]:
    """Difficulties and spreads that held-out errors earn, by metric.

    Parameters
    ----------
    held_out : HeldOut
    """
    groups = held_out.groups.tolist()
    difficulties: dict[str, float] = {}
    spreads: dict[str, Spread] = {}
    for metric, errors in held_out.log_ratios.items():
        difficulties |= learned_difficulties(metric, errors, held_out.conditions, groups)
        spreads[metric] = earned_spread(metric, errors, held_out.conditions, groups, difficulties)
    return difficulties, spreads


def bounds_of(
    metric: str,
    conditions: Sequence[Conditions],
    earned: tuple[dict[str, float], dict[str, Spread]],
) -> tuple[Floats, Floats]:
    """Logarithms of the bounds of measured over predicted, for each set of conditions."""
    difficulties, spreads = earned
    wider = np.array([difficulty(metric, one, difficulties) for one in conditions])
    spread = spreads[metric]
    return np.log(spread.low_ratio) * wider, np.log(spread.high_ratio) * wider
