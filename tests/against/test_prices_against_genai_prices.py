"""Our tables against genai-prices itself: every model, drawn instants, tiers and token counts."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.catalog.price_compile import compile_model
from weighbridge.catalog.price_names import Listing
from weighbridge.catalog.price_tables import ModelPrices, microseconds_of
from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.pricing import (
    PriceKey,
    TokenBuckets,
    TokenColumns,
    price_batch,
    request_cost_usd,
)
from weighbridge.units import CatalogError

STEP = Decimal("1e-12")
CONTEXTS = {
    "standard": None,
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}
FIRST_AT = dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
LISTINGS = [Listing(p, m) for p in get_snapshot().providers for m in p.models]
BOOK = PriceBook()


@cache
def tables(index: int) -> ModelPrices:
    listing = LISTINGS[index]
    return compile_model((listing.provider.id, listing.model.id), listing, ())


def oracle_usd(
    listing: tuple[Provider, ModelInfo], at: dt.datetime, tokens: TokenBuckets, tier: str
) -> Decimal:
    """What genai-prices charges, less its flat fee per request, rounded by our rule."""
    provider, model = listing
    fresh, read, write = (
        tokens.uncached_input_tokens,
        tokens.cache_read_tokens,
        tokens.cache_write_tokens,
    )
    usage = Usage(
        input_tokens=fresh + read + write,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=tokens.output_tokens,
    )
    none = Usage(input_tokens=0, cache_read_tokens=0, cache_write_tokens=0, output_tokens=0)
    total, flat = (
        model.calc_price(
            given, provider, genai_request_timestamp=at, price_context=CONTEXTS[tier]
        ).total_price
        for given in (usage, none)
    )
    return (total - flat).quantize(STEP)


def lists_all(prices: ModelPrices, at: dt.datetime, tokens: TokenBuckets, tier: str) -> bool:
    cell = prices.cell_at(microseconds_of(at), tier)
    fresh, read, write, output = cell.bands[0].rates.in_order()
    wants_input = tokens.uncached_input_tokens or tokens.cache_read_tokens
    wants_input = wants_input or tokens.cache_write_tokens
    assert (fresh is None) == (read is None) == (write is None)
    if fresh is None and output is None:
        return False
    return not (wants_input and fresh is None) and not (tokens.output_tokens and output is None)


counts = st.one_of(st.just(0), st.integers(0, 5_000), st.integers(0, 2_000_000))
instants = st.one_of(
    st.builds(lambda s: FIRST_AT + dt.timedelta(seconds=s), st.integers(0, 4 * 365 * 86_400)),
    st.builds(  # around the edges of days and of times of day
        lambda day, hour, us: FIRST_AT + dt.timedelta(days=day, minutes=30 * hour, microseconds=us),
        st.integers(0, 1_600),
        st.integers(0, 47),
        st.sampled_from([-1, 0, 1]),
    ),
)


@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    index=st.integers(0, len(LISTINGS) - 1),
    at=instants,
    tokens=st.builds(TokenBuckets, counts, counts, counts, counts),
    tier=st.sampled_from(sorted(CONTEXTS)),
)
def test_cost_of_one_request_equals_genai_prices(
    index: int, at: dt.datetime, tokens: TokenBuckets, tier: str
) -> None:
    prices, listing = tables(index), LISTINGS[index]
    if not lists_all(prices, at, tokens, tier):
        with pytest.raises(CatalogError, match="no listed price"):
            request_cost_usd(prices, at, tokens, tier)
        return
    oracle = oracle_usd((listing.provider, listing.model), at, tokens, tier)
    assert request_cost_usd(prices, at, tokens, tier) == oracle


def test_every_model_tier_and_price_change_equals_genai_prices() -> None:
    tokens = TokenBuckets(301_007, 41_003, 11_001, 5_003)
    short = TokenBuckets(1_007, 403, 101, 503)
    n_compared = 0
    for index, listing in enumerate(LISTINGS):
        prices = tables(index)
        starts = [FIRST_AT, *(at_of(us) for us in prices.starts_us[1:])]
        days = [dt.timedelta(microseconds=us) for us in prices.day_starts_us]
        varied = [t for t in CONTEXTS if t == "standard" or listing.model.price_variants]
        for at in (start + day for start in starts for day in days):
            for tier in varied:
                for asked in (tokens, short):
                    if lists_all(prices, at, asked, tier):
                        oracle = oracle_usd((listing.provider, listing.model), at, asked, tier)
                        assert request_cost_usd(prices, at, asked, tier) == oracle
                        n_compared += 1
    assert n_compared > 6_000


@pytest.mark.parametrize("tier", sorted(CONTEXTS))
def test_a_reseller_has_the_makers_standard_price_in_every_tier(tier: str) -> None:
    found = get_snapshot().find_provider_model("gpt-4o", None, "azure", None)
    prices = BOOK.find("azure", "gpt-4o")
    assert prices is not None
    tokens, at = TokenBuckets(1_000, 500, 250, 125), dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    assert request_cost_usd(prices, at, tokens, tier) == oracle_usd(found, at, tokens, tier)
    assert prices.cell_at(microseconds_of(at), tier).tier_is_listed == (tier == "standard")


def at_of(us: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)


@pytest.fixture(scope="module")
def seeded_sample() -> tuple[list[PriceKey], np.ndarray, np.ndarray, TokenColumns]:
    rng = np.random.default_rng(20261121)
    n_rows = 6_000
    reachable = [p for p in BOOK.models() if BOOK.find(p.provider, p.model) == p]
    tiers = sorted(CONTEXTS)
    keys = [
        PriceKey(p.provider, p.model, tier)
        for p, tier in zip(
            [reachable[i] for i in rng.integers(0, len(reachable), 400)],
            [tiers[i] for i in rng.integers(0, len(tiers), 400)],
            strict=True,
        )
    ]
    first_us, last_us = microseconds_of(FIRST_AT), microseconds_of(FIRST_AT + dt.timedelta(1_500))
    columns = []
    for scale in (8.0, 6.0, 4.0, 6.0):
        drawn = rng.lognormal(scale, 2.5, n_rows).astype(np.int64)
        columns.append(np.where(rng.random(n_rows) < 0.2, 0, drawn))
    return (
        keys,
        rng.integers(0, len(keys), n_rows),
        rng.integers(first_us, last_us, n_rows),
        TokenColumns(*columns),
    )


def test_batch_of_six_thousand_requests_equals_genai_prices_row_by_row(
    seeded_sample: tuple[list[PriceKey], np.ndarray, np.ndarray, TokenColumns],
) -> None:
    keys, key_index, started_at_us, tokens = seeded_sample
    costs, priced = price_batch(BOOK, keys, key_index, started_at_us, tokens)
    n_compared = 0
    for row in range(len(costs)):
        key, at = keys[key_index[row]], at_of(int(started_at_us[row]))
        buckets = TokenBuckets(*(int(column[row]) for column in tokens.in_order()))
        prices = BOOK.find(key.provider, key.model)
        assert prices is not None
        assert key.service_tier is not None
        assert priced[row] == lists_all(prices, at, buckets, key.service_tier)
        if priced[row]:
            found = get_snapshot().find_provider_model(key.model, None, key.provider, None)
            oracle = oracle_usd(found, at, buckets, key.service_tier)
            assert Decimal(int(costs[row])).scaleb(-12) == oracle
            n_compared += 1
    assert n_compared > 5_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("openai", "gpt-5.2-20251211"),
        ("azure", "gpt-4o-mini"),
        ("google", "claude-sonnet-4-5@20250929"),
        ("bedrock", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("litellm", "openrouter/openai/gpt-4o"),
        ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("gemini", "gemini-2.5-pro"),
    ],
)
def test_a_name_means_the_model_that_genai_prices_takes_it_for(provider: str, model: str) -> None:
    listed_at, listed = get_snapshot().find_provider_model(model, None, provider, None)
    prices = BOOK.find(provider, model)
    assert prices is not None
    assert (prices.provider, prices.model) == (listed_at.id, listed.id)
