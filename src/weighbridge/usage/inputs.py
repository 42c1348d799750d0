"""A file being read in: unpacked on the way, cut into tasks, hashed."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.units import InputError
from weighbridge.usage.batches import CellsTask, ItemsTask, LinesTask, Task, check_utf8
from weighbridge.usage.buckets import BucketsTask, RequestCounter
from weighbridge.usage.faults import NOT_CSV, TOO_LONG, Reject
from weighbridge.usage.log_files import LogFile as LogFile
from weighbridge.usage.pages import unwrapped
from weighbridge.usage.sources.source import Envelope, Format
from weighbridge.usage.unpacking import format_of as format_of
from weighbridge.usage.unpacking import refuse_not_text, translated, unpacked

MIB = 1 << 20
LONGEST_ROW_BYTES = 8 * MIB
LARGEST_ARRAY_BYTES = 1 << 31
CHUNK_BYTES = 8 * MIB
TASK_BYTES = 32 * MIB
ROWS_PER_TASK = 10_000

_NEWLINE = ord("\n")

OnBytes = Callable[[int], None]
AnyTask = Task | BucketsTask


class _Hashing(io.RawIOBase):
    """Hashes what passes through it; tells progress by the bytes taken from below."""

    def __init__(self, stream: Any, told: Callable[[], int], on_bytes: OnBytes) -> None:
        self._stream, self._told, self._on_bytes = stream, told, on_bytes
        self.digest = hashlib.sha256()
        self.n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_bytes = int(self._stream.readinto(buffer))
        self.digest.update(buffer[:n_bytes])
        self.n_bytes += n_bytes
        self._on_bytes(self._told())
        return n_bytes


@dataclass(slots=True)
class Reading:
    """One file being read: its tasks in order; hash and rejects are complete after the last."""

    file: LogFile
    format: Format
    delimiter: str
    on_bytes: OnBytes = lambda _: None
    rejects: list[Reject] = field(default_factory=list)
    names: tuple[str, ...] = ()  # top-level columns or keys
    content_sha256: str = ""
    n_rows: int = 0
    envelope: Envelope | None = None
    counter: RequestCounter | None = None  # of a report by bucket of time
    has_more: bool = False

    def tasks(self) -> Iterator[AnyTask]:
        """Stretches of the file; raises at what makes the file as a whole unusable."""
        with translated(self.file.name):
            if self.format == "parquet":
                yield from self._parquet_tasks()
            else:
                yield from self._text_tasks()

    def _text_tasks(self) -> Iterator[AnyTask]:
        with self.file.path.open("rb", buffering=0) as raw:
            raw.seek(0)  # where /dev/fd shares one position
            stream, packed = unpacked(raw)
            hashing = _Hashing(stream, raw.tell, self.on_bytes)
            plain = None if packed or self.file.is_stdin else self.file.path
            before = os.fstat(raw.fileno())
            with io.BufferedReader(hashing, MIB // 4) as text:
                self._check_start(text)
                yield from self._cut(text, plain)
                while text.read(MIB):
                    pass
            after = self.file.path.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                mend = "copy the file first, or import it when nothing writes to it any more"
                raise InputError(self.file.name, "", "changed while it was read", mend)
            self.content_sha256 = hashing.digest.hexdigest()

    def _check_start(self, text: Any) -> None:
        refuse_not_text(text.peek(1024)[:1024], self.file.name)

    def _cut(self, text: Any, plain: Path | None) -> Iterator[AnyTask]:
        if self.format == "csv":
            return self._csv_tasks(text)
        first = _first_byte(text)
        if self._is_wrapped(first, text):
            return self._page_tasks(text)
        if first == b"[":
            return self._array_tasks(text)
        if first != b"{":
            mend = "give JSON lines or a JSON array of objects"
            raise InputError(self.file.name, "", "does not begin with { or [", mend)
        return self._line_tasks(text, plain)

    def _is_wrapped(self, first: bytes, text: Any) -> bool:
        """Whether the rows are in pages; a source may give them bare as well, line by line."""
        if self.envelope is None or self.envelope.inner is not None:
            return self.envelope is not None
        if first != b"{":
            return False
        start = text.peek(MIB // 4).removeprefix(b"\xef\xbb\xbf").lstrip()
        line, newline, _ = start.partition(b"\n")
        if self.envelope.by_line:
            return bool(newline) and line.rstrip() == b"{"
        try:
            keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError):
            begins = line[1:].lstrip().startswith(f'"{self.envelope.rows}"'.encode())
            return begins or (bool(newline) and line.rstrip() == b"{")  # printed over lines
        return self.envelope.rows in keys

    def _array_tasks(self, text: Any) -> Iterator[AnyTask]:
        data = text.read(LARGEST_ARRAY_BYTES + 1)
        if len(data) > LARGEST_ARRAY_BYTES:
            mend = "write it as JSON lines, for example: jq -c '.[]'"
            raise InputError(self.file.name, "", "is a JSON array of over 2 GiB", mend)
        check_utf8(data, 1, self.file.name)
        try:
            items = _elements(data.removeprefix(b"\xef\xbb\xbf"))
        except msgspec.DecodeError as fault:
            mend = "the array is cut off or damaged: export it again"
            raise InputError(
                self.file.name, "", f"is not a whole JSON array ({fault})", mend
            ) from None
        self.names = _keys_of(bytes(item) for item in islice(items, 100))
        for at in range(0, len(items), ROWS_PER_TASK):
            yield self._items_task(at, items[at : at + ROWS_PER_TASK])

    def _page_tasks(self, text: Any) -> Iterator[AnyTask]:
        assert self.envelope is not None
        data = text.read(LARGEST_ARRAY_BYTES + 1)
        if len(data) > LARGEST_ARRAY_BYTES:
            mend = "export shorter periods, each into a file of its own"
            raise InputError(self.file.name, "", "is a JSON document of over 2 GiB", mend)
        check_utf8(data, 1, self.file.name)
        if _first_of(data) not in (b"{", b"["):
            mend = "give the JSON that the service sent"
            raise InputError(self.file.name, "", "does not begin with { or [", mend)
        found = unwrapped(data, self.envelope, self.file.name)
        self.names, self.has_more = found.names, found.has_more
        if self.counter is None:
            for at in range(0, len(found.rows), ROWS_PER_TASK):
                rows = found.rows[at : at + ROWS_PER_TASK]
                self.n_rows += len(rows)
                yield ItemsTask(at + 1, rows)
            return
        for task in self.counter.tasks(found.rows, self.file.name):
            self.n_rows += len(task.lines)
            yield task

    def _items_task(self, at: int, items: Sequence[msgspec.Raw]) -> ItemsTask:
        self.n_rows += len(items)
        return ItemsTask(at + 1, tuple(bytes(item) for item in items))

    def _line_tasks(self, text: Any, plain: Path | None) -> Iterator[AnyTask]:
        waiting: LinesTask | None = None
        n_bytes = (
            CHUNK_BYTES if plain is None else MIB
        )  # few enough to stay in cache if not sent on
        for line, n_lines, offset, data in self._stretches(text, n_bytes):
            if not self.names:
                self.names = _keys_of(data.split(b"\n", 100)[:100])
            if plain is None:
                yield LinesTask(line, n_lines, data)
                continue
            task = LinesTask(line, n_lines, None, plain, offset, len(data))
            joined = None if waiting is None else _joined(waiting, task)
            if waiting is not None and joined is None:
                yield waiting
            waiting = joined or task
        if waiting is not None:
            yield waiting

    def _stretches(self, text: Any, n_bytes: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Stretches of whole lines of at most 8 MiB; longer lines become rejects.

        Each with the number of its first line, its lines and where it begins in the file.
        """
        line, offset, held = 1, 0, b""
        if text.peek(3)[:3] == b"\xef\xbb\xbf":
            offset += len(text.read(3))
        while True:
            block = text.read(min(n_bytes, CHUNK_BYTES - len(held)))
            held += block
            if not held:
                return
            cut = held.rfind(b"\n") + 1 if block else len(held)
            if cut == 0 and len(held) < LONGEST_ROW_BYTES:
                continue
            if cut == 0:
                offset += self.skip_line(text, line, held)
                line, held = line + 1, b""
                continue
            stretch, held = held[:cut], held[cut:]
            n_lines = _n_newlines(stretch) + (not stretch.endswith(b"\n"))
            if not stretch.isspace():
                yield line, n_lines, offset, stretch
            line, offset = line + n_lines, offset + cut

    def skip_line(self, text: Any, line: int, begun: bytes) -> int:
        """Reject the line that has begun with these bytes; returns its length."""
        digest, n = hashlib.sha256(begun), len(begun)
        while True:
            piece = text.readline(MIB)
            n += len(piece)
            digest.update(piece.rstrip(b"\r\n"))
            if not piece or piece.endswith(b"\n"):
                break
        self.n_rows += 1
        self.rejects.append(Reject(line, "", TOO_LONG, digest.hexdigest()))
        return n

    def _csv_tasks(self, text: Any) -> Iterator[AnyTask]:
        lines = _CsvLines(text, self)
        csv.field_size_limit(LONGEST_ROW_BYTES)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        try:
            header = next(reader)
        except (csv.Error, StopIteration) as fault:
            mend = "give a CSV file whose first line names the columns"
            raise InputError(self.file.name, "", "has no header", mend) from fault
        self.names = tuple(header)
        self._check_header(header)
        lines.taken()
        while True:
            task = self._csv_task(reader, lines, len(header))
            if task is None:
                return
            yield task

    def _check_header(self, header: Sequence[str]) -> None:
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            mend = "rename the columns so that each name stands once"
            raise InputError(self.file.name, twice[0], "is the name of two columns", mend)

    def _csv_task(self, reader: Any, lines: _CsvLines, width: int) -> CellsTask | None:
        rows: list[list[str]] = []
        numbers: list[int] = []
        raws: list[bytes] = []
        wide: list[int] = []
        at_end = False
        while len(rows) < ROWS_PER_TASK and lines.n_bytes < CHUNK_BYTES:
            try:
                row = next(reader)
            except StopIteration:
                at_end = True
                break
            except csv.Error:
                line, raw = lines.taken()
                self._reject(line, NOT_CSV, raw)
                continue
            line, raw = lines.taken()
            if not row:
                continue
            if len(row) != width:
                wide.append(len(rows))
                row = [""] * width
            rows.append(row)
            numbers.append(line)
            raws.append(raw)
        lines.n_bytes = 0
        self.n_rows += len(rows)
        if not rows:
            return None if at_end else CellsTask((), {name: [] for name in self.names}, ())
        cells = {
            name: list(column)
            for name, column in zip(self.names, zip(*rows, strict=True), strict=True)
        }
        return CellsTask(tuple(numbers), cells, tuple(raws), tuple(wide))

    def _reject(self, line: int, reason: str, raw: bytes) -> None:
        self.n_rows += 1
        self.rejects.append(Reject(line, "", reason, hashlib.sha256(raw).hexdigest()))

    def _parquet_tasks(self) -> Iterator[AnyTask]:
        with self.file.path.open("rb") as stream:
            self.content_sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            if not stream.read(1):
                raise InputError(self.file.name, "", "the file is empty", "export the log again")
            file = pq.ParquetFile(stream)
            self.names = tuple(file.schema_arrow.names)
            for batch in file.iter_batches(ROWS_PER_TASK):
                first = self.n_rows + 1
                self.n_rows += batch.num_rows
                yield _parquet_task(batch, first)


