"""Every price that genai-prices and LiteLLM's map both list, disagreements shown in docs/."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from weighbridge.catalog.price_check import Compared, CrossCheck, cross_check, installed_price_map
from weighbridge.catalog.price_export import plain
from weighbridge.catalog.prices import PriceBook

ON = dt.date(2026, 11, 21)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "price-disagreements.md"
HEAD = """# Where two price lists disagree

{ours} (what Weighbridge prices with) against {theirs}, on {on}:
{n} prices of {models} model names that both list; {agree:.1%} agree to one part in a million,
{differ} differ. All that differ stand below, in USD per million tokens, ours → theirs.

Neither list is the truth: look at the provider's page, and add a row of your own (`--prices FILE`)
where ours is wrong for you. Kinds of difference that stand in the list:

- regions: genai-prices gives one price to Bedrock and Azure names that differ by region, where
  LiteLLM has a price for each;
- caches: where genai-prices lists no cache price, a cached token costs the input price, while
  LiteLLM has a cache price, or 0 for a write;
- long prompts: one list has a threshold that the other has not;
- the two were read at different times, or one of them is wrong.

`python tests/against/test_prices_against_litellm_map.py` writes this page; the test in that file
fails when a disagreement is missing here.

| provider | model there | price | ours → theirs |
|---|---|---|---|
"""


@cache
def result() -> CrossCheck:
    price_map = installed_price_map()
    if price_map is None:
        pytest.skip("litellm is not installed: there is no second price list")
    return cross_check(PriceBook(), price_map, ON)


def says(pair: Compared) -> str:
    over = f" over {pair.above_input_tokens:,}" if pair.above_input_tokens >= 0 else ""
    tier = "" if pair.service_tier == "standard" else f"{pair.service_tier} "
    return f"{tier}{pair.field.removesuffix('_usd_per_mtok').replace('_', ' ')}{over}"


def page(check: CrossCheck) -> str:
    text = HEAD.format(
        ours=check.ours,
        theirs=check.theirs,
        on=check.on,
        n=f"{len(check.compared):,}",
        models=f"{check.n_models:,}",
        agree=check.agreement_frac,
        differ=len(check.disagreements),
    )
    for pair in check.disagreements:
        prices = f"{plain(pair.ours_usd_per_mtok)} → {plain(pair.theirs_usd_per_mtok)}"
        text += f"| {pair.provider} | `{pair.other_name}` | {says(pair)} | {prices} |\n"
    return text


def test_lists_share_thousands_of_prices() -> None:
    check = result()
    assert len(check.compared) > 4_500
    assert check.n_models > 1_100


def test_agreement_stays_above_the_share_that_was_result() -> None:
    assert result().agreement_frac > 0.86  # 0.868 measured with litellm 1.109.1 (1.106.2: 0.867)


@pytest.mark.parametrize(("provider", "least_frac"), [("openai", 0.98), ("anthropic", 1.0)])
def test_makers_own_lists_agree_almost_everywhere(provider: str, least_frac: float) -> None:
    by_provider = defaultdict(list)
    for pair in result().compared:
        by_provider[pair.provider].append(pair.agrees)
    agrees = by_provider[provider]
    assert len(agrees) > 100
    assert sum(agrees) / len(agrees) >= least_frac


def test_each_disagreement_stands_in_the_page_of_disagreements() -> None:
    check, text = result(), PAGE.read_text("utf-8")
    if f"{check.ours} (what Weighbridge prices with) against {check.theirs}, on" not in text:
        pytest.skip(f"the page was written with other versions than {check.ours}, {check.theirs}")
    assert text == page(check)


if __name__ == "__main__":
    PAGE.write_text(page(result()), "utf-8")
