"""What tests of imports share: golden logs, imports of them, and the rows as stored."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.usage.importing import ImportReport, ImportRequest, import_logs
from weighbridge.usage.store import open_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def stored_rows(ledger: Path) -> list[dict[str, Any]]:
    """Rows of a ledger by instant, without what is empty."""
    parts = [pq.ParquetFile(name).read() for name in open_ledger(ledger).parquet_files]
    found = pa.concat_tables(parts).sort_by("started_at").to_pylist()
    return [{name: held for name, held in row.items() if held is not None} for row in found]


def imported(into: Path, source: str, *files: Path) -> ImportReport:
    """Read files in with nothing said of them."""
    return import_logs(ImportRequest(source, files, into), now=NOW)
