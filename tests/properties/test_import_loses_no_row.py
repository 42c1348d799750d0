"""Rows read = stored + duplicates + rejected, whatever happens to a log."""

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.units import InputError
from weighbridge.usage.importing import ImportRequest, import_logs
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
GOOD = {
    "request_id": "good",
    "startTime": "2026-10-01T00:00:00Z",
    "endTime": "2026-10-01T00:00:01Z",
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "model": "gpt-4o",
    "custom_llm_provider": "openai",
    "metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": 1}}},
}

scraps = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["2026-10-01", "2026-10-01T00:00:00", "7", "-1", "1e3", "nan", "success"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def rows(draw: st.DrawFn) -> str:
    """A row of a log with some of its fields replaced, then perhaps torn."""
    row: dict[str, Any] = {**GOOD, "request_id": draw(st.sampled_from("abcdefgh"))}
    for name in draw(st.lists(st.sampled_from(list(GOOD)), max_size=2)):
        row[name] = draw(scraps)
    text = json.dumps(row)
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    return text.replace("\n", " ")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(rows(), min_size=1, max_size=12), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_every_row_is_stored_a_duplicate_or_rejected(lines: list[str], end: str) -> None:
    first = json.dumps(GOOD)
    n_rows = 1 + sum(1 for line in lines if line.strip())
    with tempfile.TemporaryDirectory() as folder:
        log, into = Path(folder) / "log.jsonl", Path(folder) / "ledger"
        log.write_text(end.join([first, *lines]) + end, encoding="utf-8")
        report = import_logs(ImportRequest("litellm", (log,), into), now=NOW)
        (manifest,) = report.manifests
        assert manifest.rows_read == n_rows
        assert manifest.rows_read == (
            manifest.rows_stored + manifest.rows_duplicate + manifest.rows_rejected
        )
        assert sum(manifest.rejected_by_reason.values()) == manifest.rows_rejected
        ledger = open_ledger(into)
        ids = [
            one
            for name in ledger.parquet_files
            for one in pq.ParquetFile(name).read(["request_id"])["request_id"].to_pylist()
        ]
        assert len(ids) == len(set(ids)) == manifest.rows_stored
        listed = list((into / "rejects").glob("*.csv"))
        n_listed = sum(len(file.read_text().splitlines()) - 1 for file in listed)
        assert n_listed == manifest.rows_rejected


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_a_refusal_writes_nothing(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log, into = Path(folder) / "log", Path(folder) / "ledger"
        log.write_bytes(
            b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,2\n" + data
        )
        try:
            report = import_logs(ImportRequest("azure-llm-2023", (log,), into), now=NOW)
        except InputError:
            assert not into.exists()
        else:
            assert report.total("rows_stored") >= 1
