"""An old study's question again, at another day's prices, with the difference line by line.

Causes are applied one after another to the old study's central case, in a fixed order: what the
program computes differently, traffic, API prices by model and token type, prices of the GPU that
served then, every other input, the choice of the fleet, the choice of what a split moves. A cause's
share is what the option's monthly cost moves by when it is applied, so that shares add up exactly;
of causes that act on each other the earlier takes what it does alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import partial
from typing import Literal

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.distributions import quantiles
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.options import Case, Option, Settings, option_lines
from weighbridge.economics.workload import Workload
from weighbridge.study.forecast_prices import Forecast, Priced
from weighbridge.study.hardware import gpu_prices
from weighbridge.study.old_study import OldStudy, mean_monthly_usd
from weighbridge.study.options import PLACES
from weighbridge.study.pose import Facts, Posed
from weighbridge.study.result import Change, ChangePart, OptionChange, Study
from weighbridge.study.scenario import Scenario
from weighbridge.units import InputError

DIGITS = 60
ROUNDING_USD = Decimal("0.01")
GPU_PRICES = ("gpu_usd_per_gpu_hour", "hyperscaler_usd_per_gpu_hour", "gpu_purchase_usd_per_gpu")
FLEET_INPUTS = (
    *GPU_PRICES,
    "gpu_power_kw",
    "n_gpus_per_replica",
    "capacity_error_ratio",
    "replica_output_tokens_per_s",
    "reference_input_per_output_ratio",
    "throughput_shortfall_frac",
)
Kind = Literal["program", "traffic", "API price", "input", "fleet", "split", "left over"]


@dataclass(frozen=True)
class State:
    """One central case: everything that an option's cost depends on."""

    workload: Workload
    inputs: Inputs
    settings: Settings
    options: Mapping[str, Option]

    def monthly_usd(self) -> dict[str, Decimal]:
        """Every option's monthly cost, mean over the horizon [USD]."""
        case = Case(self.inputs, self.workload, self.settings)
        horizon = self.settings.horizon_months
        return {o.id: _mean_usd(case, o, horizon) for o in self.options.values()}


def _mean_usd(case: Case, option: Option, horizon: int) -> Decimal:
    import numpy as np  # noqa: PLC0415

    cash = (np.broadcast_to(line.cash_usd(), (horizon,)) for line in option_lines(case, option))
    return mean_monthly_usd([row.tolist() for row in cash if row.any()], horizon)


@dataclass(frozen=True)
class Step:
    """One cause, and what it does to a state."""

    kind: Kind
    cause: str
    was: str
    now: str
    apply: Callable[[State], State]


def check_same_question(
    old: OldStudy,
    scenario: Scenario,
    usage_digest: str | None,
    as_of: dt.date,
    traffic_is_new: bool,
) -> None:
    """Refuse an old study that asked something else, or of later days."""
    if old.scenario_digest != scenario.digest:
        raise InputError(
            old.name,
            "reproducibility.scenario_digest",
            f"is of another scenario ({old.scenario_digest[:12]}, this one {scenario.digest[:12]})",
            "give the scenario and the options that it was made with",
        )
    if old.usage_digest != usage_digest and not traffic_is_new:
        told = (old.usage_digest or "no log", usage_digest or "no log")
        raise InputError(
            old.name,
            "reproducibility.usage_digest",
            f"is of another ledger ({told[0]}, this one {told[1]})",
            "give the ledger that it was made with, or --traffic new to tell traffic apart",
        )
    if old.as_of > as_of:
        raise InputError(
            old.name,
            "reproducibility.as_of",
            f"is {old.as_of}, after {as_of}",
            "give --as-of a later day: the old study comes first",
        )


@dataclass(frozen=True)
class Then:
    """The old question posed again with the old day's facts."""

    posed: Posed
    facts: Facts


@dataclass(frozen=True)
class Now:
    """The question posed with the new day's facts."""

    posed: Posed
    facts: Facts
    scenario: Scenario

    @property
    def forecast(self) -> Forecast | None:
        """API prices of the new day on the same tokens."""
        return self.facts.forecast


