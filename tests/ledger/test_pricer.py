"""The pricer of the data plane against the two other ways to price a request."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import numpy as np
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.catalog.price_overrides import parse_overrides
from weighbridge.catalog.price_tables import SERVICE_TIERS, ModelPrices, microseconds_of
from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.exact import (
    PriceKey,
    Pricer,
    TokenBuckets,
    request_cost_usd,
)
from weighbridge.ledger.pricing import TokenColumns, price_batch
from weighbridge.units import CatalogError

ROWS = """
- {provider: acme, source: t, checked_on: 2026-11-01, model: fine, start_on: 2026-01-01,
   input_usd_per_mtok: 0.0000005, cache_read_usd_per_mtok: 0.0000015,
   cache_write_usd_per_mtok: 0.0000005, output_usd_per_mtok: 0.083333333333333334}
- {provider: acme, source: t, checked_on: 2026-11-01, model: cut, start_on: 2026-01-01,
   end_on: 2026-10-31, input_usd_per_mtok: 4, output_usd_per_mtok: 4}
- {provider: acme, source: t, checked_on: 2026-11-01, model: cut, start_on: 2026-11-01,
   input_usd_per_mtok: 1, output_usd_per_mtok: 1}
- {provider: acme, source: t, checked_on: 2026-11-01, model: free, start_on: 2026-01-01,
   input_usd_per_mtok: 0, cache_read_usd_per_mtok: 0, cache_write_usd_per_mtok: 0,
   output_usd_per_mtok: 0}
- {provider: acme, source: t, checked_on: 2026-11-01, model: embed, start_on: 2026-01-01,
   input_usd_per_mtok: 0.1}
"""
BOOK = PriceBook(parse_overrides(ROWS, "test.yaml"))
PRICER = Pricer(BOOK)
NAMES = [(p.id, m.id) for p in get_snapshot().providers for m in p.models]
NAMES += [("acme", name) for name in ("fine", "cut", "free", "embed")]
NOON_AT = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

counts = st.one_of(st.just(0), st.integers(0, 3_000), st.integers(0, 3_000_000))
requests = st.tuples(
    st.sampled_from(NAMES),
    st.integers(microseconds_of(NOON_AT) - 3 * 365 * 86_400 * 10**6, microseconds_of(NOON_AT)),
    st.tuples(counts, counts, counts, counts),
    st.sampled_from([None, "", "default", *SERVICE_TIERS]),
)


def found(provider: str, model: str) -> ModelPrices:
    prices = PRICER.lookup(provider, model)
    assert prices is not None
    return prices


def exact_pico_usd(
    prices: ModelPrices, at_us: int, tokens: tuple[int, ...], tier: str | None
) -> int | None:
    try:
        cost = request_cost_usd(
            prices, EPOCH + dt.timedelta(microseconds=at_us), TokenBuckets(*tokens), tier
        )
    except CatalogError:
        return None
    return int(cost.scaleb(12))


@settings(max_examples=150)
@given(st.lists(requests, min_size=1, max_size=12))
def test_pricer_equals_the_exact_cost_and_the_batch(
    rows: list[tuple[tuple[str, str], int, tuple[int, int, int, int], str | None]],
) -> None:
    rows = [row for row in rows if PRICER.lookup(*row[0]) is not None]
    if not rows:
        return
    keys = [PriceKey(*name, tier) for name, _, _, tier in rows]
    columns = np.array([tokens for _, _, tokens, _ in rows], dtype=np.int64)
    costs, priced = price_batch(
        BOOK,
        keys,
        np.arange(len(rows)),
        np.array([at_us for _, at_us, _, _ in rows], dtype=np.int64),
        TokenColumns(*(np.ascontiguousarray(column) for column in columns.T)),
    )
    for row, cost, known in zip(rows, costs.tolist(), priced.tolist(), strict=True):
        (provider, model), at_us, tokens, tier = row
        prices = found(provider, model)
        mine = PRICER.cost_pico_usd(prices, at_us, *tokens, tier)
        assert mine == exact_pico_usd(prices, at_us, tokens, tier)
        assert mine == (cost if known else None)


@settings(max_examples=300)
@given(requests, st.tuples(counts, counts))
def test_reservation_covers_whatever_the_request_then_uses(
    request_: tuple[tuple[str, str], int, tuple[int, int, int, int], str | None],
    more: tuple[int, int],
) -> None:
    name, at_us, tokens, tier = request_
    prices = PRICER.lookup(*name)
    if prices is None:
        return
    cost = PRICER.cost_pico_usd(prices, at_us, *tokens, tier)
    most = PRICER.most_pico_usd(prices, at_us, sum(tokens[:3]) + more[0], tokens[3] + more[1], tier)
    assert cost is None or (most is not None and most >= cost)


def test_price_changes_at_its_own_instant_though_the_old_one_was_kept() -> None:
    prices, change_us = found("acme", "cut"), microseconds_of(NOON_AT) - 12 * 3600 * 10**6
    assert PRICER.cost_pico_usd(prices, change_us - 1, 1000, 0, 0, 0) == 4000 * 10**6
    assert PRICER.cost_pico_usd(prices, change_us, 1000, 0, 0, 0) == 1000 * 10**6
    assert PRICER.cost_pico_usd(prices, change_us - 1, 1000, 0, 0, 0) == 4000 * 10**6


def test_bucket_without_a_price_makes_it_unpriced_and_a_free_model_costs_nothing() -> None:
    at_us = microseconds_of(NOON_AT)
    assert PRICER.cost_pico_usd(found("acme", "embed"), at_us, 5, 0, 0, 1) is None
    assert PRICER.cost_pico_usd(found("acme", "embed"), at_us, 5, 0, 0, 0) == 5 * 10**5
    assert PRICER.cost_pico_usd(found("acme", "free"), at_us, 5, 1, 1, 5) == 0


def test_unknown_tier_and_counts_below_zero_are_unpriced() -> None:
    at_us, prices = microseconds_of(NOON_AT), found("acme", "free")
    assert PRICER.cost_pico_usd(prices, at_us, 1, 0, 0, 0, "galactic") is None
    assert PRICER.most_pico_usd(prices, at_us, 1, 0, "galactic") is None
    assert PRICER.cost_pico_usd(prices, at_us, -1, 5, 0, 0) is None


def test_names_from_answers_do_not_grow_memory() -> None:
    book = PriceBook()
    pricer = Pricer(book)
    for index in range(5_000):
        assert pricer.lookup("acme", f"nobody-{index}") is None
    assert pricer.lookup("acme", "x" * 1000) is None
    assert len(pricer._found) <= 4096
    assert all(len(model) <= 256 for _, model in book._found)


def test_digest_is_the_one_that_the_ledger_stores() -> None:
    assert Pricer(BOOK).digest == BOOK.digest[:16]


@pytest.mark.parametrize("module", ["exact", "spool", "fingerprint", "lines", "record"])
def test_what_the_data_plane_imports_is_light(module: str) -> None:
    code = (
        f"import sys, weighbridge.ledger.{module}\n"
        "heavy = {'numpy', 'pyarrow', 'pandas', 'duckdb', 'click', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
