"""From measured runs to a profile of the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import numpy as np

from weighbridge.capacity.calibrate.advice import suggested_runs
from weighbridge.capacity.calibrate.certainty import Certainty, certainty
from weighbridge.capacity.calibrate.endpoint_profile import (
    Covered,
    EndpointProfile,
    ProfileSource,
)
from weighbridge.capacity.calibrate.evidence import (
    LEAST_REQUESTS,
    Evidence,
    evidence_of,
    first_share,
    in_flight_requests,
)
from weighbridge.capacity.calibrate.held_out import MetricError, held_out_errors
from weighbridge.capacity.calibrate.load_curve import LEAST_POINTS, load_curves
from weighbridge.capacity.calibrate.misfit import Misfit
from weighbridge.capacity.calibrate.parameters import (
    NAMES,
    logs_of,
    parameters_at,
    parameters_near,
    step_time_of,
)
from weighbridge.capacity.calibrate.search import PLAIN, THOROUGH, Effort, search
from weighbridge.capacity.observed import EngineSettings, ObservedRun, ServingPoint
from weighbridge.capacity.simulation.compiled import numba_is_here
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

OnProgress = Callable[[int, int], None]
HELD_OUT_FRAC = 0.5


@dataclass(frozen=True, slots=True)
class SplitFit:
    """A fit on the first part of each run, and its errors on the rest.

    Attributes
    ----------
    step_time : StepTime
    errors : tuple of MetricError
    n_evaluations : int
    """

    step_time: StepTime
    errors: tuple[MetricError, ...]
    n_evaluations: int


def fit_first_part(  # noqa: PLR0913
    runs: Sequence[ObservedRun],
    limits: EngineLimits,
    rng: np.random.Generator,
    *,
    start: StepTime | None = None,
    held_out_frac: float = HELD_OUT_FRAC,
    effort: Effort | None = None,
) -> SplitFit:
    """Fit on the latencies of the first requests of each run and compare with those of the rest.

    Arrivals and lengths of all requests load the simulated engine; only latencies are held out.

    Parameters
    ----------
    runs : sequence of ObservedRun
    limits : EngineLimits
    rng : numpy Generator
    start : StepTime, optional
        What the data leave open follows it.
    held_out_frac : float
        Share of each run, the last by arrival, that the fit does not see.
    effort : Effort, optional

    Returns
    -------
    SplitFit

    Raises
    ------
    InputError
        As `calibrate`.
    """
    evidence = evidence_of(runs)
    fit = _fitted(_first(evidence, held_out_frac), limits, rng, start, effort or _effort(), None)
    step_time = step_time_of(parameters_at(fit[0]), limits)
    errors = held_out_errors(_rest(evidence, held_out_frac), step_time, limits)
    return SplitFit(step_time, errors, fit[1])


def calibrate(  # noqa: PLR0913
    runs: Sequence[ObservedRun],
    start: StepTime | None,
    limits: EngineLimits,
    rng: np.random.Generator,
    *,
    made_on: date,
    settings: EngineSettings | None = None,
    held_out_frac: float = HELD_OUT_FRAC,
    effort: Effort | None = None,
    notes: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> EndpointProfile:
    """Find the step time that an endpoint's runs were served with.

    First a global search on the first part of each run, whose errors on the rest are the ones
    that predictions from this profile carry; then all of it is fitted, from there; then each
    parameter gets its interval by a bootstrap over blocks of requests.

    Parameters
    ----------
    runs : sequence of ObservedRun
        Of one endpoint, in one state.
    start : StepTime, optional
        A prediction of it: what the data leave open follows it.
    limits : EngineLimits
        What the engine schedules under.
    rng : numpy Generator
    made_on : date
    settings : EngineSettings, optional
        What is known of the endpoint; by default what the first run tells.
    held_out_frac : float
        Share of each run, the last by arrival, that earns the errors.
    effort : Effort, optional
        By default thorough where the simulation is compiled; a thirteenth of it elsewhere.
    notes : sequence of str
        Assumptions to be kept in the profile.
    on_progress : callable, optional
        Told how many simulations were run, of about how many.

    Returns
    -------
    EndpointProfile

    Raises
    ------
    InputError
        Where there is no success, fewer requests than the parameters need, no variation of
        lengths and load, or a request that the limits can never serve.
    """
    effort = effort or _effort()
    evidence = evidence_of(runs)
    progress = _Progress(
        2 * effort.n_evaluations + effort.n_refits * effort.n_per_refit, on_progress
    )
    first = _first(evidence, held_out_frac)
    split, _ = _fitted(first, limits, rng, start, effort, progress)
    step_time = step_time_of(parameters_at(split), limits)
    errors = held_out_errors(_rest(evidence, held_out_frac), step_time, limits)
    misfit = Misfit(evidence, limits, _x_of(start), progress.one)
    best = search(misfit, effort, rng, split)
    found = certainty(misfit, best, effort, rng)
    progress.finish()
    return _profile(
        runs, evidence, limits, found, errors, made_on, settings, held_out_frac, progress, notes
    )


def calibrate_aggregates(
    points: Sequence[ServingPoint],
    limits: EngineLimits,
    *,
    made_on: date,
    settings: EngineSettings,
    notes: Sequence[str] = (),
) -> EndpointProfile:
    """A profile of aggregate figures: latency over concurrency, for each mix of lengths.

    Means over many requests tell no parameter of the step time; they tell how latency grows with
    concurrency for the lengths that were measured, and that is what the profile holds.

    Parameters
    ----------
    points : sequence of ServingPoint
        Of one endpoint.
    limits : EngineLimits
        Kept in the profile.
    made_on : date
    settings : EngineSettings
    notes : sequence of str

    Returns
    -------
    EndpointProfile
        Without parameters; `curves` holds two for each mix, at most.

    Raises
    ------
    InputError
        Where no mix of lengths was measured at four concurrencies or more.
    """
    mixes: dict[tuple[float | None, float | None], list[ServingPoint]] = {}
    for one in points:
        mixes.setdefault((one.input_tokens, one.output_tokens), []).append(one)
    enough = [
        group
        for group in mixes.values()
        if len({one.n_concurrent for one in group}) >= LEAST_POINTS
    ]
    used = enough or [max(mixes.values(), key=len, default=[])]
    curves = tuple(curve for group in used for curve in load_curves(group))
    kept = [one for group in used for one in group]
    return EndpointProfile(
        made_on=made_on,
        sources=tuple(_source_of_point(one) for one in kept),
        settings=settings,
        limits=limits,
        parameters=(),
        correlations=(),
        held_out=(),
        held_out_frac=0.0,
        suggested=(),
        covered=Covered(
            input_tokens=_span([curve.input_tokens for curve in curves]),
            output_tokens=_span([curve.output_tokens for curve in curves]),
            in_flight_requests=_span([n for curve in curves for n in curve.n_concurrent]),
            requests_per_s=(0.0, 0.0),
        ),
        curves=curves,
        n_evaluations=0,
        notes=tuple(notes),
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _source_of_point(point: ServingPoint) -> ProfileSource:
    told = (point.n_concurrent, point.ttft_s, point.tpot_s, point.input_tokens, point.output_tokens)
    return ProfileSource(point.source, 0, 0, sha256(repr(told).encode()).hexdigest())


def _effort() -> Effort:
    return THOROUGH if numba_is_here() else PLAIN


class _Progress:
    """Counts simulations, and tells of them now and then."""

    def __init__(self, n_expected: int, on_progress: OnProgress | None) -> None:
        self.n_done, self._n_expected, self._tell = 0, n_expected, on_progress

    def one(self) -> None:
        self.n_done += 1
        if self._tell is not None and self.n_done % 10 == 0:
            self._tell(min(self.n_done, self._n_expected), self._n_expected)

    def finish(self) -> None:
        if self._tell is not None:
            self._tell(self._n_expected, self._n_expected)


def _first(evidence: Sequence[Evidence], held_out_frac: float) -> tuple[Evidence, ...]:
    found = tuple(one.using(first_share(one, 1.0 - held_out_frac)) for one in evidence)
    n_used = sum(one.n_used for one in found)
    if n_used < LEAST_REQUESTS or any(one.n_used == 0 for one in found):
        raise InputError(
            ", ".join(one.name for one in evidence),
            "requests",
            f"leave {n_used} with latencies to fit on, fewer than {LEAST_REQUESTS}, when "
            f"{held_out_frac:.0%} are held out: a step time has {len(NAMES)} parameters",
            "run at least 100 requests, better 300, with the lengths of your own traffic",
        )
    return found


def _rest(evidence: Sequence[Evidence], held_out_frac: float) -> tuple[Evidence, ...]:
    return tuple(one.using(one.used & ~first_share(one, 1.0 - held_out_frac)) for one in evidence)


def _x_of(start: StepTime | None) -> Floats | None:
    return None if start is None else logs_of(parameters_near(start))


def _fitted(  # noqa: PLR0913, PLR0917
    evidence: Sequence[Evidence],
    limits: EngineLimits,
    rng: np.random.Generator,
    start: StepTime | None,
    effort: Effort,
    progress: _Progress | None,
) -> tuple[Floats, int]:
    x_start = _x_of(start)
    misfit = Misfit(evidence, limits, x_start, progress.one if progress else None)
    return search(misfit, effort, rng, x_start), misfit.n_evaluations


def _profile(  # noqa: PLR0913, PLR0917
    runs: Sequence[ObservedRun],
    evidence: Sequence[Evidence],
    limits: EngineLimits,
    found: Certainty,
    errors: tuple[MetricError, ...],
    made_on: date,
    settings: EngineSettings | None,
    held_out_frac: float,
    progress: _Progress,
    notes: Sequence[str],
) -> EndpointProfile:
    return EndpointProfile(
        made_on=made_on,
        sources=tuple(_source(run) for run in runs),
        settings=settings or runs[0].settings,
        limits=limits,
        parameters=found.parameters,
        correlations=tuple(tuple(row) for row in found.correlations.tolist()),
        held_out=errors,
        held_out_frac=held_out_frac,
        suggested=suggested_runs(found.parameters, evidence, limits),
        covered=covered_by(evidence),
        curves=(),
        n_evaluations=progress.n_done,
        notes=tuple(notes),
    )


def covered_by(evidence: Sequence[Evidence]) -> Covered:
    """Least and most of what runs measured.

    Parameters
    ----------
    evidence : sequence of Evidence

    Returns
    -------
    Covered
    """
    inputs = np.concatenate([one.requests.input_tokens for one in evidence])
    outputs = np.concatenate([one.requests.output_tokens for one in evidence])
    flights = np.concatenate([in_flight_requests(one) for one in evidence])
    flights = flights if len(flights) else np.ones(1)
    rates = [
        one.requests.n_requests / max(one.requests.duration_s, 1e-9)
        for one in evidence
        if one.requests.duration_s > 0
    ] or [0.0]
    return Covered(
        input_tokens=(float(inputs.min()), float(inputs.max())),
        output_tokens=(float(outputs.min()), float(outputs.max())),
        in_flight_requests=(float(flights.min()), float(flights.max())),
        requests_per_s=(min(rates), max(rates)),
    )


def _source(run: ObservedRun) -> ProfileSource:
    digest = sha256()
    requests = run.requests
    for one in (requests.input_tokens, requests.output_tokens):
        digest.update(np.ascontiguousarray(one, dtype="<i8").tobytes())
    for one_s in (requests.arrival_s, run.ttft_s, run.e2e_s):
        digest.update(np.ascontiguousarray(one_s, dtype="<f8").tobytes())
    return ProfileSource(run.name, requests.n_requests, run.n_failed, digest.hexdigest())
