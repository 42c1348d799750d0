"""A bill against the ledger: planted losses are found to the day and model, and nothing else is."""

import datetime as dt
import json
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.study.made_bills import (
    billed,
    made_requests,
    openai_pages,
    write_bill,
    write_ledger,
)

from weighbridge.report.reconcile_terminal import headline
from weighbridge.study.bill_findings import percent
from weighbridge.study.bill_lines import kind_of
from weighbridge.study.reconcile import reconcile
from weighbridge.units import InputError
from weighbridge.usage.bills import BillLine

MINI = "gpt-4o-mini"
DAY = dt.date(2026, 10, 9)
EXACT = 0.01  # a hundredth: how near a found share must be to the planted one


@pytest.fixture(scope="module")
def made():
    return made_requests(n_days=14, n_per_hour=4)


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    return write_ledger(tmp_path_factory.mktemp("whole") / "usage", made)


def bill(tmp_path, sums, extra=()):
    return write_bill(tmp_path / "bill.csv", sums, extra)


def gaps(told):
    return [(c.on, c.model, c.state) for c in told.cells if c.state != "explained"]


def lost(made, share, seed, only=lambda row: True):
    """The requests without a share of them: of those that `only` picks, every 1/share-th."""
    picked = [row for row in made if only(row)]
    draw = random.Random(seed)
    gone = set(map(id, draw.sample(picked, round(share * len(picked)))))
    return [row for row in made if id(row) not in gone]


def of_mini_on_the_day(row):
    return row[0].date() == DAY and MINI in row[2]


def test_an_exact_bill_is_explained_to_the_last_digit_and_raises_no_alarm(made, whole, tmp_path):
    told = reconcile(bill(tmp_path, billed(made)), whole)
    assert told.explained_usd == told.token_usd == told.list_usd
    assert told.explained_frac == 1
    assert told.parts == told.findings == ()
    assert gaps(told) == []
    assert {f.factor_ratio for f in told.factors} == {1}


@pytest.mark.parametrize("digits", [2, 4, 6])
def test_a_bill_rounded_to_cents_or_finer_raises_no_alarm(digits, made, whole, tmp_path):
    told = reconcile(bill(tmp_path, billed(made, digits=digits)), whole)
    assert gaps(told) == []
    assert {f.factor_ratio for f in told.factors} == {1}
    assert {p.kind for p in told.parts} <= {"noise and rounding"}


def test_a_loss_of_three_percent_on_one_day_of_one_model_is_found_to_the_day_and_model(
    made, tmp_path
):
    kept = lost(made, 0.03, 7, of_mini_on_the_day)
    ledger = write_ledger(tmp_path / "usage", kept)
    told = reconcile(bill(tmp_path, billed(made)), ledger)
    assert gaps(told) == [(DAY, MINI, "ledger short")]
    missing = sum(row[4] for row in made) - sum(row[4] for row in kept)
    assert [(p.kind, p.usd) for p in told.parts] == [("ledger short", missing)]
    headline = told.findings[0].headline
    assert headline.startswith(f"{DAY}, openai/{MINI}: the ledger lacks ")


def test_the_loss_is_found_under_a_discount_and_cents_too(tmp_path):
    many = made_requests(n_days=10, n_per_hour=120, models=(("openai", "gpt-4o-2024-08-06"),))
    kept = lost(many, 0.03, 3, lambda row: row[0].date() == DAY)
    ledger = write_ledger(tmp_path / "usage", kept)
    sums = billed(many, Decimal("0.85"), digits=2)
    told = reconcile(bill(tmp_path, sums), ledger)
    assert gaps(told) == [(DAY, "gpt-4o", "ledger short")]
    short = next(c for c in told.cells if c.on == DAY)
    assert float(short.left_usd / short.bill_usd) == pytest.approx(0.03, abs=EXACT)
    assert float(told.factors[0].factor_ratio) == pytest.approx(0.85, abs=1e-3)


def test_a_loss_spread_over_all_days_is_told_from_a_price(made, whole, tmp_path):
    spread = write_ledger(tmp_path / "usage", lost(made, 0.03, 11))
    told = reconcile(bill(tmp_path, billed(made)), spread)
    assert {state for *_, state in gaps(told)} <= set()
    assert float(1 - told.explained_usd / told.token_usd) == pytest.approx(0.03, abs=EXACT)
    scattered = [f for f in told.factors if f.explanation]
    assert scattered
    assert all("missing at random" in f.explanation for f in scattered)
    part = next(p for p in told.parts if p.kind == "constant factor")
    assert float(part.usd / told.token_usd) == pytest.approx(0.03, abs=EXACT)
    dearer = reconcile(bill(tmp_path, billed(made, Decimal("1.03"))), whole)
    assert all("the same on every day" in f.explanation for f in dearer.factors)
    assert "surcharge" in dearer.findings[0].detail


