"""Prices of one day as plain rows: what `prices show --json` writes and `prices diff` reads."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from weighbridge.catalog.price_tables import (
    MICROSECONDS_PER_DAY,
    PRICE_FIELDS,
    ModelPrices,
    PriceCell,
    midnight_us,
)
from weighbridge.catalog.prices import PriceBook
from weighbridge.units import InputError

FORMAT = "weighbridge-prices-1"
_HOUR_US = MICROSECONDS_PER_DAY // 24


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price of one day, as text: prices are decimal strings, empty where none is listed."""

    provider: str
    model: str
    service_tier: str
    utc_hours: str  # "all day" or "01:00-04:00"
    above_input_tokens: int  # holds for requests with more input than this; -1: from nothing on
    input_usd_per_mtok: str
    cache_read_usd_per_mtok: str
    cache_write_usd_per_mtok: str
    output_usd_per_mtok: str
    source: str
    checked_on: str

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What the price is for."""
        return (
            self.provider,
            self.model,
            self.service_tier,
            self.utc_hours,
            self.above_input_tokens,
        )

    @property
    def prices(self) -> tuple[str, str, str, str]:
        """The four prices, as text."""
        return (
            self.input_usd_per_mtok,
            self.cache_read_usd_per_mtok,
            self.cache_write_usd_per_mtok,
            self.output_usd_per_mtok,
        )


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One row that two price lists tell differently; None where one list does not have it."""

    old: PriceRow | None
    new: PriceRow | None


def plain(price: Decimal | None) -> str:
    """A price without exponent or trailing zeros; empty where there is none."""
    return "" if price is None else format(price.normalize(), "f")


def _clock(us: int) -> str:
    hours, rest = divmod(us, _HOUR_US)
    return f"{hours:02d}:{rest // 60_000_000:02d}"


def windows(prices: ModelPrices) -> list[tuple[int, str]]:
    """Start of each window of the day, and its hours in words."""
    starts = prices.day_starts_us
    if len(starts) == 1:
        return [(0, "all day")]
    ends = (*starts[1:], MICROSECONDS_PER_DAY)
    return [(s, f"{_clock(s)}-{_clock(e)}") for s, e in zip(starts, ends, strict=True)]


def rows_of_cell(
    prices: ModelPrices, tier: str, utc_hours: str, cell: PriceCell
) -> Iterator[PriceRow]:
    """One row for each long-context band of a cell."""
    for band in cell.bands:
        texts = dict(zip(PRICE_FIELDS, map(plain, band.rates.in_order()), strict=True))
        yield PriceRow(
            prices.provider,
            prices.model,
            tier,
            utc_hours,
            band.above_input_tokens,
            **texts,
            source=cell.source,
            checked_on=str(cell.checked_on or ""),
        )


def rows_on(prices: ModelPrices, on: dt.date) -> list[PriceRow]:
    """Every row of a model that holds on a UTC day; tiers without a price of their own left out."""
    rows: list[PriceRow] = []
    for tier in prices.cells:
        for start_us, utc_hours in windows(prices):
            cell = prices.cell_at(midnight_us(on) + start_us, tier)
            if cell.tier_is_listed:
                rows.extend(rows_of_cell(prices, tier, utc_hours, cell))
    return rows


def book_rows(book: PriceBook, on: dt.date) -> list[PriceRow]:
    """Every row of a book that holds on a UTC day."""
    return [row for prices in book.models() for row in rows_on(prices, on)]


def to_json(rows: Iterable[PriceRow], book: PriceBook, on: dt.date) -> str:
    """The exported form: one row a line, so that a text diff reads well too."""
    head = {"format": FORMAT, "on": str(on), "prices": book.source, "digest": book.digest}
    lines = ",\n  ".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows)
    return json.dumps(head, ensure_ascii=False)[:-1] + f', "rows": [\n  {lines}\n]}}\n'


def _exported_row(raw: object, where: str) -> PriceRow:
    names = list(PriceRow.__dataclass_fields__)
    if not isinstance(raw, Mapping) or set(raw) != set(names):
        raise InputError(where, "", "is not a price row", f"rows hold exactly {', '.join(names)}")
    for name in PRICE_FIELDS:
        try:
            wrong = raw[name] != "" and Decimal(str(raw[name])) < 0
        except InvalidOperation:
            wrong = True
        if wrong or not isinstance(raw[name], str):
            raise InputError(
                where, name, f"is {raw[name]!r}", "write a price that is not negative, as a string"
            )
    return PriceRow(**raw)


def read_export(path: Path) -> list[PriceRow]:
    """Rows of a file that `prices show --all --json` wrote."""
    mend = "write it with `weighbridge prices show --all --json > FILE`"
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise InputError(str(path), "", f"cannot be read as JSON ({fault})", mend) from fault
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise InputError(str(path), "format", f"is not {FORMAT}", mend)
    rows = data.get("rows")
    if not isinstance(rows, list):
        raise InputError(str(path), "rows", "is not a list", mend)
    return [_exported_row(raw, f"{path}: row {n}") for n, raw in enumerate(rows, 1)]


def changes(old: Iterable[PriceRow], new: Iterable[PriceRow]) -> list[PriceChange]:
    """Rows that two lists tell differently, ordered by provider and model."""
    before, after = {row.key: row for row in old}, {row.key: row for row in new}
    pairs = [
        PriceChange(before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys())
    ]
    return [p for p in pairs if p.old is None or p.new is None or p.old.prices != p.new.prices]
