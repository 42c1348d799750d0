"""What a row of monthly cash is worth: present value, internal rate of return, payback."""

from __future__ import annotations

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.units import MONTHS_PER_YEAR

BISECTIONS = 200
IRR_SEARCH_FRAC_PER_MONTH = np.concatenate(
    [
        np.linspace(-0.99, 0.0, 400, endpoint=False),
        np.linspace(0.0, 1.0, 800),
        np.geomspace(1.001, 100, 200),
    ]
)


def discount_factors(horizon_months: int, rate_frac_per_year: float) -> Floats:
    """Factors that bring month 1…n to its start, shape (horizon_months,).

    Month k is discounted by (1 + r)^((k-1)/12): the first month's cash is today's.

    Examples
    --------
    >>> discount_factors(13, 0.10).round(6).tolist()[::12]
    [1.0, 0.909091]
    """
    months = np.arange(horizon_months)
    return np.asarray((1 + rate_frac_per_year) ** (-months / MONTHS_PER_YEAR))


def npv_usd(cash_usd_by_month: Floats, rate_frac_per_year: float) -> Floats:
    """Net present value of monthly cash along the last axis [USD]."""
    factors = discount_factors(cash_usd_by_month.shape[-1], rate_frac_per_year)
    return np.asarray(cash_usd_by_month @ factors)


def irr_frac_per_year(cash_usd_by_month: Floats) -> float | None:
    """Yearly rate at which the cash is worth nothing; None where there is no such rate, or several.

    Several sign changes of the cash may give several rates, of which none means anything
    (Descartes' rule of signs); then the answer is None rather than one of them.

    Examples
    --------
    >>> round(irr_frac_per_year(np.array([-100.0] + [0.0] * 11 + [110.0])), 6)
    0.1
    >>> irr_frac_per_year(np.array([-100.0, -1.0])) is None
    True
    """
    cash = np.asarray(cash_usd_by_month, float)
    months = np.arange(cash.size)

    def worth(monthly: Floats) -> Floats:
        return np.asarray(((1 + monthly[:, None]) ** -months) @ cash)

    values = worth(IRR_SEARCH_FRAC_PER_MONTH)
    above = values > 0
    crossings = np.flatnonzero(above[:-1] != above[1:])
    if len(crossings) != 1:
        return None
    low, high = IRR_SEARCH_FRAC_PER_MONTH[crossings[0] : crossings[0] + 2]
    low_above = above[crossings[0]]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if (worth(np.array([middle]))[0] > 0) == low_above:
            low = middle
        else:
            high = middle
    return float((1 + (low + high) / 2) ** MONTHS_PER_YEAR - 1)


def payback_month(saving_usd_by_month: Floats) -> float | None:
    """Month (fractional, 1 = end of the first) from which the cumulative saving stays above zero.

    None where it never does within the horizon.

    Examples
    --------
    >>> payback_month(np.array([-100.0, 50.0, 100.0, 10.0]))
    2.5
    >>> payback_month(np.array([-100.0, 50.0])) is None
    True
    """
    cumulative = np.cumsum(saving_usd_by_month)
    if cumulative[-1] <= 0:
        return None
    below = np.flatnonzero(cumulative <= 0)
    if below.size == 0:
        return 0.0
    last = int(below[-1])
    rise = cumulative[last + 1] - cumulative[last]
    return float(last + 1 - cumulative[last] / rise)
