"""Damaged logs of every kind: refused whole with nothing written, or every row accounted for."""

import contextlib
import csv
import datetime as dt
import io
import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.units import InputError
from weighbridge.usage.bills import read_bill
from weighbridge.usage.detect import detect, told
from weighbridge.usage.importing import ImportOptions, ImportReport, ImportRequest, import_logs
from weighbridge.usage.log_files import LogFile
from weighbridge.usage.store import open_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
SECRET = "SECRET"

SOURCES = {
    "litellm.jsonl": "litellm",
    "litellm.csv": "litellm",
    "azure-llm-2023.csv": "azure-llm-2023",
    "mooncake.jsonl": "mooncake",
    "openai-usage.json": "openai-usage",
    "anthropic-usage.json": "anthropic-usage",
    "openrouter.csv": "openrouter",
    "helicone.jsonl": "helicone",
    "helicone.json": "helicone",
    "helicone.csv": "helicone",
    "litellm-payload.jsonl": "litellm-payload",
    "langfuse.jsonl": "langfuse",
    "bedrock.jsonl": "bedrock",
    "otel-genai.jsonl": "otel-genai",
    "otel-genai-sdk.json": "otel-genai",
    "azure-llm-2024.csv": "azure-llm-2024",
    "burstgpt.csv": "burstgpt",
    "langfuse.json": "langfuse",
    "langfuse.csv": "langfuse",
    "bedrock-cloudwatch.json": "bedrock",
}

VALUES = st.sampled_from(
    [
        *("-1", "null", "true", '""', "[]", "{}", '"SECRET"', "1e999", "NaN", "1.5", "0"),
        *('"1.234,56"', '"1.000"', '"12,5"', "99999999999999999999", "4102444800", '"\\ud800"'),
        *('"2126-01-01T00:00:00Z"', '"2026-10-01T00:00:00"', '"2026-10-01"', "9" * 5000),
    ]
)
PLACE = st.floats(0, 1, exclude_max=True)


@st.composite
def damages(draw):
    """A function that damages bytes in one way."""
    kind = draw(st.sampled_from(["cut", "flip", "drop", "repeat", "insert", "value", "value"]))
    place, length = draw(PLACE), draw(st.integers(1, 40))
    junk = draw(st.binary(min_size=1, max_size=6))
    value = draw(VALUES).encode()

    def damage(data: bytes) -> bytes:
        at = int(place * len(data))
        lines = data.splitlines(keepends=True) or [b"\n"]
        row = int(place * len(lines))
        before, line, after = lines[:row], lines[row], lines[row + 1 :]
        harmed = {
            "cut": data[:at],
            "flip": data[:at] + junk + data[at + len(junk) :],
            "drop": data[:at] + data[at + length :],
            "insert": data[:at] + junk + data[at:],
            "repeat": b"".join([*before, line, line, *after]),
            "value": b"".join([*before, _with_value(line, place, value), *after]),
        }
        return harmed[kind]

    return damage


def _with_value(line: bytes, place: float, value: bytes) -> bytes:
    """The line with one number or word after a colon or comma replaced."""
    marks = [at for at, byte in enumerate(line) if byte in b":,"]
    if not marks:
        return line
    at = marks[int(place * 7919) % len(marks)] + 1
    end = next((k for k in range(at, len(line)) if line[k] in b",}\n"), len(line))
    return line[:at] + value + line[end:]


def run(folder: Path, name: str, data: bytes) -> ImportReport:
    (folder / name).write_bytes(data)
    options = ImportOptions(tokens_per_request=1500 if "anthropic" in name else None)
    request = ImportRequest(SOURCES[name], (folder / name,), folder / "ledger", options)
    return import_logs(request, now=NOW, n_workers=0)


