"""JSON lines: one object a line, each with its place for errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.bench.fields import Fields
from weighbridge.usage.bench.opening import as_text, read_bytes


def json_lines(path: Path) -> Iterator[Fields]:
    """Objects of a file of JSON lines; blank lines are passed over."""
    raw = read_bytes(path)
    as_text(path, raw)
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InputError(
                where,
                "",
                "is not a whole line of JSON: it is cut off or damaged",
                "give the file that the tool wrote when it had finished",
            ) from None
        yield Fields(where, value)
