"""Bills of each kind to lines whose dollars are exact; what cannot be read is refused, whole."""

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weighbridge.units import InputError
from weighbridge.usage.bills import BillLine, read_bill

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bills"
FIRST = dt.date(2026, 10, 1)


def test_openai_costs_are_dollars_with_every_digit_and_the_model_before_the_comma() -> None:
    lines = read_bill(GOLDEN / "openai-costs.json")
    assert [(line.day, line.model, line.usd) for line in lines] == [
        (FIRST, "gpt-4o-mini-2024-07-18", Decimal("12.345678901234567")),
        (FIRST, "gpt-4o-mini-2024-07-18", Decimal("0.1")),
        (FIRST, None, Decimal("3e-7")),
        (dt.date(2026, 10, 3), None, Decimal(-5)),
    ]
    assert lines[2].line_item == "web search"
    assert {line.provider for line in lines} == {"openai"}
    assert lines[0].project == "proj_search"


def test_anthropic_amounts_are_cents() -> None:
    lines = read_bill(GOLDEN / "anthropic-costs.json")
    assert [line.usd for line in lines] == [Decimal("1.2345"), Decimal("0.00000125")]
    assert [line.model for line in lines] == ["claude-sonnet-4-20250514", None]
    assert lines[0].token_type == "uncached_input_tokens"


def test_focus_gives_billed_cost_from_csv_and_parquet_alike(tmp_path: Path) -> None:
    lines = read_bill(GOLDEN / "focus.csv")
    assert [(line.usd, line.model) for line in lines] == [
        (Decimal("1.50"), "gpt-4.1-2025-04-14"),
        (Decimal("-0.25"), None),
    ]
    start, end = (dt.datetime(2026, 10, day, tzinfo=dt.UTC) for day in (1, 2))
    table = pa.table(
        {
            "BilledCost": pa.array([Decimal("1.50"), Decimal("-0.25")], pa.decimal128(18, 2)),
            "BillingCurrency": ["USD", "USD"],
            "ChargePeriodStart": [start, start],
            "ChargePeriodEnd": [end, end],
            "ProviderName": ["OpenAI", "OpenAI"],
            "x_Model": ["gpt-4.1-2025-04-14", None],
        }
    )
    pq.write_table(table, tmp_path / "focus.parquet")
    again = read_bill(tmp_path / "focus.parquet")
    assert [(one.day, one.model, one.usd) for one in again] == [
        (one.day, one.model, one.usd) for one in lines
    ]


def test_a_plain_csv_is_a_bill_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "bill.csv.gz").write_bytes(gzip.compress((GOLDEN / "bill-csv.csv").read_bytes()))
    lines = read_bill(tmp_path / "bill.csv.gz")
    assert lines[0] == BillLine(
        day=FIRST,
        provider="openai",
        model="gpt-4o-mini",
        line_item=None,
        usd=Decimal("10.000000000001"),
        currency="USD",
        source="bill-csv",
        where=f"{tmp_path}/bill.csv.gz:2",
    )


def test_semicolons_between_the_columns_of_a_bill_are_read(tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_text("date;model;usd\n2026-10-01;m;1.5\n")
    assert read_bill(tmp_path / "bill.csv")[0].usd == Decimal("1.5")


def page(**change: object) -> str:
    found = json.loads((GOLDEN / "openai-costs.json").read_text())
    found["data"][0]["results"][0] |= change
    return json.dumps(found)


HEAD = "date,model,usd\n"
FAULTS = {
    "euros": (page(amount={"value": 1, "currency": "eur"}), "is EUR"),
    "no amount": (page(amount={"currency": "usd"}), "is missing"),
    "true for an amount": (page(amount={"value": True, "currency": "usd"}), "is not an amount"),
    "another locale": (HEAD + '2026-10-01,m,"1.234,56"\n', "usd: is not an amount"),
    "a comma in a number": ("date;model;usd\n2026-10-01;m;1,5\n", "usd: is not an amount"),
    "nan": (HEAD + "2026-10-01,m,NaN\n", "is not a finite amount"),
    "absurd": (HEAD + "2026-10-01,m,1e400\n", "is impossibly small or large"),
    "no day": (HEAD + "yesterday,m,1\n", "'yesterday' is not a day"),
    "width": (HEAD + "2026-10-01,m\n", "the number of cells differs"),
    "torn quotes": (HEAD + '2026-10-01,"m"x,1\n', "is not readable as CSV"),
    "no lines": (HEAD, "holds no line"),
    "half a document": (page()[:-300], "is not whole JSON"),
    "further pages": (page().replace('"has_more": false', '"has_more": true'), "not the whole"),
    "another file": ("a,b\n1,2\n", "is no bill that is known here"),
    "a log": ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "is no bill, but Azure"),
    "empty": ("", "the file is empty"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_bill_that_cannot_be_read_whole_is_refused_with_place_and_mend(
    case: str, tmp_path: Path
) -> None:
    text, told = FAULTS[case]
    (tmp_path / "bill").write_text(text)
    with pytest.raises(InputError) as caught:
        read_bill(tmp_path / "bill")
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "bill"))


def test_a_month_in_one_line_cannot_be_held_against_days(tmp_path: Path) -> None:
    text = (GOLDEN / "focus.csv").read_text().replace("2026-10-02T00", "2026-11-01T00")
    (tmp_path / "bill.csv").write_text(text)
    with pytest.raises(InputError, match=r"ChargePeriodEnd: covers .* not one day"):
        read_bill(tmp_path / "bill.csv")


def test_our_own_cost_export_is_no_bill(tmp_path: Path) -> None:
    text = (GOLDEN / "focus.csv").read_text().replace("\n1.50,", "\n,")
    (tmp_path / "bill.csv").write_text(text)
    with pytest.raises(InputError, match="BilledCost: is empty: this is a computed cost"):
        read_bill(tmp_path / "bill.csv")


@pytest.mark.parametrize("zone", ["+02:00", "-08:00"])
def test_days_of_another_zone_are_refused_and_hours_of_it_are_not(
    zone: str, tmp_path: Path
) -> None:
    text = (GOLDEN / "focus.csv").read_text()
    (tmp_path / "days.csv").write_text(text.replace("00:00Z", f"00:00{zone}"))
    with pytest.raises(InputError, match=r"ChargePeriodStart: is a day that begins at .* UTC"):
        read_bill(tmp_path / "days.csv")
    hour = text.replace("2026-10-02T00:00", "2026-10-01T01:00").replace("01T23:", "01T00:")
    hour = hour.replace("00:00Z", f"00:00{zone}")
    (tmp_path / "hours.csv").write_text(hour)
    assert len(read_bill(tmp_path / "hours.csv")) == 2
    (tmp_path / "plain.csv").write_text(HEAD + f"2026-10-01T00:00:00{zone},m,1\n")
    with pytest.raises(InputError, match="date: is a day that begins at"):
        read_bill(tmp_path / "plain.csv")


@pytest.mark.parametrize("name", ["openai-costs.json", "anthropic-costs.json"])
def test_a_page_that_is_there_twice_is_refused_by_the_bucket(name: str, tmp_path: Path) -> None:
    text = (GOLDEN / name).read_text()
    (tmp_path / "twice.json").write_text(f"{text}\n{text}")
    with pytest.raises(InputError, match=r"bills 2026-10-01, .* a second time, after .*:1"):
        read_bill(tmp_path / "twice.json")
