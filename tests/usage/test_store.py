"""The ledger directory: what opens, what counts, what is swept."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weighbridge.ledger.record import COLUMN_NAMES, COLUMNS
from weighbridge.units import InputError
from weighbridge.usage.store import (
    SCHEMA,
    Manifest,
    live_manifests,
    locked,
    open_ledger,
    sweep,
    write_table,
)

START = dt.datetime(2026, 10, 1, 23, 30, tzinfo=dt.UTC)


def table(n: int = 4, first: int = 0) -> pa.Table:
    """Rows half an hour apart, with a value in every column."""
    values = {
        "string": lambda i: f"s{i}",
        "int64": lambda i: i,
        "float64": lambda i: i / 4,
        "bool": lambda i: i % 2 == 0,
        "timestamp_us_utc": lambda i: START + dt.timedelta(minutes=30 * i),
        "decimal_18_12": lambda i: Decimal(i).scaleb(-12),
    }
    rows = range(first, first + n)
    return pa.table(
        {
            c.name: pa.array([values[c.type](i) for i in rows], SCHEMA.field(c.name).type)
            for c in COLUMNS
            if c.name != "import_id"
        }
    )


def test_rows_written_are_the_rows_read(tmp_path: Path) -> None:
    manifest = write_table(tmp_path / "l", table(), "made", ["tenant: none"])
    ledger = open_ledger(tmp_path / "l")
    read = pa.concat_tables([pq.ParquetFile(name).read() for name in ledger.parquet_files])
    assert tuple(read.column_names) == COLUMN_NAMES
    assert read.drop_columns(["import_id"]).to_pylist() == table().to_pylist()
    assert set(read["import_id"].to_pylist()) == {manifest.import_id}
    assert ledger.n_rows == 4
    assert ledger.cannot_tell == ("tenant: none",)


def test_rows_lie_in_the_folder_of_their_utc_day(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    folders = [Path(name).parent.name for name in open_ledger(tmp_path / "l").parquet_files]
    assert folders == ["date=2026-10-01", "date=2026-10-02"]


def test_duckdb_reads_the_columns_in_their_types(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    names = list(open_ledger(tmp_path / "l").parquet_files)
    found = engine.execute(
        "SELECT typeof(started_at), typeof(list_cost_usd), sum(list_cost_usd) "
        "FROM read_parquet($1) GROUP BY 1, 2",
        [names],
    ).fetchall()
    assert found == [("TIMESTAMP WITH TIME ZONE", "DECIMAL(18,12)", Decimal("6E-12"))]


def test_statistics_of_instants_are_kept(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    file = pq.ParquetFile(open_ledger(tmp_path / "l").parquet_files[0])
    column = file.schema_arrow.names.index("started_at")
    assert file.metadata.row_group(0).column(column).statistics.has_min_max


def test_the_digest_changes_with_the_rows_and_only_then(tmp_path: Path) -> None:
    for name, rows in (("a", table()), ("b", table()), ("c", table(5))):
        write_table(tmp_path / name, rows)
    digests = [open_ledger(tmp_path / name).digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_what_one_source_cannot_tell_is_said_of_that_source(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table(), "one", ["tenant: none", "cost: none"])
    write_table(tmp_path / "l", table(first=9), "two", ["cost: none"])
    assert open_ledger(tmp_path / "l").cannot_tell == ("cost: none", "tenant: none (in one)")


def test_missing_empty_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "norows").mkdir()
    (tmp_path / "norows" / "ledger.json").write_text(
        '{"format": "weighbridge-ledger", "version": 1}'
    )
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "ledger.json").write_text(
        '{"format": "weighbridge-ledger", "version": 9}'
    )
    told = {
        "missing": "no such ledger directory",
        "empty": "holds no ledger",
        "file": "is a file",
        "norows": "no request is stored",
        "later": "version 9",
    }
    for name, problem in told.items():
        with pytest.raises(InputError, match=problem) as caught:
            open_ledger(tmp_path / name)
        assert caught.value.mend


def test_a_lost_part_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    Path(open_ledger(tmp_path / "l").parquet_files[0]).unlink()
    with pytest.raises(InputError, match="are gone"):
        open_ledger(tmp_path / "l")


def test_parts_without_a_manifest_do_not_count_and_are_swept(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    before = open_ledger(tmp_path / "l")
    stray = tmp_path / "l" / "requests" / "date=2026-09-09" / "part-00.parquet"
    stray.parent.mkdir()
    stray.write_bytes(b"half a part")
    (tmp_path / "l" / "rejects").mkdir()
    (tmp_path / "l" / "rejects" / "feed.csv").write_text("line\n")
    assert open_ledger(tmp_path / "l") == before
    sweep(tmp_path / "l")
    assert not stray.parent.exists()
    assert not (tmp_path / "l" / "rejects" / "feed.csv").exists()
    assert open_ledger(tmp_path / "l") == before


def test_manifests_committed_together_count_only_together(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    (file,) = (tmp_path / "l" / "imports").iterdir()
    half = json.loads(file.read_text())
    half.update(import_id="other", committed_with=["other", "never-written"], parts=[])
    (tmp_path / "l" / "imports" / "other.json").write_text(json.dumps(half))
    assert [m.import_id for m in live_manifests(tmp_path / "l")] == [file.stem]


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    (file,) = (tmp_path / "l" / "imports").iterdir()
    file.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        open_ledger(tmp_path / "l")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "l", table())
    with (
        locked(tmp_path / "l"),
        pytest.raises(InputError, match="another import"),
        locked(tmp_path / "l"),
    ):
        pass


def test_a_manifest_counts_every_row_read() -> None:
    names = {field for field in Manifest.__struct_fields__ if field.startswith("rows_")}
    assert {"rows_read", "rows_stored", "rows_duplicate", "rows_rejected"} <= names
