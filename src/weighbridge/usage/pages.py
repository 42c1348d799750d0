"""JSON documents that wrap rows: a page, several pages after another, or an array of pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.sources.source import Envelope

_BOM = b"\xef\xbb\xbf"
_PAGE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ONE = msgspec.json.Decoder(msgspec.Raw)
_BLANK = re.compile(r"\s*")
_EXPORT = "the file is cut off or damaged: export it again"


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """Rows of a file, each still JSON, and whether its last page says that more follow."""

    rows: tuple[bytes, ...]
    names: tuple[str, ...]  # keys of rows, or of the pages where no row was found
    has_more: bool


def unwrapped(data: bytes, envelope: Envelope, where: str) -> Unwrapped:
    """Rows out of their pages; rows without an envelope are taken as they are.

    Raises where the file is no whole JSON, or its pages do not hold what the envelope says.
    """
    rows: list[bytes] = []
    has_more = False
    for number, page in enumerate(documents(data, where), 1):
        keys = _object(page)
        if keys is None:
            problem = f"document {number} is not a JSON object"
            raise InputError(where, "", problem, "give the pages as the service sent them")
        if envelope.rows not in keys:
            if envelope.inner is not None or rows_are_wrapped(keys):
                raise _no_rows(where, envelope.rows, number, tuple(keys))
            rows.append(bytes(page))
            continue
        found = _list(keys[envelope.rows])
        if found is None:
            raise _no_rows(where, envelope.rows, number, tuple(keys))
        rows += list(_rows_of(found, envelope, where))
        if envelope.more is not None and envelope.more in keys:
            has_more = bytes(keys[envelope.more]).strip() == b"true"
    return Unwrapped(tuple(rows), _names(rows), has_more)


def rows_are_wrapped(keys: dict[str, msgspec.Raw]) -> bool:
    """Whether an object looks like a page or a refusal of a service rather than like a row."""
    return set(keys) <= {"data", "error", "message", "object", "has_more", "next_page"}


def _no_rows(where: str, name: str, number: int, keys: tuple[str, ...]) -> InputError:
    if "error" in keys:
        problem = "holds no data but an error, as a service answers a request that it refuses"
        raise InputError(where, "error", problem, "read it, and fetch the data again")
    shown = ", ".join(keys[:12]) or "(none)"
    problem = f"document {number} has no list of that name; its keys are {shown}"
    return InputError(where, name, problem, "give the pages as the service sent them")


def _rows_of(found: list[msgspec.Raw], envelope: Envelope, where: str) -> Iterator[bytes]:
    if envelope.inner is None:
        yield from (bytes(row) for row in found)
        return
    for number, bucket in enumerate(found, 1):
        keys = _object(bucket)
        results = None if keys is None else _list(keys.get(envelope.inner, msgspec.Raw(b"0")))
        if keys is None or results is None:
            problem = f"element {number} of {envelope.rows} has no list of that name"
            raise InputError(where, envelope.inner, problem, "give the pages as they were sent")
        head = msgspec.json.encode({k: v for k, v in keys.items() if k != envelope.inner})
        for result in results:
            yield b'{"bucket":' + head + b',"result":' + bytes(result) + b"}"


def documents(data: bytes, where: str) -> list[msgspec.Raw]:
    """The JSON documents of a file: an array's elements, or documents one after another."""
    data = data.removeprefix(_BOM)
    try:
        return _LIST.decode(data) if data.lstrip()[:1] == b"[" else [_ONE.decode(data)]
    except msgspec.DecodeError:
        pass
    try:
        return [_ONE.decode(line) for line in data.splitlines() if line.strip()]
    except msgspec.DecodeError:
        return list(_one_by_one(data.decode(), where))


def _one_by_one(text: str, where: str) -> Iterator[msgspec.Raw]:
    """Documents that are printed over several lines each."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        blank = _BLANK.match(text, at)
        at = at if blank is None else blank.end()
        if at == len(text):
            return
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as fault:
            line = getattr(fault, "lineno", 1)
            problem = "is not whole JSON"
            raise InputError(f"{where}:{line}", "", problem, _EXPORT) from None
        yield msgspec.Raw(text[at:end].encode())
        at = end


def _object(raw: Any) -> dict[str, msgspec.Raw] | None:
    try:
        return _PAGE.decode(raw)
    except msgspec.DecodeError:
        return None


def _list(raw: Any) -> list[msgspec.Raw] | None:
    try:
        return _LIST.decode(raw)
    except msgspec.DecodeError:
        return None


def _names(rows: list[bytes]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for row in rows[:100]:
        names.update(dict.fromkeys(_object(row) or ()))
    return tuple(names)
