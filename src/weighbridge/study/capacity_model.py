"""From scenario, catalog and traffic to the simulated fleet that a study rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.estimate import work
from weighbridge.capacity.peak_load import WINDOW_S, PeakLoad, peak_load
from weighbridge.capacity.slo import Slo
from weighbridge.capacity.stretch import inside
from weighbridge.capacity.table import BOUND_SCORE
from weighbridge.catalog.facts import Catalog
from weighbridge.economics.distributions import Z90
from weighbridge.study.beliefs import Finding, band, median_of
from weighbridge.study.calibrated_machine import calibrated_machine
from weighbridge.study.machine_choice import Choice, Slack, choose
from weighbridge.study.machines import Machine, machines
from weighbridge.study.scenario import Scenario
from weighbridge.study.scenario_serving import latency_targets
from weighbridge.study.simulated_fleet import Question
from weighbridge.study.size_speed import Load
from weighbridge.study.stretch_traffic import (
    StatedHour,
    StretchTraffic,
    from_log,
    from_stated,
    redrawn,
)
from weighbridge.study.traffic import Traffic
from weighbridge.study.typed_requests import TypedRequests
from weighbridge.units import SECONDS_PER_HOUR

DEFAULT_CANDIDATE = "llama-3.3-70b"
SEED = 0  # of made traffic: the same for every study, so that only what is stated moves it
EXPECTED_SIMULATIONS = 60  # for the progress shown, nothing else

ReadRequests = Callable[[], TypedRequests]
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Simulation:
    """The fleet that was chosen, what it was held to, and what else was weighed."""

    choice: Choice
    slo: Slo

    @property
    def findings(self) -> dict[str, Finding]:
        """What it says of the inputs."""
        fleet = self.choice.fleet
        machine = fleet.machine
        low, high = (ratio ** (Z90 / BOUND_SCORE) for ratio in fleet.error_ratios)
        words = f"simulation of {machine.words}"
        return {
            "n_gpus_per_replica": Finding(
                band(*(float(machine.deployment.n_gpus),) * 3), "catalog", words
            ),
            "capacity_error_ratio": Finding(
                band(low, 1.0, high),
                "catalog",
                f"{words}, {machine.basis}",
                "log-normal through the 90 % interval that held-out measurements earned; peaks, "
                "bursts and what a benchmark leaves out are in the simulation",
            ),
        }


def _silent(share_frac: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Log:
    """How to read the requests of a log, and whom to tell how far the simulations are."""

    read_requests: ReadRequests | None = None
    tell: Tell = _silent


def simulation(
    scenario: Scenario, catalog: Catalog, traffic: Traffic, where: str, log: Log
) -> Simulation | None:
    """Simulate what may move on what could serve it; None where too little of it was logged.

    Raises
    ------
    InputError
        Where the candidate fits on no GPU.
    """
    candidate = catalog.models[scenario.candidate or DEFAULT_CANDIDATE]
    retained = median_of("prefix_cache_retained_frac", scenario, where)
    members = traffic.workload.movable
    if log.read_requests is None:
        stretch = from_stated(_stated_hour(scenario, traffic, where), np.random.default_rng(SEED))
    else:
        stretch = from_log(log.read_requests(), members, retained)
    if not stretch.is_enough:
        return None
    slo = latency_targets(scenario, where)
    able = (
        machines(scenario, catalog, candidate, Load(stretch.requests, slo))
        if scenario.endpoint_profile is None
        else [calibrated_machine(scenario, catalog, candidate, stretch, where)]
    )
    stretch, load = _peak(stretch, able[0], slo, scenario, where)
    question = Question(
        traffic=stretch,
        workload=traffic.workload,
        members=members,
        retained_frac=retained,
        slo=slo,
        load=load,
        seconds_per_month=median_of("hours_per_month", scenario, where) * SECONDS_PER_HOUR,
    )
    slack = Slack(
        median_of("headroom_frac", scenario, where), median_of("n_spare_replicas", scenario, where)
    )
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        log.tell(min(done / EXPECTED_SIMULATIONS, 1.0))

    return Simulation(choose(question, able, slack, count), slo)


def _stated_hour(scenario: Scenario, traffic: Traffic, where: str) -> StatedHour:
    """The peak of what a scenario states, every input at its median."""

    def median(name: str) -> float:
        return median_of(name, scenario, where)

    whole = traffic.workload.whole
    requests = whole.requests_per_month
    return StatedHour(
        mean_requests_per_s=requests / (median("hours_per_month") * SECONDS_PER_HOUR),
        peak_to_mean_ratio=median("peak_to_mean_ratio"),
        within_hour_peak_ratio=median("within_hour_peak_ratio"),
        input_tokens=whole.fresh_input_tokens / requests,
        output_tokens=whole.output_tokens / requests,
        length_p90_to_median_ratio=median("length_p90_to_median_ratio"),
    )


def _peak(
    stretch: StretchTraffic, machine: Machine, slo: Slo, scenario: Scenario, where: str
) -> tuple[StretchTraffic, PeakLoad]:
    """The busiest hour, by the work that it is to one of the machines.

    A scenario that states how high a minute stands in its hour, beside a log, says that the log's
    minutes are not to be believed: arrivals inside the hour are then drawn.
    """
    requests = stretch.requests
    if stretch.peak_to_mean_ratio is not None:
        load = peak_load(requests, np.ones(requests.n_requests), max(requests.duration_s, 1.0))
        return stretch, load
    load = peak_load(
        requests, work(requests, machine.step_time, machine.limits, slo).total_s, WINDOW_S
    )
    name = "within_hour_peak_ratio"
    if name not in scenario.assumptions:
        return stretch, load
    hour = inside(requests, load.from_s, load.to_s)
    drawn = redrawn(
        stretch,
        hour,
        load.window_s,
        median_of(name, scenario, where),
        np.random.default_rng(SEED),
    )
    made = drawn.requests
    return drawn, peak_load(made, np.ones(made.n_requests), max(made.duration_s, 1.0))
