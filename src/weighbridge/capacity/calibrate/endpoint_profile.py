"""A dated profile of one endpoint: how fast its iterations are, and how far that may be wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from weighbridge.capacity.calibrate.advice import SuggestedRun
from weighbridge.capacity.calibrate.certainty import FittedParameter
from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.capacity.calibrate.load_curve import LoadCurve
from weighbridge.capacity.calibrate.parameters import StepParameters, step_time_of
from weighbridge.capacity.observed import EngineSettings
from weighbridge.capacity.prediction import Interval
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.units import InputError


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """A run that a profile was made of.

    `digest` is the SHA-256 of its arrivals, lengths and latencies.
    """

    name: str
    n_requests: int
    n_failed: int
    digest: str


@dataclass(frozen=True, slots=True)
class Covered:
    """Least and most of what was measured.

    Attributes
    ----------
    input_tokens, output_tokens : (float, float)
    in_flight_requests : (float, float)
        Requests in flight at arrivals.
    requests_per_s : (float, float)
        Mean rate, of the slowest and of the fastest run.
    """

    input_tokens: tuple[float, float]
    output_tokens: tuple[float, float]
    in_flight_requests: tuple[float, float]
    requests_per_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class AskedLoad:
    """What a prediction is asked for; None where it does not matter.

    Attributes
    ----------
    input_tokens, output_tokens : float, optional
    in_flight_requests : float, optional
    requests_per_s : float, optional
    """

    input_tokens: float | None = None
    output_tokens: float | None = None
    in_flight_requests: float | None = None
    requests_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class EndpointProfile:
    """What calibration found on one endpoint.

    Attributes
    ----------
    made_on : date
    sources : tuple of ProfileSource
    settings : EngineSettings
        Model, GPU, engine and what else was told.
    limits : EngineLimits
        What the simulations ran under.
    parameters : tuple of FittedParameter
        In the order of `StepParameters`.
    correlations : tuple of tuples of float
        Of the logarithms of the parameters.
    held_out : tuple of MetricError
        Errors of a fit on the first part of each run, on the rest of it.
    held_out_frac : float
        Share of each run's requests that were held out.
    suggested : tuple of SuggestedRun
        One for each parameter that the data leave open.
    covered : Covered
    curves : tuple of LoadCurve
        Latencies over concurrency, where aggregate points were given.
    n_evaluations : int
        Simulations spent.
    notes : tuple of str
        What was assumed, in words.
    """

    made_on: date
    sources: tuple[ProfileSource, ...]
    settings: EngineSettings
    limits: EngineLimits
    parameters: tuple[FittedParameter, ...]
    correlations: tuple[tuple[float, ...], ...]
    held_out: tuple[MetricError, ...]
    held_out_frac: float
    suggested: tuple[SuggestedRun, ...]
    covered: Covered
    curves: tuple[LoadCurve, ...]
    n_evaluations: int
    notes: tuple[str, ...] = ()

    def step_time(self) -> StepTime:
        """Tables for the simulation, under this profile's limits.

        Returns
        -------
        StepTime

        Raises
        ------
        InputError
            Where the profile was made of aggregate points alone.
        """
        if not self.parameters:
            raise InputError(
                "endpoint profile",
                "parameters",
                "are none: it was made of aggregate figures alone",
                "calibrate with files that hold single requests",
            )
        values = {one.name: one.value for one in self.parameters}
        return step_time_of(StepParameters(**values), self.limits)

    def interval(
        self, metric: str, simulated_s: float, asked: AskedLoad | None = None
    ) -> tuple[Interval, tuple[str, ...]]:
        """A prediction with the interval that held-out requests earned it.

        The bounds are the widest 5th and 95th percentiles of measured over simulated, among the
        runs. Outside the measured range they widen: twice as wide (in logarithms) for each
        doubling beyond it. That factor is an assumption; nothing was measured there.

        Parameters
        ----------
        metric : {"ttft", "tpot", "e2e"}
        simulated_s : float
            What a simulation with this profile came to [s].
        asked : AskedLoad, optional
            Of the prediction, to be held against what was measured.

        Returns
        -------
        Interval
        tuple of str
            What it rests on, and why it is as wide as it is.

        Raises
        ------
        InputError
            Where the metric was never measured.
        """
        errors = [one for one in self.held_out if one.metric == metric]
        if not errors:
            raise InputError(
                "endpoint profile",
                metric,
                "was not measured on held-out requests",
                "calibrate with runs that record it",
            )
        low = math.log(min(1.0, *(one.low_ratio for one in errors)))
        high = math.log(max(1.0, *(one.high_ratio for one in errors)))
        n = sum(one.n_requests for one in errors)
        beyond, reasons = self._beyond(asked or AskedLoad())
        why = (f"calibrated on {self.made_on.isoformat()}, errors of {n} held-out requests",)
        return (
            Interval(
                low=simulated_s * math.exp(low * (1.0 + beyond)),
                mid=simulated_s,
                high=simulated_s * math.exp(high * (1.0 + beyond)),
            ),
            (*why, *reasons),
        )

    def _beyond(self, asked: AskedLoad) -> tuple[float, tuple[str, ...]]:
        """Doublings beyond the measured range, added up, and in words."""
        named = {
            "input_tokens": "prompts of {:.0f} tokens",
            "output_tokens": "answers of {:.0f} tokens",
            "in_flight_requests": "{:.0f} requests in flight",
            "requests_per_s": "{:.3g} requests/s",
        }
        total, reasons = 0.0, []
        for name, words in named.items():
            value, (least, most) = getattr(asked, name), getattr(self.covered, name)
            if value is None or least <= value <= most or value <= 0:
                continue
            edge = most if value > most else least
            total += abs(float(np.log2(value / max(edge, 1e-12))))
            reasons.append(
                f"wider: {words.format(value)} lie outside the measured {least:.4g} to {most:.4g}"
            )
        return total, tuple(reasons)
