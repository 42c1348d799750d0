"""Figures of the rules of thumb as the page writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weighbridge.study.rule_file import Published, Unit
from weighbridge.study.rules_of_thumb import Computed

NEVER = "never"
SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
AFTER: Mapping[Unit, str] = {
    "usd": "",
    "usd_per_month": " a month",
    "usd_per_year": " a year",
    "usd_per_mtok": " per million tokens",
    "usd_per_request": " a request",
    "frac": " %",
    "ratio": "x",
    "tokens_per_month": " tokens a month",
    "requests_per_month": " requests a month",
    "months": " months",
    "gb": " GB",
    "gpus": " GPUs",
}


def plain(value: float) -> str:
    """Three digits, thousands with commas, trailing zeros away.

    >>> plain(0.00555555), plain(1296000.0), plain(4.0), plain(8760.0), plain(0.2222)
    ('0.00556', '1,300,000', '4', '8,760', '0.222')
    """
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    if digits <= 0:
        return f"{rounded:,.0f}"
    return f"{rounded:,.{digits}f}".rstrip("0").rstrip(".")


def volume(value: float) -> str:
    """A count with M, B or T behind it; never where there is none.

    >>> volume(1_152_000), volume(11e9), volume(math.inf), volume(260_000)
    ('1.15M', '11B', 'never', '260,000')
    """
    if math.isinf(value):
        return NEVER
    for scale, letter in SCALES:
        if value >= scale:
            return f"{plain(value / scale)}{letter}"
    return plain(value)


def _one(value: float, unit: Unit) -> str:
    if math.isinf(value):
        return NEVER
    if unit == "frac":
        return plain(value * 100)
    if unit in {"tokens_per_month", "requests_per_month"}:
        return volume(value)
    return f"${plain(value)}" if unit.startswith("usd") else plain(value)


def _span(low: float, high: float, unit: Unit) -> str:
    first, last = _one(low, unit), _one(high, unit)
    if first == last:
        return first if first == NEVER else f"{first}{AFTER[unit]}"
    return f"{first} to {last}{AFTER[unit]}"


def in_print(published: Published) -> str:
    """The figure in print; one end where the claim names one.

    >>> in_print(Published(unit="frac", low=0.4, high=0.7))
    '40 to 70 %'
    >>> in_print(Published(unit="ratio", low=4))
    'at least 4x'
    """
    low, high = published.ends
    if math.isinf(high):
        return f"at least {_one(low, published.unit)}{AFTER[published.unit]}"
    if math.isinf(low):
        return f"at most {_one(high, published.unit)}{AFTER[published.unit]}"
    return _span(low, high, published.unit)


def computed_words(computed: Computed | None, unit: Unit) -> str:
    """What the engine makes of it, in the same unit."""
    return "" if computed is None else _span(computed.low, computed.high, unit)


def value_words(value: Any) -> str:
    """An input's value: a number, a range, or names."""
    if isinstance(value, list | tuple):
        texts = [value_words(item) for item in value]
        return ", ".join(texts) if isinstance(value[0], str) else " to ".join(texts)
    if isinstance(value, str):
        return value
    return volume(float(value)) if value >= SCALES[-1][0] else f"{value:,.10g}"
