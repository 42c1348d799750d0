"""What an error prints of a file's first line, and what is never stored of a key."""

import json
from pathlib import Path

import pytest
from tests.usage.made_imports import imported, stored_rows

from weighbridge.units import InputError
from weighbridge.usage.detect import detect
from weighbridge.usage.log_files import LogFile
from weighbridge.usage.shown_names import is_secret, shown_names

ROW = "gen,2026-10-01,SECRET my number is 123,sk-live-abcdef,55\n"


@pytest.mark.parametrize("source", ["openrouter", "litellm", "helicone"])
def test_a_first_line_without_header_is_not_printed(source: str, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text(ROW * 3)
    with pytest.raises(InputError, match="5 columns, which look like a row") as caught:
        imported(tmp_path / "l", source, file)
    assert "SECRET" not in str(caught.value)
    assert "sk-live" not in str(caught.value)


def test_detection_does_not_print_it_either(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text(ROW)
    refusal = str(detect(LogFile("log.csv", file)).refusal())
    assert "is the header missing?" in refusal
    assert "SECRET" not in refusal


def test_names_that_are_no_identifiers_are_counted_and_the_others_shown() -> None:
    assert shown_names(["who", "Kosten", "Größe", "cost ($)"], 2) == "who, Kosten, ... (2 more)"
    assert shown_names([], 2) == "(none)"


@pytest.mark.parametrize("text", ["sk-proj-abc", "Bearer abc", "AKIAABCDEF", "gsk_abc"])
def test_keys_are_told_from_ids(text: str) -> None:
    assert is_secret(text)
    assert shown_names(["who", text], 9).startswith("2 columns")
    assert not is_secret("team " + text)


@pytest.mark.parametrize(
    ("key", "held"),
    [("sk-live-abc", None), ("88dc28d0f0", "88dc28d0f0"), ("task-force", "task-force")],
)
def test_a_key_itself_is_never_stored_as_a_tenant(
    key: str, held: str | None, tmp_path: Path
) -> None:
    row = {
        "request_id": "X",
        "api_key": key,
        "startTime": "2026-10-05T23:59:00Z",
        "prompt_tokens": 10,
        "completion_tokens": 1,
        "model": "gpt-4o",
        "status": "success",
    }
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(row) + "\n")
    imported(tmp_path / "l", "litellm", file)
    assert stored_rows(tmp_path / "l")[0].get("tenant") == held


def test_a_column_that_no_map_can_name_is_not_told_to_be_mapped(tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    file.write_text(json.dumps([{"id": "a", "startTime": "2026-10-05T23:59:00Z"}]))
    with pytest.raises(InputError, match="export the log again with type") as caught:
        imported(tmp_path / "l", "langfuse", file)
    assert "--map" not in str(caught.value)
