from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weighbridge.cli.prices import prices
from weighbridge.units import InputError

OWN = """\
- provider: openai
  model: gpt-4o
  start_on: 2026-11-01
  input_usd_per_mtok: 1
  output_usd_per_mtok: 4
  source: our contract
  checked_on: 2026-11-02
"""


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(prices, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.output.splitlines()) <= 100 or "--json" in words
    return result


def lines_with(output: str, *words: str) -> list[list[str]]:
    return [
        line.split() for line in output.splitlines() if all(word in line.split() for word in words)
    ]


def test_show_tells_every_tier_with_its_date_source_and_what_is_left_out() -> None:
    output = run("show", "gpt-4o").output
    assert lines_with(output, "standard") == [
        ["standard", "first", "known", "all", "day", "2.5", "1.25", "2.5", "10"]
    ]
    assert lines_with(output, "batch", "2026-10-14", "1.25", "5")
    assert "Source: genai-prices" in output
    assert "Not in these prices: storage_searches_kcount" in output


def test_show_on_a_day_tells_hours_and_long_prompts() -> None:
    output = run("show", "deepseek-v4-flash", "--on", "2026-11-01").output
    assert lines_with(output, "01:00-04:00", "0.3", "1.2")
    assert lines_with(run("show", "gemini-2.5-pro").output, "standard", "200,000", "2.5", "15")


def test_show_takes_own_rows(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN, "utf-8")
    output = run("show", "gpt-4o", "--prices", tmp_path / "own.yaml").output
    assert lines_with(output, "standard", "2026-11-01", "1", "4")
    assert "Source: our contract, last dated 2026-11-02" in output


def test_show_of_an_unknown_model_says_what_to_do() -> None:
    with pytest.raises(InputError, match="no provider given for 'mystery'"):
        run("show", "mystery")


@pytest.mark.parametrize("words", [("show",), ("show", "gpt-4o", "--all")])
def test_show_wants_one_model_or_all(words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="one of MODEL and --all"):
        run(*words)


def test_exported_prices_can_be_compared_with_a_date(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN, "utf-8")
    for name, extra in (("old.json", ()), ("new.json", ("--prices", tmp_path / "own.yaml"))):
        text = run("show", "gpt-4o", "--json", "--on", "2026-11-20", *extra).output
        assert json.loads(text)["format"] == "weighbridge-prices-1"
        (tmp_path / name).write_text(text, "utf-8")
    output = run("diff", tmp_path / "old.json", tmp_path / "new.json").output
    assert "1 prices differ" in output
    assert "2.5 → 1" in output
    assert "10 → 4" in output
    same = run("diff", tmp_path / "old.json", tmp_path / "old.json").output
    assert same.startswith("No price differs")


def test_all_prices_of_a_day_export_and_read_back(tmp_path: Path) -> None:
    text = run("show", "--all", "--json", "--on", "2026-11-20").output
    (tmp_path / "all.json").write_text(text, "utf-8")
    assert len(json.loads(text)["rows"]) > 2_000
    assert "No price differs" in run("diff", tmp_path / "all.json", "2026-11-20").output


def test_diff_of_two_dates_tells_what_is_new_and_what_changed() -> None:
    output = run("diff", "2026-10-10", "2026-11-20").output
    assert lines_with(output, "changed", "avian")
    assert lines_with(output, "new", "anthropic")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not json", "cannot be read as JSON"),
        ("{}", "is not weighbridge-prices-1"),
        ('{"format": "weighbridge-prices-1"}', "rows: is not a list"),
        ('{"format": "weighbridge-prices-1", "rows": [{"a": 1}]}', "row 1: is not a price row"),
    ],
)
def test_diff_of_a_file_of_another_shape_says_so(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=problem):
        run("diff", tmp_path / "x.json", "2026-11-20")


def test_diff_of_neither_file_nor_date_says_so() -> None:
    with pytest.raises(InputError, match="neither a file nor a date"):
        run("diff", "yesterday", "2026-11-20")


def test_check_shows_disagreements_and_ages(tmp_path: Path) -> None:
    entry = {"litellm_provider": "openai", "input_cost_per_token": 3e-06}
    agreed = {"litellm_provider": "openai", "output_cost_per_token": 0.0000006}
    unknown = {"litellm_provider": "acme", "input_cost_per_token": 1e-06}
    theirs = {"gpt-4o": entry, "gpt-4o-mini": agreed, "acme/x": unknown}
    (tmp_path / "map.json").write_text(json.dumps(theirs), "utf-8")
    output = run("check", "--against", tmp_path / "map.json", "--on", "2026-11-20").output
    flat = " ".join(output.split())
    assert "2 prices of 2 entries that both list, 50.0% agree, 1 differ" in flat
    assert "1 entries with token prices are only there" in flat
    assert lines_with(output, "openai", "gpt-4o", "input", "2.5", "3")
    assert "ships no date of last check" in flat


def test_check_counts_stale_rows_by_the_days_given(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("{}", "utf-8")
    base = ("check", "--against", tmp_path / "map.json", "--on", "2026-11-20", "--stale-days")
    few, many = (run(*base, days).output for days in ("3000", "1"))
    assert "0 of 2," in few
    assert "0 of 2," not in many


def test_check_without_a_second_list_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.catalog.price_check.installed_price_map", lambda: None)
    assert "--against FILE" in run("check", "--on", "2026-11-20").output


@pytest.mark.parametrize("text", ["[", "[]", '{"gpt-4o": 1}'])
def test_check_against_another_kind_of_file_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"map\.json"):
        run("check", "--against", tmp_path / "map.json")
