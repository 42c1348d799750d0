"""Request ids that come again, on the same day or another."""

import json
from pathlib import Path

import pytest
from tests.usage.made_imports import imported, stored_rows

from weighbridge.usage import duplicates

ROW = {
    "request_id": "X",
    "prompt_tokens": 10,
    "completion_tokens": 1,
    "model": "gpt-4o",
    "custom_llm_provider": "openai",
    "status": "success",
    "call_type": "c",
}


def log(folder: Path, *days: int) -> Path:
    """A log of requests of one id each day."""
    file = folder / f"{'-'.join(map(str, days))}.jsonl"
    rows = [{**ROW, "startTime": f"2026-10-{day:02}T23:59:00Z"} for day in days]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = json.dumps({**rows[0], "request_id": file.name})
    file.write_text(file.read_text() + other + "\n")
    return file


@pytest.mark.parametrize(("day", "most_ids"), [(6, 10**6), (20, 10**6), (6, 0), (4, 0)])
def test_an_id_seen_on_another_day_is_not_stored_again(
    day: int, most_ids: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "MOST_IDS", most_ids)
    imported(tmp_path / "l", "litellm", log(tmp_path, 5))
    report = imported(tmp_path / "l", "litellm", log(tmp_path, day))
    assert report.total("rows_rejected") == 1
    held = [
        row["started_at"].day for row in stored_rows(tmp_path / "l") if row["request_id"] == "X"
    ]
    assert held == [5]


def test_of_a_ledger_too_large_to_look_through_only_days_around_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "MOST_IDS", 0)
    imported(tmp_path / "l", "litellm", log(tmp_path, 5))
    report = imported(tmp_path / "l", "litellm", log(tmp_path, 20))
    assert report.total("rows_rejected") == 0
