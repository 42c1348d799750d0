"""Files of a spool: how they are named, what stands in their first line, who still writes.

A writer is one process. It holds a lock on `<writer>.writer` for as long as it lives, appends to
`<utc>-<writer>-<n>.open`, and renames a segment to `.jsonl` once its bytes are on the disk. Whether
a process lives is read from its lock: process numbers mean nothing across containers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

FORMAT = "weighbridge-spool"
VERSION = 1
OPEN, CLOSED, WRITER = ".open", ".jsonl", ".writer"
_RACES = 100


class SegmentLine(msgspec.Struct, tag="segment", tag_field="kind", kw_only=True):
    """First line of a segment: what it is, and the one process that wrote it."""

    format: str = FORMAT
    version: int = VERSION
    writer: str
    boot: str


def writer_of(segment: Path) -> str:
    """Name of the process that wrote a segment."""
    return segment.stem.partition("-")[2].rpartition("-")[0]


def segments(folder: Path, suffix: str) -> list[Path]:
    """Segments of a spool in the order in which they were begun."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix)
    except FileNotFoundError:
        return []


def hold(path: Path) -> int:
    """Take the lock that says its writer lives; returns the descriptor that holds it."""
    for _ in range(_RACES):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # somebody tidied the file away before the lock was ours
    raise OSError(f"{path} disappears as soon as it is made")


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file still is the one of that name."""
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.samestat(os.fstat(handle), there)


def is_alive(folder: Path, writer: str) -> bool:
    """Whether the process of that name still holds its lock."""
    try:
        handle = os.open(folder / f"{writer}{WRITER}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def live_writers(folder: Path) -> frozenset[str]:
    """Every writer that lives; ask before listing segments, so that the dead have written all."""
    held = (path.name.removesuffix(WRITER) for path in segments(folder, WRITER))
    return frozenset(writer for writer in held if is_alive(folder, writer))


def close_abandoned(folder: Path) -> tuple[Path, ...]:
    """Close the segments of processes that died, so that they can be compacted."""
    return tuple(_closed(folder))


def _closed(folder: Path) -> Iterator[Path]:
    for segment in segments(folder, OPEN):
        if is_alive(folder, writer_of(segment)):
            continue
        try:
            yield segment.rename(segment.with_suffix(CLOSED))
        except FileNotFoundError:
            continue  # another process closed it in this moment


def forget_dead(folder: Path) -> None:
    """Remove the lock files of processes that died and have no segment left."""
    writing = {writer_of(path) for kind in (OPEN, CLOSED) for path in segments(folder, kind)}
    for path in segments(folder, WRITER):
        if path.name.removesuffix(WRITER) in writing:
            continue
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


def sync_folder(folder: Path) -> None:
    """Push the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
