"""The files that a command names: found in directories and by patterns, or standard input."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.sources.source import Format

MIB = 1 << 20

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "json": (".json", ".jsonl", ".ndjson"),
    "csv": (".csv",),
    "parquet": (".parquet", ".pq"),
}


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file to read; `path` may be a copy of standard input that has no other name."""

    name: str
    path: Path
    is_stdin: bool = False


def find_files(
    named: Sequence[str | Path], formats: Sequence[Format], scratch: Path
) -> list[LogFile]:
    """The files named, those in the directories named (by suffix), and standard input for `-`."""
    found: list[LogFile] = []
    for name in named:
        path = Path(name)
        if str(name) == "-":
            found.append(_from_stdin(scratch))
        elif path.is_dir():
            found.extend(_in_directory(path, formats))
        elif path.exists():
            found.append(LogFile(str(name), path))
        elif glob.has_magic(str(name)):
            found.extend(_matching(str(name)))
        elif path.is_symlink():
            raise InputError(str(name), "", "is a symlink that leads nowhere", "mend the link")
        else:
            raise InputError(str(name), "", "there is no such file", "check the path")
    if not found:
        raise InputError("import", "FILE", "no file is named", "name files, directories or -")
    return found


def _matching(pattern: str) -> list[LogFile]:
    """Files that a quoted pattern fits, for shells that would not expand it."""
    found = [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    files = [LogFile(str(one), one) for one in found if one.is_file()]
    if not files:
        raise InputError(pattern, "", "no file fits the pattern", "check the path")
    return files


def _from_stdin(scratch: Path) -> LogFile:
    """Standard input, copied to a nameless file: rows may hold prompts, and no crash keeps it."""
    handle, name = tempfile.mkstemp(dir=scratch)
    os.unlink(name)  # noqa: PTH108  (the open handle keeps the bytes readable)
    with os.fdopen(handle, "wb", closefd=False) as copy:
        while block := sys.stdin.buffer.read(MIB):
            copy.write(block)
    return LogFile("-", Path(f"/dev/fd/{handle}"), is_stdin=True)


def _in_directory(folder: Path, formats: Sequence[Format]) -> list[LogFile]:
    wanted = tuple(suffix for one in formats for suffix in SUFFIXES[one])
    found = [
        LogFile(str(file), file)
        for file in sorted(_walk(folder, ()))
        if file.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(wanted)
    ]
    if not found:
        endings = ", ".join(wanted)
        problem = "the directory holds no log"
        raise InputError(str(folder), "", problem, f"logs here end in {endings} (also .gz, .zst)")
    return found


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        mend = "remove the link, or name the directories without it"
        raise InputError(str(folder), "", f"is a symlink loop (leads back to {real})", mend)
    for item in sorted(folder.iterdir()):
        if _is_loop(item):
            mend = "remove the link, or name the files without it"
            raise InputError(str(item), "", "is a symlink loop", mend)
        if item.is_dir():
            yield from _walk(item, (*above, real))
        elif item.is_file():
            yield item


def _is_loop(item: Path) -> bool:
    if not item.is_symlink():
        return False
    try:
        item.resolve(strict=True)
    except FileNotFoundError:
        return False
    except (OSError, RuntimeError):  # RuntimeError: how pathlib names a loop before Python 3.13
        return True
    return False
