"""Exact list cost of many requests: a table of rates laid out for the batch, looked up by array.

What a cost is stands in `exact`, with the same sum for one request. A row whose rates are finer
than 10^-12 dollars a token, or whose cost could leave int64, is summed there too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weighbridge.catalog.price_tables import (
    MICROSECONDS_PER_DAY,
    NO_START_US,
    PriceCell,
    TokenRates,
    service_tier_of,
)
from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.exact import (
    BUCKETS as BUCKETS,
)
from weighbridge.ledger.exact import (
    FINE,
    fine_rates,
    negative_count,
    rounded_cost,
)
from weighbridge.ledger.exact import (
    PriceKey as PriceKey,
)
from weighbridge.ledger.exact import (
    TokenBuckets as TokenBuckets,
)
from weighbridge.ledger.exact import (
    request_cost_usd as request_cost_usd,
)
from weighbridge.units import InputError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_INT64_MAX = 2**63 - 1
_SUMMABLE = 2**60  # four such counts add up within int64
_BLOCK_ROWS = 65_536  # keeps a block's columns in cache


@dataclass(frozen=True, slots=True)
class TokenColumns:
    """Disjoint tokens of many requests, one int64 array a bucket."""

    uncached_input: Ints
    cache_read: Ints
    cache_write: Ints
    output: Ints

    def in_order(self) -> tuple[Ints, Ints, Ints, Ints]:
        """The columns in the order of `BUCKETS`."""
        return self.uncached_input, self.cache_read, self.cache_write, self.output

    def rows(self, where: slice) -> TokenColumns:
        """A stretch of rows."""
        return TokenColumns(*(column[where] for column in self.in_order()))


@dataclass(frozen=True, slots=True)
class _RateTable:
    """Rates of all keys over the batch's time span, flat, for look-up by array.

    `lookup[key, period, window]` is a cell; cell `c` owns bands `first_band[c]` and on, one more
    for each of `thresholds[c]` that the input exceeds. Cell 0 has no price.
    """

    boundaries_us: Ints
    day_boundaries_us: Ints
    lookup: NDArray[np.intp]
    cells: tuple[PriceCell | None, ...]
    first_band: NDArray[np.intp]
    thresholds: Ints
    rates: Ints  # (4, n_bands) in 10^-12 dollars a token; 0 where too fine or missing
    needs_care: Ints  # (n_bands,) bits 0-3: bucket has no price; bits 4-7: finer than 10^-12
    max_tokens: Ints  # (n_bands,) tokens in all up to which int64 holds the cost
    unpriced: Bools  # (n_bands,)


class _TableMaker:
    """Collects cells and bands while a `_RateTable` is laid out."""

    def __init__(self) -> None:
        self.cells: list[PriceCell | None] = [None]
        self._index: dict[int, int] = {}
        self.first_band = [0]
        self.thresholds: list[tuple[int, ...]] = [()]
        self.bands: list[TokenRates] = [TokenRates(None, None, None, None)]

    def index_of(self, cell: PriceCell) -> int:
        """Index of a cell, added on first sight."""
        if id(cell) not in self._index:
            self._index[id(cell)] = len(self.cells)
            self.cells.append(cell)
            self.first_band.append(len(self.bands))
            self.thresholds.append(tuple(band.above_input_tokens for band in cell.bands[1:]))
            self.bands.extend(band.rates for band in cell.bands)
        return self._index[id(cell)]

    def padded_thresholds(self) -> Ints:
        """Thresholds of each cell, filled up with one that no input exceeds."""
        width = max(len(row) for row in self.thresholds)
        padded = np.full((len(self.thresholds), width), _INT64_MAX, dtype=np.int64)
        for index, row in enumerate(self.thresholds):
            padded[index, : len(row)] = row
        return padded


def _edges(
    book: PriceBook, keys: Sequence[PriceKey], span_us: tuple[int, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Starts of the price periods that the span touches, and of the windows of a day."""
    found = [prices for key in keys if (prices := book.find(key.provider, key.model)) is not None]
    starts = sorted({NO_START_US, *(us for prices in found for us in prices.starts_us)})
    first, last = bisect_right(starts, span_us[0]) - 1, bisect_right(starts, span_us[1])
    days = {0, *(us for prices in found for us in prices.day_starts_us)}
    return tuple(starts[first:last]), tuple(sorted(days))


@lru_cache(maxsize=16)  # the chunks of one import mostly share keys and price periods
def _lay_out(
    book: PriceBook,
    keys: tuple[PriceKey, ...],
    starts_us: tuple[int, ...],
    days_us: tuple[int, ...],
) -> _RateTable:
    maker = _TableMaker()
    lookup = np.zeros((len(keys), len(starts_us), len(days_us)), dtype=np.intp)
    for k, key in enumerate(keys):
        prices, tier = book.find(key.provider, key.model), service_tier_of(key.service_tier)
        if prices is None or tier is None:
            continue
        cells = [[maker.index_of(cell) for cell in windows] for windows in prices.cells[tier]]
        periods = [bisect_right(prices.starts_us, us) - 1 for us in starts_us]
        windows_of_day = [bisect_right(prices.day_starts_us, us) - 1 for us in days_us]
        lookup[k] = np.asarray(cells)[np.ix_(periods, windows_of_day)]
    return _filled(maker, lookup, (starts_us, days_us))


