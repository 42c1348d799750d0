"""`weighbridge profile` on small ledgers: what it prints, writes and refuses."""

import datetime as dt
import json
import math
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from weighbridge.cli.profile import parse_caps, profile
from weighbridge.cli.profile_screen import sparkline
from weighbridge.ledger.record import COLUMNS
from weighbridge.units import InputError
from weighbridge.usage.store import write_table

START = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)


def rows(hours, n_per_hour=2, **fields):
    empty = dict.fromkeys((c.name for c in COLUMNS), None)
    tokens = dict.fromkeys((c.name for c in COLUMNS if c.name.endswith("_tokens")), 0)
    fixed = {"status": "ok", "price_state": "unpriced", "import_id": "x", "output_tokens": 100}
    return [
        {**empty, **tokens, **fixed, "started_at": START + dt.timedelta(hours=h, minutes=9 * k)}
        | {"request_id": f"{fields.get('template')}-{h}-{k}", **fields}
        for h in range(hours)
        for k in range(n_per_hour)
    ]


def ledger(folder, told):
    names = [c.name for c in COLUMNS]
    columns = {name: [one[name] for one in told] for name in names}
    columns["list_cost_usd"] = pa.array(columns["list_cost_usd"], pa.decimal128(18, 12))
    write_table(folder, pa.table(columns), cannot_tell=("ttft_s: replies were not streamed",))
    return str(folder)


@pytest.fixture
def week(tmp_path):
    priced = {"price_state": "priced", "list_cost_usd": Decimal("0.25")}
    told = [
        *rows(170, template="classify", tenant="acme", model="gpt-4o", **priced),
        *rows(170, 1, template="extract", tenant="globex", model="house-model"),
        *rows(170, 1, tenant="globex", model="gpt-4o", status="error", **priced),
    ]
    return ledger(tmp_path / "usage", told)


def run(*arguments):
    return CliRunner().invoke(profile, list(arguments), catch_exceptions=False)


def test_the_screen_fits_a_hundred_columns_and_two_screens(week):
    shown = run("--usage", week, "--caps", "requests_per_min=1").output.splitlines()
    assert max(map(len, shown)) <= 100
    assert len(shown) <= 70
    assert "…" not in "\n".join(shown)


def test_what_is_unpriced_stands_beside_the_cost(week):
    shown = run("--usage", week).output
    assert "$127.50 at list prices, and beside it 25.0 % of tokens unpriced: house-model" in shown
    extract = next(line for line in shown.splitlines() if line.startswith("extract"))
    assert re.search(r"unknown +– +100\.0 %", extract)  # noqa: RUF001


def test_withheld_conclusions_and_what_the_log_cannot_tell_are_said(week):
    shown = run("--usage", week).output
    assert "- growth trend: the log covers 7.0 days; needs 14 days" in shown
    assert "- ttft_s: replies were not streamed" in shown
    assert "weekly rhythm" not in shown


def test_tables_asked_for_replace_the_usual_ones(week):
    shown = run("--usage", week, "--by", "tenant,model", "--by", "day", "--top", "2").output
    assert "By tenant and model" in shown
    assert "By day" in shown
    assert "By tenant\n" not in shown
    assert "globex / house-model" not in shown  # the third by cost
    assert "… and 1 more" in shown


def test_json_holds_the_whole_profile(week, tmp_path):
    path = tmp_path / "profile.json"
    assert run("--usage", week, "--json", str(path), "--by", "tenant,model").exit_code == 0
    body = json.loads(path.read_text())
    assert body["schema"] == "weighbridge-profile"
    assert Decimal(body["list_cost_usd"]) == Decimal("127.5")
    assert {row["key"] for row in body["by"]["tenant,model"]} == {
        "acme / gpt-4o",
        "globex / gpt-4o",
        "globex / house-model",
    }
    assert body["latency_s"] is None
    assert len(body["hourly_requests"]) == 168


def test_a_log_of_an_hour_shows_what_it_has(tmp_path):
    shown = run("--usage", ledger(tmp_path / "short", rows(1, 6))).output
    assert "(45 minutes)" in shown
    assert "No request names a query type: all tokens unassigned" in shown
    assert "hour of the week" not in shown
    assert "No request has a known price: cost unknown (it is not zero)" in shown
    assert "- a month's volume and cost: the log covers 45 minutes; needs 7 days of log" in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("requests_per_min", "cannot be read"),
        ("requests_per_min=many", "cannot be read"),
        ("requests_per_min=5,requests_per_min=6", "is given twice"),
    ],
)
def test_caps_that_cannot_be_read_are_refused(text, says):
    with pytest.raises(InputError, match=says):
        parse_caps(text)


def test_caps_are_read():
    assert parse_caps("requests_per_min=50, tokens_per_min=2e4") == {
        "requests_per_min": 50.0,
        "tokens_per_min": 20_000.0,
    }


def test_a_folder_without_a_ledger_is_refused(tmp_path):
    with pytest.raises(InputError, match="mend"):
        run("--usage", str(tmp_path / "nothing"))


def test_a_sparkline_marks_hours_that_the_log_never_saw():
    week = np.full(168, math.nan)
    week[0:2], week[2:4] = 8.0, 1.0
    assert sparkline(week) == "█▂" + "·" * 10
