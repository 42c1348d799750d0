from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.catalog.price_overrides import parse_overrides
from weighbridge.catalog.price_tables import ModelPrices, microseconds_of
from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.pricing import (
    PriceKey,
    TokenBuckets,
    TokenColumns,
    price_batch,
    request_cost_usd,
)
from weighbridge.units import CatalogError, InputError

NOON_AT = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
NOON_US = microseconds_of(NOON_AT)
PRICES = """
plain, start_on: 2026-01-01, input: 2, cache_read: 0.5, cache_write: 2.5, output: 8
fine, start_on: 2026-01-01, input: 0.0000005, cache_read: 0.0000015, output: 0.083333333333333334
dear, start_on: 2026-01-01, input: 1000000, output: 1000000
free, start_on: 2026-01-01, input: 0, output: 0
embed, start_on: 2026-01-01, input: 0.1
cut, start_on: 2026-01-01, end_on: 2026-10-31, input: 4, output: 4
cut, start_on: 2026-11-01, input: 1, output: 1
"""
ROWS = "\n".join(
    "- {provider: acme, source: test, checked_on: 2026-11-01, model: "
    + re.sub(r"(input|cache_read|cache_write|output):", r"\1_usd_per_mtok:", line)
    + "}"
    for line in PRICES.strip().splitlines()
)
BOOK = PriceBook(parse_overrides(ROWS, "test.yaml"))


def prices_of(model: str) -> ModelPrices:
    found = BOOK.find("acme", model)
    assert found is not None
    return found


def batch(
    keys: list[PriceKey], rows: list[tuple[int, int, TokenBuckets]]
) -> tuple[list[int], list[bool]]:
    """Rows of (key index, instant [us], tokens) through the batch."""
    columns = [
        np.array([getattr(tokens, name) for *_, tokens in rows], dtype=np.int64)
        for name in TokenBuckets.__dataclass_fields__
    ]
    costs, priced = price_batch(
        BOOK,
        keys,
        np.array([index for index, *_ in rows], dtype=np.int64),
        np.array([us for _, us, _ in rows], dtype=np.int64),
        TokenColumns(*columns),
    )
    return costs.tolist(), priced.tolist()


def one(model: str, tokens: TokenBuckets, at_us: int = NOON_US) -> tuple[int, bool]:
    costs, priced = batch([PriceKey("acme", model)], [(0, at_us, tokens)])
    return costs[0], priced[0]


def test_each_bucket_is_charged_once_at_its_own_rate() -> None:
    tokens = TokenBuckets(1_000, 200, 30, 4)
    by_hand = Decimal("0.002") + Decimal("0.0001") + Decimal("0.000075") + Decimal("0.000032")
    assert request_cost_usd(prices_of("plain"), NOON_AT, tokens) == by_hand
    assert one("plain", tokens) == (int(by_hand * 10**12), True)


@pytest.mark.parametrize(
    ("n_tokens", "picodollars"),
    [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)],  # 0.5, 1, 1.5, 2.5, 3.5 to the even neighbour
)
def test_half_a_step_rounds_to_even(n_tokens: int, picodollars: int) -> None:
    tokens = TokenBuckets(n_tokens)
    assert one("fine", tokens) == (picodollars, True)
    assert request_cost_usd(prices_of("fine"), NOON_AT, tokens) == Decimal(picodollars).scaleb(-12)


def test_rounding_happens_once_and_not_per_bucket() -> None:
    assert one("fine", TokenBuckets(1, 1))[0] == 2  # 0.5 + 1.5, where 0 + 2 or 1 + 2 would tempt


counts = st.integers(0, 10**9)


@given(tokens=st.builds(TokenBuckets, counts, counts, counts, counts))
def test_prices_finer_than_a_step_are_summed_exactly(tokens: TokenBuckets) -> None:
    rates = prices_of("fine").cell_at(NOON_US).rates_for(0).in_order()
    counted = (
        tokens.uncached_input_tokens,
        tokens.cache_read_tokens,
        tokens.cache_write_tokens,
        tokens.output_tokens,
    )
    exact = sum(Fraction(rate or 0) * n for rate, n in zip(rates, counted, strict=True)) * 10**6
    assert one("fine", tokens) == (round(exact), True)


@given(
    tokens=st.builds(TokenBuckets, counts, counts, counts, counts),
    shift_s=st.integers(-90_000, 90_000),
)
def test_batch_and_single_request_agree(tokens: TokenBuckets, shift_s: int) -> None:
    at = NOON_AT + dt.timedelta(seconds=shift_s)
    for model in ("plain", "fine", "cut", "free"):
        costs = one(model, tokens, microseconds_of(at))
        assert Decimal(costs[0]).scaleb(-12) == request_cost_usd(prices_of(model), at, tokens)
        assert costs[1]


def test_cost_near_the_end_of_int64_is_exact() -> None:
    assert one("dear", TokenBuckets(9_000_000)) == (9 * 10**18, True)
    assert one("dear", TokenBuckets(4_611_686, 0, 0, 4_611_686)) == (9_223_372 * 10**12, True)