def explain(old: OldStudy, then: Then, now: Now, study: Study, traffic_is_new: bool) -> Change:
    """The change of every option's monthly cost, cause by cause; and why the verdict flipped."""
    with localcontext() as context:
        context.prec = DIGITS
        start = _old_state(old, then, now)
        final = _state_of(now.posed)
        steps = [*_steps(start, final, then, now)]
        first: Kind = "traffic" if traffic_is_new else "program"
        parts = _walked(old, start, steps, first)
        options = tuple(_option_changes(old, study, final, parts))
    flipped = old.option_id != study.verdict.option_id
    return Change(
        old_name=old.name,
        old_as_of=old.as_of,
        old_version=old.version,
        old_option_id=old.option_id,
        old_headline=old.headline,
        flipped=flipped,
        why=_why(old, study, options) if flipped else "",
        options=options,
        notes=(
            *then.facts.undated,
            *(note for note in now.facts.undated if note not in then.facts.undated),
            *(now.forecast.notes if now.forecast else ()),
        ),
    )


def _state_of(posed: Posed) -> State:
    problem = posed.problem
    options = {o.id: o for o in problem.options}
    return State(problem.workload, problem.beliefs.central(), problem.settings, options)


def _old_state(old: OldStudy, then: Then, now: Now) -> State:
    """The old central case: the medians that the old study wrote down, over the old day's facts."""
    state = _state_of(then.posed)
    events = {name for name, row in load_assumptions().items() if row.event}
    told = {k: v for k, v in old.inputs.items() if k in state.inputs and k not in events}
    workload = state.workload
    if now.forecast is not None:
        workload = now.forecast.of(workload, frozenset())
    return replace(state, inputs=state.inputs.replaced(**told), workload=workload)


def _walked(
    old: OldStudy, start: State, steps: list[Step], first: Kind
) -> dict[str, list[ChangePart]]:
    """What each step moves, by option; the first part is between the stored figure and `start`."""
    parts: dict[str, list[ChangePart]] = {}
    last = start.monthly_usd()
    cause = "traffic, and what the program computes differently"
    if first == "program":
        cause = f"what the program computes differently since {old.version}"
    for option_id, usd in last.items():
        moved = usd - old.monthly_usd[option_id] if option_id in old.monthly_usd else Decimal(0)
        is_rounding = abs(moved) < ROUNDING_USD
        kind: Kind = "left over" if is_rounding else first
        told = ChangePart(kind, "rounding" if is_rounding else cause, "", "", moved)
        parts[option_id] = [told] if moved else []
    state = start
    for step in steps:
        state = step.apply(state)
        reached = state.monthly_usd()
        for option_id, usd in reached.items():
            moved = usd - last.get(option_id, usd)
            if moved:
                part = ChangePart(step.kind, step.cause, step.was, step.now, moved)
                parts.setdefault(option_id, []).append(part)
        last = reached
    return parts


def _steps(start: State, final: State, then: Then, now: Now) -> Iterator[Step]:
    if now.forecast is not None:
        yield from _price_steps(now.forecast)
    yield from _input_steps(start, final, then, now)
    yield from _fleet_steps(final, then, now)
    for option_id, option in final.options.items():
        before = start.options.get(option_id)
        if before is not None and before != option:
            yield _split_step(option_id, before, option, final)
    yield Step("left over", "rounding", "", "", lambda _: final)


def _price_steps(forecast: Forecast) -> Iterator[Step]:
    """Prices that changed, largest money first."""
    changed: list[Priced] = []
    moved = {
        what: sum(forecast.now[what].values()) - sum(forecast.was[what].values())
        for what in forecast.was
    }
    for what in sorted(moved, key=lambda w: (-abs(moved[w]), w.model, w.token_type)):
        then, today = forecast.rates[what]
        if forecast.now[what] == forecast.was[what]:
            continue
        changed.append(what)
        yield Step(
            "API price",
            f"{what.model}, {what.token_type}",
            f"${then:.4g} per Mtok",
            f"${today:.4g} per Mtok{_percent(then, today)}",
            partial(_with_prices, forecast, frozenset(changed)),
        )


