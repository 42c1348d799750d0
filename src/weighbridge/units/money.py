"""Money as people read it: short figures in the reporting currency."""

from __future__ import annotations

import math
from dataclasses import dataclass

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
SCALES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Money:
    """A reporting currency and its rate.

    Attributes
    ----------
    currency : str
        ISO 4217 code.
    rate_ratio : float
        Units of `currency` per US dollar [1].
    """

    currency: str = "USD"
    rate_ratio: float = 1.0

    @property
    def symbol(self) -> str:
        """Sign of the currency, or its code and a space where it has no sign of its own."""
        return SYMBOLS.get(self.currency, f"{self.currency}\N{NO-BREAK SPACE}")

    def short(self, amount_usd: float | None) -> str:
        """Three digits with k, M or B, cents below 100; an en dash where there is no figure.

        Parameters
        ----------
        amount_usd : float or None
            Amount [USD].

        Examples
        --------
        >>> Money().short(12345.6), Money().short(1_999_500), Money().short(0.1234)
        ('$12.3k', '$2.00M', '$0.123')
        >>> Money().short(2.5), Money("EUR", 0.5).short(999_960), Money().short(0)
        ('$2.50', '€500k', '$0')
        """
        if amount_usd is None or math.isnan(amount_usd):
            return NOTHING
        amount = amount_usd * self.rate_ratio
        sign = MINUS if amount < 0 else ""
        return f"{sign}{self.symbol}{_figure(abs(amount))}"

    def edge(self, amount_usd: float) -> str:
        """As `short`, without zeros after the point: for edges of classes and the like.

        >>> Money().edge(500_000), Money().edge(2e6)
        ('$500k', '$2M')
        """
        return f"{self.symbol}{short_number(amount_usd * self.rate_ratio)}"

    def signed(self, amount_usd: float) -> str:
        """As `short`, with a plus before what is above zero.

        >>> Money().signed(4200), Money().signed(0)
        ('+$4.20k', '$0')
        """
        return ("+" if amount_usd > 0 else "") + self.short(amount_usd)

    def axis_expression(self) -> str:
        """Vega expression that labels an axis whose data are in the reporting currency."""
        figure = "replace(format(abs(datum.value), '~s'), 'G', 'B')"
        return f"(datum.value < 0 ? '{MINUS}' : '') + '{self.symbol}' + {figure}"


def _figure(amount: float) -> str:
    rounded = float(f"{amount:.3g}")
    for scale, letter in SCALES:
        if rounded >= scale:
            scaled = rounded / scale
            return f"{scaled:.{2 - (scaled >= 10) - (scaled >= 100)}f}{letter}"
    if 1 <= rounded < 100:
        return f"{amount:.2f}"
    return short_number(amount)


def short_number(value: float) -> str:
    """Three significant digits with k, M or B.

    >>> short_number(0), short_number(7), short_number(1234), short_number(999_999)
    ('0', '7', '1.23k', '1M')
    >>> short_number(0.0123), short_number(85.04), short_number(2.5e9)
    ('0.0123', '85', '2.5B')
    """
    if value < 0:
        return MINUS + short_number(-value)
    rounded = float(f"{value:.3g}")
    for scale, letter in SCALES:
        if rounded >= scale:
            return f"{rounded / scale:.3g}{letter}"
    return f"{rounded:.10f}".rstrip("0").rstrip(".") if rounded else "0"


def month_words(month: float) -> str:
    """A month of the horizon in words; before the first has passed it is "the start".

    >>> month_words(9.3), month_words(0.2)
    ('month 9', 'the start')
    """
    return f"month {month:.0f}" if month >= 0.5 else "the start"


def percent(frac: float | None) -> str:
    """A fraction as a percentage that never rounds to a false certainty.

    >>> percent(0.5), percent(0.072), percent(0.9996), percent(0.0004), percent(0.0), percent(1.0)
    ('50\xa0%', '7\xa0%', '>\xa099\xa0%', '<\xa01\xa0%', '0\xa0%', '100\xa0%')
    """
    if frac is None or math.isnan(frac):
        return NOTHING
    if 0 < frac < 0.01:
        return "<\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}%"
    if 0.99 < frac < 1:
        return ">\N{NO-BREAK SPACE}99\N{NO-BREAK SPACE}%"
    return f"{100 * frac:.0f}\N{NO-BREAK SPACE}%"
