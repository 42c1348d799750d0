"""Stretches of a log on their way from a file to columns: JSON by lines, cells by column."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from weighbridge.units import InputError
from weighbridge.usage.convert import Column, joined, packed
from weighbridge.usage.faults import NOT_AN_OBJECT, NOT_JSON, WIDTH, Faults
from weighbridge.usage.sources.source import QUANTITIES, Take, Unfold

PathKeys = tuple[str, ...]
Paths = tuple[PathKeys, ...]

PIECE_BYTES = 1 << 19


@dataclass(slots=True)
class Batch:
    """Rows of a log as raw columns, one a take, with the faults found while reading them."""

    lines: NDArray[np.int64]
    columns: Mapping[Paths, Column]
    raws: Sequence[bytes] | None
    faults: Faults = field(default_factory=Faults)

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.lines)


class RowDecoder:
    """Decodes only the keys that some path names; everything else in a row is skipped unread."""

    def __init__(self, takes: Sequence[Take], unfold: Unfold | None = None) -> None:
        self.unfold = unfold
        self.takes = {take.paths: QUANTITIES[take.quantity] for take in takes}
        self._root = _Node(tuple(dict.fromkeys(path for take in takes for path in take.paths)))
        self._lines = msgspec.json.Decoder(self._root.type)

    def decode(self, data: bytes) -> list[Any]:
        """Rows of a stretch of lines; raises what msgspec raises."""
        return list(self._lines.decode_lines(data))

    def decode_row(self, row: bytes) -> Any:
        """One row; what strict JSON forbids (NaN, Infinity) is read too, to name its field."""
        try:
            return self._lines.decode(row)
        except msgspec.DecodeError:
            return msgspec.convert(json.loads(row), self._root.type)

    def row_of(self, value: Mapping[str, Any]) -> Any:
        """A row that was decoded already; raises what msgspec raises."""
        return msgspec.convert(value, self._root.type)

    def columns(self, rows: list[Any]) -> dict[Paths, Sequence[Any]]:
        """One list a take."""
        return self.columns_of_cells(self._root.columns(rows), len(rows))

    def columns_of_cells(
        self, columns: Mapping[str, Sequence[Any]], n: int
    ) -> dict[Paths, Sequence[Any]]:
        """One list a take, from the cells of each top-level column."""
        cells = _Cells(self._root, columns, n)
        return {paths: cells.first_value(paths) for paths in self.takes}


class _Node:
    """One level of nested keys: a struct type made for exactly the keys that are wanted."""

    def __init__(self, paths: Sequence[PathKeys]) -> None:
        heads = tuple(dict.fromkeys(path[0] for path in paths))
        names = {head: f"f{index}" for index, head in enumerate(heads)}
        self._heads = heads
        self.nodes = {
            head: _Node([path[1:] for path in paths if len(path) > 1 and path[0] == head])
            for head in dict.fromkeys(path[0] for path in paths if len(path) > 1)
        }
        fields = [(names[head], self._type_of(head), None) for head in heads]
        renamed = {name: head for head, name in names.items()}
        self.type = msgspec.defstruct("Row", fields, rename=renamed, gc=False)
        self.empty = self.type()
        self._decoder = msgspec.json.Decoder(self.type)

    def _type_of(self, head: str) -> Any:
        # A list is read past: of what may be an object or a list, only the object has the path.
        return self.nodes[head].type | str | list[Any] | None if head in self.nodes else Any

    def columns(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """Cells of each key."""
        columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
        return dict(zip(self._heads, columns, strict=False))

    def objects(self, cells: Sequence[Any]) -> Sequence[Any] | None:
        """Nested objects, some of which may be missing or written as text; None: all missing."""
        kinds = set(map(type, cells))
        if kinds <= {type(None)}:
            return None
        if kinds == {self.type}:
            return cells
        struct, read = self.type, self._object
        return [cell if type(cell) is struct else read(cell) for cell in cells]

    def _object(self, cell: Any) -> Any:
        """A nested object, also where it is written as text, as in a CSV export."""
        if cell is None:
            return self.empty
        try:
            if isinstance(cell, str):
                return self._decoder.decode(cell) if cell else self.empty
            return msgspec.convert(cell, self.type)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._quoted_twice(cell)

    def _quoted_twice(self, cell: Any) -> Any:
        """An object whose quotes were doubled before the CSV writer doubled them again."""
        if not isinstance(cell, str) or '""' not in cell:
            return self.empty
        try:
            return self._decoder.decode(cell.replace('""', '"'))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self.empty


class _Cells:
    """Columns of some rows; nested objects are opened when a path through them is asked for."""

    def __init__(self, root: _Node, columns: Mapping[str, Sequence[Any]], n: int) -> None:
        self._n = n
        self._opened: dict[PathKeys, tuple[_Node, Mapping[str, Sequence[Any]]]] = {
            (): (root, columns)
        }

    def first_value(self, paths: Paths) -> Sequence[Any]:
        """Values of the first path that holds one, row by row."""
        first: Sequence[Any] | None = None
        for path in paths:
            other = self._column(path)
            if other is None or (n_none := other.count(None)) == self._n:
                continue
            if first is not None:
                first = [
                    b if a is None or a == "" else a for a, b in zip(first, other, strict=True)
                ]
                n_none = first.count(None)
            else:
                first = other
            if n_none == 0 and "" not in first:
                break
        return [None] * self._n if first is None else first

    def _column(self, path: PathKeys) -> Sequence[Any] | None:
        return self._open(path[:-1])[1].get(path[-1])

    def _open(self, path: PathKeys) -> tuple[_Node, Mapping[str, Sequence[Any]]]:
        if path not in self._opened:
            node, cells = self._open(path[:-1])[0].nodes[path[-1]], self._column(path)
            objects = None if cells is None else node.objects(cells)
            self._opened[path] = node, {} if objects is None else node.columns(objects)
        return self._opened[path]


@dataclass(frozen=True, slots=True)
class LinesTask:
    """A stretch of whole lines of JSON: its bytes, or where they stand in a plain file."""

    first_line: int
    n_lines: int
    data: bytes | None
    file: Path | None = None
    offset: int = 0
    length: int = 0

    def read(self) -> bytes:
        """The bytes of the stretch."""
        if self.data is not None:
            return self.data
        assert self.file is not None
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each line that holds something."""
        for number, line in enumerate(self.read().split(b"\n"), self.first_line):
            if line.strip():
                yield number, line.rstrip(b"\r")

    def pieces(self) -> Iterator[bytes]:
        """Whole lines, a little at a time, so that a piece's rows stay in the processor's cache."""
        with self._open() as stream:
            left, held = self.length or len(self.data or b""), b""
            while left and (block := stream.read(min(PIECE_BYTES, left))):
                left -= len(block)
                cut = block.rfind(b"\n") + 1 if left else len(block)
                if cut:
                    yield held + block[:cut]
                    held = block[cut:]
                else:
                    held += block
            if held:
                yield held

    def _open(self) -> IO[bytes]:
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.file is not None
        stream = self.file.open("rb", buffering=0)
        stream.seek(self.offset)
        return stream

    def batch(self, decoder: RowDecoder, where: str) -> Batch:
        """Decode at once, and line by line where some line is not what it should be."""
        if decoder.unfold is not None:
            check_utf8(self.read(), self.first_line, where)
            return unfolded(self.rows(), decoder)
        try:
            columns, n_rows = _at_once(self.pieces(), decoder)
        except (msgspec.DecodeError, UnicodeDecodeError):
            n_rows = -1
        if n_rows == self.n_lines:
            lines = np.arange(self.first_line, self.first_line + self.n_lines, dtype=np.int64)
            return Batch(lines, columns, _Lazy(self))
        check_utf8(self.read(), self.first_line, where)
        return self.batch_by_line(decoder)

    def batch_by_line(self, decoder: RowDecoder) -> Batch:
        """Decode each line for itself."""
        return slowly(list(self.rows()), decoder)


