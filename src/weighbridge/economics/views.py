"""Other readings of the same cash: profit and loss, commitments, utilisation; central case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.fleet import RESALE_AGE_MONTHS
from weighbridge.economics.labour import WORK_WEEKS_PER_YEAR
from weighbridge.economics.lines import Line
from weighbridge.economics.options import Case, Option
from weighbridge.units import MONTHS_PER_YEAR


def profit_and_loss_usd(lines: Sequence[Line], depreciation_months: int, horizon: int) -> Floats:
    """Cost by month with capital spread over its life, straight line [USD], shape (horizon,).

    Resale is set against the book value that is left: the difference is the last month's gain or
    loss. Without resale the rest of the book value stays on the books beyond the horizon.
    """
    running = np.zeros(horizon)
    bought, resale = np.zeros(horizon), np.zeros(horizon)
    for line in lines:
        cash = np.broadcast_to(line.cash_usd(), (horizon,))
        if not line.capital:
            running = running + cash
            continue
        bought += np.maximum(cash, 0.0)
        resale -= np.minimum(cash, 0.0)
    charge = depreciation_usd(bought, depreciation_months)
    if resale.any():
        running[-1] += bought.sum() - charge.sum() - resale.sum()
    return running + charge


def depreciation_usd(bought_usd: Floats, life_months: int) -> Floats:
    """Straight-line depreciation of purchases [USD], shape (horizon,).

    Examples
    --------
    >>> depreciation_usd(np.array([100.0, 0.0, 0.0]), 2).tolist()
    [50.0, 50.0, 0.0]
    """
    charge = np.zeros_like(bought_usd)
    for month, usd in enumerate(bought_usd):
        charge[month : month + life_months] += usd / life_months
    return charge


def owed_on_term_usd(monthly_usd: Floats, term_months: int) -> Floats:
    """What is still owed after each month on a commitment renewed every term [USD].

    Examples
    --------
    >>> owed_on_term_usd(np.array([10.0, 10.0, 10.0, 10.0]), 2).tolist()
    [10.0, 0.0, 10.0, 0.0]
    """
    owed = np.zeros_like(monthly_usd)
    for month in range(monthly_usd.size):
        end = (month // term_months + 1) * term_months
        owed[month] = monthly_usd[month + 1 : end].sum()
        beyond = end - monthly_usd.size
        if beyond > 0:
            owed[month] += beyond * monthly_usd[-1]
    return owed


def commitments_usd(case: Case, lines: Sequence[Line]) -> Floats:
    """Liability by month: reserved GPUs, committed throughput and a minimum API spend [USD]."""
    h = case.settings.horizon_months
    owed = np.zeros(h)
    offer = case.settings.commitment
    for line in lines:
        cash = np.broadcast_to(line.cash_usd(), (h,))
        if line.name == "GPU rent, reserved":
            owed += owed_on_term_usd(cash, round(case.inputs.fixed("reserved_term_months")))
        if line.name == "committed throughput" and offer is not None and offer.term_months:
            owed += owed_on_term_usd(cash, offer.term_months)
    yearly = float(case.inputs["api_commitment_usd_per_year"])
    if yearly:
        bill = [x for x in lines if x.category == "tokens" and "shortfall" not in x.name]
        spent = np.asarray(sum(np.broadcast_to(x.cash_usd(), (h,)) for x in bill))
        owed += still_to_spend_usd(spent, yearly)
    return owed


def still_to_spend_usd(spent_usd: Floats, yearly_usd: float) -> Floats:
    """Rest of each contract year's minimum after each month's spend has drawn it down [USD].

    Nothing is left after the twelfth month: the shortfall is billed in it.

    Examples
    --------
    >>> still_to_spend_usd(np.array([30.0, 30.0, 80.0]), 100.0).tolist()
    [70.0, 40.0, 0.0]
    """
    rest = np.empty_like(spent_usd)
    year = int(MONTHS_PER_YEAR)
    for start in range(0, spent_usd.size, year):
        drawn = np.cumsum(spent_usd[start : start + year])
        rest[start : start + year] = np.maximum(yearly_usd - drawn, 0.0)
        if drawn.size == year:
            rest[start + year - 1] = 0.0
    return rest


def cancellation_usd(case: Case, option: Option, lines: Sequence[Line]) -> Floats:
    """Owed or written off if the option is given up after each month [USD], shape (horizon,).

    What is owed on commitments (no early return assumed), the book value of hardware above its
    resale value, and the work of moving back from a fleet of one's own.
    """
    h = case.settings.horizon_months
    v = case.inputs
    lost = commitments_usd(case, lines)
    bought = np.zeros(h)
    for line in lines:
        if line.capital:
            bought += np.maximum(np.broadcast_to(line.cash_usd(), (h,)), 0.0)
    life = v.fixed("depreciation_years") * MONTHS_PER_YEAR
    lost = lost + write_off_usd(bought, life, float(v["residual_value_frac"]))
    if option.hosting in {"rented", "owned"} and option.moved:
        weekly = float(v["fte_usd_per_year"]) / WORK_WEEKS_PER_YEAR
        live = np.asarray(case.deployment(option.hosting).live) > 0
        lost = lost + weekly * float(v["exit_engineer_weeks"]) * live
    return lost


def write_off_usd(bought_usd: Floats, life_months: float, residual_value_frac: float) -> Floats:
    """Book value above resale value of all hardware after each month [USD].

    Examples
    --------
    >>> write_off_usd(np.array([480.0, 0.0]), 48.0, 0.0).tolist()
    [470.0, 460.0]
    """
    lost = np.zeros_like(bought_usd)
    for month in range(bought_usd.size):
        ages = month + 1.0 - np.arange(month + 1)
        book = np.maximum(1 - ages / life_months, 0.0)
        resale = residual_value_frac ** (ages / RESALE_AGE_MONTHS)
        lost[month] = float(bought_usd[: month + 1] @ np.maximum(book - resale, 0.0))
    return lost
