"""From a scenario and a log to the study: the one place where the rooms are joined."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weighbridge.catalog.assumptions import assumptions_digest
from weighbridge.economics.options import option_lines
from weighbridge.economics.risk import Problem, simulate
from weighbridge.planning.answers import Verdict
from weighbridge.planning.constraints import People, option_obstacles
from weighbridge.study.capacity_model import Log
from weighbridge.study.capacity_result import capacity_of
from weighbridge.study.forecast_prices import Forecast, forecast_of_log, forecast_of_statement
from weighbridge.study.measured import open_facts, open_profile, opened, requests_reader
from weighbridge.study.naive import compare
from weighbridge.study.old_study import OldStudy
from weighbridge.study.options import OptionStudy, study_options
from weighbridge.study.pose import Facts, Posed, pose
from weighbridge.study.rerun import Now, Then, check_same_question, explain
from weighbridge.study.result import (
    ControlPrice,
    NaiveComparison,
    Reproducibility,
    Study,
)
from weighbridge.study.scenario import Scenario, load_scenario
from weighbridge.study.sensitivity import (
    default_surface,
    information_values,
    sobol_indices,
    tornado_bars,
)
from weighbridge.study.show_back import show_back
from weighbridge.study.too_short import too_short_study
from weighbridge.study.traffic import from_scenario, is_long_enough
from weighbridge.study.verdict import draw_verdict, spoken_of
from weighbridge.units import InputError
from weighbridge.units.money import Money
from weighbridge.usage.price_classes import price_classes
from weighbridge.usage.results import Profile
from weighbridge.version import __version__

if TYPE_CHECKING:
    from weighbridge.usage.store import Ledger

DEFAULT_DRAWS = 100_000
NEEDED_FTE_TO_RUN = 0.5
"""Below this many people who have run inference, a fleet is not called staffed; our judgement."""

Progress = Callable[[str, float], None]  # (step, share of it done)


@dataclass(frozen=True, slots=True)
class Run:
    """How a study is computed; none of it changes what is believed."""

    seed: int = 0
    n_draws: int = DEFAULT_DRAWS
    as_of: dt.date | None = None  # None: today
    sobol: bool = False
    with_surface: bool = True
    command: str = ""
    where: str = "scenario"
    progress: Progress | None = None
    reprice: bool = False  # the log's tokens at the prices of `as_of`, not at its own
    against: OldStudy | None = None  # explain what changed since; reprices too
    traffic_is_new: bool = False  # the old study may be of another ledger


@dataclass
class Clock:
    """Seconds spent in each part, and the progress told outside."""

    progress: Progress | None
    timings_s: dict[str, float] = field(default_factory=dict)
    _started: float = 0.0
    _step: str = ""

    def start(self, step: str) -> None:
        """Close the running part and open the next."""
        self.stop()
        self._step, self._started = step, time.perf_counter()
        self.tell(0.0)

    def tell(self, share_frac: float) -> None:
        """Report progress inside the part."""
        if self.progress is not None and self._step:
            self.progress(self._step, share_frac)

    def counter(self, total: int) -> Callable[[int], None]:
        """A callback that adds up units of work and tells their share of the total."""
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            self.tell(done / total)

        return count

    def stop(self) -> None:
        """Close the running part."""
        if self._step:
            self.timings_s[self._step] = time.perf_counter() - self._started
            self.tell(1.0)
        self._step = ""


def decide(
    scenario: Scenario | Path | str | None = None,
    usage: Ledger | Path | str | None = None,
    run: Run | None = None,
) -> Study:
    """Weigh every option on the given traffic and draw a verdict.

    Parameters
    ----------
    scenario : Scenario or path, optional
        What is known beside the log; without one, every default.
    usage : Ledger or path of one, optional
        The measured traffic; without it the scenario must state a spend or a volume.
    run : Run, optional
        Seed, draws, date and the like.

    Returns
    -------
    Study
        Every number that the reports render. Money in US dollars.

    Raises
    ------
    InputError
        Where the scenario or the log cannot be used; the message names file, field and mend.
    """
    run = run or Run()
    if isinstance(scenario, str | Path):
        run = replace(run, where=str(scenario))
        scenario = load_scenario(Path(scenario))
    scenario = scenario or Scenario()
    if not isinstance(scenario, Scenario):
        raise TypeError(f"scenario must be a Scenario or a path, not {type(scenario).__name__}")
    clock = Clock(run.progress)
    clock.start("catalog")
    facts = open_facts(scenario, run.as_of)
    profile, usage_digest = None, None
    if usage is not None:
        clock.start("profile")
        profile, usage_digest = open_profile(scenario, usage, facts.book)
    if run.against is not None:
        check_same_question(run.against, scenario, usage_digest, facts.as_of, run.traffic_is_new)
    origin = _Origin(run, scenario, facts, usage_digest, clock)
    if profile is not None and not is_long_enough(profile):
        clock.stop()
        return too_short_study(profile, scenario, origin.reproducibility())
    facts = replace(facts, forecast=_forecast(scenario, usage, profile, facts, run))
    clock.start("capacity and plan")
    log = Log(requests_reader(scenario, usage, profile), clock.tell)
    posed = pose(scenario, profile, facts, run.where, log)
    study = _solve(posed, profile, origin)
    if facts.forecast is not None:
        notes = (*facts.undated, *facts.forecast.notes)
        withheld = (*study.withheld, *notes)
        study = replace(study, prices_on=facts.forecast.prices_on, withheld=withheld)
    if run.against is None:
        return study
    clock.start("what changed")
    before = open_facts(scenario, run.against.as_of)
    if not _same_offers(before, facts):  # else the old fleet is the new one
        then = Then(pose(scenario, profile, before, run.where, log), before)
    else:
        then = Then(posed, before)
    change = explain(run.against, then, Now(posed, facts, scenario), study, run.traffic_is_new)
    clock.stop()
    return replace(study, change=change)


def _same_offers(one: Facts, other: Facts) -> bool:
    mine, theirs = one.catalog, other.catalog
    return (mine.offers, mine.committed) == (theirs.offers, theirs.committed)


def _forecast(
    scenario: Scenario,
    usage: Ledger | Path | str | None,
    profile: Profile | None,
    facts: Facts,
    run: Run,
) -> Forecast | None:
    """Another day's API prices on the same tokens; None where the log's own costs stand."""
    old = run.against
    if not run.reprice and old is None:
        return None
    if profile is None or usage is None:
        stated_on = old.as_of if old is not None else facts.as_of
        stated = from_scenario(scenario, facts.book, stated_on, run.where)
        return forecast_of_statement(stated, scenario, facts.book, facts.as_of, stated_on)
    types = scenario.query_type_by
    classes = price_classes(opened(usage), facts.book, types, typed=True)
    was_on = old.prices_on if old is not None else None
    return forecast_of_log(classes, profile, scenario, facts.book, (was_on, facts.as_of))


@dataclass(frozen=True)
class _Origin:
    """Where a study came from: what goes into its reproducibility block."""

    run: Run
    scenario: Scenario
    facts: Facts
    usage_digest: str | None
    clock: Clock

    def reproducibility(self) -> Reproducibility:
        digests = (self.facts.catalog.digest, assumptions_digest())
        return Reproducibility(
            version=__version__,
            seed=self.run.seed,
            n_draws=self.run.n_draws,
            catalog_digest=sha256("".join(digests).encode()).hexdigest(),
            prices_digest=self.facts.book.digest,
            scenario_digest=self.scenario.digest,
            usage_digest=self.usage_digest,
            command=self.run.command,
            as_of=self.facts.as_of,
            timings_s=self.clock.timings_s,
        )


def _solve(posed: Posed, profile: Profile | None, origin: _Origin) -> Study:
    """Simulate, measure and judge a posed problem."""
    run, clock, problem = origin.run, origin.clock, posed.problem
    rng = np.random.default_rng(run.seed)
    clock.start("simulate")
    draws = simulate(problem, run.n_draws, rng, clock.counter(run.n_draws))
    if not np.isfinite(draws.npv_usd).all():
        raise InputError(
            run.where, "assumptions", "make a cost without bounds", "look for a rate or price of 0"
        )
    clock.start("bands and views")
    options = study_options(problem, draws, posed.hardware, _obstacles(posed, origin.scenario))
    clock.start("value of information")
    information = information_values(draws, _choosable(options, problem))
    clock.start("verdict")
    verdict, found = draw_verdict(
        origin.facts, posed, options, information, money_of(origin.scenario)
    )
    rival = spoken_of(options, verdict)
    clock.start("tornado")
    sobol = sobol_indices(problem, rival.option, rng) if run.sobol and rival else {}
    bars = tornado_bars(problem, rival.option, sobol) if rival else ()
    clock.start("surface")
    grid = default_surface(problem, rng) if run.with_surface and rival else None
    naive = _naive(posed, options, rival)
    clock.stop()
    whole, scenario = problem.workload.whole, origin.scenario
    discount = float(problem.beliefs.central()["api_discount_frac"])
    return Study(
        name=scenario.name,
        currency=scenario.currency.code if scenario.currency else "USD",
        usd_rate=scenario.currency.per_usd if scenario.currency else 1.0,
        horizon_months=scenario.horizon_months,
        monthly_tokens=whole.total_tokens,
        monthly_requests=whole.requests_per_month,
        monthly_api_usd=whole.api_usd_per_month * (1 - discount),
        verdict=verdict,
        rival_id=rival.option.id if rival else None,
        options=tuple(o.result for o in options),
        break_evens=tuple(b for rows in found.values() for b in rows),
        surface=grid,
        capacity=capacity_of(posed, draws, rival.option if rival else None, scenario),
        tornado=bars,
        information=information,
        naive=naive,
        assumptions=posed.used,
        show_back=show_back(profile, scenario.query_type_by, posed.problem, options, verdict),
        control_prices=_control_prices(options, verdict),
        profile=profile,
        withheld=(
            *posed.traffic.withheld,
            *posed.hardware.notes,
            *posed.hardware.unknown_prices.values(),
        ),
        reproducibility=origin.reproducibility(),
    )


def _choosable(options: Sequence[OptionStudy], problem: Problem) -> list[int]:
    """Options that may be advised; where only the API may, those that a test could open."""
    feasible = [i for i, o in enumerate(options) if o.result.feasible]
    types = problem.workload.types
    sound = [i for i in feasible if all(types[k].proven for k in options[i].option.moved)]
    return sound if len(sound) > 1 else feasible


def money_of(scenario: Scenario) -> Money:
    """The reporting currency and its rate."""
    currency = scenario.currency
    return Money(currency.code, currency.per_usd) if currency else Money()


def _obstacles(posed: Posed, scenario: Scenario) -> dict[str, tuple[str, ...]]:
    central = posed.problem.beliefs.central()
    people = People(float(central["existing_mlops_fte"]), scenario.can_hire, NEEDED_FTE_TO_RUN)
    types = posed.problem.workload.types
    case = posed.problem.case(central)
    found = {}
    for o in posed.problem.options:
        moved = frozenset(types[i].label for i in o.moved)
        obstacles = option_obstacles(
            o.hosting, moved, posed.traffic.standings, people, posed.hardware.unmet
        )
        if moved and not np.any(case.deployment(o.hosting).live):
            months = scenario.horizon_months
            obstacles += (f"would not be live within the horizon of {months} months",)
        found[o.id] = obstacles
    return found


def _naive(
    posed: Posed, options: Sequence[OptionStudy], rival: OptionStudy | None
) -> NaiveComparison | None:
    if rival is None or not rival.option.moved:
        return None
    problem = posed.problem
    case = problem.case(problem.beliefs.central())
    api = option_lines(case, options[0].option)
    return compare(case, rival.option, rival.lines, api)


def _control_prices(options: Sequence[OptionStudy], verdict: Verdict) -> tuple[ControlPrice, ...]:
    """What the constraints cost: the verdict's option against the cheapest that they rule out."""
    required = next(o for o in options if o.option.id == verdict.option_id)
    free = min(
        (o for o in options if not o.result.feasible), key=lambda o: o.mean_npv_usd, default=None
    )
    if free is None or not required.result.feasible or free.mean_npv_usd >= required.mean_npv_usd:
        return ()
    return (
        ControlPrice(
            constraint="; ".join(free.result.infeasible_because),
            cheapest_option_id=free.option.id,
            required_option_id=required.option.id,
            premium_usd=required.mean_npv_usd - free.mean_npv_usd,
        ),
    )