def _percent(then: float, today: float) -> str:
    return f" ({today / then - 1:+.0%})" if then > 0 else ""


def _with_prices(forecast: Forecast, changed: frozenset[Priced], state: State) -> State:
    return replace(state, workload=forecast.of(state.workload, changed))


def _with_input(name: str, value: float, state: State) -> State:
    return replace(state, inputs=state.inputs.replaced(**{name: value}))


def _input_steps(start: State, final: State, then: Then, now: Now) -> Iterator[Step]:
    rows = load_assumptions()
    target = {name: float(value) for name, value in final.inputs.items()}
    gpu = then.posed.hardware.gpu
    if gpu.id != now.posed.hardware.gpu.id:
        # Prices first move for the GPU that served then; the choice of another is its own step.
        found, _ = gpu_prices(now.facts.catalog, now.facts.catalog.gpu(gpu.id), now.scenario)
        for name in GPU_PRICES:
            if name in found and name not in now.scenario.assumptions:
                target[name] = quantiles(found[name].belief, (0.5,))[0]
    for name in rows:
        fleets = name in FLEET_INPUTS and name not in GPU_PRICES
        if fleets or float(start.inputs[name]) == target[name]:
            continue
        label = f"{rows[name].label} ({gpu.name})" if name in GPU_PRICES else rows[name].label
        value = target[name]
        yield Step(
            "input",
            label,
            f"{float(start.inputs[name]):.4g} {rows[name].unit}",
            f"{value:.4g} {rows[name].unit}",
            partial(_with_input, name, value),
        )


def _fleet_steps(final: State, then: Then, now: Now) -> Iterator[Step]:
    """Which GPU and deployment serve, and how many it takes."""
    yield Step(
        "fleet",
        "choice of GPU and deployment",
        then.posed.hardware.throughput_basis,
        now.posed.hardware.throughput_basis,
        lambda s: replace(s, inputs=final.inputs, settings=final.settings),
    )


def _split_step(option_id: str, before: Option, option: Option, final: State) -> Step:
    types = final.workload.types

    def words(one: Option) -> str:
        moved = ", ".join(types[i].label for i in one.moved if i < len(types))
        return f"{moved or 'nothing'} on {PLACES.get(one.hosting, one.hosting)}"

    return Step(
        "split",
        "which query types move, and where to",
        words(before),
        words(option),
        lambda s: replace(s, options={**s.options, option_id: option}),
    )


def _option_changes(
    old: OldStudy, study: Study, final: State, parts: Mapping[str, list[ChangePart]]
) -> Iterator[OptionChange]:
    reached = final.monthly_usd()
    labels = {o.id: o.label for o in study.options}
    for option_id in {**reached, **old.monthly_usd}:
        was, now = old.monthly_usd.get(option_id), reached.get(option_id)
        both = was is not None and now is not None
        label = labels.get(option_id) or old.labels.get(option_id, option_id)
        told = tuple(parts.get(option_id, ())) if both else ()
        yield OptionChange(option_id, label, was, now, told)


def _why(old: OldStudy, study: Study, options: tuple[OptionChange, ...]) -> str:
    """The causes that moved the two verdicts' options against each other most."""
    by_id = {o.option_id: o for o in options}
    ours, theirs = by_id.get(study.verdict.option_id), by_id.get(old.option_id)
    labels = (old.option_id, study.verdict.option_id)
    if ours is None or theirs is None or not ours.parts or not theirs.parts:
        return f"the verdict went from {labels[0]} to {labels[1]}: one is no option on both days"
    moved: dict[tuple[str, str], Decimal] = {}
    for option, sign in ((ours, 1), (theirs, -1)):
        for part in option.parts:
            key = (part.kind, part.cause)
            moved[key] = moved.get(key, Decimal(0)) + sign * part.usd_per_month
    top = sorted(moved.items(), key=lambda item: item[1])[:3]
    causes = "; ".join(f"{cause} {usd:+,.0f} $/month" for (_, cause), usd in top if usd < 0)
    return (
        f"the verdict went from {labels[0]} to {labels[1]}; what moved them against each other, "
        f"central case: {causes or 'nothing in the central case: the odds did'}"
    )
