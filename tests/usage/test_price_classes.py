"""Sums of a ledger that can be priced: parts are the stored cost, at any day's prices."""

import datetime as dt
from decimal import Decimal

import pytest
from tests.study.made_bills import FIRST, made_requests, write_ledger

from weighbridge.catalog.prices import compile_prices
from weighbridge.ledger.exact import BUCKETS, TokenBuckets, request_cost_usd
from weighbridge.usage.price_classes import (
    class_cost_usd,
    daily_token_costs,
    parts_usd,
    price_classes,
    rates_of,
)
from weighbridge.usage.store import open_ledger

BOOK = compile_prices()
# A model with a price above 200,000 input tokens, as gemini-2.5-pro has.
LONG = ("google", "gemini-2.5-pro")


def long_requests():
    prices = BOOK.find(*LONG)
    made = []
    for k, n_input in enumerate((1000, 199_999, 200_000, 200_001, 350_000)):
        tokens = TokenBuckets(n_input - 500, 500, 0, 300 + k)
        at = FIRST + dt.timedelta(hours=k)
        made.append((at, *LONG, tokens, request_cost_usd(prices, at, tokens)))
    return made


def test_the_made_model_has_long_context_prices():
    assert len(BOOK.find(*LONG).cell_at(0).bands) > 1


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    made = [*made_requests(n_days=2), *long_requests()]
    return made, open_ledger(write_ledger(tmp_path_factory.mktemp("l") / "usage", made))


def test_token_types_add_up_to_the_stored_cost_to_the_last_digit(mixed):
    made, ledger = mixed
    rows = list(daily_token_costs(price_classes(ledger, BOOK), BOOK))
    assert sum(row.list_cost_usd for row in rows) == sum(cost for *_, cost in made)
    assert sum(row.n_requests for row in rows) == len(made)
    assert sum(row.n_tokens for row in rows) == sum(
        getattr(tokens, bucket) for *_, tokens, _ in made for bucket in BUCKETS
    )


def test_each_row_is_tokens_times_its_rate_also_above_a_long_context_threshold(mixed):
    _, ledger = mixed
    rows = list(daily_token_costs(price_classes(ledger, BOOK), BOOK))
    assert {row.above_input_tokens for row in rows if row.model == LONG[1]} == {0, 200_000}
    for row in rows:
        assert row.usd_per_mtok * row.n_tokens / 10**6 == row.list_cost_usd


def test_classes_priced_at_their_own_instant_cost_what_their_requests_did(mixed):
    _, ledger = mixed
    for one in price_classes(ledger, BOOK):
        assert class_cost_usd(one, rates_of(one, BOOK)) == one.list_cost_usd


def test_a_class_priced_at_another_day_costs_what_its_requests_would(tmp_path):
    made = made_requests(n_days=1, models=(("deepseek", "deepseek-v4-flash"),))
    ledger = open_ledger(write_ledger(tmp_path / "usage", made))
    on = dt.date(2026, 8, 20)  # its price changed twice in 2026, and differs by hour of the day
    again = sum(
        request_cost_usd(BOOK.find(provider, model), dt.datetime.combine(on, at.timetz()), tokens)
        for at, provider, model, tokens, _ in made
    )
    assert again != sum(row[4] for row in made)
    classes = price_classes(ledger, BOOK)
    assert sum(class_cost_usd(one, rates_of(one, BOOK, on)) for one in classes) == again


def test_a_ledger_priced_otherwise_is_shared_out_and_still_adds_up(mixed):
    _, ledger = mixed
    for one in price_classes(ledger, BOOK):
        for rates in ((10**18, 1, 1, 3 * 10**18), None, (None, None, None, 7)):
            assert sum(parts_usd(one, rates)) == one.list_cost_usd
            assert all(part >= 0 for part in parts_usd(one, rates))


def test_names_asked_for_are_kept_apart(mixed):
    _, ledger = mixed
    classes = price_classes(ledger, BOOK, ("tenant",))
    assert {one.names for one in classes} == {("acme",), ("globex",)}
    assert sum(one.list_cost_usd for one in classes) == sum(
        (one.list_cost_usd for one in price_classes(ledger, BOOK)), Decimal(0)
    )
