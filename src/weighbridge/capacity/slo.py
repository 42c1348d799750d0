"""Latency targets: what they say, whether a simulation met them, which requests did."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

Bools = NDArray[np.bool_]
Metric = Literal["ttft", "tpot", "e2e"]
Statistic = Literal["mean", "p50", "p90", "p95", "p99"]
METRICS: tuple[Metric, ...] = get_args(Metric)
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
EXAMPLE = "ttft_p95=500ms,tpot_p95=50ms,e2e_p95=20s"
_TARGET = re.compile(r"\s*([a-z0-9]+)_([a-z0-9]+)\s*=\s*([0-9.]+)\s*([a-z]*)\s*")
_SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0}


@dataclass(frozen=True, slots=True)
class Target:
    """One statistic of one latency, and the most that it may be [s]."""

    metric: Metric
    statistic: Statistic
    limit_s: float

    @property
    def name(self) -> str:
        """As it is written in an SLO, such as ttft_p95."""
        return f"{self.metric}_{self.statistic}"

    def reached_s(self, outcome: Outcome, judged: Bools | None = None) -> float:
        """The statistic over the judged requests that a replica served [s]; NaN over none.

        Parameters
        ----------
        outcome : Outcome
        judged : bool array of shape (N,), optional
            Requests that count; all where not given.
        """
        return statistic_s(latency_s(outcome, self.metric, judged), self.statistic)


@dataclass(frozen=True, slots=True)
class Slo:
    """Targets that must all be met."""

    targets: tuple[Target, ...]

    @property
    def text(self) -> str:
        """As it is written on a command line."""
        return ",".join(f"{t.name}={duration_text(t.limit_s)}" for t in self.targets)

    def reached_s(self, outcome: Outcome, judged: Bools | None = None) -> tuple[float, ...]:
        """What each target's statistic came to, in their order [s].

        Parameters
        ----------
        outcome : Outcome
        judged : bool array of shape (N,), optional
        """
        return tuple(target.reached_s(outcome, judged) for target in self.targets)

    def is_met(self, outcome: Outcome, judged: Bools | None = None) -> bool:
        """Whether every target is met; a statistic over no request is.

        Parameters
        ----------
        outcome : Outcome
        judged : bool array of shape (N,), optional
        """
        return all(
            not reached > target.limit_s
            for target, reached in zip(self.targets, self.reached_s(outcome, judged), strict=True)
        )

    def within(self, outcome: Outcome) -> Bools:
        """Which requests themselves stayed within every limit; those that overflowed did not.

        Parameters
        ----------
        outcome : Outcome
        """
        kept = outcome.replica >= 0
        for target in self.targets:
            values = getattr(outcome, f"{target.metric}_s")
            kept = kept & ~(values > target.limit_s)
        return np.asarray(kept, np.bool_)


def latency_s(outcome: Outcome, metric: Metric, judged: Bools | None = None) -> Floats:
    """One latency of the judged requests that have it [s].

    Parameters
    ----------
    outcome : Outcome
    metric : {"ttft", "tpot", "e2e"}
    judged : bool array of shape (N,), optional
    """
    values: Floats = getattr(outcome, f"{metric}_s")
    values = values if judged is None else values[judged]
    return values[~np.isnan(values)]


def statistic_s(values: Floats, statistic: Statistic) -> float:
    """Mean or quantile of latencies [s]; NaN of none.

    Parameters
    ----------
    values : float64 array
        Latencies [s].
    statistic : {"mean", "p50", "p90", "p95", "p99"}

    Examples
    --------
    >>> statistic_s(np.array([1.0, 2.0, 6.0]), "mean"), statistic_s(np.array([1.0, 3.0]), "p50")
    (3.0, 2.0)
    """
    if len(values) == 0:
        return float("nan")
    if statistic == "mean":
        return float(values.mean())
    return float(np.quantile(values, int(statistic[1:]) / 100))


def parse_slo(text: str, where: str = "--slo") -> Slo:
    """Targets written as `metric_statistic=duration`, several with commas between.

    Parameters
    ----------
    text : str
        Metrics are ttft, tpot and e2e; statistics p50, p90, p95, p99 and mean; durations end in
        ms, s or min.
    where : str
        Named in errors.

    Raises
    ------
    InputError
        Where a target cannot be read, has no unit, is not above 0 or stands twice.

    Examples
    --------
    >>> parse_slo("ttft_p95=500ms, tpot_mean=0.05s").text
    'ttft_p95=500ms,tpot_mean=50ms'
    """
    targets = tuple(_target(part, where) for part in text.split(",") if part.strip())
    if not targets:
        raise InputError(where, "", "names no target", f"write it like {EXAMPLE}")
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise InputError(where, name, "is given twice", "give each target once")
    return Slo(targets)


def _target(part: str, where: str) -> Target:
    found = _TARGET.fullmatch(part.lower())
    if found is None:
        raise InputError(
            where, part.strip(), "is no target", f"write metric_statistic=duration: {EXAMPLE}"
        )
    metric, statistic, figure, unit = found.groups()
    if metric not in METRICS:
        raise InputError(where, part.strip(), f"{metric!r} is no latency", _one_of(METRICS))
    if statistic not in STATISTICS:
        raise InputError(where, part.strip(), f"{statistic!r} is no statistic", _one_of(STATISTICS))
    if unit not in _SECONDS:
        problem = f"{unit!r} is no unit" if unit else "has no unit"
        raise InputError(where, part.strip(), problem, "end it in ms, s or min")
    try:
        limit_s = float(figure) * _SECONDS[unit]
    except ValueError:
        limit_s = 0.0
    if not limit_s > 0:
        raise InputError(where, part.strip(), f"{figure!r} is no duration", "give one above 0")
    return Target(cast(Metric, metric), cast(Statistic, statistic), limit_s)


def _one_of(names: tuple[str, ...]) -> str:
    return f"use one of {', '.join(names)}"


def duration_text(duration_s: float) -> str:
    """A duration as short as it can be read.

    Parameters
    ----------
    duration_s : float
        [s]

    Examples
    --------
    >>> duration_text(0.05), duration_text(1.25), duration_text(90), duration_text(600)
    ('50ms', '1.25s', '90s', '10min')
    >>> duration_text(0.0123), duration_text(float("nan"))
    ('12.3ms', '–')
    """  # noqa: RUF002
    if np.isnan(duration_s):
        return "\N{EN DASH}"
    if duration_s < 1:
        return f"{1000 * duration_s:.3g}ms"
    if duration_s < 120:
        return f"{duration_s:.3g}s"
    return f"{duration_s / 60:.4g}min"
