"""All rows of a log whose lines hold several, before it is read in earnest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from weighbridge.units import InputError
from weighbridge.usage.inputs import LogFile, Reading, format_of
from weighbridge.usage.sources.source import Source


def rows_of(file: LogFile, source: Source) -> Iterator[dict[str, Any]]:
    """The rows that can be read; what cannot be is told when the file is imported."""
    assert source.unfold is not None
    reading = Reading(file, format_of(file, source.formats), source.delimiter)
    reading.envelope = source.envelope
    with suppress(InputError):
        for task in reading.tasks():
            for _, raw in task.rows():
                with suppress(ValueError, TypeError, RecursionError):
                    yield from source.unfold.rows(raw)
