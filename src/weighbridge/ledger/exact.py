"""Exact list cost of one request: integers all the way, one rounding at the end. No numpy here.

A cost is the sum over four disjoint buckets (uncached input, cache reads, cache writes, output) of
tokens times the rate of that instant, service tier and long-context band; the band is chosen by the
request's whole input, which is why sums of requests cannot be priced. The exact sum is rounded
once, half to even, at 10^-12 US dollars: the same in `request_cost_usd`, in `Pricer`, and in
`pricing.price_batch`.

Outside these buckets, and so outside the cost: audio, images, documents, searches, fees per
request, cache writes kept for an hour at their own price, reasoning or citations billed apart from
output. `ModelPrices.fees_left_out` names them for each model.

A model without a price, or a bucket in use without one, makes a request unpriced: never $0.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache

from weighbridge.catalog.price_tables import (
    MICROSECONDS_PER_DAY,
    ModelPrices,
    TokenRates,
    microseconds_of,
    service_tier_of,
)
from weighbridge.catalog.prices import PriceBook
from weighbridge.units import CatalogError, InputError

BUCKETS = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
FINE = 10**12  # 10^-24 dollars in 10^-12 dollars

_RATE_DECIMALS = 18  # a price per million tokens in steps of 10^-18 is 10^-24 dollars a token
_EXACT = Context(prec=80)  # shifts a point, never rounds
_NO_LIMIT = 2**63 - 1
_MOST_NAMES = 4096  # remembered (provider, model) pairs; answers may name any number of them
_LONGEST_NAME = 256  # a longer "model name" is somebody's text, and has no price


@dataclass(frozen=True, slots=True)
class TokenBuckets:
    """Disjoint tokens of one request; reasoning lies inside output."""

    uncached_input_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PriceKey:
    """What decides which table prices a row."""

    provider: str | None
    model: str
    service_tier: str | None = None


@lru_cache(maxsize=65_536)
def fine_rates(rates: TokenRates) -> tuple[int | None, ...]:
    """Rates of the four buckets in 10^-24 dollars a token, as whole numbers."""
    fine: list[int | None] = []
    for rate in rates.in_order():
        if rate is None:
            fine.append(None)
            continue
        numerator, denominator = rate.as_integer_ratio()
        whole, rest = divmod(numerator * 10**_RATE_DECIMALS, denominator)
        if rest:
            raise CatalogError(f"price {rate} USD/Mtok has more than {_RATE_DECIMALS} decimals")
        fine.append(whole)
    return tuple(fine)


def rounded_cost(rates: TokenRates, tokens: Sequence[int]) -> int | None:
    """Cost in 10^-12 dollars, half to even; None where a bucket in use has no price."""
    cost = 0
    for rate, count in zip(fine_rates(rates), tokens, strict=True):
        if rate is None and count:
            return None
        cost += (rate or 0) * count
    return _rounded(cost)


def _rounded(cost: int) -> int:
    """From 10^-24 to 10^-12 dollars, half to even."""
    whole, rest = divmod(cost, FINE)
    return whole + (2 * rest > FINE or (2 * rest == FINE and whole % 2 == 1))


def request_cost_usd(
    prices: ModelPrices, at: dt.datetime, tokens: TokenBuckets, service_tier: str | None = None
) -> Decimal:
    """Exact list cost [USD] of one request at the price of its instant, in steps of 10^-12.

    Parameters
    ----------
    prices : ModelPrices
        Tables of the model that answered.
    at : datetime
        Aware instant at which the request was sent.
    tokens : TokenBuckets
        Disjoint token counts [tokens].
    service_tier : str, optional
        Tier that served it; a tier without a price of its own costs the standard price.

    Raises
    ------
    InputError
        Naive instant, negative tokens, or a tier that prices are not kept for.
    CatalogError
        A bucket in use has no listed price.
    """
    if at.utcoffset() is None:
        raise InputError("request", "at", f"is {at}, without a time zone", "give an aware instant")
    tier = service_tier_of(service_tier)
    if tier is None:
        raise InputError("request", "service_tier", f"is {service_tier!r}", "name a known tier")
    counts = [getattr(tokens, bucket) for bucket in BUCKETS]
    for bucket, count in zip(BUCKETS, counts, strict=True):
        if count < 0:
            raise negative_count("request", bucket, count)
    cell = prices.cell_at(microseconds_of(at), tier)
    rates = cell.rates_for(sum(counts[:3]))
    cost = None if rates.is_empty else rounded_cost(rates, counts)
    if cost is None:
        raise CatalogError(
            f"{prices.provider} {prices.model}: a bucket in use has no listed price at {at}"
        )
    return _EXACT.scaleb(Decimal(cost), -12)


def negative_count(where: str, field: str, count: int) -> InputError:
    """The fault of a bucket below zero."""
    return InputError(
        where,
        field,
        f"is {count}: buckets are disjoint and none can be negative",
        "where cached tokens exceed input tokens the source contradicts itself: reject the row",
    )


class _Holding:
    """What one model costs in one tier from one instant to the next change of its price."""

    __slots__ = ("bounds", "fine", "from_us", "prices", "rates", "until_us", "up_to_tokens")

    def __init__(self, prices: ModelPrices, at_us: int, tier: str) -> None:
        self.prices = prices  # also keeps the id by which this is found from being given again
        self.from_us, self.until_us = _holds(prices, at_us)
        bands = prices.cell_at(at_us, tier).bands
        self.up_to_tokens = bands[1].above_input_tokens if len(bands) > 1 else _NO_LIMIT
        fine = fine_rates(bands[0].rates)
        known = tuple(rate for rate in fine if rate is not None)
        # Whole 10^-12 dollars a token need no rounding; a bucket without a price needs care.
        whole = len(known) == len(fine) and not any(rate % FINE for rate in known)
        self.rates = tuple(rate // FINE for rate in known) if whole else None
        self.fine = known if len(known) == len(fine) else None
        self.bounds = tuple(
            (band.above_input_tokens, *_dearest(band.rates))
            for band in bands
            if not band.rates.is_empty
        )


def _holds(prices: ModelPrices, at_us: int) -> tuple[int, int]:
    """The stretch around an instant in which one cell holds, no longer than its UTC day."""
    period = bisect_right(prices.starts_us, at_us) - 1
    midnight_us = at_us - at_us % MICROSECONDS_PER_DAY
    window = bisect_right(prices.day_starts_us, at_us - midnight_us) - 1
    starts, days = prices.starts_us, (*prices.day_starts_us, MICROSECONDS_PER_DAY)
    until_us = midnight_us + days[window + 1]
    if period + 1 < len(starts):
        until_us = min(until_us, starts[period + 1])
    return max(midnight_us + days[window], starts[period]), until_us


def _dearest(rates: TokenRates) -> tuple[int, int]:
    """Highest rate of any input bucket, and that of output, in 10^-24 dollars a token."""
    *inputs, output = fine_rates(rates)
    return max(rate or 0 for rate in inputs), output or 0


class Pricer:
    """Exact costs for the data plane: the price in force is kept until it ends, names are bounded.

    Costs are whole 10^-12 dollars (`_pico_usd`), equal to `request_cost_usd`; None means unpriced:
    no listed price for a bucket in use, an unknown tier, or counts below zero.
    """

    __slots__ = ("_book", "_found", "_held", "digest")

    def __init__(self, book: PriceBook) -> None:
        self.digest = book.digest[:16]  # as the ledger's `prices_digest`
        self._book = book
        self._found: dict[tuple[str | None, str], ModelPrices | None] = {}
        self._held: dict[tuple[int, str | None], _Holding] = {}

    def lookup(self, provider: str | None, model: str) -> ModelPrices | None:
        """Prices of a model; None where unknown or ambiguous."""
        key = (provider, model)
        try:
            return self._found[key]
        except KeyError:
            pass
        if len(model) > _LONGEST_NAME or len(provider or "") > _LONGEST_NAME:
            return None
        if len(self._found) >= _MOST_NAMES:
            self._found.clear()
        prices = self._found[key] = self._book.find(provider, model)
        return prices

    def _holding(self, prices: ModelPrices, at_us: int, tier: str | None) -> _Holding | None:
        held = self._held.get((id(prices), tier))
        if held is not None and held.from_us <= at_us < held.until_us:
            return held
        named = service_tier_of(tier)
        if named is None or (tier is not None and len(tier) > _LONGEST_NAME):
            return None
        if len(self._held) >= _MOST_NAMES:
            self._held.clear()
        held = self._held[id(prices), tier] = _Holding(prices, at_us, named)
        return held

    def cost_pico_usd(  # noqa: PLR0913, PLR0917  (an object a call costs as much as the sum)
        self,
        prices: ModelPrices,
        at_us: int,
        uncached_input_tokens: int,
        cache_read_tokens: int,
        cache_write_tokens: int,
        output_tokens: int,
        tier: str | None = None,
    ) -> int | None:
        """Exact list cost [10^-12 USD] at an instant [us since 1970]; None: unpriced."""
        held = self._held.get((id(prices), tier))
        if held is None or not held.from_us <= at_us < held.until_us:
            held = self._holding(prices, at_us, tier)
            if held is None:
                return None
        rates = held.rates
        if (
            rates is None
            or uncached_input_tokens + cache_read_tokens + cache_write_tokens > held.up_to_tokens
            or (uncached_input_tokens | cache_read_tokens | cache_write_tokens | output_tokens) < 0
        ):
            counts = (uncached_input_tokens, cache_read_tokens, cache_write_tokens, output_tokens)
            return _cost_with_care(held, at_us, counts, tier)
        return (
            uncached_input_tokens * rates[0]
            + cache_read_tokens * rates[1]
            + cache_write_tokens * rates[2]
            + output_tokens * rates[3]
        )

    def most_pico_usd(
        self,
        prices: ModelPrices,
        at_us: int,
        input_tokens: int,
        output_tokens: int,
        tier: str | None = None,
    ) -> int | None:
        """Most [10^-12 USD] that a request of at most these tokens can cost; None: unpriced.

        Every input token at the dearest of the input, cache-read and cache-write rates, and the
        dearest long-context band that such an input reaches.
        """
        held = self._holding(prices, at_us, tier)
        if held is None or input_tokens < 0 or output_tokens < 0:
            return None
        most = -1
        for above_input_tokens, input_rate, output_rate in held.bounds:
            if input_tokens > above_input_tokens:
                cost = input_rate * input_tokens + output_rate * output_tokens
                most = max(most, -(-cost // FINE))
        return None if most < 0 else most


def _cost_with_care(
    held: _Holding, at_us: int, counts: tuple[int, int, int, int], tier: str | None
) -> int | None:
    if min(counts) < 0:
        return None
    n_input_tokens = sum(counts[:3])
    fine = held.fine
    if fine is not None and n_input_tokens <= held.up_to_tokens:
        return _rounded(sum(rate * count for rate, count in zip(fine, counts, strict=True)))
    cell = held.prices.cell_at(at_us, service_tier_of(tier) or "standard")
    rates = cell.rates_for(n_input_tokens)
    return None if rates.is_empty else rounded_cost(rates, counts)
