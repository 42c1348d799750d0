"""Which staged rows were seen before, in the same import or in the ledger: one query over ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weighbridge.usage.manifests import Manifest
from weighbridge.usage.shape import CONTENT

MEMORY_LIMIT = "1GB"
MOST_IDS = 20_000_000  # of a ledger, all read for each import; our judgement


@dataclass(frozen=True, slots=True)
class Staged:
    """Staged rows that carry `_chunk`, `_file`, `_row` and `_line`, in order of reading.

    Whole rows are in Arrow files; the ids alone in Parquet files, which are quick to query.
    """

    rows: tuple[Path, ...]
    ids: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Staged rows that must not be stored as they are; one entry each, by chunk and row."""

    chunk: NDArray[np.int64]
    row: NDArray[np.int64]
    line: NDArray[np.int64]
    conflict: NDArray[np.bool_]  # same id, other content: to reject; else a duplicate


@dataclass(frozen=True, slots=True)
class Renamed:
    """Rows of made ids that are equal to an earlier row of the same file: each gets its own id."""

    chunk: NDArray[np.int64]
    row: NDArray[np.int64]
    request_id: pa.Array | None


def _nothing() -> tuple[Seen, Renamed]:
    none = np.zeros(0, dtype=np.int64)
    seen = Seen(none, none, none, np.zeros(0, dtype=bool))
    return seen, Renamed(none, none, None)


def compared_parts(
    live: Iterable[Manifest], days: Collection[str], ids_tell_the_day: bool
) -> list[str]:
    """Paths of the parts whose ids rows of these days are looked up in.

    All of them where that is quick to read, else the days themselves and one on either side. Ids
    that are made from a row's instant cannot come again on another day.
    """
    parts = [part for manifest in live for part in manifest.parts]
    if not ids_tell_the_day and sum(part.rows for part in parts) <= MOST_IDS:
        return [part.path for part in parts]
    around = 0 if ids_tell_the_day else 1
    near = {
        str(np.datetime64(day, "D") + step) for day in days for step in range(-around, around + 1)
    }
    return [p.path for p in parts if p.path.split("/")[1].removeprefix("date=") in near]


def find_seen(
    staged: Staged, stored: Sequence[str], scratch: Path, ids_are_made: bool
) -> tuple[Seen, Renamed]:
    """Staged rows that an earlier row makes superfluous or contradicts.

    `stored` are the Parquet parts to look ids up in.
    """
    if not staged.rows:
        return _nothing()
    with duckdb.connect() as engine:
        engine.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        engine.execute("SET temp_directory = ?", [str(scratch)])
        engine.execute("SET TimeZone = 'UTC'")
        ids = [str(path) for path in staged.ids]
        engine.read_parquet(ids, hive_partitioning=False).create_view("staged_ids")
        _open_stored(engine, stored)
        if not _note_repeated(engine):
            return _nothing()
        engine.register("staged", pa.concat_tables([_mapped(path) for path in staged.rows]))
        _give_ids(engine, ids_are_made)
        return _seen(engine), _renamed(engine)