def _at_once(pieces: Iterator[bytes], decoder: RowDecoder) -> tuple[dict[Paths, Column], int]:
    """Columns of whole lines and their rows; raises where a line is not what it should be."""
    found: dict[Paths, list[Column]] = {paths: [] for paths in decoder.takes}
    n_rows = 0
    for piece in pieces:
        if not piece.isascii():
            piece.decode()
        rows = decoder.decode(piece)
        n_rows += len(rows)
        for paths, column in decoder.columns(rows).items():
            found[paths].append(packed(column, decoder.takes[paths]))
    return {paths: joined(columns) for paths, columns in found.items()}, n_rows


class MisalignedError(Exception):
    """As many rows as lines, yet a blank line and one of two rows among them: go line by line."""


class _Lazy(Sequence[bytes]):
    """Lines of a stretch, split only when one of them is asked for."""

    def __init__(self, task: LinesTask) -> None:
        self._task = task
        self._lines: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self._split())

    def __getitem__(self, index: Any) -> Any:
        return self._split()[index]

    def _split(self) -> list[bytes]:
        if self._lines is None:
            self._lines = [line for _, line in self._task.rows()]
            if len(self._lines) != self._task.n_lines:
                raise MisalignedError
        return self._lines


@dataclass(frozen=True, slots=True)
class ItemsTask:
    """Elements of one JSON array, numbered from 1."""

    first_line: int
    items: tuple[bytes, ...]

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each element."""
        return enumerate(self.items, self.first_line)

    def batch(self, decoder: RowDecoder, where: str) -> Batch:
        """Decode each element."""
        for number, item in self.rows():
            check_utf8(item, number, where)
        if decoder.unfold is not None:
            return unfolded(self.rows(), decoder)
        return slowly(list(self.rows()), decoder)


@dataclass(frozen=True, slots=True)
class CellsTask:
    """Rows whose columns are apart already (CSV, Parquet); `wide` rows do not fit the header."""

    lines: tuple[int, ...]
    cells: dict[str, list[Any]]
    raws: tuple[bytes, ...]
    wide: tuple[int, ...] = ()

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each row."""
        return zip(self.lines, self.raws, strict=True)

    def batch(self, decoder: RowDecoder, where: str) -> Batch:  # noqa: ARG002
        """The columns that some path names."""
        lines = np.array(self.lines, dtype=np.int64)
        batch = Batch(lines, decoder.columns_of_cells(self.cells, len(lines)), self.raws)
        batch.faults.add(self.wide, "", WIDTH)
        return batch