def test_cost_beyond_int64_is_refused_with_its_row() -> None:
    with pytest.raises(InputError, match=r"usage row 1: tokens: would cost \$10,000,000"):
        batch(
            [PriceKey("acme", "dear")],
            [(0, NOON_US, TokenBuckets(1)), (0, NOON_US, TokenBuckets(10_000_000))],
        )


def test_huge_counts_of_a_cheap_model_are_exact() -> None:
    n_tokens = 2**59 + 1
    exact = round(Fraction(5, 10) * n_tokens)
    assert one("fine", TokenBuckets(n_tokens)) == (exact, True)


def test_price_changes_at_utc_midnight() -> None:
    midnight_us = microseconds_of(dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    rows = [(0, midnight_us - 1, TokenBuckets(10**6)), (0, midnight_us, TokenBuckets(10**6))]
    assert batch([PriceKey("acme", "cut")], rows)[0] == [4 * 10**12, 10**12]


def test_a_batch_that_lies_wholly_after_a_change_takes_the_new_price() -> None:
    assert one("cut", TokenBuckets(10**6))[0] == 10**12


def test_unknown_models_tiers_and_times_before_any_price_are_unpriced_never_zero() -> None:
    keys = [
        PriceKey("acme", "nobody"),
        PriceKey(None, "who-knows"),
        PriceKey("acme", "plain", "scale"),
        PriceKey("acme", "plain"),
        PriceKey("acme", "free"),
    ]
    before_us = microseconds_of(dt.datetime(2025, 12, 31, tzinfo=dt.UTC))
    rows = [(index, NOON_US, TokenBuckets(5)) for index in range(5)]
    _, priced = batch(keys, [*rows, (3, before_us, TokenBuckets(5)), (0, NOON_US, TokenBuckets(0))])
    assert priced == [False, False, False, True, True, False, False]


def test_bucket_in_use_without_a_price_is_unpriced_and_an_idle_one_is_no_matter() -> None:
    assert one("embed", TokenBuckets(1_000)) == (100_000_000, True)
    assert one("embed", TokenBuckets(1_000, 0, 0, 1)) == (0, False)
    with pytest.raises(CatalogError, match="no listed price"):
        request_cost_usd(prices_of("embed"), NOON_AT, TokenBuckets(1_000, 0, 0, 1))


def test_long_prompts_are_priced_by_their_whole_input_request_by_request() -> None:
    keys = [PriceKey("google", "gemini-2.5-pro")]
    at, over = TokenBuckets(150_000, 50_000), TokenBuckets(150_000, 50_001)
    costs, _ = batch(keys, [(0, NOON_US, at), (0, NOON_US, over)])
    assert costs == [193_750_000_000, 387_500_250_000]
    summed, _ = batch(keys, [(0, NOON_US, TokenBuckets(300_000, 100_001))])
    assert summed[0] > sum(costs)


@pytest.mark.parametrize("bucket", list(TokenBuckets.__dataclass_fields__))
def test_negative_tokens_raise_with_row_and_field(bucket: str) -> None:
    bad = TokenBuckets(**{"uncached_input_tokens": 5, bucket: -1})
    with pytest.raises(InputError, match=f"usage row 1: {bucket}: is -1"):
        batch([PriceKey("acme", "plain")], [(0, NOON_US, TokenBuckets(1)), (0, NOON_US, bad)])
    with pytest.raises(InputError, match=f"{bucket}: is -1"):
        request_cost_usd(prices_of("plain"), NOON_AT, bad)


def test_naive_instant_and_unknown_tier_raise() -> None:
    with pytest.raises(InputError, match="without a time zone"):
        request_cost_usd(prices_of("plain"), NOON_AT.replace(tzinfo=None), TokenBuckets(1))
    with pytest.raises(InputError, match="'scale'"):
        request_cost_usd(prices_of("plain"), NOON_AT, TokenBuckets(1), "scale")


@pytest.mark.parametrize("index", [-1, 1])
def test_index_outside_the_keys_raises(index: int) -> None:
    with pytest.raises(InputError, match="points outside the keys"):
        batch([PriceKey("acme", "plain")], [(index, NOON_US, TokenBuckets(1))])


def test_counts_that_no_request_has_and_uneven_columns_raise() -> None:
    with pytest.raises(InputError, match="no request has"):
        one("plain", TokenBuckets(2**60))
    zeros = np.zeros(2, dtype=np.int64)
    with pytest.raises(InputError, match="another length"):
        price_batch(
            BOOK,
            [PriceKey("acme", "plain")],
            zeros,
            zeros,
            TokenColumns(zeros, zeros, zeros, zeros[:1]),
        )


def test_no_rows_cost_nothing() -> None:
    assert batch([PriceKey("acme", "plain")], []) == ([], [])


def test_blocks_join_without_a_seam() -> None:
    n_rows = 65_536 * 2 + 7
    tokens = np.arange(n_rows, dtype=np.int64)
    zeros = np.zeros(n_rows, dtype=np.int64)
    columns = TokenColumns(tokens, zeros, zeros, zeros)
    costs, priced = price_batch(BOOK, [PriceKey("acme", "plain")], zeros, zeros + NOON_US, columns)
    assert priced.all()
    assert (costs == tokens * 2_000_000).all()
