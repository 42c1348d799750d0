"""A ledger summed so that every sum has one price: by instant, model, tier and long-context band.

Requests cannot be priced after they were summed, since a long input changes the rates of all its
tokens. Summed by class they can: every request of a class has the same rates, at any day's prices.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import ibis.expr.types as ir

from weighbridge.catalog.price_tables import (
    MICROSECONDS_PER_DAY,
    ModelPrices,
    midnight_us,
    service_tier_of,
)
from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.exact import BUCKETS, FINE, fine_rates
from weighbridge.usage.analyses.engine import Engine, EngineLimits
from weighbridge.usage.analyses.recognised import read_recognised
from weighbridge.usage.profile import StoredLedger, types_of

DIMENSIONS = ("provider", "model", "service_tier", "price_state")
TOKEN_TYPES = ("input", "cache read", "cache write", "output")  # in the order of BUCKETS
EXACT = Context(prec=60)
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class PriceClass:
    """Requests that share names, hour and rates, summed; tokens in the order of `TOKEN_TYPES`."""

    at: dt.datetime  # start of its hour (or minute, where prices change inside hours), UTC
    names: tuple[str | None, ...]  # of the dimensions asked for
    provider: str | None
    model: str | None
    service_tier: str | None
    price_state: str
    input_tokens_each: int  # an input length that has the class's rates
    tokens: tuple[int, int, int, int]
    n_requests: int
    list_cost_usd: Decimal
    sum_squared_usd: float  # of the requests' costs: how much one request weighs


def price_classes(
    ledger: StoredLedger,
    book: PriceBook,
    by: Sequence[str] = (),
    typed: bool = False,
    limits: EngineLimits | None = None,
) -> tuple[PriceClass, ...]:
    """The whole ledger in classes; `by` names further dimensions to keep apart.

    `typed` reads recognised query types where templates are, as a profile does.
    """
    types = types_of(ledger) if typed else None
    with Engine(ledger.parquet_files, limits or EngineLimits()) as engine:
        if types is not None:
            read_recognised(engine, types)
        requests = engine.requests
        pairs = requests.group_by(["provider", "model"]).aggregate(n=requests.count())
        listed = [
            prices
            for row in engine.fetch(pairs).to_pylist()
            if row["model"] and (prices := book.find(row["provider"], row["model"])) is not None
        ]
        thresholds = _thresholds(listed)
        summed = engine.fetch(classes_of(requests, by, thresholds, _step(listed)))
    limits_passed = (0, *(limit + 1 for limit in thresholds))
    rows = (_class(row, by, limits_passed) for row in summed.to_pylist())
    return tuple(sorted(rows, key=lambda c: (c.at, *(str(n or "") for n in _order(c)))))


def _order(one: PriceClass) -> tuple[object, ...]:
    return (one.provider, one.model, one.service_tier, one.price_state, *one.names)


def _thresholds(listed: Iterable[ModelPrices]) -> tuple[int, ...]:
    """Every input length above which any of these models has, or had, other rates."""
    return tuple(
        sorted(
            {
                band.above_input_tokens
                for prices in listed
                for periods in prices.cells.values()
                for windows in periods
                for cell in windows
                for band in cell.bands[1:]
            }
        )
    )


def _step(listed: Iterable[ModelPrices]) -> str:
    edges = {us % _HOUR_US for prices in listed for us in prices.day_starts_us}
    return "h" if edges <= {0} else "m"


def classes_of(
    requests: ir.Table, by: Sequence[str], thresholds: Sequence[int], step: str
) -> ir.Table:
    """The scan: sums by step of time, dimensions and the number of thresholds passed."""
    whole = requests.uncached_input_tokens + requests.cache_read_tokens
    whole += requests.cache_write_tokens
    passed: Any = whole - whole
    for limit in thresholds:
        passed += (whole > limit).ifelse(1, 0)
    rows = requests.mutate(
        at=requests.started_at.truncate(step),
        passed=passed,
        weight=requests.list_cost_usd.cast("float64"),
    )
    names = [*DIMENSIONS, *(name for name in by if name not in DIMENSIONS)]
    return rows.group_by(["at", "passed", *names]).aggregate(
        n_requests=rows.count(),
        **{bucket: rows[bucket].sum() for bucket in BUCKETS},
        list_cost_usd=rows.list_cost_usd.sum(),
        sum_squared_usd=(rows.weight * rows.weight).sum(),
    )


def _class(row: dict[str, Any], by: Sequence[str], limits_passed: Sequence[int]) -> PriceClass:
    counts = [int(row[bucket]) for bucket in BUCKETS]
    return PriceClass(
        at=row["at"].replace(tzinfo=dt.UTC),
        names=tuple(row[name] for name in by),
        provider=row["provider"],
        model=row["model"],
        service_tier=row["service_tier"],
        price_state=row["price_state"],
        input_tokens_each=limits_passed[int(row["passed"])],
        tokens=(counts[0], counts[1], counts[2], counts[3]),
        n_requests=row["n_requests"],
        list_cost_usd=row["list_cost_usd"] or Decimal(0),
        sum_squared_usd=row["sum_squared_usd"] or 0.0,
    )


def rates_of(
    one: PriceClass, book: PriceBook, on: dt.date | None = None
) -> tuple[int | None, ...] | None:
    """Rates of a class by token type [10^-24 USD a token], at its instant or at its hour of a day.

    None where the book has no price for it.
    """
    tier = service_tier_of(one.service_tier)
    prices = book.find(one.provider, one.model) if one.model else None
    if prices is None or tier is None:
        return None
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    at_us = (one.at - epoch) // dt.timedelta(microseconds=1)
    if on is not None:
        at_us = midnight_us(on) + at_us % MICROSECONDS_PER_DAY
    rates = prices.cell_at(at_us, tier).rates_for(one.input_tokens_each)
    return None if rates.is_empty else fine_rates(rates)


def parts_usd(one: PriceClass, rates: Sequence[int | None] | None) -> tuple[Decimal, ...]:
    """The class's stored cost by token type [USD]; the parts add up to it exactly.

    In proportion to tokens times rate. Where the ledger was priced at these rates the proportion
    is the cost itself, and what rounding by request left goes to the largest part.
    """
    stored = int(EXACT.scaleb(one.list_cost_usd, 12))
    known = rates if rates is not None else (1, 1, 1, 1)
    weights = [(rate or 0) * count for rate, count in zip(known, one.tokens, strict=True)]
    if not sum(weights):
        weights = list(one.tokens) if any(one.tokens) else [1, 0, 0, 0]
    total = sum(weights)
    # Rounding by request moves a sum by less than 10^-12 dollars a request.
    exact = rates is not None and abs(total - stored * FINE) <= FINE * one.n_requests
    parts = [w // FINE if exact else stored * w // total for w in weights]
    parts[max(range(4), key=weights.__getitem__)] += stored - sum(parts)
    return tuple(EXACT.scaleb(Decimal(part), -12) for part in parts)


def class_cost_usd(one: PriceClass, rates: Sequence[int | None] | None) -> Decimal | None:
    """What the class costs at other rates [USD]; None where a token type in use has no price."""
    if rates is None:
        return None
    fine = 0
    for rate, count in zip(rates, one.tokens, strict=True):
        if rate is None and count:
            return None
        fine += (rate or 0) * count
    return EXACT.scaleb(Decimal(fine), -24)


@dataclass(frozen=True, slots=True)
class TokenCost:
    """One day's tokens of one type at one rate, of requests that share names; their part of cost.

    Requests are counted in the first token type of a group only, so that rows can be summed.
    """

    on: dt.date
    names: tuple[str | None, ...]  # of the dimensions asked for
    provider: str | None
    model: str | None
    service_tier: str | None
    price_state: str
    above_input_tokens: int  # of the long-context band; 0 below any threshold
    token_type: str
    usd_per_mtok: Decimal | None  # None: no price, or not the one that priced the ledger
    n_tokens: int
    n_requests: int
    list_cost_usd: Decimal


def daily_token_costs(classes: Iterable[PriceClass], book: PriceBook) -> Iterator[TokenCost]:
    """Cost by day, names, rate and token type; sums over types are the ledger's exactly."""
    summed: dict[tuple[Any, ...], _Sums] = {}
    for one in classes:
        rates = rates_of(one, book)
        band = max(0, one.input_tokens_each - 1)
        names = (one.names, one.provider, one.model, one.service_tier, one.price_state, band)
        sums = summed.setdefault((one.at.date(), *names, rates), _Sums())
        sums.add(one, parts_usd(one, rates))
    for key, sums in summed.items():
        on, names, provider, model, tier, state, band, rates = key
        n_requests = sums.n_requests
        used = [i for i in range(4) if sums.tokens[i] or sums.costs[i]] or [0]
        for i in used:
            tokens, cost = sums.tokens[i], sums.costs[i]
            rate = _rate_usd_per_mtok(rates, i, tokens, cost)
            yield TokenCost(
                on=on,
                names=names,
                provider=provider,
                model=model,
                service_tier=tier,
                price_state=state,
                above_input_tokens=band,
                token_type=TOKEN_TYPES[i],
                usd_per_mtok=rate,
                n_tokens=tokens,
                n_requests=n_requests,
                list_cost_usd=cost,
            )
            n_requests = 0


class _Sums:
    """Tokens and dollars by type, added up exactly."""

    __slots__ = ("costs", "n_requests", "tokens")

    def __init__(self) -> None:
        self.n_requests = 0
        self.tokens = [0] * 4
        self.costs = [Decimal(0)] * 4

    def add(self, one: PriceClass, parts: Sequence[Decimal]) -> None:
        """Add a class."""
        self.n_requests += one.n_requests
        for i, usd in enumerate(parts):
            self.tokens[i] += one.tokens[i]
            self.costs[i] = EXACT.add(self.costs[i], usd)


def _rate_usd_per_mtok(
    rates: Sequence[int | None] | None, i: int, n_tokens: int, cost: Decimal
) -> Decimal | None:
    """The rate, where tokens times the rate are the cost to the last digit."""
    rate = rates[i] if rates is not None else None
    if rate is None or EXACT.scaleb(Decimal(rate * n_tokens), -24) != cost:
        return None
    return EXACT.normalize(EXACT.scaleb(Decimal(rate), -18))
