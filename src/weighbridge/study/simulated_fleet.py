"""One deployment simulated under the traffic: the curve that the draws read, and its error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from weighbridge.capacity.estimate import Work, work
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.peak_load import PeakLoad
from weighbridge.capacity.simulation import simulate, simulate_closed_loop
from weighbridge.capacity.slo import Slo, duration_text
from weighbridge.capacity.step_time import StepTime
from weighbridge.capacity.stretch import picked
from weighbridge.capacity.traffic import Requests
from weighbridge.economics.capacity_curve import CapacityCurve, TypeWork
from weighbridge.economics.workload import Workload
from weighbridge.study.ladder import SIZES, Bounds, Ladder, Rung, bounds_of, window
from weighbridge.study.machines import Machine, errors_of
from weighbridge.study.size_speed import Load
from weighbridge.study.stretch_traffic import StretchTraffic

N_FULL_LOAD_REQUESTS = 600
N_ALONE_REQUESTS = 200
MOST_TOO_LONG_FRAC = 0.01  # more requests beyond its context, and the candidate is no candidate


@dataclass(frozen=True)
class Question:
    """What every deployment is asked.

    Attributes
    ----------
    traffic : StretchTraffic
    workload : Workload
    members : tuple of int
        Positions of the query types that may move.
    retained_frac : float
        Of what a provider's cache held; as the prompts of the traffic were made with.
    slo : Slo
    load : PeakLoad
        The busiest hour of the traffic, or the hour that was made.
    seconds_per_month : float
    """

    traffic: StretchTraffic
    workload: Workload
    members: tuple[int, ...]
    retained_frac: float
    slo: Slo
    load: PeakLoad
    seconds_per_month: float


@dataclass(frozen=True)
class SimulatedFleet:
    """What fleets of one deployment carry, and why there is none where there is none.

    Attributes
    ----------
    rungs : tuple of Rung
        Empty where no number of replicas meets the targets.
    error_ratios : (float, float)
        Load at the fast and slow end of the step time's 90 % interval against the middle [1].
    unmet : str
        Why no number of replicas meets the targets; empty where one does.
    """

    machine: Machine
    curve: CapacityCurve
    rungs: tuple[Rung, ...]
    error_ratios: tuple[float, float]
    unmet: str
    why: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """A deployment under the peak, without the few requests that are too long for it."""

    machine: Machine
    question: Question
    load: PeakLoad
    n_too_long: int
    on_simulation: Callable[[], None]

    @cached_property
    def n_fewest(self) -> float:
        """Replicas that the peak keeps busy all the time: fewer never serve it."""
        judged = self.load.judged
        at_s = self.load.requests.arrival_s[judged]
        done_s = self.work(self.load.requests).total_s[judged]
        return float(done_s.sum()) / max(float(at_s[-1] - at_s[0]), 1.0)

    def work(self, requests: Requests) -> Work:
        """Replica time of requests that are served together."""
        m = self.machine
        return work(requests, m.step_time, m.limits, self.question.slo)

    @cached_property
    def ladder(self) -> Ladder:
        """The search over sizes of fleet, with what it has found."""
        return self.ladder_at(self.machine.step_time)

    def ladder_at(self, step_time: StepTime) -> Ladder:
        """The same at another step time."""
        limits, slo = self.machine.limits, self.question.slo
        return Ladder(self.window, step_time, limits, slo, self.on_simulation, self.bounds)

    @property
    def bounds(self) -> Bounds:
        """How much of the peak is simulated, and how."""
        return bounds_of(self.load, self.n_fewest)

    @cached_property
    def window(self) -> PeakLoad:
        """What is judged: the same at every demand and at both ends of the step time's interval."""
        return window(self.load, self.n_fewest, self.bounds)

    @cached_property
    def unmet(self) -> str:
        """Why no fleet of it serves this traffic; empty where one may."""
        return self._too_long or self._too_slow

    @property
    def _too_long(self) -> str:
        n_all = self.question.load.requests.n_requests
        if self.n_too_long <= MOST_TOO_LONG_FRAC * n_all:
            return ""
        model, most = self.machine.deployment.model, _most_tokens(self.machine)
        return (
            f"{self.n_too_long:,} of {n_all:,} requests at the peak are longer than the {most:,} "
            f"tokens that {model.name} takes here"
        )

    @cached_property
    def alone_s(self) -> tuple[float, ...]:
        """What each target comes to where a request has a replica for itself: the best there is."""
        requests, m = self.load.requests, self.machine
        order = np.lexsort((requests.output_tokens, requests.input_tokens))
        n = min(len(order), N_ALONE_REQUESTS)
        spread = order[np.unique(np.linspace(0, len(order) - 1, n).astype(np.int64))]
        sample = picked(requests, np.sort(spread))
        outcome = simulate_closed_loop(sample, 1, m.step_time, m.limits, compiled=False)
        return self.question.slo.reached_s(outcome)

    @property
    def missed_ratio(self) -> float:
        """How far the worst target is missed even so; infinite where requests are too long."""
        if self._too_long:
            return math.inf
        pairs = zip(self.question.slo.targets, self.alone_s, strict=True)
        return max(reached / target.limit_s for target, reached in pairs)

    @property
    def _too_slow(self) -> str:
        missed = [
            f"{t.name} is {duration_text(s)} at best, with a replica for each request alone "
            f"(wanted: {duration_text(t.limit_s)})"
            for t, s in zip(self.question.slo.targets, self.alone_s, strict=True)
            if s > t.limit_s
        ]
        return "; ".join(missed)


