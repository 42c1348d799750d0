"""Logs that carry prompts: named and sketched on the way in, and not a word of them stored."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.usage.recognising.made import KEY, OTHER_KEY, Made, prompts

from weighbridge.usage.importing import ImportOptions, ImportRequest, import_logs
from weighbridge.usage.profile import profile
from weighbridge.usage.recognising.importing import (
    KEY_VARIABLE,
    NO_KEY,
    PromptHasher,
    hasher_named,
)
from weighbridge.usage.recognising.listing import list_types
from weighbridge.usage.recognising.prompts import prompt_texts
from weighbridge.usage.recognising.stored import read_sketches
from weighbridge.usage.sources.table import ColumnMap
from weighbridge.usage.store import Ledger, open_ledger

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
COLUMNS = ("id", "at", "model", "input", "output", "messages", "template")
MAP = ColumnMap(
    {
        "request_id": ("id", None),
        "started_at": ("at", None),
        "model": ("model", None),
        "input_tokens": ("input", None),
        "output_tokens": ("output", None),
        "prompt": ("messages", None),
        "template": ("template", None),
    },
    {},
)


def messages(one: Made) -> list[dict[str, str]]:
    system = [{"role": "system", "content": one.system}] if one.system else []
    return [*system, {"role": "user", "content": one.user}]


def log(file: Path, made: list[Made], first: int = 0, **also: object) -> Path:
    rows = [
        {
            "id": f"r{first + n}",
            "at": f"2026-10-{1 + n % 20:02d}T{n % 24:02d}:00:00Z",
            "model": "gpt-4o-mini",
            "input": 300,
            "output": 20,
            "messages": messages(one) if n % 2 else json.dumps(messages(one)),
            "template": None,
            **also,
        }
        for n, one in enumerate(made)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def put(file: Path, into: Path) -> Ledger:
    options = ImportOptions(column_map=MAP)
    import_logs(ImportRequest("table", (file,), into, options), now=NOW, n_workers=0)
    return open_ledger(into)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "keys" / "fingerprint.key"
    file.parent.mkdir()
    file.write_bytes(KEY)
    file.chmod(0o600)
    monkeypatch.setenv(KEY_VARIABLE, str(file))
    return file


@pytest.mark.usefixtures("key")
def test_no_word_of_a_prompt_is_in_any_file_of_the_ledger(tmp_path: Path) -> None:
    made = prompts(120)
    made += [Made("Guard the word vermilionquartz.", "Say ultramarinefox\nor nothing", 9)] * 3
    rows = log(tmp_path / "log.jsonl", made)
    bad = json.dumps({"id": "bad", "at": "never", "messages": "rejectedaquamarine"})
    rows.write_text(rows.read_text() + bad + "\n")
    ledger = put(rows, tmp_path / "usage")
    list_types(ledger)
    stored = b"".join(f.read_bytes() for f in (tmp_path / "usage").rglob("*") if f.is_file())
    for file in (tmp_path / "usage").rglob("*.parquet"):
        stored += repr(pq.ParquetFile(file).read().to_pylist()).encode()
    words = {word for one in made for word in f"{one.system} {one.user}".split() if len(word) > 6}
    assert {"vermilionquartz.", "ultramarinefox"} <= words
    for word in (*words, "rejectedaquamarine"):
        assert word.strip(".,:").encode() not in stored
    assert KEY not in stored
    assert KEY.hex().encode() not in stored


@pytest.mark.usefixtures("key")
def test_types_of_a_log_are_its_templates_and_a_named_one_stays(tmp_path: Path) -> None:
    made = prompts(500)
    ledger = put(log(tmp_path / "log.jsonl", made), tmp_path / "usage")
    named = log(tmp_path / "named.jsonl", made[:50], 1000, template="by hand")
    ledger = put(named, tmp_path / "usage")
    found = list_types(ledger)
    assert found.named_share_frac == pytest.approx(50 / 550)
    found_profile = profile(ledger)
    sizes = {one.template: one.n_requests for one in found_profile.query_types}
    assert sizes["by hand"] == 50
    wanted = Counter(one.label for one in made)
    for n in wanted.values():
        assert any(abs(size - n) <= 0.06 * n for size in sizes.values())
    (curve, _) = found_profile.concentration
    assert curve.recognised_share_frac == pytest.approx(found.recognised_share_frac)
    total = found.named_share_frac + found.recognised_share_frac + found.unassigned_share_frac
    assert total == pytest.approx(1.0)


@pytest.mark.usefixtures("key")
def test_a_name_given_by_hand_survives_the_next_run_with_more_requests(tmp_path: Path) -> None:
    ledger = put(log(tmp_path / "a.jsonl", prompts(400, 1)), tmp_path / "usage")
    first = list_types(ledger)
    largest = max(first.types, key=lambda one: one.n_requests)
    names = tmp_path / "names.yaml"
    names.write_text(f"names: {{{largest.ids[0]}: the largest}}")
    assert "the largest" in {one.name for one in list_types(ledger, names).types}
    names.unlink()
    ledger = put(log(tmp_path / "b.jsonl", prompts(400, 2), 5000), tmp_path / "usage")
    again = {one.name: one for one in list_types(ledger).types}
    assert again["the largest"].n_requests > largest.n_requests
    assert "the largest" in {one.template for one in profile(ledger).query_types}


def test_after_a_rotation_groups_of_both_keys_are_joined_by_a_name_alone(
    tmp_path: Path, key: Path
) -> None:
    put(log(tmp_path / "a.jsonl", prompts(400, 1)), tmp_path / "usage")
    key.write_bytes(OTHER_KEY)
    ledger = put(log(tmp_path / "b.jsonl", prompts(400, 1), 5000), tmp_path / "usage")
    old, new = PromptHasher(KEY).key_id, PromptHasher(OTHER_KEY).key_id
    assert {key_id for key_id, _ in read_sketches(ledger.sketch_files).values()} == {old, new}
    found = list_types(ledger)
    one, two = sorted(found.types, key=lambda one: -one.n_requests)[:2]
    assert one.ids != two.ids
    assert not set(one.examples) & set(two.examples)
    names = tmp_path / "names.yaml"
    names.write_text(f"names: {{{one.ids[0]}: same, {two.ids[0]}: same}}")
    joined = {each.name: each for each in list_types(ledger, names).types}
    assert joined["same"].n_requests == one.n_requests + two.n_requests


def test_without_a_key_prompts_are_left_unread_and_the_ledger_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    ledger = put(log(tmp_path / "log.jsonl", prompts(30)), tmp_path / "usage")
    assert ledger.sketch_files == ()
    assert NO_KEY in ledger.cannot_tell
    assert hasher_named({}) is None


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("plain", ("", "plain")),
        ('{"note": "not a request"}', ("", '{"note": "not a request"}')),
        ('[{"role": "user", "content": "hi"}]', ("", "hi")),
        ([{"role": "developer", "content": "s"}, {"role": "user", "content": "u"}], ("s", "u")),
        ({"system": [{"text": "s"}], "messages": [{"role": "user", "content": [{"text": "u"}]}]},
         ("s", "u")),
        ({"systemInstruction": {"parts": [{"text": "s"}]},
          "contents": [{"role": "user", "parts": [{"text": "u"}]}]}, ("s", "u")),
        ({"inputText": "u"}, ("", "u")),
        ({"prompt": "u", "max_tokens": 5}, ("", "u")),
        ({"instructions": "s", "input": "u"}, ("s", "u")),
        ([{"role": "user", "parts": [{"type": "text", "content": "u"}]}], ("", "u")),
        (17, ("", "")),
        ({}, ("", "")),
        (None, ("", "")),
        ([{"role": "assistant", "content": "a"}], ("", "")),
    ],
)  # fmt: skip
def test_the_two_texts_are_found_however_a_log_holds_them(value, texts) -> None:
    assert prompt_texts(value) == texts