def test_a_discount_is_found_and_its_scenario_line_suggested(made, whole, tmp_path):
    path = bill(tmp_path, billed(made, Decimal("0.9")))
    told = reconcile(path, whole)
    assert gaps(told) == []
    assert told.explained_frac == 1
    assert "api_discount_frac: 0.1" in told.findings[0].detail
    known = reconcile(path, whole, discount_frac=Decimal("0.1"))
    assert known.parts == ()


def test_noise_of_days_hides_no_large_gap_and_raises_no_false_one(tmp_path):
    """Requests near midnight fall on either day of the bill; a day that lost a tenth stands out."""
    many = made_requests(n_days=21, n_per_hour=40)
    draw = random.Random(2)
    moved = [(row[0] + dt.timedelta(minutes=draw.gauss(0, 20)), *row[1:]) for row in many]
    inside = [row for row in moved if row[0].date() >= dt.date(2026, 10, 5)]
    clean = reconcile(bill(tmp_path, billed(inside)), write_ledger(tmp_path / "a", many))
    assert {state for *_, state in gaps(clean)} <= {"partial day", "outside ledger", "not settled"}
    kept = lost(many, 0.15, 5, of_mini_on_the_day)
    told = reconcile(bill(tmp_path, billed(inside)), write_ledger(tmp_path / "b", kept))
    assert [(on, model) for on, model, state in gaps(told) if state == "ledger short"] == [
        (DAY, MINI)
    ]


def test_a_model_that_the_ledger_lacks_is_named_with_the_way_to_map_it(made, whole, tmp_path):
    sums = {
        (on, provider, f"eu-{model}" if MINI in model else model): usd
        for (on, provider, model), usd in billed(made).items()
    }
    path = bill(tmp_path, sums)
    told = reconcile(path, whole)
    states = {(model, state) for _, model, state in gaps(told)}
    assert states == {
        ("eu-gpt-4o-mini-2024-07-18", "model not in ledger"),
        (MINI, "model not in bill"),
    }
    assert any("--map eu-gpt-4o-mini-2024-07-18=LEDGER_MODEL" in f.detail for f in told.findings)
    names = {"eu-gpt-4o-mini-2024-07-18": "gpt-4o-mini-2024-07-18"}
    assert reconcile(path, whole, names).explained_frac == 1


def test_a_name_mapped_to_nothing_is_refused(made, whole, tmp_path):
    with pytest.raises(InputError) as caught:
        reconcile(bill(tmp_path, billed(made)), whole, {"a": "gpt-4o-mimi"})
    assert "the ledger holds no model 'gpt-4o-mimi'" in str(caught.value)
    assert "gpt-4o-mini" in str(caught.value)


def test_a_dated_name_of_a_bill_meets_the_alias_of_a_ledger(made, tmp_path):
    aliased = [(at, p, m.rsplit("-", 3)[0], t, c) for at, p, m, t, c in made]
    ledger = write_ledger(tmp_path / "usage", aliased)
    assert reconcile(bill(tmp_path, billed(made)), ledger).explained_frac == 1


def test_a_bill_without_a_provider_meets_the_only_one_that_has_the_model(made, whole, tmp_path):
    sums = {(on, "", model): usd for (on, _, model), usd in billed(made).items()}
    assert reconcile(bill(tmp_path, sums), whole).explained_frac == 1


def test_a_cache_price_that_is_wrong_is_found_by_token_type(made, whole, tmp_path):
    pages = openai_pages(made, {"cache read": Decimal(2)})
    (tmp_path / "costs.json").write_text(json.dumps(pages))
    told = reconcile(tmp_path / "costs.json", whole)
    found = [f.headline for f in told.findings if "sits in" in f.headline]
    assert found
    assert all("cache read tokens, billed at 2 times list" in text for text in found)
    by_type = {r.token_type: r for r in told.token_types if r.model == MINI}
    assert by_type["input"].bill_usd == by_type["input"].list_usd
    assert by_type["cache read"].bill_usd == 2 * by_type["cache read"].list_usd


