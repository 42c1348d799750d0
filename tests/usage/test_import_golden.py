"""Each source's rows, as stored, beside the log they came from; `REGOLD=1` writes them anew."""

import datetime as dt
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from weighbridge.usage.importing import ImportOptions, ImportRequest, import_logs
from weighbridge.usage.sources import SOURCES
from weighbridge.usage.sources.table import read_column_map
from weighbridge.usage.store import open_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
ALWAYS_LEFT_OUT = {"import_id", "prices_digest"}

TABLE = ImportOptions(read_column_map(GOLDEN / "table.map.yaml"))
CASES = {
    "litellm.jsonl": ("litellm", ImportOptions()),
    "azure-llm-2023.csv": ("azure-llm-2023", ImportOptions()),
    "mooncake.jsonl": ("mooncake", ImportOptions(start="2026-01-05T00:00:00+01:00")),
    "table.csv": ("csv", TABLE),
    "openai-usage.json": ("openai-usage", ImportOptions()),
    "anthropic-usage.json": ("anthropic-usage", ImportOptions(tokens_per_request=1500)),
    "openrouter.csv": ("openrouter", ImportOptions()),
    "helicone.jsonl": ("helicone", ImportOptions()),
    "helicone.csv": ("helicone", ImportOptions()),
    "litellm-payload.jsonl": ("litellm-payload", ImportOptions()),
    "langfuse.jsonl": ("langfuse", ImportOptions()),
    "bedrock.jsonl": ("bedrock", ImportOptions()),
    "otel-genai.jsonl": ("otel-genai", ImportOptions()),
    "otel-genai-sdk.json": ("otel-genai", ImportOptions()),
    "azure-llm-2024.csv": ("azure-llm-2024", ImportOptions()),
    "burstgpt.csv": ("burstgpt", ImportOptions(start="2026-01-05T00:00:00+01:00")),
}


def stored_rows(ledger: Path) -> list[dict[str, Any]]:
    parts = [pq.ParquetFile(name).read() for name in open_ledger(ledger).parquet_files]
    found = pa.concat_tables(parts).sort_by(
        [("started_at", "ascending"), ("request_id", "ascending")]
    )
    return [
        {
            name: str(value) if isinstance(value, dt.datetime) or name.endswith("_usd") else value
            for name, value in row.items()
            if name not in ALWAYS_LEFT_OUT and value is not None
        }
        for row in found.to_pylist()
    ]


def imported(into: Path, source: str, *files: Path, options: ImportOptions = TABLE) -> Any:
    chosen = options if SOURCES[source].mapped_by_user else ImportOptions()
    return import_logs(ImportRequest(source, files, into, chosen), now=NOW)


@pytest.mark.parametrize("name", CASES)
def test_rows_are_stored_as_the_golden_file_says(name: str, tmp_path: Path) -> None:
    source, options = CASES[name]
    report = import_logs(ImportRequest(source, (GOLDEN / name,), tmp_path / "l", options), now=NOW)
    manifest = report.manifests[0]
    told = {
        "rows": stored_rows(tmp_path / "l"),
        "assumptions": list(manifest.assumptions),
        "cannot_tell": list(manifest.cannot_tell),
        "unpriced_models": manifest.unpriced_models,
        "rows_failed": manifest.rows_failed,
        **({"rows_left_out": manifest.rows_left_out} if manifest.rows_left_out else {}),
        "rows_from_cache": manifest.rows_from_cache,
        "time_resolution_s": manifest.time_resolution_s,
    }
    golden = GOLDEN / f"{name}.expected.json"
    if os.environ.get("REGOLD"):
        golden.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert told == json.loads(golden.read_text(encoding="utf-8"))


def test_a_query_result_gives_the_same_rows_as_the_export_of_its_rows(tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / "helicone.jsonl.expected.json").read_text(encoding="utf-8"))
    imported(tmp_path / "l", "helicone", GOLDEN / "helicone.json")
    assert stored_rows(tmp_path / "l") == expected["rows"]


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("litellm.json", "litellm.jsonl"),
        ("litellm.csv", "litellm.jsonl"),
        ("langfuse.json", "langfuse.jsonl"),
        ("langfuse.csv", "langfuse.jsonl"),
        ("bedrock-cloudwatch.json", "bedrock.jsonl"),
    ],
)
def test_the_same_log_in_another_format_gives_the_same_rows(
    name: str, like: str, tmp_path: Path
) -> None:
    expected = json.loads((GOLDEN / f"{like}.expected.json").read_text(encoding="utf-8"))
    imported(tmp_path / "l", CASES[like][0], GOLDEN / name)
    assert stored_rows(tmp_path / "l") == expected["rows"]


