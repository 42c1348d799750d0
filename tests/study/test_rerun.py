"""Half a year on: an old study at today's prices, with the difference line by line."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from click.testing import CliRunner
from tests.study.made_bills import made_requests, write_ledger

from weighbridge.catalog.dated import catalog_on
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.prices import compile_prices
from weighbridge.cli import weighbridge
from weighbridge.ledger.exact import TokenBuckets, request_cost_usd
from weighbridge.report.files import study_tables, study_to_json
from weighbridge.report.html import render_html
from weighbridge.study.decide import Run, decide
from weighbridge.study.old_study import read_old_study
from weighbridge.study.scenario import parse_scenario
from weighbridge.units import HOURS_PER_DAY, HOURS_PER_MONTH, InputError

# deepseek-v4-flash changed its price on 17 August and 10 September 2026, and costs more in some
# hours of the day; gpt-4o-mini cost the same on all of these days.
FLASH, MINI = ("deepseek", "deepseek-v4-flash"), ("openai", "gpt-4o-mini")
FIRST = dt.datetime(2026, 8, 3, tzinfo=dt.UTC)
THEN, BETWEEN, TODAY = dt.date(2026, 8, 12), dt.date(2026, 9, 1), dt.date(2026, 11, 20)
BOOK = compile_prices()

CATALOG = """
gpus:
  - {id: lab-gpu, name: Lab GPU, vendor: Lab, memory_gib: 192, bandwidth_gb_per_s: 4000,
     dense_bf16_tflops: 900, dense_fp8_tflops: 1800, tdp_w: 700, source: a test,
     checked_on: 2026-01-01}
offers:
  - &offer {id: lab-then, provider: Lab, kind: specialist, gpu: lab-gpu, n_gpus: 1,
     plan: on_demand, usd_per_gpu_hour: 3.0, source: a test, checked_on: 2026-07-01}
  - {id: lab-today, provider: Lab, kind: specialist, gpu: lab-gpu, n_gpus: 1,
     plan: on_demand, usd_per_gpu_hour: 2.0, source: a test, checked_on: 2026-11-01}
"""
SCENARIO = """
name: Test
gpu: lab-gpu
catalog_file: {catalog}
throughput: {{output_tokens_per_s: 2000, n_gpus: 2, source: made for the test}}
assumptions: {{gpu_purchase_usd_per_gpu: 30000, hyperscaler_usd_per_gpu_hour: 6}}
"""


def run(as_of, **more):
    return Run(seed=3, n_draws=256, as_of=as_of, with_surface=False, **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rerun")
    (folder / "catalog.yaml").write_text(CATALOG)
    return folder


@pytest.fixture(scope="module")
def scenario(place):
    return parse_scenario(SCENARIO.format(catalog=place / "catalog.yaml"))


@pytest.fixture(scope="module")
def made():
    return made_requests(n_days=8, n_per_hour=3, models=(FLASH, MINI), first=FIRST)


@pytest.fixture(scope="module")
def ledger(place, made):
    return write_ledger(place / "usage", made, tenant=lambda i: "acme")


@pytest.fixture(scope="module")
def old(place, scenario, ledger):
    study = decide(scenario, ledger, run(THEN))
    (place / "old.json").write_bytes(study_to_json(study))
    return read_old_study(place / "old.json")


@pytest.fixture(scope="module")
def today(scenario, ledger, old):
    return decide(scenario, ledger, run(TODAY, against=old))


def assert_exact(change):
    for option in change.options:
        moved = option.now_usd_per_month - option.was_usd_per_month
        assert sum((p.usd_per_month for p in option.parts), Decimal(0)) == moved


def causes(change, option_id):
    option = next(o for o in change.options if o.option_id == option_id)
    return {(p.kind, p.cause): p for p in option.parts if abs(p.usd_per_month) > 1e-6}


def monthly(made, on=None):
    """List dollars a month of the made requests at a day's prices."""
    cost = Decimal(0)
    for at, provider, model, tokens, stored in made:
        then = dt.datetime.combine(on, at.timetz()) if on else None  # some hours cost more
        prices = BOOK.find(provider, model)
        cost += request_cost_usd(prices, then, tokens) if then else stored
    span_days = (made[-1][0] - made[0][0]) / dt.timedelta(days=1)
    return float(cost) * HOURS_PER_MONTH / (span_days * HOURS_PER_DAY)


