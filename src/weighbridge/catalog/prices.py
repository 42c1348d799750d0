"""The price book: what every hosted model cost at every instant we know of.

genai-prices (offline, its installed snapshot) is the list; dated rows of our own and of the user
stand above it. The book answers with resolved tables, so that a ledger prices a request by table
look-up. Fees outside the four token buckets (audio, images, searches, per request, cache writes
kept for an hour, reasoning billed apart from output) are not in these tables; `fees_left_out` of a
model names them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path

from weighbridge.catalog.price_compile import (
    compile_model,
    snapshot_bytes,
    snapshot_checked_on,
    source_name,
)
from weighbridge.catalog.price_names import (
    Listing,
    Resolved,
    listed_providers,
    resolve,
)
from weighbridge.catalog.price_overrides import (
    OverrideRow,
    check_no_overlap,
    packaged_overrides,
    read_overrides,
)
from weighbridge.catalog.price_tables import (
    MICROSECONDS_PER_DAY,
    PRICE_FIELDS,
    ModelPrices,
    PriceCell,
    midnight_us,
    service_tier_of,
)
from weighbridge.units import CatalogError

_MOST_FOUND = 65_536


@dataclass(frozen=True, slots=True)
class Rates:
    """Forecast prices of one day, for requests below any long-context threshold."""

    input_usd_per_mtok: float
    cache_read_usd_per_mtok: float
    cache_write_usd_per_mtok: float
    output_usd_per_mtok: float
    source: str
    checked_on: dt.date  # the row's own date, else the newest check in the snapshot
    checked_on_is_of_snapshot: bool
    tier_is_listed: bool
    above_input_tokens: tuple[int, ...]  # thresholds above which other rates hold


class PriceBook:
    """Prices by provider and model; look-ups are remembered."""

    def __init__(
        self, own: tuple[OverrideRow, ...] = (), packaged: tuple[OverrideRow, ...] = ()
    ) -> None:
        check_no_overlap(own)
        check_no_overlap(packaged)
        self._rows: dict[tuple[str, str], list[OverrideRow]] = {}
        for row in (*own, *packaged):
            self._rows.setdefault(row.key[:2], []).append(row)
        self._found: dict[tuple[str | None, str], ModelPrices | None] = {}
        self._compiled: dict[tuple[tuple[str, str], str | None], ModelPrices] = {}

    def find(self, provider: str | None, model: str) -> ModelPrices | None:
        """Prices of a model as a log names it; None where unknown or ambiguous."""
        key = (provider, model)
        if key not in self._found:
            if len(self._found) >= _MOST_FOUND:  # names come from traffic
                self._found.clear()
            self._found[key] = self._look_up(provider, model)
        return self._found[key]

    def explain_missing(self, provider: str | None, model: str) -> str:
        """Why `find` gives None, in words that say what to do; empty where it finds a price."""
        if self.find(provider, model) is not None:
            return ""
        resolved = self._resolve(provider, model)
        if resolved.listing is None:
            return resolved.problem
        return (
            f"genai-prices lists {resolved.provider_id} {resolved.listing.model.id} without any "
            "price per token; add a row of your own (0 where it is free)"
        )

    @property
    def source(self) -> str:
        """Name and version of the price list."""
        return source_name()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what every price is made from: the list's data and the rows of our own.

        Of the data, not of every compiled price: compiling all models takes a second.
        """
        digest = sha256(self.source.encode())
        digest.update(snapshot_bytes())
        for key in sorted(self._rows):
            for row in self._rows[key]:
                digest.update(repr(replace(row, where="")).encode())
        return digest.hexdigest()

    def models(self) -> Iterator[ModelPrices]:
        """Every model with a price, ordered by provider and name."""
        listings = {
            (provider.id, model.id.lower()): Listing(provider, model)
            for provider in listed_providers()
            for model in provider.models
        }
        for key in sorted(listings.keys() | self._rows.keys()):
            listing = listings.get(key)
            prices = self.find(*key) if listing is None else self._prices_of(listing, ())
            if prices is not None and not prices.is_empty:
                yield prices

    def rates_usd_per_mtok(
        self, provider: str | None, model: str, on: dt.date, service_tier: str = "standard"
    ) -> Rates | None:
        """Rates [USD/Mtok] of a UTC day, averaged over its hours; None without input and output.

        Above a threshold of `above_input_tokens` other rates hold: a forecast of long prompts
        must price requests, not use these.
        """
        tier = service_tier_of(service_tier)
        if tier is None:
            raise CatalogError(f"service tier {service_tier!r} is not one that prices are kept for")
        prices = self.find(provider, model)
        return None if prices is None else _day_rates(prices, on, tier)

    def _resolve(self, provider: str | None, model: str) -> Resolved:
        resolved = resolve(provider, model)
        if resolved.provider_id is not None:
            return resolved
        owners = {pid for pid, name in self._rows if name in resolved.names}
        if len(owners) != 1:
            return resolved
        return Resolved(owners.pop(), resolved.names, None, resolved.problem)

    def _look_up(self, provider: str | None, model: str) -> ModelPrices | None:
        resolved = self._resolve(provider, model)
        provider_id = resolved.provider_id
        if provider_id is None:
            return None
        name = next((n for n in resolved.names if (provider_id, n) in self._rows), None)
        if resolved.listing is None and name is None:
            return None
        if resolved.listing is not None and name in (None, resolved.listing.model.id.lower()):
            prices = self._prices_of(resolved.listing, ())
        else:
            assert name is not None
            exact = self._rows[(provider_id, name)]
            prices = self._prices_of(resolved.listing, exact, (provider_id, name))
        return None if prices.is_empty else prices

    def _prices_of(
        self,
        listing: Listing | None,
        exact: list[OverrideRow] | tuple[()],
        name: tuple[str, str] | None = None,
    ) -> ModelPrices:
        """Compiled prices of a listing; rows of an exact name come before those of its model."""
        of_model: list[OverrideRow] = []
        if listing is not None:
            of_model = self._rows.get((listing.provider.id, listing.model.id.lower()), [])
            name = name or (listing.provider.id, listing.model.id)
        assert name is not None
        key = (name, None if listing is None else listing.model.id)
        if key not in self._compiled:
            self._compiled[key] = compile_model(name, listing, (*exact, *of_model))
        return self._compiled[key]


