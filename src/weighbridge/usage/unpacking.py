"""Files as bytes of text: unpacked, and refused where they are something else."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from weighbridge.units import InputError
from weighbridge.usage.log_files import LogFile
from weighbridge.usage.sources.source import Format

_UTF16 = ("is UTF-16 text, not UTF-8", "convert it first, for example: iconv -f UTF-16 -t UTF-8")


# What files begin with that no log in text begins with, and what to do then.
_NOT_TEXT: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\xfe", *_UTF16),
    (b"\xfe\xff", *_UTF16),
    (b"PAR1", "is a Parquet file", "import it with the source `parquet` or `table`"),
    (b"PK\x03\x04", "is a zip archive or a workbook", "unpack it, or save the sheet as CSV"),
    (b"BZh", "is packed with bzip2", "unpack it first: bzip2 -d FILE"),
    (b"\xfd7zXZ\0", "is packed with xz", "unpack it first: xz -d FILE"),
    (b"%PDF", "is a PDF", "export the data as CSV or JSON"),
)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """What libraries say of an unreadable file, as an error that names it and the mend."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        problem = f"the gzip data is truncated or damaged ({fault})"
        raise InputError(where, "", problem, "copy or export the file again") from fault
    except PermissionError as fault:
        raise InputError(where, "", "may not be read", "allow it") from fault
    except OSError as fault:
        mend = "copy or export the file again"
        raise InputError(where, "", f"cannot be read ({fault})", mend) from fault
    except pa.ArrowInvalid as fault:
        raise InputError(where, "", str(fault), "export the file again") from fault


def refuse_not_text(start: bytes, where: str) -> None:
    """Raise where a file's first bytes show that it is empty, or no text in UTF-8."""
    if not start:
        raise InputError(where, "", "the file is empty", "export the log again")
    for magic, problem, mend in _NOT_TEXT:
        if start.startswith(magic):
            raise InputError(where, "", problem, mend)
    if b"\0" in start:
        mend = "name the right file; text in UTF-16 must be converted to UTF-8 first"
        raise InputError(where, "", "is not text: it holds zero bytes", mend)


def unpacked(raw: IO[bytes]) -> tuple[Any, bool]:
    magic = raw.read(4)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw), True
    if magic == b"\x28\xb5\x2f\xfd":
        return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"), True
    return raw, False


def format_of(file: LogFile, formats: Sequence[Format]) -> Format:
    """Which of a source's formats a file is in, by what it begins with."""
    if len(formats) == 1:
        return formats[0]
    try:
        with file.path.open("rb") as raw:
            raw.seek(0)
            start = unpacked(raw)[0].read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (EOFError, zlib.error, OSError, pa.ArrowInvalid):
        return formats[0]  # the reading itself will say what is wrong
    if start[:4] == b"PAR1":
        return "parquet"
    return "json" if start[:1] in (b"{", b"[") else "csv" if "csv" in formats else formats[0]