def mean_output_rate(made, on):
    """Mean USD/Mtok of the output of deepseek's requests at a day's prices, hour by hour."""
    cost, count = Decimal(0), 0
    for at, provider, model, tokens, _ in made:
        if provider == "deepseek":
            then = dt.datetime.combine(on, at.timetz())
            only = TokenBuckets(0, 0, 0, tokens.output_tokens)
            cost += request_cost_usd(BOOK.find(provider, model), then, only)
            count += tokens.output_tokens
    return float(cost * 10**6 / count)


def test_the_same_day_and_ledger_change_nothing(scenario, ledger, old):
    again = decide(scenario, ledger, run(THEN, against=old))
    assert_exact(again.change)
    assert not again.change.flipped
    for option in again.change.options:
        moved = float(option.now_usd_per_month - option.was_usd_per_month)
        assert moved == pytest.approx(0, abs=1e-6)


def test_every_change_adds_up_to_the_last_digit(today):
    assert_exact(today.change)
    assert {o.option_id for o in today.change.options} == {o.id for o in today.options}


def test_each_model_and_token_type_whose_price_changed_is_a_line(today, made):
    found = causes(today.change, "api")
    assert set(found) == {
        ("API price", f"deepseek/deepseek-v4-flash, {name}")
        for name in ("input", "cache read", "output")
    }
    output = found["API price", "deepseek/deepseek-v4-flash, output"]
    mean = [mean_output_rate(made, on) for on in (THEN, TODAY)]
    assert output.was == f"${mean[0]:.4g} per Mtok"
    assert output.now == f"${mean[1]:.4g} per Mtok ({mean[1] / mean[0] - 1:+.0%})"


def test_the_forecast_uses_the_days_prices_and_the_ledger_keeps_its_own(today, made):
    assert today.monthly_api_usd == pytest.approx(monthly(made, TODAY), rel=1e-9)
    assert monthly(made, TODAY) != pytest.approx(monthly(made), rel=1e-3)
    assert today.prices_on == TODAY
    assert today.profile.list_cost_usd == sum(row[4] for row in made)


def test_a_rent_that_fell_is_a_line_of_the_options_that_rent(today):
    found = causes(today.change, "rented")
    rent = next(p for (kind, cause), p in found.items() if "Lab GPU" in cause)
    assert rent.kind == "input"
    assert rent.was.startswith("3 ")
    assert rent.now.startswith("2 ")
    assert rent.usd_per_month < 0
    assert not [cause for kind, cause in found if kind in {"program", "fleet", "left over"}]
    assert not [cause for _, cause in causes(today.change, "owned") if "rent" in cause.lower()]


def test_as_of_alone_prices_the_forecast_at_that_day_once(scenario, ledger, made):
    plain = decide(scenario, ledger, run(TODAY))
    dated = decide(scenario, ledger, run(BETWEEN, reprice=True))
    assert plain.prices_on is None
    assert plain.monthly_api_usd / monthly(made) == pytest.approx(
        dated.monthly_api_usd / monthly(made, BETWEEN), rel=1e-9
    )


def test_an_old_study_that_was_itself_at_another_days_prices_is_not_priced_twice(
    place, scenario, ledger, made
):
    dated = decide(scenario, ledger, run(BETWEEN, reprice=True))
    (place / "dated.json").write_bytes(study_to_json(dated))
    old = read_old_study(place / "dated.json")
    change = decide(scenario, ledger, run(TODAY, against=old)).change
    assert_exact(change)
    found = causes(change, "api")
    output = found["API price", "deepseek/deepseek-v4-flash, output"]
    assert output.was == f"${mean_output_rate(made, BETWEEN):.4g} per Mtok"
    assert not [cause for kind, cause in found if kind == "program"]


