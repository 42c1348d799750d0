"""A second opinion on prices: where LiteLLM's price map disagrees, and what nobody checked lately.

What a check cannot know: the installed genai-prices does not carry the day on which a price was
last checked. It has start dates, and comments that sometimes say "checked on" or "verified on".
A model's date here is the newest of these, so it is the earliest day of the last check, not the
day itself; a model without any is "undated", which is neither fresh nor stale.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from weighbridge.catalog.price_tables import PRICE_FIELDS, ModelPrices, midnight_us
from weighbridge.catalog.prices import PriceBook
from weighbridge.units import InputError

_MAP_NAME = "model_prices_and_context_window_backup.json"
_FIELDS = {
    "input_cost_per_token": "input_usd_per_mtok",
    "cache_read_input_token_cost": "cache_read_usd_per_mtok",
    "cache_creation_input_token_cost": "cache_write_usd_per_mtok",
    "output_cost_per_token": "output_usd_per_mtok",
}
_TIERS = {None: "standard", "batches": "batch", "flex": "flex", "priority": "priority"}
_KEY = re.compile(rf"({'|'.join(_FIELDS)})(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority))?\Z")
_SAME = Decimal("1e-6")  # both lists hold prices that went through binary fractions


@dataclass(frozen=True, slots=True)
class PriceMap:
    """LiteLLM's map: entries by model name."""

    name: str
    entries: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Compared:
    """One price that both lists have."""

    provider: str
    model: str
    other_name: str
    service_tier: str
    above_input_tokens: int  # -1: from nothing on
    field: str
    ours_usd_per_mtok: Decimal
    theirs_usd_per_mtok: Decimal

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than one part in a million."""
        ours, theirs = self.ours_usd_per_mtok, self.theirs_usd_per_mtok
        return abs(ours - theirs) <= _SAME * max(ours, theirs)


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """Every price that both lists have, on one day; and how many entries only one side has."""

    ours: str
    theirs: str
    on: dt.date
    compared: tuple[Compared, ...]
    n_models: int
    n_only_theirs: int  # entries with a token price that we cannot name or do not price

    @property
    def disagreements(self) -> tuple[Compared, ...]:
        """Prices that differ."""
        return tuple(pair for pair in self.compared if not pair.agrees)

    @property
    def agreement_frac(self) -> float:
        """Share of compared prices that agree; 1 where nothing was compared."""
        if not self.compared:
            return 1.0
        return 1 - len(self.disagreements) / len(self.compared)


@dataclass(frozen=True, slots=True)
class ProviderAge:
    """How old the prices of one provider can be shown to be."""

    provider: str
    n_models: int
    n_undated: int
    n_stale: int
    oldest_on: dt.date | None
    newest_on: dt.date | None


def installed_price_map() -> PriceMap | None:
    """The map inside the installed litellm, read as a file; None where it is not installed."""
    try:
        spec = find_spec("litellm")
        name = f"litellm {version('litellm')}"
    except PackageNotFoundError:
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / _MAP_NAME
    return PriceMap(name, read_price_map(path).entries) if path.exists() else None


def read_price_map(path: Path) -> PriceMap:
    """A map in LiteLLM's form: `model_prices_and_context_window.json`."""
    mend = "give a price map in LiteLLM's form: an object of models, each an object of fields"
    try:
        data = json.loads(path.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise InputError(str(path), "", f"cannot be read as JSON ({fault})", mend) from fault
    if not isinstance(data, dict) or not all(isinstance(entry, dict) for entry in data.values()):
        raise InputError(str(path), "", "is not an object of models", mend)
    return PriceMap(path.name, data)


def _their_prices(entry: Mapping[str, object]) -> Iterator[tuple[str, str, int, Decimal]]:
    """(service tier, our field, threshold, USD per Mtok) of each token price of an entry."""
    for key, value in entry.items():
        fits = _KEY.fullmatch(key)
        if fits is None or not isinstance(value, Decimal):
            continue
        field, above_k, tier = fits.groups()
        above = -1 if above_k is None else 1000 * int(above_k)
        yield _TIERS[tier], _FIELDS[field], above, value * 1_000_000


def _compare_entry(
    prices: ModelPrices, name: str, entry: Mapping[str, object], at_us: int
) -> Iterator[Compared]:
    for tier, field, above, theirs in _their_prices(entry):
        cell = prices.cell_at(at_us, tier)
        ours = getattr(cell.rates_for(above + 1), field)
        if cell.tier_is_listed and ours is not None:
            yield Compared(prices.provider, prices.model, name, tier, above, field, ours, theirs)


def cross_check(book: PriceBook, price_map: PriceMap, on: dt.date) -> CrossCheck:
    """Compare every price that both lists have, at noon UTC of a day."""
    at_us = midnight_us(on) + 12 * 3_600_000_000
    compared: list[Compared] = []
    n_models = n_only_theirs = 0
    for name, entry in price_map.entries.items():
        provider = entry.get("litellm_provider")
        if not isinstance(provider, str) or not any(_their_prices(entry)):
            continue
        prices = book.find(provider, name)
        pairs = [] if prices is None else list(_compare_entry(prices, name, entry, at_us))
        n_models += bool(pairs)
        n_only_theirs += not pairs
        compared.extend(pairs)
    order = {field: index for index, field in enumerate(PRICE_FIELDS)}
    compared.sort(
        key=lambda c: (
            c.provider,
            c.model,
            c.other_name,
            c.service_tier,
            c.above_input_tokens,
            order[c.field],
        )
    )
    return CrossCheck(book.source, price_map.name, on, tuple(compared), n_models, n_only_theirs)


def ages(book: PriceBook, on: dt.date, stale_days: int) -> list[ProviderAge]:
    """What is known of the age of each provider's prices, most stale first."""
    by_provider: dict[str, list[dt.date | None]] = {}
    for prices in book.models():
        cell = prices.cell_at(midnight_us(on))
        by_provider.setdefault(prices.provider, []).append(cell.checked_on)
    limit = on - dt.timedelta(days=stale_days)
    found = [_age(provider, dates, limit) for provider, dates in by_provider.items()]
    return sorted(found, key=lambda age: (-age.n_stale, -age.n_undated, age.provider))


def _age(provider: str, dates: Iterable[dt.date | None], limit: dt.date) -> ProviderAge:
    every = list(dates)
    known = [on for on in every if on is not None]
    return ProviderAge(
        provider=provider,
        n_models=len(every),
        n_undated=len(every) - len(known),
        n_stale=sum(on < limit for on in known),
        oldest_on=min(known, default=None),
        newest_on=max(known, default=None),
    )
