"""Faults of single rows: a fixed reason each, so that they can be counted and hold no content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

MISSING = "is missing"
NOT_TEXT = "is not text"
NOT_A_NUMBER = "is not a number"
OTHER_LOCALE = "is written as another country writes numbers"
NOT_WHOLE = "is not a whole number"
NOT_FINITE = "is not a finite number"
NEGATIVE = "is negative"
TOO_LARGE = "is impossibly large"
NOT_AN_INSTANT = "is not a date and time"
NO_TIMEZONE = "has no time zone"
NO_UNIT = "is a number without a unit"
NOT_IN_ZONE = "does not exist, or exists twice, in the time zone"
IN_FUTURE = "lies in the future"
TOO_OLD = "lies before 2015"
ENDS_BEFORE_START = "lies before the start"
ABOVE_INPUT = "cached tokens are above input tokens"
ABOVE_OUTPUT = "is above output tokens"
UNKNOWN_WORD = "is not a known word"
NOT_USD = "is not USD"
NOT_JSON = "is not JSON"
NOT_AN_OBJECT = "is not a JSON object"
UNFINISHED = "the bucket of time had not ended"
NO_REQUESTS = "there are tokens, and no request used them"
TOO_LONG = "the row is over 8 MiB"
WIDTH = "the number of cells differs from the header"
NOT_CSV = "is not readable as CSV"
CONFLICT = "the id was seen before, with other content"

MENDS = {
    CONFLICT: "keep the row that is stored, or import this file into a new folder",
    NO_TIMEZONE: "give --timezone, for example --timezone UTC",
    NO_UNIT: "say what the number counts in --map-file: {column: NAME, unit: ms}",
    NOT_IN_ZONE: "give --timezone UTC if the log is in UTC, or export instants with an offset",
    IN_FUTURE: "check the unit and the time zone of the instants, and this machine's clock",
    TOO_OLD: "check the unit of the instants",
    ABOVE_INPUT: "check what the input column counts (input_includes_cache in --map-file)",
    OTHER_LOCALE: "export the log with plain numbers, for example 1234.5",
    UNFINISHED: "download the report again, up to a time that is past",
    NOT_USD: "convert the costs to USD, or leave the cost column unmapped",
    NOT_JSON: "export the log again, as one JSON object a line",
    MISSING: "export the log again with that field, or map another column to it",
}


class Reject(msgspec.Struct, frozen=True):
    """One rejected row: where it stood and why; never what it held."""

    line: int
    field: str
    reason: str
    row_sha256: str


@dataclass(slots=True)
class Faults:
    """The first fault found of each row of a batch."""

    found: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, rows: Iterable[int], quantity: str, reason: str) -> None:
        """Note that these rows have this fault, where none was noted before."""
        for row in rows:
            self.found.setdefault(int(row), (quantity, reason))
