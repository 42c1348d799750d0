"""Which kind of file this is, told by its columns or keys, or why none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.units import InputError
from weighbridge.usage.batches import check_utf8
from weighbridge.usage.bench.detect import name_format
from weighbridge.usage.kinds import KINDS, Kind
from weighbridge.usage.log_files import LogFile
from weighbridge.usage.shown_names import shown_names
from weighbridge.usage.sources.source import Format, Source
from weighbridge.usage.unpacking import refuse_not_text, translated, unpacked

SAMPLE_BYTES = 1 << 20
LARGEST_BENCHMARK_BYTES = 1 << 28
MOST_ROWS = 100
MOST_DEPTH = 5
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the beginning of a file shows: its format and the names that stand in it."""

    format: Format
    names: frozenset[str]  # nested ones with dots; lists add nothing to a path
    shown: tuple[str, ...]  # top-level names, in order
    delimiter: str = ","
    first_cells: Mapping[str, str] = field(default_factory=dict)  # of a CSV file


@dataclass(frozen=True, slots=True)
class Match:
    """How well a file fits one kind."""

    kind: Kind
    found: tuple[str, ...]
    missing: tuple[str, ...]
    n_telling: int

    @property
    def score_frac(self) -> float:
        """Share of what such a file must have that this one has."""
        return len(self.found) / (len(self.found) + len(self.missing))

    @property
    def n_names(self) -> int:
        """Names that speak for this kind."""
        return len(self.found) + self.n_telling


@dataclass(frozen=True, slots=True)
class Detected:
    """What a file is, with what else it could be, best first; `best` is None where nothing fits."""

    where: str
    sample: Sample
    best: Match | None
    others: tuple[Match, ...]

    @property
    def margin_frac(self) -> float:
        """How far the next kind is behind: 1 where no other has anything in common."""
        if self.best is None:
            return 0.0
        return self.best.score_frac - max((m.score_frac for m in self.others), default=0.0)

    def refusal(self) -> InputError:
        """Why the file is of no known kind, and what to do."""
        shown = shown_names(self.sample.shown, 20)
        problem = f"is no kind of file that is known here; it holds {shown}"
        if self.others and self.others[0].found:
            nearest = self.others[0]
            lacking = ", ".join(nearest.missing)
            problem += f". Nearest is {nearest.kind.name} ({nearest.kind.title}): lacks {lacking}"
        names = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}
        mend = (
            f"say which column holds what: weighbridge import {names[self.sample.format]} FILE "
            "--into usage --map started_at=COLUMN --map input_tokens=COLUMN "
            "--map output_tokens=COLUMN"
        )
        return InputError(self.where, "", problem, mend)


def detect(file: LogFile) -> Detected:
    """The kind that fits; raises where the file cannot be read as text or columns at all."""
    sample = sample_of(file)
    matches = [_match(kind, sample) for kind in KINDS if sample.format in kind.formats]
    fitting = sorted((m for m in matches if not m.missing), key=lambda m: -m.n_names)
    best = fitting[0] if fitting else None
    others = sorted(
        (m for m in matches if m is not best and m.found),
        key=lambda m: (-m.score_frac, -m.n_names),
    )
    return Detected(file.name, sample, best, tuple(others))


def _match(kind: Kind, sample: Sample) -> Match:
    """The fit of the one of its ways to be written that fits best."""
    names, signature = sample.names, kind.signature
    if kind.may_be_under:
        names = names | {name.removeprefix(f"{kind.may_be_under}.") for name in names}
    other = {f"{name} that begins with {start}" for name, start in signature.begins.items()}
    for name, start in signature.begins.items():
        if sample.first_cells.get(name, "").startswith(start):
            names = names | {f"{name} that begins with {start}"}
    ways = [(*way, *sorted(other)) for way in (signature.required, *signature.others)]
    best = max(ways, key=lambda way: sum(name in names for name in way) / len(way))
    return Match(
        kind,
        found=tuple(name for name in best if name in names),
        missing=tuple(name for name in best if name not in names),
        n_telling=sum(name in names for name in signature.telling),
    )


def sample_of(file: LogFile) -> Sample:
    """Names in the first MiB of a file, unpacked where it is packed."""
    with translated(file.name), file.path.open("rb") as raw:
        raw.seek(0)
        stream, _ = unpacked(raw)
        data = _first_bytes(stream)
        if data.startswith(b"PAR1"):
            return _parquet_sample(file)
    refuse_not_text(data[:1024], file.name)
    text = _text(data, file.name)
    if text.lstrip()[:1] in ("{", "["):
        return _json_sample(text.lstrip(), file.name)
    return _csv_sample(text, file.name)


def _first_bytes(stream: Any) -> bytes:
    held = bytearray()
    while len(held) < SAMPLE_BYTES and (block := stream.read(SAMPLE_BYTES - len(held))):
        held += block
    return bytes(held)


def _text(data: bytes, where: str) -> str:
    data = data.removeprefix(b"\xef\xbb\xbf")
    cut = data.rfind(b"\n") if len(data) >= SAMPLE_BYTES - 3 else -1
    check_utf8(data[:cut] if cut > 0 else data[:-3], 1, where)
    return data.decode(errors="ignore")


def _parquet_sample(file: LogFile) -> Sample:
    with file.path.open("rb") as stream:
        try:
            names = tuple(pq.ParquetFile(stream).schema_arrow.names)
        except pa.ArrowInvalid as fault:
            raise InputError(file.name, "", str(fault), "export the file again") from fault
    return Sample("parquet", frozenset(names), names)