def test_what_the_program_computes_differently_is_a_line_of_its_own(scenario, ledger, old):
    told = {**old.monthly_usd, "api": old.monthly_usd["api"] - 7}
    change = decide(scenario, ledger, run(THEN, against=replace(old, monthly_usd=told))).change
    assert_exact(change)
    found = causes(change, "api")
    assert [kind for kind, _ in found] == ["program"]
    assert float(next(iter(found.values())).usd_per_month) == pytest.approx(7)


def test_an_assumption_whose_default_changed_is_a_line(scenario, ledger, old):
    inputs = {**old.inputs, "fte_usd_per_year": old.inputs["fte_usd_per_year"] * 2}
    change = decide(scenario, ledger, run(THEN, against=replace(old, inputs=inputs))).change
    assert_exact(change)
    assert any(kind == "input" for kind, _ in causes(change, "rented"))


def test_another_ledger_is_refused_unless_traffic_is_new(scenario, old, place, made):
    other = write_ledger(place / "other", [*made, *made[:50]], tenant=lambda i: "acme")
    with pytest.raises(InputError) as caught:
        decide(scenario, other, run(TODAY, against=old))
    assert "is of another ledger" in str(caught.value)
    assert "--traffic new" in str(caught.value)
    change = decide(scenario, other, run(TODAY, against=old, traffic_is_new=True)).change
    assert_exact(change)
    assert next(kind for kind, _ in causes(change, "api")) == "traffic"


def test_another_scenario_and_a_later_study_are_refused(scenario, ledger, old):
    other = msgspec.structs.replace(scenario, horizon_months=24)
    with pytest.raises(InputError, match="is of another scenario"):
        decide(other, ledger, run(TODAY, against=old))
    with pytest.raises(InputError, match="is 2026-08-12, after 2026-08-10"):
        decide(scenario, ledger, run(dt.date(2026, 8, 10), against=old))


def test_a_flipped_verdict_says_what_moved(scenario, ledger, old):
    change = decide(scenario, ledger, run(TODAY, against=replace(old, option_id="rented"))).change
    assert change.flipped
    assert change.why.startswith("the verdict went from rented to api; what moved them")


def test_a_stated_spend_keeps_its_tokens_and_changes_its_price(place, scenario):
    text = SCENARIO.format(catalog=place / "catalog.yaml")
    text += "monthly_spend_usd: 50000\nmodel: deepseek-v4-flash\nprovider: deepseek\n"
    stated = parse_scenario(text)
    study = decide(stated, None, run(THEN))
    (place / "stated.json").write_bytes(study_to_json(study))
    old = read_old_study(place / "stated.json")
    change = decide(stated, None, run(TODAY, against=old)).change
    assert_exact(change)
    found = causes(change, "api")
    assert {cause for _, cause in found} == {
        "deepseek-v4-flash, input",
        "deepseek-v4-flash, output",
    }
    assert all(float(part.usd_per_month) > 0 for part in found.values())


def test_offers_read_later_hold_later_and_undated_ones_are_told(place):
    catalog = load_catalog(place / "catalog.yaml")
    for on, usd in ((THEN, 3.0), (TODAY, 2.0)):
        held, _ = catalog_on(catalog, on)
        assert [o.usd_per_gpu_hour for o in held.offers_for("lab-gpu", "on_demand")] == [usd]
    before, notes = catalog_on(catalog, dt.date(2026, 1, 1))
    assert before.offers_for("lab-gpu", "on_demand")[0].usd_per_gpu_hour == 3.0
    assert "first read after 2026-01-01" in notes[0]


def test_the_reports_tell_the_change(today):
    page = render_html(today)
    assert 'id="change"' in page
    assert "deepseek/deepseek-v4-flash, output" in page
    assert "changes.csv" in study_tables(today)
    told = json.loads(study_to_json(today))["change"]
    option = told["options"][0]
    assert sum(Decimal(p["usd_per_month"]) for p in option["parts"]) == Decimal(
        option["now_usd_per_month"]
    ) - Decimal(option["was_usd_per_month"])


