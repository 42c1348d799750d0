"""Reports by bucket of time, as requests: tokens shared out whole, evenly over the bucket.

A row of such a report gives the tokens of `n` requests between two instants and nothing of any one
of them. It becomes `n` requests of the mean size, the first at the bucket's start and the last at
its end, so that the log covers what the report does; a single one stands in the middle. Sums stay
exact, integers all the way, and everything about a single request is a mean.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from weighbridge.units import InputError
from weighbridge.usage.batches import Batch, RowDecoder, slowly
from weighbridge.usage.bucket_layouts import runs_of
from weighbridge.usage.convert import Ints, Mask, Numbers, to_counts
from weighbridge.usage.faults import Faults
from weighbridge.usage.manifests import BucketRun
from weighbridge.usage.sources.source import Source

MOST_ROWS = 20_000_000  # of one file, where nothing else is said
MOST_REQUESTS = 5 * 10**7  # of one row: more than 570 a second, all day
ROWS_PER_TASK = 500_000
ITEMS_PER_TASK = 2_000

_TOKENS = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_WEIGHED = ("input_tokens", "uncached_input_tokens", "output_tokens")
_WEIGHED_APART = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


@dataclass(frozen=True, slots=True)
class Slice:
    """Which requests of a row are made: from `first` to before `stop`, of `n` in all."""

    key: str
    n: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Made:
    """Columns of requests, and which row of the batch each came from."""

    columns: dict[str, Any]
    lines: Ints


@dataclass(frozen=True, slots=True)
class Spread:
    """How the rows of a batch become requests."""

    slices: tuple[Slice, ...]

    def requests(self, columns: Mapping[str, Any], ended_us: Ints, good: Mask) -> Made:
        """The requests of the good rows; faulty ones give none."""
        n_here = np.array([one.stop - one.first for one in self.slices], dtype=np.int64)
        n_here = np.where(good, n_here, 0)
        rows = np.repeat(np.arange(len(n_here)), n_here)
        begun = np.repeat(np.cumsum(n_here) - n_here, n_here)
        first = np.array([one.first for one in self.slices], dtype=np.int64)
        nth = np.arange(len(rows)) - begun + first[rows]
        n = np.array([one.n for one in self.slices], dtype=np.int64)
        made = {name: _taken(column, rows) for name, column in columns.items()}
        for name in _TOKENS:
            made[name] = _shared_out(columns[name], n, rows, nth)
        start, width = columns["started_at"], ended_us - columns["started_at"]
        gaps = np.maximum(n - 1, 1)[rows]
        inside = np.where(n[rows] == 1, width[rows] // 2, nth * (width[rows] - 1) // gaps)
        made["started_at"] = start[rows] + inside
        keys = [one.key for one in self.slices]
        ids = [f"{keys[row]}-{k}" for row, k in zip(rows.tolist(), nth.tolist(), strict=True)]
        made["request_id"] = pa.array(ids, pa.string())
        return Made(made, rows)


def _shared_out(total: Ints, n: Ints, rows: Ints, nth: Ints) -> Ints:
    """Whole numbers whose sum over the requests of a row is the row's."""
    each, left = np.divmod(total, np.maximum(n, 1))
    shares: Ints = each[rows] + (nth < left[rows])
    return shares


def _taken(column: Any, rows: Ints) -> Any:
    if isinstance(column, pa.Array):
        return column.take(pa.array(rows))
    if isinstance(column, Numbers):
        return Numbers(column.values[rows], column.empty[rows])
    return column[rows]


