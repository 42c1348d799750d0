"""The file of rejected rows: line, field, reason, and a hash to find it by; never its text."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.batches import sha256_of
from weighbridge.usage.faults import Reject
from weighbridge.usage.inputs import LogFile, Reading


def write_rejects(file: Path, rejects: Sequence[Reject]) -> Path:
    """Write rejects as CSV, pushed to the disk."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("line", "field", "reason", "row_sha256"))
        writer.writerows((r.line, r.field, r.reason, r.row_sha256) for r in rejects)
        stream.flush()
        os.fsync(stream.fileno())
    return file


def hashes_of_lines(file: LogFile, read: Reading, lines: Sequence[int]) -> dict[int, str]:
    """Hashes of a few rows, read a second time: hashing every row would cost as much as reading."""
    wanted = set(lines)
    if not wanted:
        return {}
    again = Reading(file, read.format, read.delimiter)
    again.envelope, again.counter = read.envelope, read.counter
    found = {
        line: sha256_of(raw)
        for task in again.tasks()
        for line, raw in task.rows()
        if line in wanted
    }
    if again.content_sha256 != read.content_sha256 or found.keys() != wanted:
        mend = "copy the file first, or import it when nothing writes to it any more"
        raise InputError(file.name, "", "changed while it was read", mend)
    return found