def check_counts(folder: Path, report: ImportReport) -> None:
    manifest = report.manifests[0]
    parts = [pq.ParquetFile(file).read() for file in open_ledger(folder / "ledger").parquet_files]
    assert sum(part.num_rows for part in parts) == manifest.rows_stored
    listed = [
        row
        for file in (folder / "ledger").glob("rejects/*.csv")
        for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    ]
    assert len(listed) == manifest.rows_rejected
    assert manifest.rows_read == (
        manifest.rows_stored + manifest.rows_duplicate + manifest.rows_rejected
    )
    assert sum(manifest.rejected_by_reason.values()) == manifest.rows_rejected
    ids = [row for part in parts for row in part["request_id"].to_pylist()]
    assert len(set(ids)) == len(ids)


def check_no_content(folder: Path) -> None:
    for file in (folder / "ledger").rglob("*"):
        if file.suffix in {".csv", ".json"}:
            assert SECRET not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=15, deadline=None)
@given(harm=st.lists(damages(), min_size=1, max_size=3))
def test_a_damaged_log_is_refused_whole_or_every_row_is_accounted_for(name, harm):
    data = (GOLDEN / name).read_bytes()
    for damage in harm:
        data = damage(data)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        try:
            report = run(folder, name, data)
        except InputError:
            assert not (folder / "ledger").exists()
            return
        check_counts(folder, report)
        check_no_content(folder)
        if name.endswith(".jsonl") and SOURCES[name] != "otel-genai":  # of many spans a line
            n_lines = sum(
                bool(line.strip()) for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
            )
            manifest = report.manifests[0]
            assert manifest.rows_read + manifest.rows_left_out == n_lines


BILLS = [file.name for file in sorted((GOLDEN.parent / "bills").iterdir())]


@pytest.mark.parametrize("name", [*SOURCES, *(f"../bills/{name}" for name in BILLS)])
@settings(max_examples=15, deadline=None)
@given(harm=st.lists(damages(), min_size=1, max_size=3))
def test_a_damaged_file_is_told_or_refused_and_a_bill_is_read_whole_or_not(name, harm):
    data = (GOLDEN / name).read_bytes()
    for damage in harm:
        data = damage(data)
    with tempfile.TemporaryDirectory() as where:
        file = Path(where) / "file"
        file.write_bytes(data)
        with contextlib.suppress(InputError):
            assert told(detect(LogFile("file", file)))
        with contextlib.suppress(InputError):
            assert all(line.usd.is_finite() for line in read_bill(file))


@settings(max_examples=15, deadline=None)
@given(
    results=st.lists(
        st.tuples(
            st.integers(0, 50), st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 10**4)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_bucket_becomes_as_many_requests_with_the_very_same_sums(results):
    buckets = [
        {
            "start_time": 1790812800 + 3600 * hour,
            "end_time": 1790816400 + 3600 * hour,
            "results": [
                {
                    "input_tokens": tokens,
                    "input_cached_tokens": int(share * tokens),
                    "output_tokens": output,
                    "num_model_requests": n,
                    "model": "gpt-4o-mini",
                }
            ],
        }
        for hour, (n, tokens, share, output) in enumerate(results)
    ]
    used = [one for one in results if one[0]]
    idle = [n for n, tokens, _, output in results if not n and tokens + output]
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        page = json.dumps({"data": buckets, "has_more": False}).encode()
        if not used:
            with pytest.raises(InputError):
                run(folder, "openai-usage.json", page)
            return
        report = run(folder, "openai-usage.json", page)
        check_counts(folder, report)
        manifest = report.manifests[0]
        assert manifest.rows_stored == sum(n for n, *_ in used)
        assert manifest.rows_rejected == len(idle)
        parts = [pq.ParquetFile(f).read() for f in open_ledger(folder / "ledger").parquet_files]
        names = ("uncached_input_tokens", "cache_read_tokens", "output_tokens")
        sums = [sum(sum(part[name].to_pylist()) for part in parts) for name in names]
        cached = sum(int(share * tokens) for _, tokens, share, _ in used)
        assert sums == [sum(one[1] for one in used) - cached, cached, sum(one[3] for one in used)]
        for part in parts:
            for at in part["started_at"].to_pylist():
                assert buckets[0]["start_time"] <= at.timestamp() < buckets[-1]["end_time"]