@dataclass(frozen=True, slots=True)
class BucketsTask:
    """Rows of a report, each with the requests that are to be made of it here."""

    lines: tuple[int, ...]
    items: tuple[bytes, ...]
    slices: tuple[Slice, ...]

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each row."""
        return zip(self.lines, self.items, strict=True)

    def batch(self, decoder: RowDecoder, where: str) -> Batch:  # noqa: ARG002
        """Decode each row."""
        return slowly(list(self.rows()), decoder)

    @property
    def spread(self) -> Spread:
        """How the rows become requests."""
        return Spread(self.slices)


class NoRequestCountError(Exception):
    """A row tells of no number of requests, and nothing was assumed."""


class RequestCounter:
    """How many requests a row stands for: as it says, else by the tokens that one uses."""

    def __init__(self, source: Source, tokens_per_request: int | None, most_rows: int) -> None:
        self._source, self._most_rows = source, most_rows
        self._decoder = RowDecoder(source.takes)
        self._paths = {take.quantity: take.paths for take in source.takes}
        self._weighed = (*_WEIGHED, *(() if source.input_includes_cache else _WEIGHED_APART))
        self._tokens_per_request = tokens_per_request
        self.runs: tuple[BucketRun, ...] = ()  # of the file whose tasks were made last
        self._must_say = any(t.quantity == "n_requests" and t.required for t in source.takes)

    def tasks(self, items: Sequence[bytes], where: str) -> Iterator[BucketsTask]:
        """The rows as tasks; raises where they cannot be told apart into requests, or are many."""
        try:
            counts = [self.count(item) for item in items]
        except NoRequestCountError:
            problem = f"{self._source.title} tells of no number of requests"
            mend = "say how many tokens a request of yours uses: --tokens-per-request 3000"
            raise InputError(where, "", problem, mend) from None
        self.runs = runs_of(items, self._source)
        n_rows = sum(counts)
        if n_rows > self._most_rows:
            problem = f"stands for {n_rows:,} requests, and each would become a row"
            mend = f"allow it with --most-rows {n_rows}, or import a shorter period"
            raise InputError(where, "", problem, mend)
        return bucket_tasks(items, counts, self._source.name)

    def count(self, item: bytes) -> int:
        """Requests of a row; 0 where it is faulty, which its reading will say."""
        try:
            columns = self._decoder.columns([self._decoder.decode_row(item)])
        except (ValueError, TypeError, RecursionError):
            return 0
        told = self._number(columns, "n_requests")
        if told is not None:
            return told if told <= MOST_REQUESTS else 0
        if self._must_say:
            return 0
        weights = [self._number(columns, quantity) for quantity in self._weighed]
        return self._assumed(sum(weight or 0 for weight in weights))

    def _number(self, columns: Mapping[Any, Any], quantity: str) -> int | None:
        """A count as the row's reading takes it; 0 where that will find a fault in it."""
        if quantity not in self._paths:
            return None
        faults = Faults()
        numbers = to_counts(columns[self._paths[quantity]], faults, quantity)
        if faults.found:
            return 0
        return None if numbers.empty[0] else int(numbers.values[0])

    def _assumed(self, tokens: int) -> int:
        if self._tokens_per_request is None:
            raise NoRequestCountError
        if tokens <= 0:
            return 0
        return min(max(1, round(tokens / self._tokens_per_request)), MOST_REQUESTS)


_ROW = msgspec.json.Decoder(dict[str, dict[str, Any]])


def key_of(source: str, item: bytes) -> str:
    """What a row is of: its bucket and every dimension that it is grouped by, none of its sums.

    The same row downloaded again has the same key; with other sums, it contradicts the first.
    """
    try:
        row = _ROW.decode(item)
    except msgspec.DecodeError:
        return hashlib.blake2b(item, digest_size=12).hexdigest()
    told = {
        f"{part}.{name}": value
        for part, values in row.items()
        for name, value in values.items()
        if part == "bucket" or value is None or isinstance(value, str | bool)
    }
    text = repr(
        (source, sorted((name, value) for name, value in told.items() if value is not None))
    )
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


def bucket_tasks(
    items: Sequence[bytes], counts: Sequence[int], source: str
) -> Iterator[BucketsTask]:
    """Tasks of about as many requests each; a row of very many is spread over several."""
    lines: list[int] = []
    rows: list[bytes] = []
    slices: list[Slice] = []
    room = ROWS_PER_TASK
    for line, (item, n) in enumerate(zip(items, counts, strict=True), 1):
        key, first = key_of(source, item), 0
        while True:
            stop = min(n, first + room)
            lines.append(line)
            rows.append(item)
            slices.append(Slice(key, n, first, stop))
            room, first = room - (stop - first), stop
            if room <= 0 or len(rows) >= ITEMS_PER_TASK:
                yield BucketsTask(tuple(lines), tuple(rows), tuple(slices))
                lines, rows, slices, room = [], [], [], ROWS_PER_TASK
            if first >= n:
                break
    if rows:
        yield BucketsTask(tuple(lines), tuple(rows), tuple(slices))


def resolution_words(resolution_s: float) -> str:
    """How a length of bucket is said."""
    names = {60: "1 minute", 3600: "1 hour", 86_400: "1 day"}
    return names.get(int(resolution_s), str(dt.timedelta(seconds=resolution_s)))
