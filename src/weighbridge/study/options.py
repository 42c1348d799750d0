"""Each option as the study reports it: bands, central lines, views, payback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weighbridge.economics.cashflow import discount_factors, irr_frac_per_year, payback_month
from weighbridge.economics.distributions import Floats
from weighbridge.economics.fleet import owned_vintages
from weighbridge.economics.lines import Line
from weighbridge.economics.options import (
    Case,
    Option,
    api_lines,
    memo_lines,
    option_lines,
    utilization_by_month,
)
from weighbridge.economics.risk import (
    Draws,
    Problem,
    bands,
    cheapest_probability,
    expected_regret_usd,
    monthly_bands,
)
from weighbridge.economics.views import (
    cancellation_usd,
    commitments_usd,
    depreciation_usd,
    profit_and_loss_usd,
)
from weighbridge.planning.verdict import LABELS
from weighbridge.study.hardware import Hardware
from weighbridge.study.result import Band, BandSeries, CostLine, Fleet, OptionResult, Payback
from weighbridge.units import MONTHS_PER_YEAR, TOKENS_PER_MTOK

STEADY_MONTHS = 12
IRR_TOLD = (-0.99, 10.0)  # beyond it hardly anything is paid in, or nothing comes back
PLACES = {"managed": "a platform", "rented": "rented GPUs", "owned": "owned GPUs"}


@dataclass(frozen=True)
class OptionStudy:
    """An option, its result, and what the verdict needs beside it."""

    option: Option
    result: OptionResult
    mean_npv_usd: float
    beats_api_probability: float
    lines: tuple[Line, ...]


def study_options(
    problem: Problem,
    draws: Draws,
    hardware: Hardware,
    obstacles: Mapping[str, tuple[str, ...]],
) -> tuple[OptionStudy, ...]:
    """Every option's result; odds and regret among the feasible ones only."""
    feasible = np.array([not obstacles[o.id] for o in problem.options])
    odds, regret = _odds(draws, feasible)
    case = problem.case(problem.beliefs.central())
    api_cash = _cash(option_lines(case, problem.options[0]), problem)
    studies = []
    for i, option in enumerate(problem.options):
        lines = tuple(option_lines(case, option))
        result = _result(_Part(problem, draws, case, option, i, lines), hardware, api_cash)
        result = replace(
            result,
            feasible=bool(feasible[i]),
            infeasible_because=obstacles[option.id],
            cheapest_probability=float(odds[i]),
            expected_regret_usd=float(regret[i]),
        )
        beats = float((draws.npv_usd[i] < draws.npv_usd[0]).mean())
        studies.append(OptionStudy(option, result, float(draws.npv_usd[i].mean()), beats, lines))
    return tuple(studies)


