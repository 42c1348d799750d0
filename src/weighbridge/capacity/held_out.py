"""Errors on groups that a fit never saw, and intervals that never saw them either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.closed_loop import held_frac
from weighbridge.capacity.configuration import Configured
from weighbridge.capacity.earned import (
    added_difficulties,
    earned_spread,
    learned_difficulties,
)
from weighbridge.capacity.efficiency import levels_of
from weighbridge.capacity.fitting import Fitter
from weighbridge.capacity.intervals import LEARNED_OF_LEVELS, conditions_of, difficulty
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.traffic import Floats
from weighbridge.catalog.serving_fit import ServingFit, Spread

METRICS = ("ttft", "tpot", "throughput")
# Factors whose levels are left out whole, to learn what an unseen level costs: groups left out one
# by one mostly leave another of their generation, engine and number format behind.
LEVELS_LEFT_OUT = ("generation", "engine", "units")
# Fewer groups than this make no fit.
_N_LEAST_GROUPS = 3
Conditions = Mapping[str, float]
Lot = NDArray[np.bool_]
Places = NDArray[np.int64]
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
    places : array of int
        Of each case among all measurements.
    """

    log_ratios: Mapping[str, Floats]
    conditions: Sequence[Conditions]
    groups: NDArray[np.str_]
    places: Places


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
        names = [name for name in self._names if name not in without]
        return self.left_out([self._groups == name for name in names], without, progress)

    def levels_held_out(
        self, without: Sequence[str] = (), progress: Progress | None = None
    ) -> HeldOut:
        """Errors of every level of `LEVELS_LEFT_OUT`, by fits without any group that has it.

        Parameters
        ----------
        without : sequence of str
            Groups that have no part in anything.
        progress : callable, optional
            Called with levels done and all.
        """
        lots = []
        for factor in LEVELS_LEFT_OUT:
            column = np.array([one[factor] for one in self._levels])
            lots += [column == level for level in sorted(set(column.tolist()))]
        return self.left_out(lots, without, progress)

    def left_out(
        self,
        lots: Sequence[Lot],
        without: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> HeldOut:
        """Errors of lots of cases, each by a fit without the lot and without some groups.

        Parameters
        ----------
        lots : sequence of array of bool
        without : sequence of str
            Groups that have no part in anything.
        progress : callable, optional
            Called with lots done and all.
        """
        kept = ~np.isin(self._groups, without)
        places: list[Places] = []
        errors: dict[str, list[Floats]] = {metric: [] for metric in METRICS}
        conditions: list[Conditions] = []
        for n_done, lot in enumerate(lots):
            held, train = kept & lot, kept & ~lot
            if not held.any() or len(set(self._groups[train].tolist())) < _N_LEAST_GROUPS:
                continue
            parameters = self._fitter.fit(train, self._start, self._n_most_steps)
            for metric, error in self._errors(parameters).items():
                errors[metric].append(error[held])
            places.append(np.flatnonzero(held))
            conditions += self.conditions(held, train)
            if progress is not None:
                progress(n_done + 1, len(lots))
        at = np.concatenate(places)
        order = np.argsort(at, kind="stable")
        return HeldOut(
            {metric: np.concatenate(lots)[order] for metric, lots in errors.items()},
            [conditions[i] for i in order],
            self._groups[at[order]],
            at[order],
        )

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


def spreads_of(
    held_out: HeldOut, levels: HeldOut | None = None
) -> tuple[dict[str, float], dict[str, Spread]]:
    """Difficulties and spreads that held-out errors earn, by metric.

    Parameters
    ----------
    held_out : HeldOut
        Of groups left out one by one.
    levels : HeldOut, optional
        Of levels left out whole; they tell what an unseen level adds to the errors of the same
        cases.
    """
    groups = held_out.groups.tolist()
    difficulties: dict[str, float] = {}
    spreads: dict[str, Spread] = {}
    for metric, errors in held_out.log_ratios.items():
        difficulties |= learned_difficulties(metric, errors, held_out.conditions, groups)
        if levels is not None:
            difficulties |= _of_unseen_levels(metric, held_out, levels)
        spreads[metric] = earned_spread(metric, errors, held_out.conditions, groups, difficulties)
    return difficulties, spreads


def _of_unseen_levels(metric: str, held_out: HeldOut, levels: HeldOut) -> dict[str, float]:
    """What unseen levels add, from each case with and without the rest of its level."""
    same = np.searchsorted(held_out.places, levels.places)
    more = [
        {name: one[name] - held_out.conditions[i][name] for name in LEARNED_OF_LEVELS}
        for i, one in zip(same, levels.conditions, strict=True)
    ]
    errors = (levels.log_ratios[metric], held_out.log_ratios[metric][same])
    return added_difficulties(metric, errors, more, levels.groups.tolist())


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
