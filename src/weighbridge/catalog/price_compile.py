"""genai-prices and override rows, resolved into `ModelPrices` cell by cell.

Each cell asks genai-prices itself which price holds at an instant inside it, so that precedence of
dates, times of day and tiers is theirs; the cells are cut at every instant where it can change.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING

from weighbridge.catalog.price_names import Listing, listed_providers
from weighbridge.catalog.price_overrides import OverrideRow
from weighbridge.catalog.price_tables import (
    MICROSECONDS_PER_DAY,
    NO_START_US,
    SERVICE_TIERS,
    Band,
    ModelPrices,
    PriceCell,
    TokenRates,
    midnight_us,
)

if TYPE_CHECKING:
    from genai_prices.types import (
        ModelInfo,
        StartDateConstraint,
        TieredPrices,
        TimeOfDateConstraint,
    )

    _Constraint = StartDateConstraint | TimeOfDateConstraint

_CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}
_KEYS = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
_ZERO = Decimal(0)
_CHECKED = re.compile(r"(?i)(?:checked|verified|confirmed|as of)\b[^.]{0,24}?(20\d\d-\d\d-\d\d)")


@cache
def source_name() -> str:
    """Name and version of the list that prices come from."""
    return f"genai-prices {version('genai-prices')}"


def snapshot_bytes() -> bytes:
    """The packaged data of the price list, as it lies on disk."""
    return (resources.files("genai_prices") / "data.py").read_bytes()


def _dates_in(comment: str | None) -> list[dt.date]:
    return [dt.date.fromisoformat(text) for text in _CHECKED.findall(comment or "")]


@cache
def snapshot_checked_on() -> dt.date:
    """Newest day on which the snapshot says that somebody checked one of its prices."""
    providers = listed_providers()
    dates = [
        on
        for provider in providers
        for comment in (
            provider.price_comments,
            *(model.price_comments for model in provider.models),
        )
        for on in _dates_in(comment)
    ]
    return max(dates)


def _constraints(model: ModelInfo, with_variants: bool) -> list[_Constraint | None]:
    priced = model.prices if isinstance(model.prices, list) else []
    variants = model.price_variants or [] if with_variants else []
    return [*(entry.constraint for entry in priced), *(entry.constraint for entry in variants)]


def _start_dates(model: ModelInfo, with_variants: bool) -> set[dt.date]:
    dates = (getattr(c, "start_date", None) for c in _constraints(model, with_variants))
    return {on for on in dates if on is not None}


def _day_starts(model: ModelInfo, with_variants: bool) -> set[int]:
    starts = {0}
    for constraint in _constraints(model, with_variants):
        for name in ("start_time", "end_time"):
            clock = getattr(constraint, name, None)
            if clock is not None:
                starts.add(_microseconds_into_utc_day(clock))
    return starts


def _microseconds_into_utc_day(clock: dt.time) -> int:
    aware = clock if clock.tzinfo is not None else clock.replace(tzinfo=dt.UTC)
    at = dt.datetime.combine(dt.date(1970, 1, 2), aware).astimezone(dt.UTC)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return (at - midnight) // dt.timedelta(microseconds=1)


def _price_of(price: Decimal | TieredPrices | None, input_tokens: int) -> Decimal | None:
    if price is None or isinstance(price, Decimal):
        return price
    above = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return above[-1] if above else price.base


def _bands(prices: Mapping[str, Decimal | TieredPrices | None]) -> tuple[Band, ...]:
    edges = {-1}
    for key in _KEYS:
        edges.update(tier.start for tier in getattr(prices.get(key), "tiers", ()))
    return tuple(Band(edge, _rates(prices, edge + 1)) for edge in sorted(edges))


def _rates(prices: Mapping[str, Decimal | TieredPrices | None], input_tokens: int) -> TokenRates:
    fresh, read, write, output = (_price_of(prices.get(key), input_tokens) for key in _KEYS)
    # A cached token without a price of its own is an input token: so genai-prices bills it.
    return TokenRates(
        fresh, fresh if read is None else read, fresh if write is None else write, output
    )


def _prices_of_row(row: OverrideRow) -> Mapping[str, Decimal | TieredPrices | None]:
    return dict(zip(_KEYS, row.rates.in_order(), strict=True))


@dataclass(frozen=True, slots=True)
class _Priced:
    """Everything that bears on one model's price."""

    listing: Listing | None
    rows: Sequence[OverrideRow]  # those of the exact name first: the first that holds wins

    def row_on(self, on: dt.date, tier: str) -> OverrideRow | None:
        return next((r for r in self.rows if r.service_tier == tier and r.holds_on(on)), None)

    def cell(self, at: dt.datetime, tier: str) -> PriceCell:
        row = self.row_on(at.date(), tier)
        if row is not None:
            return PriceCell(_bands(_prices_of_row(row)), row.source, row.checked_on, True)
        overlay = self._tier_prices(at, tier)
        listed = tier == "standard" or bool(overlay)
        row = self.row_on(at.date(), "standard")
        if row is not None:
            bands = _bands({**_prices_of_row(row), **overlay})
            return PriceCell(bands, row.source, row.checked_on, listed)
        bands = _bands({**self._list_prices(at), **overlay})
        return PriceCell(bands, source_name(), self._checked_on(at), listed)

    def _list_prices(self, at: dt.datetime) -> Mapping[str, Decimal | TieredPrices | None]:
        if self.listing is None:
            return {}
        found = _known(vars(self.listing.model.get_prices(at)))
        is_free = self.listing.provider.id == "openrouter" and self.listing.model.id.endswith(
            ":free"
        )
        # OpenRouter documents that its ":free" variants cost nothing; the list leaves them bare.
        return dict.fromkeys(_KEYS, _ZERO) if is_free and not found else found

    def _tier_prices(self, at: dt.datetime, tier: str) -> Mapping[str, Decimal | TieredPrices]:
        if self.listing is None or tier == "standard" or not self.listing.is_own:
            return {}
        from genai_prices.types import ModelPrice  # noqa: PLC0415

        only_variants = replace(self.listing.model, prices=ModelPrice())
        return _known(vars(only_variants.get_prices(at, _CONTEXTS[tier])))

    def _checked_on(self, at: dt.datetime) -> dt.date | None:
        if self.listing is None:
            return None
        started = [on for on in _start_dates(self.listing.model, False) if on <= at.date()]
        return max([*started, *_dates_in(self.listing.model.price_comments)], default=None)

    def tiers(self) -> set[str]:
        """Tiers that can differ from standard."""
        tiers = {row.service_tier for row in self.rows}
        variants = self.listing.model.price_variants if self.listing is not None else None
        for tier, context in _CONTEXTS.items():
            if any(
                all(context.get(key) == value for key, value in variant.when.items())
                for variant in variants or ()
            ):
                tiers.add(tier)
        return tiers