def _most_tokens(machine: Machine) -> int:
    return min(machine.limits.kv_tokens, machine.deployment.model.context_tokens)


def bench(
    machine: Machine, question: Question, on_simulation: Callable[[], None] = lambda: None
) -> Bench:
    """Leave out what is longer than the model or its cache takes."""
    load = question.load
    lengths = load.requests.input_tokens + load.requests.output_tokens
    fits = np.flatnonzero(lengths <= _most_tokens(machine))
    n_too_long = len(lengths) - len(fits)
    if 0 < n_too_long <= MOST_TOO_LONG_FRAC * len(lengths):
        kept = picked(load.requests, fits)
        load = PeakLoad(kept, load.judged[fits], load.from_s, load.to_s, load.is_whole)
    return Bench(machine, question, load, n_too_long, on_simulation)


def simulated_fleet(bench: Bench) -> SimulatedFleet:
    """Climb the sizes, and search both ends of the step time's interval at today's size."""
    machine, question = bench.machine, bench.question
    if bench.unmet:
        return SimulatedFleet(machine, _curve(bench, ()), (), (1.0, 1.0), bench.unmet, ())
    rungs = bench.ladder.rungs(SIZES)
    if not rungs:
        unmet = f"no size from {SIZES[0]} to {SIZES[-1]} replicas meets {question.slo.text}"
        return SimulatedFleet(machine, _curve(bench, ()), (), (1.0, 1.0), unmet, ())
    errors = errors_of(machine, Load(bench.load.requests, question.slo))
    today = next((r for r in rungs if r.demand_ratio >= 1), rungs[-1])
    ends = (errors.band.low, errors.band.high)
    ratios, notes = zip(*(_error(bench, today, end) for end in ends), strict=True)
    why = (*errors.why, *(n for n in notes if n), _told(bench, rungs))
    pair = (min(float(ratios[0]), 1.0), max(float(ratios[1]), 1.0))
    return SimulatedFleet(machine, _curve(bench, rungs), rungs, pair, "", why)


def _error(bench: Bench, today: Rung, end: StepTime) -> tuple[float, str]:
    """Load of today's traffic at one end of the interval, against the middle, and a note."""
    machine = bench.machine
    if end is machine.step_time:
        return 1.0, ""
    rung = bench.ladder_at(end).rung(today.n_replicas)
    if rung is not None:
        return today.demand_ratio / rung.demand_ratio, ""
    slower = work(bench.load.requests, end, machine.limits, bench.question.slo).total_s.sum()
    ratio = float(slower / bench.work(bench.load.requests).total_s.sum())
    note = (
        f"at the slow end of that interval no number of replicas meets {bench.question.slo.text}; "
        "counted there is the work alone"
    )
    return ratio, note


