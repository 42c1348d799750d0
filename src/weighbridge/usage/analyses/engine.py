"""Runs portable expressions with DuckDB over Parquet, inside a memory limit."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from weighbridge.usage.analyses.expressions import REQUEST_SCHEMA, requests_table


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the analyses may take of the machine."""

    memory_limit_gib: float = 2.5
    n_threads: int = 2


class Engine:
    """One DuckDB connection with the view `requests`; what it spills is deleted on leaving."""

    def __init__(self, files: Sequence[str], limits: EngineLimits) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="weighbridge-profile-")
        self.scratch = Path(self._scratch.name)
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{limits.memory_limit_gib * 1024:.0f}MiB",
                "threads": limits.n_threads,
                "temp_directory": str(self.scratch / "spill"),
                "preserve_insertion_order": False,
            }
        )
        stored = self._connection.read_parquet(
            list(files), hive_partitioning=False, union_by_name=True
        )
        stored.project(", ".join(map(_stored_column, REQUEST_SCHEMA))).create_view("requests")
        self._requests = "requests"

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        self._scratch.cleanup()

    @property
    def requests(self) -> ir.Table:
        """The usage records that every analysis reads."""
        return requests_table().op().copy(name=self._requests).to_expr()

    def fetch(self, expression: ir.Table) -> pa.Table:
        """The result as Arrow, in the types that the expression promises."""
        found = self._connection.sql(_sql(expression)).to_arrow_table()
        return found.cast(expression.schema().to_pyarrow())

    def stream(self, expression: ir.Table, batch_rows: int) -> pa.RecordBatchReader:
        """The result in Arrow batches, for what may not fit into memory."""
        return self._connection.sql(_sql(expression)).to_arrow_reader(batch_rows)

    def keep(self, expression: ir.Table, name: str) -> ir.Table:
        """Store a result under a name, typed as promised (a sum is else wider than it need be)."""
        kept = self._table(expression.schema(), name)
        self._connection.execute(f'INSERT INTO "{name}" {_sql(expression)}')
        return kept

    def keep_rows(self, rows: Sequence[Sequence[Any]], like: ir.Table) -> ir.Table:
        """Store rows made in Python where the expressions expect the table `like`."""
        name, schema = like.get_name(), like.schema()
        self._table(schema, name)
        if rows:
            marks = ", ".join("?" for _ in schema)
            self._connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)  # noqa: S608
        return like

    def _table(self, schema: Any, name: str) -> ir.Table:
        columns = ", ".join(f'"{column}" {_duckdb_type(kind)}' for column, kind in schema.items())
        self._connection.execute(f'CREATE TEMP TABLE "{name}" ({columns})')
        return ibis.table(schema, name=name)

    def read_instead(self, expression: ir.Table, name: str) -> None:
        """Let every later analysis read this expression where it reads `requests`."""
        self._connection.execute(f'CREATE VIEW "{name}" AS {_sql(expression)}')
        self._requests = name

    def view_parquet(self, path: Path, name: str) -> ir.Table:
        """Name a Parquet file of requests, so that expressions can read it."""
        self._connection.read_parquet(str(path)).create_view(name)
        return ibis.table(dict(REQUEST_SCHEMA), name=name)


def _stored_column(name: str) -> str:
    if name == "started_at":
        # An instant without a zone truncates to hours several times faster, and to UTC hours.
        return "make_timestamp(epoch_us(started_at)) AS started_at"
    return f'"{name}"'


def _sql(expression: ir.Table) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb"))


def _duckdb_type(kind: Any) -> str:
    from ibis.backends.sql.datatypes import DuckDBType  # noqa: PLC0415

    return str(DuckDBType.from_ibis(kind).sql("duckdb"))