def _known(prices: Mapping[str, object]) -> dict[str, Decimal | TieredPrices]:
    return {
        key: price  # type: ignore[misc]
        for key, price in prices.items()
        if price is not None and not key.startswith("_")
    }


def _starts(priced: _Priced) -> tuple[int, ...]:
    days: set[dt.date] = set()
    if priced.listing is not None:
        days |= _start_dates(priced.listing.model, priced.listing.is_own)
    for row in priced.rows:
        days.add(row.start_on)
        if row.end_on is not None:
            days.add(row.end_on + dt.timedelta(days=1))
    return (NO_START_US, *sorted(midnight_us(on) for on in days))


def _instants(starts_us: Sequence[int]) -> list[dt.datetime]:
    """A UTC midnight inside each period."""
    first_us = starts_us[1] - MICROSECONDS_PER_DAY if len(starts_us) > 1 else 0
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return [epoch + dt.timedelta(microseconds=us) for us in (first_us, *starts_us[1:])]


def _fees(listing: Listing | None) -> tuple[str, ...]:
    if listing is None:
        return ()
    prices = listing.model.prices
    entries = [entry.prices for entry in prices] if isinstance(prices, list) else [prices]
    keys = {key for entry in entries for key in _known(vars(entry))}
    return tuple(sorted(keys - set(_KEYS)))


def compile_model(
    name: tuple[str, str], listing: Listing | None, rows: Iterable[OverrideRow]
) -> ModelPrices:
    """Prices of the (provider, model) named, from its listing and the rows that override it."""
    priced = _Priced(listing, tuple(rows))
    starts_us = _starts(priced)
    day_starts_us = (
        tuple(sorted(_day_starts(listing.model, listing.is_own))) if listing is not None else (0,)
    )

    def cells_of(tier: str) -> tuple[tuple[PriceCell, ...], ...]:
        return tuple(
            tuple(
                priced.cell(midnight + dt.timedelta(microseconds=us), tier) for us in day_starts_us
            )
            for midnight in _instants(starts_us)
        )

    standard = cells_of("standard")
    stand_in = tuple(
        tuple(replace(cell, tier_is_listed=False) for cell in windows) for windows in standard
    )
    special = priced.tiers()
    cells = {tier: cells_of(tier) if tier in special else stand_in for tier in SERVICE_TIERS}
    cells["standard"] = standard
    return ModelPrices(name[0], name[1], starts_us, day_starts_us, cells, _fees(listing))
