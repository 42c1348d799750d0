"""`weighbridge reconcile` from a bill to files, and the costs that may then be called billed."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.study.made_bills import (
    billed,
    made_requests,
    openai_pages,
    write_bill,
    write_ledger,
)

from weighbridge.cli import weighbridge
from weighbridge.cli.focus import focus_files
from weighbridge.report.focus_spec import faults_of
from weighbridge.study.billed import shares
from weighbridge.study.scenario import Scenario

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "reconcile"


@pytest.fixture(scope="module")
def made():
    return made_requests(n_days=9)


@pytest.fixture
def ledger(made, tmp_path):
    return write_ledger(tmp_path / "usage", made)


def run(*arguments):
    return CliRunner().invoke(weighbridge, ["reconcile", *map(str, arguments)])


def export(ledger):
    (_, data), (_, told) = focus_files(Path("focus.csv"), ledger, Scenario(name="x"))
    return list(csv.DictReader(io.StringIO(data.decode()))), json.loads(told)


def total(rows, column):
    return sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))


def test_the_screen_fits_and_the_files_hold_every_figure(made, ledger, tmp_path):
    path = write_bill(tmp_path / "bill.csv", billed(made[:-40], Decimal("0.9")))
    result = run("--bill", path, "--usage", ledger, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if "/" not in line]
    assert max(map(len, lines)) <= 100
    told = json.loads((tmp_path / "out" / "reconcile.json").read_text())
    assert sum(Decimal(part["usd"]) for part in told["parts"]) == Decimal(told["difference_usd"])
    cells = list(csv.DictReader(io.StringIO((tmp_path / "out" / "cells.csv").read_text())))
    assert total(cells, "bill_usd") == Decimal(told["token_usd"])
    page = (tmp_path / "out" / "reconcile.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page


def test_nothing_is_billed_before_a_bill_was_accepted(made, ledger, tmp_path):
    path = write_bill(tmp_path / "bill.csv", billed(made))
    assert run("--bill", path, "--usage", ledger).exit_code == 0
    rows, _ = export(ledger)
    assert {row["BilledCost"] for row in rows} == {""}
    assert total(rows, "ListCost") == sum(row[4] for row in made)
    assert sum(int(row["x_RequestCount"]) for row in rows) == len(made)
    assert {fault for row in rows for fault in faults_of(row)} == {
        "BilledCost: is empty",
        "ContractedCost: is empty",
        "EffectiveCost: is empty",
    }


def test_an_accepted_bill_is_shared_out_to_the_last_digit(made, ledger, tmp_path):
    pages = openai_pages(made, {"output": Decimal("0.93")})
    for usd, item in (
        ("1.25", "web search tool calls"),
        ("-3.07", "credit"),
        ("2", "code interpreter"),
    ):
        pages["data"][3]["results"].append(
            {"amount": {"value": usd, "currency": "usd"}, "line_item": item}
        )
    (tmp_path / "costs.json").write_text(json.dumps(pages))
    result = run("--bill", tmp_path / "costs.json", "--usage", ledger, "--accept")
    assert result.exit_code == 0, result.output
    assert "accepted: " in result.output
    rows, told = export(ledger)
    bill = sum(Decimal(r["amount"]["value"]) for page in pages["data"] for r in page["results"])
    assert total(rows, "BilledCost") == bill
    assert total(rows, "ListCost") == sum(row[4] for row in made)
    assert {row["x_CostBasis"].split(":")[0] for row in rows} == {"billed"}
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Credit"}
    assert "x_Notes" not in told


def test_a_bill_that_the_ledger_does_not_meet_is_not_accepted(made, ledger, tmp_path):
    path = write_bill(tmp_path / "bill.csv", billed(made, Decimal(2)))
    result = run("--bill", path, "--usage", ledger, "--accept")
    assert result.exit_code == 2
    assert "--accept: does not agree with the ledger: " in result.output
    assert not (ledger / "reconciled").exists()


def test_a_day_that_changed_since_is_not_called_billed(made, ledger, tmp_path):
    path = write_bill(tmp_path / "bill.csv", billed(made))
    assert run("--bill", path, "--usage", ledger, "--accept").exit_code == 0
    late = [(made[0][0], *made[0][1:3], made[0][3], made[0][4] * 2)]
    write_ledger(ledger, late)
    rows, told = export(ledger)
    open_days = {row["ChargePeriodStart"][:10] for row in rows if not row["BilledCost"]}
    assert open_days == {"2026-10-05"}
    assert "1 reconciled days and models changed" in told["x_Notes"][0]


def test_no_day_is_billed_by_two_bills_and_the_same_bill_replaces_itself(made, ledger, tmp_path):
    one = write_bill(tmp_path / "one.csv", billed(made))
    two = write_bill(tmp_path / "two.csv", billed(made, Decimal("0.5")))
    assert run("--bill", one, "--usage", ledger, "--accept").exit_code == 0
    assert run("--bill", one, "--usage", ledger, "--accept").exit_code == 0
    refused = run("--bill", two, "--usage", ledger, "--accept")
    assert refused.exit_code == 2
    assert "which one.csv already bills" in refused.output
    assert len(list((ledger / "reconciled").iterdir())) == 1


def test_shares_add_up_also_where_the_bill_is_finer_than_the_steps():
    parts = shares(Decimal("0.1234567890123456789"), [Decimal(1), Decimal(1), Decimal(1)])
    assert sum(parts) == Decimal("0.1234567890123456789")
    credit = shares(Decimal("-10"), [Decimal(1), Decimal(2)])
    assert sum(credit) == -10
    assert [float(part) for part in credit] == pytest.approx([-10 / 3, -20 / 3])


FAULTS = {
    "no pair": ["--map", "gpt-4o"],
    "two names": ["--map", "a=gpt-4o", "--map", "a=gpt-4o-mini"],
    "unknown name": ["--map", "a=gpt-4q"],
    "discount in percent": ["--discount", "10%"],
    "discount of all": ["--discount", "1"],
    "a file for a folder": ["--out", "bill.csv"],
    "no bill": ["--bill", "none.csv"],
    "no ledger": ["--usage", "nowhere"],
    "other days": ["--bill", "old.csv"],
    "nothing explained": ["--bill", "strange.csv", "--accept"],
}


def test_errors_say_what_is_wrong_and_how_to_mend_it(made, ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sums = billed(made)
    write_bill(tmp_path / "bill.csv", sums)
    write_bill(
        tmp_path / "old.csv", {(d.replace(year=2024), p, m): u for (d, p, m), u in sums.items()}
    )
    write_bill(tmp_path / "strange.csv", {(d, "openai", "gpt-9"): Decimal(1) for d, _, _ in sums})
    told = []
    for case, arguments in FAULTS.items():
        given = ["--bill", "bill.csv", "--usage", "usage", *arguments]
        result = run(*given)
        assert result.exit_code == 2, case
        told.append(f"# {case}\n{result.output}")
    assert not (ledger / "reconciled").exists()
    text = "\n".join(told)
    assert text == (GOLDEN / "errors.txt").read_text(), text