def _csv_sample(text: str, where: str) -> Sample:
    first = next((line for line in text.splitlines() if line.strip()), "")
    headers = []
    for delimiter in DELIMITERS:
        with suppress(csv.Error, StopIteration):
            headers.append((next(csv.reader([first], delimiter=delimiter)), delimiter))
    if not headers or len(first) > SAMPLE_BYTES // 2:
        mend = "give a CSV file whose first line names the columns"
        raise InputError(where, "", "has no header", mend)
    header, delimiter = max(headers, key=lambda one: len(one[0]))
    return Sample("csv", frozenset(header), tuple(header), delimiter, _first_cells(text, header))


def _first_cells(text: str, header: Sequence[str]) -> dict[str, str]:
    """Cells of the first row, where it can be read."""
    rows = csv.reader(text.splitlines()[:MOST_ROWS])
    with suppress(csv.Error, StopIteration):
        next(rows)
        return dict(zip(header, next(rows), strict=False))
    return {}


def _json_sample(text: str, where: str) -> Sample:
    values = list(_whole_lines(text)) or [_mended(text)]
    names: dict[str, None] = {}
    shown: dict[str, None] = {}
    for value in values:
        _add_names(names, value, "", 0)
        for row in value if isinstance(value, list) else [value]:
            shown.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    if not names:
        mend = "give JSON lines, an array of objects, or the pages that a service sent"
        raise InputError(where, "", "holds no JSON object", mend)
    return Sample("json", frozenset(names), tuple(shown))


def _whole_lines(text: str) -> Iterator[Any]:
    """Values of the first lines, where each line is one."""
    for line in text.split("\n", MOST_ROWS + 1)[:MOST_ROWS]:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return


def _add_names(names: dict[str, None], value: Any, above: str, depth: int) -> None:
    if isinstance(value, list) and depth < MOST_DEPTH:
        for item in value[:MOST_ROWS]:
            _add_names(names, item, above, depth)
    if not isinstance(value, dict):
        return
    if value.keys() == {"key", "value"} and isinstance(value["key"], str):
        names[above + value["key"]] = None  # OTLP's attributes
    for key, held in value.items():
        names[above + key] = None
        inner = _opened(held)
        if depth < MOST_DEPTH and isinstance(inner, dict | list):
            _add_names(names, inner, f"{above}{key}.", depth + 1)


def _opened(value: Any) -> Any:
    """An object that is written as text, as events of CloudWatch hold records."""
    if isinstance(value, str) and value.startswith("{"):
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            return msgspec.json.decode(value)
    return value


def _mended(text: str) -> Any:
    """A JSON value that is cut off, read up to its last whole element; None where none is."""
    with suppress(ValueError, RecursionError):
        return json.JSONDecoder().raw_decode(text)[0]
    ends: list[tuple[int, str]] = []
    closers: list[str] = []
    in_string = escaped = False
    for at, char in enumerate(text):
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "{[":
            closers.append("}" if char == "{" else "]")
        elif char in "}]" and closers:
            closers.pop()
        elif char == ",":
            ends = [*ends[-40:], (at, "".join(reversed(closers)))]
    for at, tail in reversed(ends):
        with suppress(ValueError, RecursionError):
            return json.loads(text[:at] + tail)
    return None


@contextmanager
def named_rightly(source: Source, file: LogFile) -> Iterator[None]:
    """Where a file cannot be read as its source, say what it is instead, if that can be told."""
    try:
        yield
    except InputError as fault:
        found = None if source.mapped_by_user else _detected(file)
        if found is None or found.best is None:
            raise
        _check_delimiter(found)
        kind = found.best.kind
        if kind.name == source.name:
            raise
        problem = f"is {kind.name} ({kind.title}), not {source.name}"
        mend = kind.command.replace("FILE", file.name) or "name a log of requests"
        raise InputError(file.name, "", problem, mend) from fault


def _detected(file: LogFile) -> Detected | None:
    try:
        return detect(file)
    except InputError:
        return None


def _check_delimiter(found: Detected) -> None:
    delimiter = found.sample.delimiter
    if found.best is not None and delimiter != ",":
        problem = f"is {found.best.kind.title}, with {delimiter!r} between its columns"
        raise InputError(found.where, "", problem, "export it again with commas between them")


def benchmark_of(file: LogFile) -> str | None:
    """The tool whose benchmark a file is a result of; None where it is none."""
    if file.path.stat().st_size > LARGEST_BENCHMARK_BYTES:
        return None
    try:
        return name_format(file.path)
    except InputError:
        return None


def told(found: Detected) -> Sequence[str]:
    """Lines that say what a file is and what to run next; raises where it is of no known kind."""
    best = found.best
    if best is None:
        raise found.refusal()
    _check_delimiter(found)
    telling = best.kind.signature.telling
    sure = f"{len(best.found)} of {len(best.found)} names that it must have"
    if telling:
        sure += f", {best.n_telling} of {len(telling)} more that tell it"
    lines = [f"{found.where}: {best.kind.name}", f"  {best.kind.title}", f"  known by {sure}"]
    if found.others:
        next_best = found.others[0]
        lacking = f"lacks {', '.join(next_best.missing)}" if next_best.missing else "fits as well"
        lines.append(f"  next best: {next_best.kind.name}, {lacking}")
    if best.kind.command:
        lines.append(f"  next: {best.kind.command.replace('FILE', found.where)}")
    else:
        lines.append("  it is no log of requests, and nothing imports it")
    return lines
