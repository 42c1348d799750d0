"""Faulty rows: counted, named by line, field and reason, hashed, never quoted, never dropped."""

import csv
import datetime as dt
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weighbridge.units import InputError, TooManyRejectsError
from weighbridge.usage.importing import ImportOptions, ImportReport, ImportRequest, import_logs
from weighbridge.usage.sources.table import read_column_map
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
MAPS = (
    "request_id=id",
    "started_at=at",
    "input_tokens=input",
    "output_tokens=output",
    "reported_cost_usd=cost",
    "currency=currency",
    "latency_s=took",
    "ended_at=end",
    "status=status",
    "model=model",
)
GOOD: dict[str, Any] = {
    "id": "a",
    "at": "2026-10-01T10:00:00Z",
    "input": 100,
    "cached": 10,
    "output": 20,
    "reasoning": 5,
    "cost": 0.5,
    "currency": "USD",
    "took": 1.5,
    "end": "2026-10-01T10:00:02Z",
    "status": "ok",
    "model": "gpt-4o",
}
MAP_FILE = """
cache_read_tokens: cached
reasoning_tokens: reasoning
input_includes_cache: true
"""


def run(folder: Path, lines: list[str], **options: Any) -> ImportReport:
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "map.yaml").write_text(MAP_FILE)
    told = ImportOptions(read_column_map(folder / "map.yaml", MAPS), **options)
    return import_logs(
        ImportRequest("jsonl", (folder / "log.jsonl",), folder / "ledger", told), now=NOW
    )


def rejects_file(folder: Path) -> list[dict[str, str]]:
    (file,) = (folder / "ledger" / "rejects").iterdir()
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