def _filled(
    maker: _TableMaker, lookup: NDArray[np.intp], edges_us: tuple[tuple[int, ...], tuple[int, ...]]
) -> _RateTable:
    n_bands = len(maker.bands)
    rates = np.zeros((4, n_bands), dtype=np.int64)
    care = np.zeros(n_bands, dtype=np.int64)
    most = np.empty(n_bands, dtype=np.int64)
    for index, band in enumerate(maker.bands):
        for bucket, rate in enumerate(fine_rates(band)):
            if rate is None:
                care[index] |= 1 << bucket
            elif rate % FINE or rate // FINE > _INT64_MAX:
                care[index] |= 16 << bucket
            else:
                rates[bucket, index] = rate // FINE
        most[index] = _INT64_MAX // max(1, int(rates[:, index].max()))
    return _RateTable(
        boundaries_us=np.asarray(edges_us[0][1:], dtype=np.int64),
        day_boundaries_us=np.asarray(edges_us[1][1:], dtype=np.int64),
        lookup=lookup,
        cells=tuple(maker.cells),
        first_band=np.asarray(maker.first_band, dtype=np.intp),
        thresholds=maker.padded_thresholds(),
        rates=rates,
        needs_care=care,
        max_tokens=most,
        unpriced=np.asarray([band.is_empty for band in maker.bands]),
    )


def _cells_of(table: _RateTable, key_index: Ints, started_at_us: Ints) -> NDArray[np.intp]:
    period: NDArray[np.intp] | int = 0
    window: NDArray[np.intp] | int = 0
    if table.boundaries_us.size:
        period = np.searchsorted(table.boundaries_us, started_at_us, side="right")
    if table.day_boundaries_us.size:
        into_day_us = started_at_us % MICROSECONDS_PER_DAY
        window = np.searchsorted(table.day_boundaries_us, into_day_us, side="right")
    cells: NDArray[np.intp] = table.lookup[key_index, period, window]
    return cells


def _price_block(
    table: _RateTable, cells: NDArray[np.intp], tokens: TokenColumns, first_row: int
) -> tuple[Ints, Bools]:
    columns = tokens.in_order()
    input_tokens = columns[0] + columns[1] + columns[2]
    bands = table.first_band[cells]
    for step in range(table.thresholds.shape[1]):
        bands += input_tokens > table.thresholds[cells, step]
    costs = np.zeros(len(cells), dtype=np.int64)
    for rates, column in zip(table.rates, columns, strict=True):
        costs += rates[bands] * column
    used = sum((column > 0).astype(np.int64) << bit for bit, column in enumerate(columns))
    care = table.needs_care[bands]
    priced = ~table.unpriced[bands] & ((care & used) == 0)
    slow = (care >> 4 & used) != 0
    slow |= input_tokens + columns[3] > table.max_tokens[bands]
    for row in np.flatnonzero(slow & priced):
        cell = table.cells[cells[row]]
        assert cell is not None
        counts = [int(column[row]) for column in columns]
        cost = rounded_cost(cell.rates_for(sum(counts[:3])), counts)
        assert cost is not None
        costs[row] = _storable(cost, first_row + int(row))
    costs[~priced] = 0
    return costs, priced


def _storable(cost: int, row: int) -> int:
    if cost > _INT64_MAX:
        raise InputError(
            f"usage row {row}",
            "tokens",
            f"would cost ${cost / 10**12:,.0f} in one request, above what a ledger can hold",
            "check the token counts of this row",
        )
    return cost


def _check(n_keys: int, key_index: Ints, started_at_us: Ints, tokens: TokenColumns) -> None:
    n_rows = len(key_index)
    for name, column in zip(BUCKETS, tokens.in_order(), strict=True):
        if len(column) != n_rows or len(started_at_us) != n_rows:
            raise InputError("usage", name, "has another length", "give one value a row")
        if n_rows and (least := int(column.min())) < 0:
            raise negative_count(f"usage row {int(column.argmin())}", name, least)
        if n_rows and (most := int(column.max())) >= _SUMMABLE:
            where = f"usage row {int(column.argmax())}"
            raise InputError(where, name, f"is {most}", "no request has 10^18 tokens: reject it")
    if n_rows and (int(key_index.min()) < 0 or int(key_index.max()) >= n_keys):
        raise InputError("usage", "key_index", "points outside the keys", f"use 0 to {n_keys - 1}")


def price_batch(
    book: PriceBook,
    keys: Sequence[PriceKey],
    key_index: Ints,
    started_at_us: Ints,
    tokens: TokenColumns,
) -> tuple[Ints, Bools]:
    """Exact list cost of many requests, each at the price of its own instant.

    Parameters
    ----------
    book : PriceBook
        Prices in force.
    keys : sequence of PriceKey
        Distinct (provider, model, service tier) of the batch.
    key_index : int64 array
        Which key each row has.
    started_at_us : int64 array
        Microseconds since 1970-01-01T00:00Z at which each request was sent.
    tokens : TokenColumns
        Disjoint token counts [tokens].

    Returns
    -------
    tuple of int64 array and bool array
        Cost in 10^-12 USD, and whether the row has a price. A row without one has cost 0 there,
        which means nothing; a free model is priced at 0.

    Raises
    ------
    InputError
        Negative tokens, 2^60 tokens or more in a bucket, arrays of unequal length, or a request
        that costs more than int64 holds (9.2 million USD).
    """
    _check(len(keys), key_index, started_at_us, tokens)
    n_rows = len(key_index)
    costs, priced = np.zeros(n_rows, dtype=np.int64), np.zeros(n_rows, dtype=np.bool_)
    if not n_rows:
        return costs, priced
    span_us = int(started_at_us.min()), int(started_at_us.max())
    table = _lay_out(book, tuple(keys), *_edges(book, keys, span_us))
    for first in range(0, n_rows, _BLOCK_ROWS):
        rows = slice(first, first + _BLOCK_ROWS)
        cells = _cells_of(table, key_index[rows], started_at_us[rows])
        costs[rows], priced[rows] = _price_block(table, cells, tokens.rows(rows), first)
    return costs, priced