def test_lines_without_tokens_stand_beside_the_comparison(made, whole, tmp_path):
    pages = openai_pages(made)
    for item, usd in (("web search tool calls", "1.5"), ("tax", "2"), (None, "-5")):
        pages["data"][0]["results"].append(
            {"amount": {"value": usd, "currency": "usd"}, "line_item": item}
        )
    (tmp_path / "costs.json").write_text(json.dumps(pages))
    told = reconcile(tmp_path / "costs.json", whole)
    assert told.explained_frac == 1
    assert {(o.kind, o.usd) for o in told.others} == {
        ("web search", Decimal("1.5")),
        ("taxes", Decimal(2)),
        ("credits", Decimal(-5)),
    }
    assert told.bill_usd - told.token_usd == Decimal("-1.5")


def test_a_ledger_that_begins_inside_a_day_and_a_bill_that_trails_are_no_gaps(made, tmp_path):
    first, last = made[0][0].date(), made[-1][0].date()
    late = [row for row in made if row[0].date() > first or row[0].hour >= 9]
    ledger = write_ledger(tmp_path / "usage", late)
    sums = billed(row for row in made if row[0].date() < last or row[0].hour < 12)
    told = reconcile(bill(tmp_path, sums), ledger)
    assert {(on, state) for on, _, state in gaps(told)} == {
        (first, "partial day"),
        (last, "not settled"),
    }
    assert not [f for f in told.findings if f.severity == "gap"]


def test_a_ledger_that_holds_more_than_was_billed_is_told_apart(made, tmp_path):
    twice = [*made, *(row for row in made if of_mini_on_the_day(row))]
    told = reconcile(bill(tmp_path, billed(made)), write_ledger(tmp_path / "usage", twice))
    assert gaps(told) == [(DAY, MINI, "bill short")]
    assert told.explained_frac == 1


def test_another_providers_traffic_is_left_out_and_said(made, tmp_path):
    other = made_requests(n_days=14, models=(("anthropic", "claude-sonnet-4-20250514"),))
    ledger = write_ledger(tmp_path / "usage", [*made, *other])
    told = reconcile(bill(tmp_path, billed(made)), ledger)
    assert told.explained_frac == 1
    assert dict(told.left_out) == {"anthropic": sum(row[4] for row in other)}


def test_bill_and_ledger_of_other_days_are_refused(whole, tmp_path):
    path = bill(tmp_path, {(dt.date(2025, 1, 1), "openai", "gpt-4o"): Decimal(1)})
    with pytest.raises(InputError) as caught:
        reconcile(path, whole)
    assert "covers 2025-01-01 to 2025-01-01, and the ledger 2026-10-05 to 2026-10-18" in str(
        caught.value
    )


@pytest.mark.parametrize("frac", ["1", "-0.1", "2"])
def test_an_impossible_discount_is_refused(frac, made, whole, tmp_path):
    with pytest.raises(InputError, match="give a fraction from 0 to below 1"):
        reconcile(bill(tmp_path, billed(made)), whole, discount_frac=Decimal(frac))


def amounts():
    return st.decimals(0, 50, places=6, allow_nan=False, allow_infinity=False)