def compile_prices(user_overrides: Path | None = None) -> PriceBook:
    """The book of genai-prices, the packaged rows, and the rows of the user's own file.

    A row of the user's file stands above a packaged one where both hold on the same day.
    """
    if user_overrides is None:
        return _packaged_book()
    return PriceBook(read_overrides(user_overrides), packaged_overrides())


@cache
def _packaged_book() -> PriceBook:
    return PriceBook((), packaged_overrides())


def _day_rates(prices: ModelPrices, on: dt.date, tier: str) -> Rates | None:
    start_us = midnight_us(on)
    ends = (*prices.day_starts_us[1:], MICROSECONDS_PER_DAY)
    cells = [
        (prices.cell_at(start_us + us, tier), end - us)
        for us, end in zip(prices.day_starts_us, ends, strict=True)
    ]
    means = _means(cells)
    if means is None:
        return None
    first = cells[0][0]
    return Rates(
        **means,
        source=first.source,
        checked_on=first.checked_on or snapshot_checked_on(),
        checked_on_is_of_snapshot=first.checked_on is None,
        tier_is_listed=first.tier_is_listed,
        above_input_tokens=tuple(band.above_input_tokens for band in first.bands[1:]),
    )


def _means(cells: list[tuple[PriceCell, int]]) -> Mapping[str, float] | None:
    means: dict[str, float] = {}
    for index, field in enumerate(PRICE_FIELDS):
        weighted = [(cell.bands[0].rates.in_order()[index], weight) for cell, weight in cells]
        if any(rate is None for rate, _ in weighted):
            return None
        total = sum(rate * weight for rate, weight in weighted if rate is not None)
        means[field] = float(total / MICROSECONDS_PER_DAY)
    return means