BROKEN = {
    "no json": ("{", "cannot be read as JSON"),
    "something else": ('{"schema": "x"}', "is no study of weighbridge"),
    "another version": (
        '{"schema": "weighbridge.study", "schema_version": 9}',
        "use the release that wrote it",
    ),
    "no verdict": (
        '{"schema": "weighbridge.study", "schema_version": 1, "options": []}',
        "had not enough evidence",
    ),
    "half of it": (
        '{"schema": "weighbridge.study", "schema_version": 1, "options": [1]}',
        "is not whole",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_old_study_is_refused(case, tmp_path):
    text, told = BROKEN[case]
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_old_study(tmp_path / "old.json")
    assert told in str(caught.value)


def test_the_command_prints_what_changed_within_the_screen(place, scenario, ledger, old):
    (place / "scenario.yaml").write_text(SCENARIO.format(catalog=place / "catalog.yaml"))
    told = CliRunner().invoke(
        weighbridge,
        [
            *("decide", str(place / "scenario.yaml"), "--usage", str(ledger)),
            *("--against", str(place / "old.json"), "--as-of", str(TODAY), "--draws", "256"),
        ],
    )
    assert told.exit_code == 0, told.output
    assert "API price of deepseek/deepseek-v4-flash, output" in told.output
    assert max(map(len, told.output.splitlines())) <= 100
    lone = CliRunner().invoke(weighbridge, ["decide", "--spend", "1", "--traffic", "new"])
    assert lone.exit_code == 2
    assert "give --against" in lone.output


def test_another_choice_of_gpu_is_a_line_of_its_own(tmp_path):
    rents = {"h100-sxm": ("0.3", "9"), "h200-sxm": ("9", "0.3")}
    rows = [
        f"  - {{id: lab-{gpu}-{n}, provider: Lab, kind: specialist, gpu: {gpu}, n_gpus: 1, "
        f"plan: on_demand, usd_per_gpu_hour: {usd}, source: a test, checked_on: {on}}}"
        for gpu, pair in rents.items()
        for n, (usd, on) in enumerate(zip(pair, ("2026-07-01", "2026-11-01"), strict=True))
    ]
    # The other offers of these GPUs would set the median: put them on the same price and day.
    for offer in load_catalog().offers:
        if offer.gpu in rents and offer.plan == "on_demand" and offer.kind == "specialist":
            for n, on in enumerate(("2026-07-01", "2026-11-01")):
                key = offer.id if n == 0 else f"{offer.id}-later"
                rows.append(
                    f"  - {{id: {key}, provider: {offer.provider}, kind: specialist, "
                    f"gpu: {offer.gpu}, n_gpus: 1, plan: on_demand, "
                    f"usd_per_gpu_hour: {rents[offer.gpu][n]}, source: a test, checked_on: {on}}}"
                )
    (tmp_path / "catalog.yaml").write_text("offers:\n" + "\n".join(rows) + "\n")
    scenario = parse_scenario(
        f"name: Test\nmonthly_spend_usd: 50000\nmodel: gpt-4o-mini\nprovider: openai\n"
        f"catalog_file: {tmp_path / 'catalog.yaml'}\noptions: [api, rented]\n"
        "throughput: null\ncandidate: llama-3.1-8b\n"
    )
    study = decide(scenario, None, run(THEN))
    (tmp_path / "old.json").write_bytes(study_to_json(study))
    now = decide(scenario, None, run(TODAY, against=read_old_study(tmp_path / "old.json")))
    assert_exact(now.change)
    assert "H100" in study.option("rented").fleet.gpu
    assert "H200" in now.option("rented").fleet.gpu
    found = causes(now.change, "rented")
    fleet = found["fleet", "choice of GPU and deployment"]
    assert "H100" in fleet.was
    assert "H200" in fleet.now
    assert fleet.usd_per_month < 0
    rent = next(p for (kind, cause), p in found.items() if "H100" in cause and kind == "input")
    assert rent.usd_per_month > 0