@settings(max_examples=15, deadline=None)
@given(drawn=st.lists(amounts(), min_size=28, max_size=28), extra=amounts())
def test_parts_always_add_up_to_the_difference(drawn, extra, whole, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bill")
    sums = dict(zip(billed(made), drawn, strict=True))
    sums[dt.date(2026, 10, 30), "openai", "gpt-9"] = extra
    told = reconcile(write_bill(folder / "bill.csv", sums), whole)
    assert sum((part.usd for part in told.parts), Decimal(0)) == told.difference_usd
    assert 0 <= told.explained_usd <= told.token_usd
    assert sum((cell.bill_usd for cell in told.cells), Decimal(0)) == told.token_usd


def test_requests_that_are_missing_everywhere_are_not_called_explained(made, tmp_path):
    half = write_ledger(tmp_path / "usage", lost(made, 0.5, 4))
    told = reconcile(bill(tmp_path, billed(made)), half)
    assert told.explained_frac == pytest.approx(0.5, abs=0.05)
    assert told.explained_usd <= told.list_usd
    assert told.n_gap_findings
    assert "no day" not in headline(told)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_discount_and_cents_together_raise_no_alarm(seed, tmp_path):
    many = made_requests(n_days=14, n_per_hour=8, seed=seed)
    ledger = write_ledger(tmp_path / "usage", many)
    told = reconcile(bill(tmp_path, billed(many, Decimal("0.93"), digits=2)), ledger)
    assert gaps(told) == []
    assert told.n_gap_findings == 0
    assert all(abs(float(f.factor_ratio) - 0.93) <= f.smallest_gap_frac for f in told.factors)


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_a_loss_that_begins_on_a_day_is_told_from_that_day_on(share, tmp_path):
    many = made_requests(n_days=14, n_per_hour=20)
    since = dt.date(2026, 10, 11)
    kept = lost(many, share, 2, lambda row: row[0].date() >= since)
    told = reconcile(bill(tmp_path, billed(many)), write_ledger(tmp_path / "usage", kept))
    assert {f.factor_ratio for f in told.factors} == {1}
    assert {state for *_, state in gaps(told)} == {"ledger short"}
    assert min(on for on, *_ in gaps(told)) == since
    assert all(f"days are short, the first {since}" in f.detail for f in told.findings)
    missing = sum(row[4] for row in many) - sum(row[4] for row in kept)
    assert sum(f.usd for f in told.findings) == missing


def test_a_ledger_without_its_first_day_has_a_gap(made, tmp_path):
    first = made[0][0].date()
    ledger = write_ledger(tmp_path / "usage", [row for row in made if row[0].date() > first])
    told = reconcile(bill(tmp_path, billed(made)), ledger)
    assert [(f.headline, f.severity) for f in told.findings] == [
        (f"{first}: outside ledger", "gap")
    ]
    assert "import their log" in told.findings[0].detail


def test_other_days_agree_to_the_digit_only_where_they_do(made, tmp_path):
    ledger = write_ledger(tmp_path / "usage", lost(made, 0.5, 7, of_mini_on_the_day))
    exact = reconcile(bill(tmp_path, billed(made)), ledger)
    assert "13 of its 13 other days agree to the digit" in exact.findings[0].detail
    cents = reconcile(bill(tmp_path, billed(made, digits=4)), ledger)
    assert "13 of its 13 other days agree within rounding" in cents.findings[0].detail


def test_noise_that_is_half_a_percent_of_the_bill_is_told(made, tmp_path):
    ledger = write_ledger(tmp_path / "usage", lost(made, 0.1, 11))
    told = reconcile(bill(tmp_path, billed(made)), ledger)
    assert any(f.headline.startswith("days differ by ") for f in told.findings)
    cents = reconcile(bill(tmp_path, billed(made, digits=2)), write_ledger(tmp_path / "a", made))
    assert not any(f.headline.startswith("days differ by ") for f in cents.findings)


@pytest.mark.parametrize(
    ("frac", "text"), [(1.0, "100 %"), (0.1, "10 %"), (0.0305, "3 %"), (0.031, "3.1 %")]
)
def test_a_share_is_never_written_in_powers_of_ten(frac, text):
    assert percent(frac) == text


def test_costs_that_were_not_asked_by_line_item_are_refused(made, whole, tmp_path):
    pages = openai_pages(made)
    for day in pages["data"]:
        amount = {"value": 1.5, "currency": "usd"}
        day["results"] = [{"amount": amount, "line_item": None}]
    (tmp_path / "costs.json").write_text(json.dumps(pages))
    with pytest.raises(InputError) as caught:
        reconcile(tmp_path / "costs.json", whole)
    assert "no line names a model" in str(caught.value)
    assert "fetch with group_by=line_item" in str(caught.value)


@pytest.mark.parametrize(
    ("model", "line_item", "kind"),
    [
        ("ft:gpt-4o-2024-08-06:acme:tax-bot:A1", None, "tokens"),
        ("gpt-4o", "syntax-checker", "tokens"),
        ("gpt-4o", "image-captioning feature, input", "tokens"),
        ("gpt-4o", "gpt-4o, training", "training"),
        ("gpt-4o", "tax", "taxes"),
        (None, "image-captioning, output", "tokens"),
        (None, "syntax-checker", "other"),
        (None, "tax-bot", "other"),
        (None, "Sales tax", "taxes"),
        (None, "web search tool calls", "web search"),
        (None, "Code Execution Usage", "tools"),
    ],
)
def test_words_inside_names_do_not_decide_what_a_line_is_for(model, line_item, kind):
    line = BillLine(DAY, "openai", model, line_item, Decimal(1), "USD", "bill-csv")
    assert kind_of(line) == kind
