from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from weighbridge.catalog.price_compile import snapshot_checked_on
from weighbridge.catalog.price_tables import ModelPrices, microseconds_of, service_tier_of
from weighbridge.catalog.prices import PriceBook, compile_prices
from weighbridge.units import CatalogError

NOON_US = microseconds_of(dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC))


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return compile_prices()


def own_book(tmp_path: Path, text: str) -> PriceBook:
    path = tmp_path / "own.yaml"
    path.write_text(text, "utf-8")
    return compile_prices(path)


def row(**fields: object) -> str:
    given = {
        "provider": "openai",
        "model": "gpt-4o",
        "start_on": "2026-01-01",
        "input_usd_per_mtok": "1",
        "output_usd_per_mtok": "4",
        "source": "our contract",
        "checked_on": "2026-11-01",
    } | fields
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return "- " + "\n  ".join(lines) + "\n"


def input_price(
    prices: ModelPrices | None, tier: str = "standard", at_us: int = NOON_US
) -> Decimal:
    assert prices is not None
    price = prices.cell_at(at_us, tier).rates_for(0).input_usd_per_mtok
    assert price is not None
    return price


@pytest.mark.parametrize(
    ("provider", "model", "seller", "listed"),
    [
        (None, "gpt-4o", "openai", "gpt-4o"),
        (None, "openai/gpt-4o", "openai", "gpt-4o"),
        ("", "azure/gpt-4o", "azure", "gpt-4o"),
        ("openai", "openai/gpt-4o", "openai", "gpt-4o"),
        ("azure_ai", "azure_ai/gpt-4o", "azure", "gpt-4o"),
        ("azure.ai.openai", "gpt-4o", "azure", "gpt-4o"),
        ("azure_openai", "gpt-4o", "azure", "gpt-4o"),
        ("gcp.gen_ai", "gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("gemini", "gemini/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        (
            "vertex_ai-anthropic_models",
            "vertex_ai/claude-sonnet-4-5",
            "google",
            "claude-sonnet-4-5",
        ),
        ("litellm_proxy", "openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        ("openrouter", "openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        ("OpenAI", " GPT-4o ", "openai", "gpt-4o"),
    ],
)
def test_names_of_litellm_and_opentelemetry_find_their_seller(
    book: PriceBook, provider: str | None, model: str, seller: str, listed: str
) -> None:
    found = book.find(provider, model)
    assert found is not None
    assert (found.provider, found.model) == (seller, listed)


@pytest.mark.parametrize(
    ("provider", "model", "why"),
    [
        (None, "meta-llama/llama-3.3-70b-instruct", "no provider given"),
        ("acme", "gpt-4o", "does not list provider 'acme'"),
        ("openai_like", "gpt-4o", "does not list provider 'openai_like'"),
        (None, "openai-compatible/gpt-4o", "no provider given"),
        ("openai", "gpt-99", "no model 'gpt-99' at openai"),
        ("github-copilot", "gpt-4o", "without any price per token"),
    ],
)
def test_what_is_not_listed_is_not_guessed_and_says_why(
    book: PriceBook, provider: str | None, model: str, why: str
) -> None:
    assert book.find(provider, model) is None
    assert why in book.explain_missing(provider, model)


def test_a_model_that_is_found_needs_no_explanation(book: PriceBook) -> None:
    assert book.explain_missing("openai", "gpt-4o") == ""


def test_free_variants_of_openrouter_cost_zero_and_not_nothing(book: PriceBook) -> None:
    assert input_price(book.find("openrouter", "deepseek/deepseek-r1:free")) == 0


def test_missing_cache_price_is_the_input_price(book: PriceBook) -> None:
    found = book.find("openai", "gpt-4o")
    assert found is not None
    rates = found.cell_at(NOON_US).rates_for(0)
    assert rates.cache_write_usd_per_mtok == rates.input_usd_per_mtok == Decimal("2.5")
    assert rates.cache_read_usd_per_mtok == Decimal("1.25")


def test_long_context_band_begins_above_its_threshold(book: PriceBook) -> None:
    found = book.find("google", "gemini-2.5-pro")
    assert found is not None
    cell = found.cell_at(NOON_US)
    assert cell.rates_for(200_000).input_usd_per_mtok == Decimal("1.25")
    assert cell.rates_for(200_001).input_usd_per_mtok == Decimal("2.5")


def test_time_of_day_windows_are_half_open(book: PriceBook) -> None:
    found = book.find("deepseek", "deepseek-v4-flash")
    one_us = microseconds_of(dt.datetime(2026, 11, 1, 1, tzinfo=dt.UTC))
    four_us = microseconds_of(dt.datetime(2026, 11, 1, 4, tzinfo=dt.UTC))
    seen = [input_price(found, at_us=us) for us in (one_us - 1, one_us, four_us - 1, four_us)]
    assert seen == [Decimal("0.15"), Decimal("0.3"), Decimal("0.3"), Decimal("0.15")]


def test_a_tier_without_a_price_of_its_own_says_so(book: PriceBook) -> None:
    found = book.find("openai", "gpt-4o")
    assert found is not None
    before_us = microseconds_of(dt.datetime(2026, 10, 13, tzinfo=dt.UTC))
    assert not found.cell_at(before_us, "batch").tier_is_listed
    assert found.cell_at(NOON_US, "batch").tier_is_listed
    assert input_price(found, "batch") == Decimal("1.25")


@pytest.mark.parametrize(
    ("word", "tier"),
    [(None, "standard"), ("", "standard"), ("default", "standard"), ("FLEX", "flex"), ("x", None)],
)
def test_words_for_service_tiers(word: str | None, tier: str | None) -> None:
    assert service_tier_of(word) == tier


def test_own_row_wins_while_it_holds_and_for_every_alias(tmp_path: Path) -> None:
    book = own_book(tmp_path, row(end_on="2026-10-31"))
    found = book.find("azure_ai", "gpt-4o"), book.find("openai", "gpt-4o-2024-08-06")
    last_us = microseconds_of(dt.datetime(2026, 10, 31, 23, 59, 59, tzinfo=dt.UTC))
    assert input_price(found[1], at_us=last_us) == 1
    assert input_price(found[1]) == Decimal("2.5")
    assert input_price(found[0], at_us=last_us) == Decimal("2.5")  # azure is another seller


def test_own_row_of_a_dated_name_leaves_the_other_names_alone(tmp_path: Path) -> None:
    book = own_book(tmp_path, row(model="gpt-4o-2024-08-06"))
    assert input_price(book.find("openai", "gpt-4o-2024-08-06")) == 1
    assert input_price(book.find("openai", "gpt-4o")) == Decimal("2.5")


def test_own_standard_row_keeps_listed_tiers_and_feeds_the_unlisted_ones(tmp_path: Path) -> None:
    found = own_book(tmp_path, row()).find("openai", "gpt-4o")
    assert input_price(found, "batch") == Decimal("1.25")
    assert input_price(found, "flex") == 1


def test_own_row_of_one_tier_leaves_the_standard_price(tmp_path: Path) -> None:
    found = own_book(tmp_path, row(service_tier="flex")).find("openai", "gpt-4o")
    assert input_price(found, "flex") == 1
    assert input_price(found) == Decimal("2.5")


def test_own_rows_can_price_a_model_that_nobody_lists(tmp_path: Path) -> None:
    book = own_book(tmp_path, row(provider="acme", model="Acme-1", cache_read_usd_per_mtok="0.1"))
    for provider in ("Acme", None):
        found = book.find(provider, "acme-1")
        assert input_price(found) == 1
        assert found is not None
        assert found.cell_at(NOON_US).source == "our contract"
    before_us = microseconds_of(dt.datetime(2025, 12, 31, tzinfo=dt.UTC))
    assert found is not None
    assert found.cell_at(before_us).rates_for(0).is_empty


def test_digest_is_stable_and_tells_a_changed_price(tmp_path: Path, book: PriceBook) -> None:
    assert PriceBook().digest == book.digest
    assert len(book.digest) == 64
    assert own_book(tmp_path, row()).digest != book.digest
    assert own_book(tmp_path, row()).digest != own_book(tmp_path, row(output_usd_per_mtok=5)).digest


def test_packaged_book_is_made_once() -> None:
    assert compile_prices() is compile_prices()


def test_forecast_rates_average_the_day_and_name_their_thresholds(book: PriceBook) -> None:
    rates = book.rates_usd_per_mtok("deepseek", "deepseek-v4-flash", dt.date(2026, 11, 1))
    assert rates is not None
    assert rates.input_usd_per_mtok == pytest.approx((7 * 0.3 + 17 * 0.15) / 24)
    long = book.rates_usd_per_mtok("google", "gemini-2.5-pro", dt.date(2026, 11, 1))
    assert long is not None
    assert long.above_input_tokens == (200_000,)


def test_forecast_rates_carry_their_provenance(tmp_path: Path, book: PriceBook) -> None:
    listed = book.rates_usd_per_mtok("openai", "gpt-4o", dt.date(2026, 11, 1), "batch")
    assert listed is not None
    assert (listed.source, listed.tier_is_listed) == (book.source, True)
    undated = book.rates_usd_per_mtok(
        "modal", next(book_models(book, "modal")), dt.date(2026, 11, 1)
    )
    assert undated is not None
    assert undated.checked_on == snapshot_checked_on()
    assert undated.checked_on_is_of_snapshot
    own = own_book(tmp_path, row()).rates_usd_per_mtok("openai", "gpt-4o", dt.date(2026, 11, 1))
    assert own is not None
    assert (own.source, own.checked_on) == ("our contract", dt.date(2026, 11, 1))


def book_models(book: PriceBook, provider: str) -> object:
    return (prices.model for prices in book.models() if prices.provider == provider)


def test_forecast_rates_are_refused_without_an_output_price_or_a_known_tier(
    book: PriceBook,
) -> None:
    on = dt.date(2026, 11, 1)
    assert book.rates_usd_per_mtok("openai", "text-embedding-3-small", on) is None
    assert book.rates_usd_per_mtok("openai", "gpt-99", on) is None
    with pytest.raises(CatalogError, match="service tier 'scale'"):
        book.rates_usd_per_mtok("openai", "gpt-4o", on, "scale")


def test_fees_outside_the_four_buckets_are_named(book: PriceBook) -> None:
    found = book.find("perplexity", "sonar-pro")
    assert found is not None
    assert found.fees_left_out == ("requests_kcount",)