def _odds(
    draws: Draws, feasible: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> tuple[Floats, Floats]:
    odds, regret = np.zeros(len(feasible)), np.full(len(feasible), np.nan)
    if feasible.any():
        odds[feasible] = cheapest_probability(draws.npv_usd[feasible])
        regret[feasible] = expected_regret_usd(draws.npv_usd[feasible])
    return odds, regret


@dataclass(frozen=True)
class _Part:
    problem: Problem
    draws: Draws
    case: Case
    option: Option
    position: int
    lines: tuple[Line, ...]

    @property
    def horizon(self) -> int:
        return self.problem.settings.horizon_months


def _month_row(profile: Floats, horizon: int) -> Floats:
    return np.array(np.broadcast_to(profile, (horizon,)), np.float64)


def _cash(lines: Sequence[Line], problem: Problem) -> Floats:
    horizon = problem.settings.horizon_months
    return np.asarray(sum(_month_row(line.cash_usd(), horizon) for line in lines))


def _result(part: _Part, hardware: Hardware, api_cash: Floats) -> OptionResult:
    d, i, horizon = part.draws, part.position, part.horizon
    cash = _cash(part.lines, part.problem)
    total = d.total_usd[i]
    moved = tuple(part.problem.workload.types[k].label for k in part.option.moved)
    accepted = d.requests * _acceptance(part)
    life = round(part.case.inputs.fixed("depreciation_years") * MONTHS_PER_YEAR)
    return OptionResult(
        id=part.option.id,
        label=_label(part.option),
        feasible=True,
        infeasible_because=(),
        lines=tuple(_cost_line(x, horizon) for x in part.lines if np.any(x.cash_usd())),
        memo_lines=tuple(_memo(part, life)),
        cash_usd_by_month=_series(monthly_bands(d.monthly_usd[i])),
        cumulative_usd_by_month=_series(monthly_bands(np.cumsum(d.monthly_usd[i], axis=0))),
        pnl_usd_by_month=profit_and_loss_usd(part.lines, life, horizon),
        commitment_liability_usd_by_month=commitments_usd(part.case, part.lines),
        cancellation_exposure_usd_by_month=cancellation_usd(part.case, part.option, part.lines),
        total_usd=Band(*bands(total)),
        npv_usd=Band(*bands(d.npv_usd[i])),
        usd_per_month=Band(*bands(total / horizon)),
        steady_usd_per_month=_running_usd(part, life),
        usd_per_mtok=Band(*bands(total / d.tokens * TOKENS_PER_MTOK)),
        usd_per_request=Band(*bands(total / d.requests)),
        usd_per_accepted_answer=Band(*bands(total / accepted)),
        cheapest_probability=0.0,
        expected_regret_usd=0.0,
        payback=None if part.option.id == "api" else _payback(part, api_cash - cash),
        fleet=_fleet(part, hardware),
        moved_types=moved,
    )


def _running_usd(part: _Part, life_months: int) -> float:
    """Mean of the last twelve months of running cost; NaN where it is not live in all of them.

    Capital stands as straight-line depreciation; resale and the way back are no running cost.
    """
    live = part.case.deployment(part.option.hosting).live if part.option.moved else np.ones(1)
    if part.horizon < STEADY_MONTHS or np.any(np.asarray(live)[-STEADY_MONTHS:] < 1):
        return float("nan")
    return float(running_usd(part.lines, life_months, part.horizon)[-STEADY_MONTHS:].mean())


def running_usd(lines: Sequence[Line], life_months: int, horizon: int) -> Floats:
    """Running cost by month: cash without one-off lines, capital as depreciation [USD]."""
    total, bought = np.zeros(horizon), np.zeros(horizon)
    for line in lines:
        cash = _month_row(line.cash_usd(), horizon)
        if line.capital:
            bought += np.maximum(cash, 0.0)
        elif line.category != "exit and switching":
            total += cash
    return total + depreciation_usd(bought, life_months)


def _label(option: Option) -> str:
    if option.id == "hybrid":
        n = len(option.moved)
        return f"split: {n} query type{'s' if n != 1 else ''} on {PLACES[option.hosting]}"
    return LABELS[option.id]


def _cost_line(line: Line, horizon: int) -> CostLine:
    return CostLine(line.name, line.category, _month_row(line.cash_usd(), horizon))


def _series(rows: Floats) -> BandSeries:
    return BandSeries(rows[0], rows[1], rows[2])


def _acceptance(part: _Part) -> float:
    """Share of answers accepted, by requests on either side, central case."""
    v, whole = part.case.inputs, part.problem.workload.whole
    moved = part.problem.workload.slice(part.option.moved).requests_per_month
    share = moved / whole.requests_per_month
    api, ours = float(v["api_acceptance_frac"]), float(v["candidate_acceptance_frac"])
    return share * ours + (1 - share) * api


def _memo(part: _Part, life_months: int) -> list[CostLine]:
    """Beside the sum: people on staff, and depreciation where capital is bought."""
    horizon = part.horizon
    lines = [_cost_line(x, horizon) for x in memo_lines(part.case, part.option)]
    bought = np.zeros(horizon)
    for line in part.lines:
        if line.capital:
            bought += np.maximum(_month_row(line.cash_usd(), horizon), 0.0)
    if bought.any():
        lines.append(CostLine("depreciation", "gpus", depreciation_usd(bought, life_months)))
    return [line for line in lines if line.usd_by_month.any()]


def _payback(part: _Part, saving: Floats) -> Payback:
    rate = part.case.inputs.fixed("discount_rate_frac_per_year")
    factors = discount_factors(part.horizon, rate)
    plain, discounted = payback_month(saving), payback_month(saving * factors)
    irr = irr_frac_per_year(saving)
    if irr is not None and not IRR_TOLD[0] < irr < IRR_TOLD[1]:
        irr = None
    why = []
    if plain is None:
        why.append(f"the cumulative saving is not above zero after {part.horizon} months")
    if irr is None:
        alone = np.all(saving >= 0) or np.all(saving <= 0)
        why.append(
            "no rate of return: the saving never changes sign"
            if alone
            else "no rate of return worth telling: several, or beyond -99 to 1000 % a year"
        )
    return Payback(plain, discounted, irr, "; ".join(why))


def _fleet(part: _Part, hardware: Hardware) -> Fleet | None:
    if not part.option.moved:
        return None
    case, horizon, option = part.case, part.horizon, part.option
    fleet, deployment = case.fleet(option.moved), case.deployment(option.hosting)
    per_replica = float(case.inputs["n_gpus_per_replica"])
    replicas = _month_row(fleet.kept(deployment), horizon)
    n_gpus = replicas * per_replica
    if option.hosting == "owned":
        n_gpus = _month_row(owned_vintages(fleet, deployment).n_owned_gpus, horizon)
    return Fleet(
        gpu=hardware.gpu.name,
        n_gpus_by_month=n_gpus,
        n_replicas_by_month=n_gpus / per_replica,
        utilization_frac_by_month=_month_row(utilization_by_month(case, option), horizon),
        throughput_basis=hardware.throughput_basis,
    )


def fleet_running_usd(problem: Problem, option: Option) -> float:
    """Steady running cost of the fleet side alone, central case [USD/month].

    Everything but the lines that the API's own share would have without the move.
    """
    case = problem.case(problem.beliefs.central())
    horizon = problem.settings.horizon_months
    life = round(case.inputs.fixed("depreciation_years") * MONTHS_PER_YEAR)
    rest = tuple(i for i in range(len(problem.workload.types)) if i not in set(option.moved))
    api_side = api_lines(case, problem.workload.slice(rest), None)
    ours = running_usd(option_lines(case, option), life, horizon)
    return float((ours - running_usd(api_side, life, horizon))[-STEADY_MONTHS:].mean())