def _n_newlines(data: bytes) -> int:
    """What `data.count` says, in less than half its time."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE))


def _parquet_task(batch: pa.RecordBatch, first: int) -> CellsTask:
    cells = {name: _plain(column) for name, column in zip(batch.schema.names, batch, strict=True)}
    rows = zip(*cells.values(), strict=True)
    raws = tuple(repr(row).encode("utf-8", "replace") for row in rows)
    return CellsTask(tuple(range(first, first + batch.num_rows)), cells, raws)


def _plain(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_map(column.type):
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    return list(column.to_pylist())


def _joined(one: LinesTask, other: LinesTask) -> LinesTask | None:
    """Two neighbouring stretches of a plain file as one task, where that is not too much."""
    length = one.length + other.length
    if one.offset + one.length != other.offset or length > TASK_BYTES:
        return None
    return replace(one, n_lines=one.n_lines + other.n_lines, length=length)


class _CsvLines:
    """Feeds lines to the CSV reader, and remembers which made up the row just read."""

    def __init__(self, text: Any, reading: Reading) -> None:
        self._text, self._reading = text, reading
        self._line, self._first, self._raw = 0, 1, b""
        self.n_bytes = 0
        if text.peek(3)[:3] == b"\xef\xbb\xbf":
            text.read(3)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            data = self._text.readline(LONGEST_ROW_BYTES + 1)
            if not data:
                raise StopIteration
            self._line += 1
            self.n_bytes += len(data)
            if len(data) <= LONGEST_ROW_BYTES or data.endswith(b"\n"):
                break
            self._reading.skip_line(self._text, self._line, data)
            self._first = self._line + 1
        check_utf8(data, self._line, self._reading.file.name)
        self._raw += data
        return str(data.decode())

    def taken(self) -> tuple[int, bytes]:
        """First line and bytes of the row just read."""
        taken = self._first, self._raw.rstrip(b"\r\n")
        self._first, self._raw = self._line + 1, b""
        return taken


def _elements(data: bytes) -> list[msgspec.Raw]:
    """Elements of an array; a comma after the last one, which some exports write, is let pass."""
    try:
        return msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        body = data.rstrip()
        if not body.endswith(b"]") or not body[:-1].rstrip().endswith(b","):
            raise
        return msgspec.json.decode(body[:-1].rstrip()[:-1] + b"]", type=list[msgspec.Raw])


def _first_byte(text: Any) -> bytes:
    return _first_of(text.peek(64))


def _first_of(start: bytes) -> bytes:
    return bytes(start[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1])


def _keys_of(rows: Any) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for row in rows:
        try:
            found = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        names.update(dict.fromkeys(found))
    return tuple(names)
