"""Quantities: the glossary of unit suffixes, conversions, and the errors that name them."""

from weighbridge.units.errors import (
    CatalogError,
    InputError,
    TooManyRejectsError,
    WeighbridgeError,
)
from weighbridge.units.glossary import (
    DAYS_PER_MONTH,
    HOURS_PER_DAY,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    SUFFIXES,
    TOKENS_PER_MTOK,
    WEEKS_PER_MONTH,
    unit_of,
)

__all__ = [
    "DAYS_PER_MONTH",
    "HOURS_PER_DAY",
    "HOURS_PER_MONTH",
    "HOURS_PER_WEEK",
    "MONTHS_PER_YEAR",
    "SECONDS_PER_HOUR",
    "SUFFIXES",
    "TOKENS_PER_MTOK",
    "WEEKS_PER_MONTH",
    "CatalogError",
    "InputError",
    "TooManyRejectsError",
    "WeighbridgeError",
    "unit_of",
]