Task = LinesTask | ItemsTask | CellsTask


def slowly(rows: list[tuple[int, bytes]], decoder: RowDecoder) -> Batch:
    faults = Faults()
    decoded = []
    for index, (_, raw) in enumerate(rows):
        try:
            decoded.append(decoder.decode_row(raw))
        except (msgspec.ValidationError, TypeError):
            faults.add([index], "", NOT_AN_OBJECT)
            decoded.append(decoder.decode_row(b"{}"))
        except (ValueError, RecursionError):
            faults.add([index], "", NOT_JSON)
            decoded.append(decoder.decode_row(b"{}"))
    lines = np.array([number for number, _ in rows], dtype=np.int64)
    return Batch(lines, decoder.columns(decoded), [raw for _, raw in rows], faults)


def unfolded(lines: Iterable[tuple[int, bytes]], decoder: RowDecoder) -> Batch:
    """Rows of lines that hold any number of them each; a faulty line is one faulty row."""
    assert decoder.unfold is not None
    faults, numbers = Faults(), list[int]()
    raws, decoded = list[bytes](), list[Any]()
    for number, raw in lines:
        fault, found = "", list[Any]()
        try:
            found = [decoder.row_of(row) for row in decoder.unfold.rows(raw)]
        except (msgspec.ValidationError, TypeError):
            fault = NOT_AN_OBJECT
        except (ValueError, RecursionError):
            fault = NOT_JSON
        if fault:
            faults.add([len(decoded)], "", fault)
            found = [decoder.row_of({})]
        decoded += found
        numbers += [number] * len(found)
        raws += [raw] * len(found)
    return Batch(np.array(numbers, dtype=np.int64), decoder.columns(decoded), raws, faults)


def check_utf8(data: bytes, first_line: int, where: str) -> None:
    """Raise where bytes are not UTF-8: then the file is in another encoding, and no row is sure."""
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        line = first_line + data.count(b"\n", 0, fault.start)
        mend = "convert it first, for example: iconv -f WINDOWS-1252 -t UTF-8"
        raise InputError(f"{where}:{line}", "", "is not UTF-8 text", mend) from fault


def sha256_of(raw: bytes) -> str:
    """Hash by which a person can find a rejected row again."""
    return hashlib.sha256(raw).hexdigest()