def _mapped(path: Path) -> pa.Table:
    """An Arrow file as a table whose bytes stay on the disk until they are read."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _open_stored(engine: duckdb.DuckDBPyConnection, stored: Sequence[str]) -> None:
    if stored:
        parts = engine.read_parquet(list(stored), hive_partitioning=False, union_by_name=True)
        parts.create_view("stored")
    else:
        columns = ", ".join(f"NULL AS {name}" for name in CONTENT)
        engine.execute(
            f"CREATE TEMP VIEW stored AS SELECT request_id, {columns} FROM staged_ids WHERE false"  # noqa: S608
        )


def _note_repeated(engine: duckdb.DuckDBPyConnection) -> bool:
    engine.execute(
        """
        CREATE TEMP TABLE repeated AS
        SELECT request_id FROM staged_ids GROUP BY request_id HAVING count(*) > 1
        UNION
        SELECT DISTINCT staged_ids.request_id FROM staged_ids SEMI JOIN stored USING (request_id)
        """
    )
    (n_repeated,) = engine.execute("SELECT count(*) FROM repeated").fetchall()[0]
    return bool(n_repeated)


def _give_ids(engine: duckdb.DuckDBPyConnection, ids_are_made: bool) -> None:
    content = ", ".join(CONTENT)
    new_id = "CASE WHEN nth > 1 THEN request_id || '-' || nth ELSE request_id END"
    engine.execute(
        f"""
        CREATE TEMP TABLE candidates AS
        SELECT _chunk, _row, _line, nth, content, {new_id if ids_are_made else "request_id"} AS id
        FROM (
            SELECT _chunk, _row, _line, request_id, hash({content}) AS content,
                row_number() OVER (
                    PARTITION BY request_id, _file ORDER BY _chunk, _line
                ) AS nth
            FROM staged SEMI JOIN repeated USING (request_id)
        )
        """  # noqa: S608  (names of our own columns)
    )
    engine.execute(
        f"""
        CREATE TEMP TABLE found AS
        SELECT *, first_value(content) OVER earlier AS first_content,
            row_number() OVER earlier AS occurrence
        FROM (
            SELECT _chunk, _row, _line, nth, content, id FROM candidates
            UNION ALL
            SELECT -1, 0, 0, 1, hash({content}), stored.request_id
            FROM stored SEMI JOIN candidates ON stored.request_id = candidates.id
        )
        WINDOW earlier AS (PARTITION BY id ORDER BY _chunk, _line)
        """  # noqa: S608
    )


def _seen(engine: duckdb.DuckDBPyConnection) -> Seen:
    rows = engine.execute(
        """
        SELECT _chunk::BIGINT AS chunk, _row::BIGINT AS row, _line::BIGINT AS line,
            content <> first_content AS conflict
        FROM found WHERE occurrence > 1 AND _chunk >= 0 ORDER BY _chunk, _row
        """
    ).fetchnumpy()
    return Seen(*(np.asarray(rows[name]) for name in ("chunk", "row", "line", "conflict")))


def _renamed(engine: duckdb.DuckDBPyConnection) -> Renamed:
    rows = engine.sql(
        """
        SELECT _chunk::BIGINT AS chunk, _row::BIGINT AS row, id
        FROM found WHERE occurrence = 1 AND _chunk >= 0 AND nth > 1 ORDER BY _chunk, _row
        """
    ).to_arrow_table()
    chunk, row = (rows[name].to_numpy() for name in ("chunk", "row"))
    return Renamed(chunk, row, rows["id"].combine_chunks())


def whole_rows(seen: Seen, chunks: Mapping[int, Path | None]) -> Seen:
    """Where one request of a bucket contradicts an earlier one, every request of its row does.

    The bucket was summed up again since: of its requests, all are kept as they were, or none.
    """
    if not seen.conflict.any():
        return seen
    tables = {number: _mapped(path) for number, path in chunks.items() if path is not None}
    file_of = {number: int(table["_file"][0].as_py()) for number, table in tables.items()}
    pairs = zip(seen.chunk[seen.conflict], seen.line[seen.conflict], strict=True)
    doubted = {(file_of[int(chunk)], int(line)) for chunk, line in pairs}
    pieces = []
    for number, table in tables.items():
        lines = np.array(sorted(n for f, n in doubted if f == file_of[number]), dtype=np.int64)
        line = table["_line"].to_numpy()
        row = np.flatnonzero(np.isin(line, lines))
        mine = np.full(len(row), number, dtype=np.int64)
        pieces.append((mine, row, line[row], np.ones(len(row), dtype=bool)))
        sure = (seen.chunk == number) & ~np.isin(seen.line, lines)
        pieces.append((seen.chunk[sure], seen.row[sure], seen.line[sure], seen.conflict[sure]))
    return Seen(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