def _told(bench: Bench, rungs: Sequence[Rung]) -> str:
    """What was judged: all of the peak, or which part of it, and from which demand on nothing."""
    load, part = bench.load, bench.window
    sizes = ", ".join(str(r.n_replicas) for r in rungs)
    n_peak, n_part = int(load.judged.sum()), int(part.judged.sum())
    judged = f"the {n_peak:,} requests of their busiest {duration_text(load.window_s)}"
    if n_part < n_peak:
        judged = f"{n_part:,} of {judged}, its busiest {duration_text(part.window_s)}"
    last = rungs[-1]
    return (
        f"{bench.question.traffic.words}; fleets of {sizes} simulated on multiples of {judged}; "
        f"beyond {last.demand_ratio:.3g} times today's demand, the most that {last.n_replicas} of "
        "them carry, fleets grow in proportion"
    )


def _curve(bench: Bench, rungs: Sequence[Rung]) -> CapacityCurve:
    """The rungs as the draws read them; without any, replicas that never wait."""
    question = bench.question
    served = question.workload.slice(question.members)
    works = _type_works(bench)
    work_s = sum(
        works[t.label].input_s_per_token
        * (t.fresh_input_tokens + t.cache_read_tokens * (1 - question.retained_frac))
        + works[t.label].output_s_per_token * t.output_tokens
        for t in served.types
    )
    if rungs:
        demand = np.array([r.demand_ratio for r in rungs])
        sizes = np.array([float(r.n_replicas) for r in rungs])
    else:
        demand, sizes = np.array([1 / bench.n_fewest]), np.ones(1)
    full_s_per_s = _full_load(bench)
    curve = CapacityCurve(
        demand_ratio=demand,
        n_replicas=sizes,
        full_load_ratio=full_s_per_s * question.seconds_per_month / work_s,
        reference_work_s=work_s,
        reference_peak_ratio=question.traffic.peak_to_mean_ratio or 1.0,
        work=works,
    )
    if question.traffic.peak_to_mean_ratio is not None:
        return curve
    return replace(curve, reference_peak_ratio=curve.hourly_peak_ratio(served))


def _type_works(bench: Bench) -> Mapping[str, TypeWork]:
    """Replica time for a token of each query type; of all where a type has no request."""
    traffic, types = bench.question.traffic, bench.question.workload.types
    done = bench.work(traffic.requests)
    inputs, outputs = traffic.requests.input_tokens, traffic.requests.output_tokens
    found = {}
    for i in bench.question.members:
        rows = traffic.type_index == i
        if not rows.any():
            rows = np.ones(len(rows), np.bool_)
        found[types[i].label] = TypeWork(
            float(done.prefill_s[rows].sum() / inputs[rows].sum()),
            float(done.decode_s[rows].sum() / outputs[rows].sum()),
        )
    return found


def _full_load(bench: Bench) -> float:
    """Work that one replica does in a second when it never lacks any [1].

    Requests are all there at once; counted are those that end between the first and the last
    tenth of the time, when the batch is full.
    """
    if bench.unmet:
        return 1.0
    requests, m = bench.load.requests, bench.machine
    n = min(requests.n_requests, N_FULL_LOAD_REQUESTS)
    spread = np.unique(np.linspace(0, requests.n_requests - 1, n).astype(np.int64))
    sample = picked(requests, spread)
    at_once = Requests(np.zeros(len(spread)), sample.input_tokens, sample.output_tokens)
    bench.on_simulation()
    outcome = simulate(at_once, m.step_time, m.limits, FleetPlan(1), compiled=False)
    done_s = bench.work(at_once).total_s
    start_s, end_s = 0.1 * outcome.end_s, 0.9 * outcome.end_s
    steady = (outcome.e2e_s > start_s) & (outcome.e2e_s <= end_s)
    return max(
        float(done_s[steady].sum()) / max(end_s - start_s, 1e-9),
        float(done_s.sum()) / max(float(outcome.busy_s.sum()), 1e-9),
    )
