"""Files as text: plain or gzip, with errors that name the file."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import msgspec

from weighbridge.units import InputError

_GZIP = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked if it is gzip (told by its first bytes, not by its name)."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(str(path), "", "is not there", "give a file that exists") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InputError(
            str(path), "", f"cannot be read: {why}", "give a file that you may read"
        ) from None
    if raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            raise InputError(
                str(path), "", "is gzip that is cut off or damaged", "copy the file again, whole"
            ) from None
    if not raw.strip():
        raise InputError(
            str(path), "", "is empty", "give the file that the tool wrote when it had finished"
        )
    return raw


def as_text(path: Path, raw: bytes) -> str:
    """UTF-8 text of what `read_bytes` gave."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            str(path),
            "",
            f"is not text: byte {error.start} is not UTF-8",
            "give the file that the tool wrote, plain or gzip",
        ) from None
    if "\x00" in text:
        raise InputError(
            str(path),
            "",
            "is not text: it holds zero bytes",
            "give the file that the tool wrote, plain or gzip",
        )
    return text


def as_json(path: Path, raw: bytes) -> Any:
    """The one JSON value of a file; text that a tool wrote with NaN in it is read as well."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _lenient_json(path, as_text(path, raw))


def _lenient_json(path: Path, text: str) -> Any:
    """Python's own reader, which takes the NaN and Infinity that Python tools write."""
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(
            str(path), "", "is nested too deeply", "give the file that the tool wrote"
        ) from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise InputError(
            str(path) if line is None else f"{path}:{line}",
            "",
            "is not whole JSON: it is cut off or damaged",
            "give the file that the tool wrote when it had finished",
        ) from None