FOREIGN = "is written as another country writes numbers"
FAULTS = {
    "negative tokens": ({"input": -1}, "input_tokens", "is negative"),
    "cached above input": (
        {"cached": 101},
        "cache_read_tokens",
        "cached tokens are above input tokens",
    ),
    "reasoning above output": ({"reasoning": 21}, "reasoning_tokens", "is above output tokens"),
    "no input": ({"input": None}, "input_tokens", "is missing"),
    "no id": ({"id": ""}, "request_id", "is missing"),
    "no instant": ({"at": None}, "started_at", "is missing"),
    "half a token": ({"output": 1.5}, "output_tokens", "is not a whole number"),
    "a word for a number": ({"output": "many"}, "output_tokens", "is not a number"),
    "true for a number": ({"output": True}, "output_tokens", "is not a number"),
    "a list for a number": ({"output": [1]}, "output_tokens", "is not a number"),
    "absurd tokens": ({"output": 10**15}, "output_tokens", "is impossibly large"),
    "beyond 64 bits": ({"output": 10**30}, "output_tokens", "is impossibly large"),
    "naive instant": ({"at": "2026-10-01T10:00:00"}, "started_at", "has no time zone"),
    "thousands with a point": ({"output": "1.000"}, "output_tokens", FOREIGN),
    "thousands with a comma": ({"output": "1,000"}, "output_tokens", FOREIGN),
    "thousands with a space": ({"output": "1\u202f000"}, "output_tokens", FOREIGN),
    "a german number": ({"output": "1.234,56"}, "output_tokens", FOREIGN),
    "a decimal comma in a cost": ({"cost": "0,5"}, "reported_cost_usd", FOREIGN),
    "no date": ({"at": "yesterday"}, "started_at", "is not a date and time"),
    "unit unknown": ({"at": 1790000000}, "started_at", "is a number without a unit"),
    "tomorrow": ({"at": "2026-11-22T10:00:00Z", "end": None}, "started_at", "lies in the future"),
    "1970": ({"at": "1970-01-01T00:00:01Z"}, "started_at", "lies before 2015"),
    "ends first": ({"end": "2026-10-01T09:00:00Z"}, "ended_at", "lies before the start"),
    "euros": ({"currency": "EUR"}, "currency", "is not USD"),
    "negative cost": ({"cost": -1}, "reported_cost_usd", "is negative"),
    "infinite latency": ({"took": float("inf")}, "latency_s", "is not a finite number"),
    "nan cost": ({"cost": float("nan")}, "reported_cost_usd", "is not a finite number"),
    "strange status": ({"status": "meh"}, "status", "is not a known word"),
    "text is an object": ({"model": {"a": 1}}, "model", "is not text"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_row_is_rejected_with_line_field_reason_and_hash(
    case: str, tmp_path: Path
) -> None:
    change, field, reason = FAULTS[case]
    faulty = json.dumps({**GOOD, "id": "b", **change})
    report = run(tmp_path, [json.dumps(GOOD), faulty])
    digest = hashlib.sha256(faulty.encode()).hexdigest()
    told = {"line": "2", "field": field, "reason": reason, "row_sha256": digest}
    assert rejects_file(tmp_path) == [told]
    assert (report.total("rows_read"), report.total("rows_stored")) == (2, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "b", ', "is not JSON"),
        ("[1, 2]", "is not a JSON object"),
        ('"text"', "is not a JSON object"),
        ('{"id": "b"} {"id": "c"}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_rejected(line: str, reason: str, tmp_path: Path) -> None:
    run(tmp_path, [json.dumps(GOOD), line, "", json.dumps({**GOOD, "id": "d"})])
    assert [(r["line"], r["reason"]) for r in rejects_file(tmp_path)] == [("2", reason)]


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    run(tmp_path, ["", json.dumps(GOOD), "", json.dumps({**GOOD, "id": "b", "input": -1})])
    assert [reject["line"] for reject in rejects_file(tmp_path)] == ["4"]


def test_a_line_of_ten_megabytes_is_rejected_by_its_number(tmp_path: Path) -> None:
    huge = json.dumps({**GOOD, "id": "b", "prompt": "x" * 10_000_000})
    report = run(tmp_path, [json.dumps(GOOD), huge, json.dumps({**GOOD, "id": "c"})])
    digest = hashlib.sha256(huge.encode()).hexdigest()
    assert [(r["line"], r["reason"], r["row_sha256"]) for r in rejects_file(tmp_path)] == [
        ("2", "the row is over 8 MiB", digest)
    ]
    assert report.total("rows_stored") == 2


def test_a_csv_row_of_ten_megabytes_is_rejected_by_its_number(tmp_path: Path) -> None:
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03,1,2"]
    rows += ["2023-11-16 18:17:04," + "9" * 10_000_000 + ",2", "2023-11-16 18:17:05,3,4"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    request = ImportRequest("azure-llm-2023", (tmp_path / "log.csv",), tmp_path / "ledger")
    assert import_logs(request, now=NOW).total("rows_stored") == 2
    assert [reject["line"] for reject in rejects_file(tmp_path)] == ["3"]


def test_csv_rows_of_another_width_and_torn_quotes_are_rejected(tmp_path: Path) -> None:
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03,1,2"]
    rows += ["2023-11-16 18:17:04,1", '2023-11-16 18:17:05,"1"x,2', "2023-11-16 18:17:06,3,4"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    request = ImportRequest("azure-llm-2023", (tmp_path / "log.csv",), tmp_path / "ledger")
    report = import_logs(request, now=NOW)
    assert [(r["line"], r["reason"]) for r in rejects_file(tmp_path)] == [
        ("3", "the number of cells differs from the header"),
        ("4", "is not readable as CSV"),
    ]
    assert (report.total("rows_read"), report.total("rows_stored")) == (4, 2)


def test_the_same_id_with_other_content_is_rejected_and_with_the_same_counted(
    tmp_path: Path,
) -> None:
    other = json.dumps({**GOOD, "output": 21})
    lines = [json.dumps(GOOD), json.dumps(GOOD), other, json.dumps({**GOOD, "id": "b"})]
    report = run(tmp_path, lines)
    assert report.total("rows_duplicate") == 1
    assert report.total("rows_stored") == 2
    (reject,) = rejects_file(tmp_path)
    assert (reject["line"], reject["field"]) == ("3", "request_id")
    assert reject["row_sha256"] == hashlib.sha256(other.encode()).hexdigest()


def test_an_overlapping_export_adds_only_new_requests(tmp_path: Path) -> None:
    run(tmp_path, [json.dumps({**GOOD, "id": name}) for name in "abc"])
    report = run(tmp_path, [json.dumps({**GOOD, "id": name}) for name in "bcde"])
    assert (report.total("rows_duplicate"), report.total("rows_stored")) == (2, 2)
    parts = [pq.ParquetFile(name).read() for name in open_ledger(tmp_path / "ledger").parquet_files]
    assert sorted(pa.concat_tables(parts)["request_id"].to_pylist()) == list("abcde")


def test_a_later_export_that_contradicts_the_ledger_is_rejected(tmp_path: Path) -> None:
    run(tmp_path, [json.dumps(GOOD)])
    report = run(tmp_path, [json.dumps({**GOOD, "output": 99}), json.dumps({**GOOD, "id": "z"})])
    assert report.rejected_by_reason() == {
        "request_id: the id was seen before, with other content": 1
    }


def test_rows_without_ids_are_told_apart_across_overlapping_exports(tmp_path: Path) -> None:
    header, row = "TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03,1,2"
    (tmp_path / "one.csv").write_text("\n".join([header, row, row]) + "\n")
    (tmp_path / "two.csv").write_text("\n".join([header, row, row, row]) + "\n")
    for name, stored in (("one.csv", 2), ("two.csv", 1)):
        request = ImportRequest("azure-llm-2023", (tmp_path / name,), tmp_path / "ledger")
        assert import_logs(request, now=NOW).total("rows_stored") == stored


def test_over_one_percent_rejected_raises_after_storing(tmp_path: Path) -> None:
    lines = [json.dumps({**GOOD, "id": str(number)}) for number in range(99)]
    report = run(tmp_path, [*lines, json.dumps({**GOOD, "id": "x", "input": -1})])
    report.raise_if_too_many_rejects()  # 1 of 100 is not more than 1 %
    (tmp_path / "more").mkdir()
    report = run(tmp_path / "more", [*lines, *[json.dumps({**GOOD, "input": -1})] * 2])
    with pytest.raises(TooManyRejectsError, match="2 x input_tokens: is negative") as caught:
        report.raise_if_too_many_rejects()
    assert caught.value.exit_code == 3
    assert open_ledger(tmp_path / "more" / "ledger").n_rows == 99


def test_a_timezone_is_used_for_instants_without_one(tmp_path: Path) -> None:
    at = {"at": "2026-10-01T12:00:00", "end": "2026-10-01T12:00:01"}
    run(tmp_path, [json.dumps({**GOOD, **at})], timezone="Europe/Berlin")
    (name,) = open_ledger(tmp_path / "ledger").parquet_files
    (row,) = pq.ParquetFile(name).read().to_pylist()
    assert row["started_at"] == dt.datetime(2026, 10, 1, 10, tzinfo=dt.UTC)


def test_an_hour_that_exists_twice_is_rejected(tmp_path: Path) -> None:
    twice = {"at": "2026-10-25T02:30:00", "end": None}
    lines = [json.dumps(GOOD), json.dumps({**GOOD, "id": "b", **twice})]
    run(tmp_path, lines, timezone="Europe/Berlin")
    (reject,) = rejects_file(tmp_path)
    assert reject["reason"] == "does not exist, or exists twice, in the time zone"


def test_rejects_hold_no_content_even_of_a_wrong_column(tmp_path: Path) -> None:
    run(tmp_path, [json.dumps(GOOD), json.dumps({**GOOD, "id": "b", "output": "my secret"})])
    for file in (tmp_path / "ledger").rglob("*"):
        assert not file.is_file() or b"secret" not in file.read_bytes()


def test_a_log_of_only_failures_is_imported_and_counted(tmp_path: Path) -> None:
    report = run(tmp_path, [json.dumps({**GOOD, "id": i, "status": "failed"}) for i in "ab"])
    assert report.total("rows_failed") == report.total("rows_stored") == 2


def test_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,2\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    report = import_logs(ImportRequest("azure-llm-2023", ("-",), tmp_path / "l"), now=NOW)
    assert (report.total("rows_stored"), report.manifests[0].file_name) == (1, "-")


def test_zstd_is_read_and_a_truncated_one_refused(tmp_path: Path) -> None:
    text = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,2\n"
    with pa.CompressedOutputStream(str(tmp_path / "log.csv.zst"), "zstd") as stream:
        stream.write(text)
    good = ImportRequest("azure-llm-2023", (tmp_path,), tmp_path / "ledger")
    assert import_logs(good, now=NOW).total("rows_stored") == 1
    (tmp_path / "half.csv.zst").write_bytes((tmp_path / "log.csv.zst").read_bytes()[:-12])
    with pytest.raises(InputError, match="half"):
        import_logs(
            ImportRequest("azure-llm-2023", (tmp_path / "half.csv.zst",), tmp_path / "m"), now=NOW
        )


def test_files_in_processes_of_their_own_give_the_same_ledger(tmp_path: Path) -> None:
    golden = Path(__file__).resolve().parents[1] / "golden" / "import" / "litellm.jsonl"
    digests = []
    for n_workers, name in ((0, "a"), (1, "b")):
        request = ImportRequest("litellm", (golden,), tmp_path / name)
        import_logs(request, now=NOW, n_workers=n_workers)
        digests.append(open_ledger(tmp_path / name).digest)
    assert digests[0] == digests[1]
