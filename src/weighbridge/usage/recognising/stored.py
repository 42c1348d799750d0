"""Sketches in a ledger: one row a name and key; the same name again changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.ledger.lines import SketchLine
from weighbridge.ledger.prompt_shape import Sketch

SKETCH_SCHEMA = pa.schema(
    [
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("key_id", pa.string(), nullable=False),
        pa.field("segments", pa.binary(), nullable=False),
    ]
)
NO_SKETCH = "is no sketch of a prompt"
_NAME = re.compile(r"~[0-9a-f]{12}(\.[0-9a-f]{6}\.[0-9a-f]{6})?")
_SEGMENTS = re.compile(r"([0-9a-f]{8})*")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


def is_sketch(line: SketchLine) -> bool:
    """Whether a line of the spool holds hashes and nothing else."""
    return bool(
        _NAME.fullmatch(line.fingerprint)
        and _KEY_ID.fullmatch(line.key_id)
        and _SEGMENTS.fullmatch(line.segments)
    )


def sketch_table(lines: Iterable[SketchLine]) -> pa.Table:
    """Lines of the spool as rows, each name once, in order of names."""
    rows = {(one.fingerprint, one.key_id): bytes.fromhex(one.segments) for one in lines}
    return _table(rows)


def table_of(sketches: Iterable[Sketch], key_id: str) -> pa.Table:
    """Sketches that an importer made, as rows."""
    return _table({(one.fingerprint, key_id): one.segments for one in sketches})


def _table(rows: Mapping[tuple[str, str], bytes]) -> pa.Table:
    ordered = sorted(rows.items())
    return pa.table(
        [
            pa.array([name for (name, _), _ in ordered], pa.string()),
            pa.array([key_id for (_, key_id), _ in ordered], pa.string()),
            pa.array([segments for _, segments in ordered], pa.binary()),
        ],
        schema=SKETCH_SCHEMA,
    )


def read_sketches(files: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    """Key and segments of every name, from the files of a ledger."""
    found: dict[str, tuple[str, bytes]] = {}
    for file in files:
        table = pq.ParquetFile(file).read()
        columns = (table[name].to_pylist() for name in SKETCH_SCHEMA.names)
        found |= {name: (key_id, segments) for name, key_id, segments in zip(*columns, strict=True)}
    return found