@pytest.mark.parametrize("name", ["litellm.jsonl", "helicone.jsonl", "helicone.csv"])
def test_no_prompt_is_anywhere_in_the_ledger(name: str, tmp_path: Path) -> None:
    imported(tmp_path / "l", CASES[name][0], GOLDEN / name)
    assert b"SECRET PROMPT" in (GOLDEN / name).read_bytes()
    files = [file for file in (tmp_path / "l").rglob("*") if file.is_file()]
    assert len(files) >= 3
    for file in files:
        data = (
            pq.ParquetFile(file).read().to_pylist()
            if file.suffix == ".parquet"
            else file.read_text()
        )
        assert "SECRET" not in str(data)


def test_parquet_gives_the_same_rows_as_csv(tmp_path: Path) -> None:
    options = pa_csv.ParseOptions(delimiter=";")
    pq.write_table(
        pa_csv.read_csv(GOLDEN / "table.csv", parse_options=options), tmp_path / "t.parquet"
    )
    imported(tmp_path / "a", "parquet", tmp_path / "t.parquet")
    imported(tmp_path / "b", "csv", GOLDEN / "table.csv")
    assert stored_rows(tmp_path / "a") == stored_rows(tmp_path / "b")


def test_langfuses_parquet_gives_the_same_rows_as_its_json(tmp_path: Path) -> None:
    text = (GOLDEN / "langfuse.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    counts = pa.map_(pa.string(), pa.uint64())
    columns = {
        name: pa.array([row[name] for row in rows])
        for name in ("id", "trace_id", "type", "level", "provided_model_name", "prompt_name")
    } | {name: pa.array([row[name] for row in rows]) for name in ("user_id", "trace_name")}
    for name in ("start_time", "end_time", "completion_start_time"):
        told = [row[name] and dt.datetime.fromisoformat(row[name]) for row in rows]
        columns[name] = pa.array(told, pa.timestamp("ms"))
    used = [[(k, int(v)) for k, v in row["usage_details"].items()] for row in rows]
    columns["usage_details"] = pa.array(used, counts)
    spent = [list(row["cost_details"].items()) for row in rows]
    columns["cost_details"] = pa.array(spent, pa.map_(pa.string(), pa.float64()))
    told = [list(row["metadata"].items()) for row in rows]
    columns["metadata"] = pa.array(told, pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table(columns), tmp_path / "observations.parquet")
    imported(tmp_path / "l", "langfuse", tmp_path / "observations.parquet")
    expected = json.loads((GOLDEN / "langfuse.jsonl.expected.json").read_text(encoding="utf-8"))
    assert stored_rows(tmp_path / "l") == expected["rows"]


def test_a_table_is_told_from_its_first_bytes(tmp_path: Path) -> None:
    rows = '{"when": 1759654800000, "what": "gpt-4o-mini", "in": 7, "out": 2, "who": "x",'
    rows += ' "cached": 0, "took": 1, "bill": 0}'
    (tmp_path / "log").write_text(rows)
    report = imported(tmp_path / "l", "table", tmp_path / "log")
    assert report.total("rows_stored") == 1


def test_every_model_in_the_golden_log_is_priced_or_named_as_unpriced(tmp_path: Path) -> None:
    manifest = imported(tmp_path / "l", "litellm", GOLDEN / "litellm.jsonl").manifests[0]
    assert manifest.unpriced_models == {"house-model-1": 1, "(no model named)": 1}
    assert manifest.n_models == 4


def test_equal_rows_without_ids_are_both_kept(tmp_path: Path) -> None:
    report = imported(tmp_path / "l", "azure-llm-2023", GOLDEN / "azure-llm-2023.csv")
    assert report.total("rows_stored") == 4
    ids = [row["request_id"] for row in stored_rows(tmp_path / "l")]
    assert len(set(ids)) == 4


def test_the_real_traces_are_read_whole(shared_traces: Path, tmp_path: Path) -> None:
    report = imported(tmp_path / "a", "azure-llm-2023", shared_traces / "azure2023")
    assert report.total("rows_stored") == 8_819 + 19_366
    report = imported(tmp_path / "m", "mooncake", shared_traces / "mooncake")
    assert report.total("rows_stored") == 12_031


def test_a_packed_copy_is_the_same_import(tmp_path: Path) -> None:
    packed = tmp_path / "other-name.gz"
    packed.write_bytes(gzip.compress((GOLDEN / "litellm.jsonl").read_bytes()))
    first = imported(tmp_path / "l", "litellm", packed)
    again = imported(tmp_path / "l", "litellm", GOLDEN / "litellm.jsonl")
    assert first.total("rows_stored") == 10
    assert again.manifests == ()
    assert again.known_files == (str(GOLDEN / "litellm.jsonl"),)
