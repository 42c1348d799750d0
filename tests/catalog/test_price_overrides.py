from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.catalog.price_overrides import packaged_overrides, parse_overrides, read_overrides
from weighbridge.catalog.prices import PriceBook, compile_prices
from weighbridge.units import InputError

GOOD = """\
- provider: openai
  model: gpt-4o
  start_on: 2026-01-01
  input_usd_per_mtok: 2.50
  output_usd_per_mtok: 10
  source: https://example.org/pricing
  checked_on: 2026-11-01
"""


def fault_of(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        PriceBook(parse_overrides(text, "own.yaml"))
    return caught.value


def test_good_row_is_read_exactly() -> None:
    (row,) = parse_overrides(GOOD, "own.yaml")
    assert [str(price) for price in row.rates.in_order()] == ["2.50", "None", "None", "10"]
    assert (row.service_tier, row.end_on, row.where) == ("standard", None, "own.yaml: line 1")


def test_packaged_rows_obey_the_schema_and_do_not_overlap() -> None:
    PriceBook((), packaged_overrides())


@pytest.mark.parametrize(
    ("old", "new", "field", "problem", "mend"),
    [
        ("2.50", "-1", "input_usd_per_mtok", "is -1", "list price"),
        ("2.50", "NaN", "input_usd_per_mtok", "is NaN", "list price"),
        ("2.50", "inf", "input_usd_per_mtok", "is Infinity", "list price"),
        ("2.50", "cheap", "input_usd_per_mtok", "'cheap', not a number", "as 2.5"),
        ("2.50", "2500000", "input_usd_per_mtok", "over a dollar a token", "million tokens"),
        ("2.50", "1e-30", "input_usd_per_mtok", "more than 18 decimal places", "round"),
        (
            "output_usd_per_mtok",
            "output_usd_per_ktok",
            "output_usd_per_ktok",
            "not a field",
            "million",
        ),
        (
            "output_usd_per_mtok",
            "output_mtok",
            "output_mtok",
            "not a field",
            "US dollars per million",
        ),
        ("model:", "modle:", "modle", "not a field", "fields are provider, model"),
        ("  source: https://example.org/pricing\n", "", "source", "is missing", "every price row"),
        ("2026-01-01", "01.01.2026", "start_on", "not a date", "YYYY-MM-DD"),
        ("output_usd_per_mtok: 10", "end_on: 2025-12-31", "end_on", "before start_on", "last day"),
        ("output_usd_per_mtok: 10", "service_tier: turbo", "service_tier", "'turbo'", "standard"),
        (
            "output_usd_per_mtok: 10",
            "output_usd_per_mtok: [1]",
            "output_usd_per_mtok",
            "list",
            "one",
        ),
        ("output_usd_per_mtok", "model", "model", "twice", "keep one"),
    ],
)
def test_bad_row_names_line_field_and_mend(
    old: str, new: str, field: str, problem: str, mend: str
) -> None:
    second = GOOD.replace("gpt-4o", "gpt-5").replace(old, new, 1)
    fault = fault_of(GOOD + second)
    assert fault.where == "own.yaml: line 8"
    assert fault.field == field
    assert problem in fault.problem
    assert mend in fault.mend


def test_overlapping_periods_name_both_rows_and_the_date_that_mends_them() -> None:
    fault = fault_of(GOOD + GOOD.replace("2026-01-01", "2026-06-01").replace("openai", "OpenAI"))
    assert fault.where == "own.yaml: line 8"
    assert "overlaps the row at own.yaml: line 1" in fault.problem
    assert "end_on: 2026-05-31" in fault.mend


def test_the_same_row_twice_is_an_overlap() -> None:
    assert "remove one of the two" in fault_of(GOOD + GOOD).mend


@pytest.mark.parametrize(
    "other",
    [
        GOOD.replace("2026-01-01", "2025-01-01").replace(
            "  source", "  end_on: 2025-12-31\n  source"
        ),
        GOOD.replace("  source", "  service_tier: batch\n  source"),
        GOOD.replace("openai", "azure"),
    ],
)
def test_rows_that_never_hold_together_stand_side_by_side(other: str) -> None:
    PriceBook(parse_overrides(GOOD + other, "own.yaml"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a: 1\n", "not a list"), ("- 1\n", "not a row"), ("- a: [\n", "not YAML")],
)
def test_file_of_another_shape_is_refused(text: str, problem: str) -> None:
    assert problem in fault_of(text).problem


def test_empty_file_holds_no_rows() -> None:
    assert parse_overrides("", "own.yaml") == ()


def test_unreadable_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"- provider: caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_overrides(tmp_path / "latin.yaml")
    with pytest.raises(InputError, match="No such file"):
        compile_prices(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="directory"):
        compile_prices(tmp_path)
