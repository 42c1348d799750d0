"""Prices of one model, resolved ahead of time: period by window of the day by long-context band."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

SERVICE_TIERS: tuple[str, ...] = ("standard", "batch", "flex", "priority", "fast")
PRICE_FIELDS: tuple[str, ...] = (
    "input_usd_per_mtok",
    "cache_read_usd_per_mtok",
    "cache_write_usd_per_mtok",
    "output_usd_per_mtok",
)
MICROSECONDS_PER_DAY = 86_400_000_000
NO_START_US = -(2**63)

_STANDARD_WORDS = frozenset({"", "standard", "default", "auto", "on_demand"})
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def service_tier_of(word: str | None) -> str | None:
    """Our name of a provider's service tier; None where the word means nothing to us.

    >>> service_tier_of("default"), service_tier_of("Flex"), service_tier_of("scale")
    ('standard', 'flex', None)
    """
    text = (word or "").strip().lower()
    if text in _STANDARD_WORDS:
        return "standard"
    return text if text in SERVICE_TIERS else None


def microseconds_of(at: dt.datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z of an aware instant."""
    return (at - _EPOCH) // dt.timedelta(microseconds=1)


def midnight_us(on: dt.date) -> int:
    """Microseconds since 1970-01-01T00:00Z at which a UTC day begins."""
    return (on - _EPOCH.date()).days * MICROSECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class TokenRates:
    """US dollars per million tokens of each disjoint bucket; None where no price is listed."""

    input_usd_per_mtok: Decimal | None
    cache_read_usd_per_mtok: Decimal | None
    cache_write_usd_per_mtok: Decimal | None
    output_usd_per_mtok: Decimal | None

    def in_order(self) -> tuple[Decimal | None, ...]:
        """The four rates in the order of `PRICE_FIELDS`."""
        return (
            self.input_usd_per_mtok,
            self.cache_read_usd_per_mtok,
            self.cache_write_usd_per_mtok,
            self.output_usd_per_mtok,
        )

    @property
    def is_empty(self) -> bool:
        """Whether not one bucket has a price."""
        return all(rate is None for rate in self.in_order())


@dataclass(frozen=True, slots=True)
class Band:
    """Rates of every token of a request whose whole input is above this many tokens."""

    above_input_tokens: int  # -1 in the first band, which holds from zero tokens on
    rates: TokenRates


@dataclass(frozen=True, slots=True)
class PriceCell:
    """What one service tier costs during one period and one window of the day."""

    bands: tuple[Band, ...]
    source: str
    checked_on: dt.date | None  # None: the source does not say when it was checked
    tier_is_listed: bool  # False: standard rates stand in, since the tier has no price of its own

    def rates_for(self, input_tokens: int) -> TokenRates:
        """Rates of a request with this whole input, cached tokens included."""
        fitting = [band for band in self.bands if input_tokens > band.above_input_tokens]
        return fitting[-1].rates


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """All prices of one model at one provider, over time.

    `cells[tier][period][window]` holds from `starts_us[period]` to the next start, on each day
    from `day_starts_us[window]` to the next one. Prices before the first dated change are the
    oldest ones known. A tier without a price of its own carries the standard rates, and says so.
    """

    provider: str
    model: str
    starts_us: tuple[int, ...]  # UTC midnights; the first is NO_START_US
    day_starts_us: tuple[int, ...]  # microseconds after UTC midnight; the first is 0
    cells: Mapping[str, tuple[tuple[PriceCell, ...], ...]]
    fees_left_out: tuple[str, ...] = ()  # price keys outside the four token buckets

    def cell_at(self, at_us: int, service_tier: str = "standard") -> PriceCell:
        """The cell that holds at an instant."""
        period = bisect_right(self.starts_us, at_us) - 1
        window = bisect_right(self.day_starts_us, at_us % MICROSECONDS_PER_DAY) - 1
        return self.cells[service_tier][period][window]

    @property
    def is_empty(self) -> bool:
        """Whether no cell lists a price for any bucket."""
        return all(
            band.rates.is_empty
            for periods in self.cells.values()
            for windows in periods
            for cell in windows
            for band in cell.bands
        )
