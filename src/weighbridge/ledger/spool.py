"""The spool's writer: records appended as they happen; no way of dying loses a finished one.

`append` costs one system call: after it the line survives the death of the process; after the
next `sync`, within 100 ms, a power cut. Nothing here raises for the sake of the disk: what could
not be recorded is counted, `failing` says why, and every later line is another try.

Where the folder or a segment is removed under the writer, its open descriptor still holds the
bytes; `sync` notices, begins anew and copies them over. A line may then stand in two segments:
readers tell requests by their id. Segments that were closed and then removed are gone.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from weighbridge.ledger.lines import Line
from weighbridge.ledger.spool_files import (
    CLOSED,
    OPEN,
    WRITER,
    SegmentLine,
    close_abandoned,
    hold,
    is_at,
    sync_folder,
)
from weighbridge.ledger.spool_reader import SpoolReader as SpoolReader

MAX_SEGMENT_BYTES = 64 * 2**20
MAX_SEGMENT_AGE_S = 300.0

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # another segment would not help
_COPY_BYTES = 2**20
_encode = msgspec.json.Encoder().encode


def encode_line(line: Line) -> bytes:
    """One line of the spool: a JSON object and a newline."""
    try:
        return _encode(line) + b"\n"
    except UnicodeEncodeError:  # half a character, from somebody's header
        return _encode(_writable(line)) + b"\n"


def _writable(line: Any) -> Any:
    """A copy whose texts can be written, "?" for what cannot."""
    told: dict[str, Any] = {}
    for name in line.__struct_fields__:
        value = getattr(line, name)
        if isinstance(value, str):
            told[name] = value.encode("utf-8", "replace").decode()
        elif isinstance(value, tuple):
            told[name] = tuple(_writable(one) for one in value if isinstance(one, msgspec.Struct))
            told[name] = told[name] or value
    return msgspec.structs.replace(line, **told)


class _Segment:
    """A file that is, or was, appended to."""

    __slots__ = ("begun_s", "fd", "header_bytes", "is_lost", "n_bytes", "n_synced_bytes", "path")

    def __init__(self, path: Path, fd: int, header_bytes: int, begun_s: float) -> None:
        self.path, self.fd, self.begun_s = path, fd, begun_s
        self.header_bytes = self.n_bytes = header_bytes
        self.n_synced_bytes = 0
        self.is_lost = False  # its bytes must be copied to where a reader finds them


class SpoolWriter:
    """Appends lines to the spool of one process; `sync` may run in another thread.

    Parameters
    ----------
    folder : Path
        The spool; made where it is missing.
    worker : str
        Name of this process among the gateway's, for people who look at the files.
    max_segment_bytes, max_segment_age_s
        When `rotate_if_due` begins another segment.
    clock : callable
        Monotonic seconds.
    wall_clock : callable
        Seconds since 1970, for the names of segments.
    """

    __slots__ = (
        "_begin_fault",
        "_boot",
        "_clock",
        "_ended",
        "_fd",
        "_folder_is_new",
        "_held",
        "_is_closed",
        "_lock",
        "_max_age_s",
        "_max_bytes",
        "_n_begun",
        "_segment",
        "_sync_fault",
        "_sync_lock",
        "_wall_clock",
        "_write_fault",
        "folder",
        "unrecorded",
        "writer",
    )

    def __init__(  # noqa: PLR0913
        self,
        folder: Path,
        *,
        worker: str,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_segment_age_s: float = MAX_SEGMENT_AGE_S,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._boot = os.urandom(4).hex()
        name = re.sub(r"[^A-Za-z0-9_]+", "_", worker) or "worker"
        self.writer = f"{name}-{os.getpid()}-{self._boot}"
        self.unrecorded = 0
        self._max_bytes, self._max_age_s = max_segment_bytes, max_segment_age_s
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = threading.Lock()  # held for a write, never for a sync
        self._sync_lock = threading.Lock()
        self._segment: _Segment | None = None
        self._fd = -1  # the segment's, or -1: then the next write fails and begins another
        self._held = -1
        self._n_begun = 0
        self._ended: list[_Segment] = []
        self._folder_is_new = False
        self._write_fault: str | None = None
        self._sync_fault: str | None = None
        self._begin_fault: OSError | None = None
        self._is_closed = False
        with self._lock:
            if self._begin():
                self._adopt()

    @property
    def failing(self) -> str | None:
        """Why lines are not being recorded, or may not survive; None while all is well."""
        return self._write_fault or self._sync_fault

    @property
    def segment(self) -> Path | None:
        """The segment that is appended to now."""
        return None if self._segment is None else self._segment.path

    @property
    def position(self) -> tuple[str, int] | None:
        """Name of that segment without its ending, and how many bytes of whole lines it holds."""
        segment = self._segment  # once: another thread may begin the next one
        return None if segment is None else (segment.path.stem, segment.n_bytes)

    def append(self, line: bytes) -> bool:
        """Record one encoded line; False where it could not be, which is counted."""
        with self._lock:
            try:
                if os.write(self._fd, line) == len(line):
                    self._segment.n_bytes += len(line)  # type: ignore[union-attr]
                    if self._write_fault is not None:
                        self._write_fault = None
                    return True
            except OSError as fault:
                return self._try_again(line, 1, fault)
            return self._try_again(line, 1, None)

    def append_many(self, lines: Sequence[bytes]) -> bool:
        """Record lines in one write, all of them or none."""
        if not lines:
            return True
        data = b"".join(lines)
        with self._lock:
            try:
                if os.write(self._fd, data) == len(data):
                    self._segment.n_bytes += len(data)  # type: ignore[union-attr]
                    self._write_fault = None
                    return True
            except OSError as fault:
                return self._try_again(data, len(lines), fault)
            return self._try_again(data, len(lines), None)

    def _try_again(self, data: bytes, n_lines: int, fault: OSError | None) -> bool:
        """After a write that failed or stopped short: cut off the torn tail, try a new segment."""
        self._cut_tail()
        if fault is None:
            fault = self._written(data)  # a write that stopped short does not say why
        if fault is not None and fault.errno not in _FULL and not self._is_closed:
            fault = self._written(data) if self._begin() else self._begin_fault
        self._write_fault = None
        if fault is not None:
            self.unrecorded += n_lines
            self._write_fault = "the spool is closed" if self._is_closed else _told(fault)
        return fault is None

    def _written(self, data: bytes) -> OSError | None:
        try:
            n_written = os.write(self._fd, data)
            if n_written < len(data):
                n_written += os.write(self._fd, data[n_written:])
            if n_written < len(data):
                raise OSError(errno.EIO, "only a part of the line could be written")  # noqa: TRY301
        except OSError as fault:
            self._cut_tail()
            return fault
        self._segment.n_bytes += n_written  # type: ignore[union-attr]
        return None

    def _cut_tail(self) -> None:
        segment = self._segment
        if segment is None or self._fd < 0:
            return
        try:
            if os.fstat(self._fd).st_size > segment.n_bytes:
                os.ftruncate(self._fd, segment.n_bytes)
        except OSError:
            self._fd = -1  # leave the torn tail, which readers skip, and begin another segment

    def _begin(self, *, is_lost: bool = False) -> bool:
        """Begin a segment and let the one before end; False, with the reason, where it cannot."""
        if self._is_closed:
            return False
        try:
            segment = self._made()
        except OSError as fault:
            self._begin_fault, self._write_fault = fault, _told(fault)
            return False
        before, self._segment, self._fd = self._segment, segment, segment.fd
        if before is not None:
            before.is_lost = is_lost
            self._ended.append(before)
        return True

    def _made(self) -> _Segment:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hold_on()
        self._n_begun += 1
        path = self.folder / f"{self._segment_name()}{OPEN}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        header = _encode(SegmentLine(writer=self.writer, boot=self._boot)) + b"\n"
        try:
            if os.write(fd, header) != len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        except OSError:
            path.unlink(missing_ok=True)
            os.close(fd)
            raise
        self._folder_is_new = True
        return _Segment(path, fd, len(header), self._clock())

    def _segment_name(self) -> str:
        at_us = int(self._wall_clock() * 1e6)
        utc = time.strftime("%Y%m%dT%H%M%S", time.gmtime(at_us // 10**6))
        return f"{utc}.{at_us % 10**6:06d}Z-{self.writer}-{self._n_begun:06d}"

    def _hold_on(self) -> None:
        path = self.folder / f"{self.writer}{WRITER}"
        if self._held >= 0 and is_at(self._held, path):
            return
        held = hold(path)
        if self._held >= 0:
            os.close(self._held)
        self._held = held

    def _adopt(self) -> None:
        try:
            close_abandoned(self.folder)
        except OSError as fault:
            self._sync_fault = _told(fault)

    def rotate_if_due(self, now: float | None = None) -> bool:
        """Begin another segment where this one is large or old; `now` as `clock` tells it."""
        now = self._clock() if now is None else now
        with self._lock:
            segment = self._segment
            if segment is None or self._fd < 0:
                return self._begin()
            is_old = now - segment.begun_s >= self._max_age_s
            if segment.n_bytes == segment.header_bytes or not (
                is_old or segment.n_bytes >= self._max_bytes
            ):
                return False
            return self._begin()

    def sync(self) -> bool:
        """Push what was appended to the disk, and see that it is where a reader finds it.

        Called every 100 ms, best in a thread of its own. True where everything appended before the
        call now survives a power cut.
        """
        with self._sync_lock:
            try:
                self._look_after_segment()
                self._sync_segment()
                self._end_segments()
                if self._folder_is_new:
                    self._folder_is_new = False
                    sync_folder(self.folder)
            except OSError as fault:
                self._sync_fault = _told(fault)
                return False
            self._sync_fault = None
            return True

    def _look_after_segment(self) -> None:
        with self._lock:
            segment = self._segment
            if segment is None or self._is_closed:
                if not self._is_closed and not self._begin():
                    raise self._begin_fault or OSError(errno.EIO, "no segment")
                return
            there = is_at(segment.fd, segment.path)
            if there and is_at(self._held, self.folder / f"{self.writer}{WRITER}"):
                return
            if not self._begin(is_lost=not there):
                raise self._begin_fault or OSError(errno.EIO, "no segment")

    def _sync_segment(self) -> None:
        with self._lock:
            segment = self._segment
            if segment is None or segment.n_bytes == segment.n_synced_bytes:
                return
            n_bytes, fd = segment.n_bytes, os.dup(segment.fd)
        try:
            os.fdatasync(fd)
        except OSError:
            # What the disk did not take may be dropped from memory as if it had: copy it at once.
            if self._sync_fault is None:
                with self._lock:
                    self._begin(is_lost=True)
            raise
        finally:
            os.close(fd)
        segment.n_synced_bytes = n_bytes

    def _end_segments(self) -> None:
        """Publish the segments that were ended; one that fails is tried again next time."""
        while self._ended:
            self._end(self._ended[0])
            with self._lock:
                os.close(self._ended.pop(0).fd)

    def _end(self, segment: _Segment) -> None:
        if segment.n_bytes == segment.header_bytes:
            segment.path.unlink(missing_ok=True)
            return
        if not segment.is_lost:
            os.fdatasync(segment.fd)
            segment.is_lost = not is_at(segment.fd, segment.path)
        if segment.is_lost:
            self._copy(segment)
            if is_at(segment.fd, segment.path):  # the disk would not sync it: the copy stands in
                segment.path.unlink(missing_ok=True)
        else:
            segment.path.rename(segment.path.with_suffix(CLOSED))
        self._folder_is_new = True

    def _copy(self, segment: _Segment) -> None:
        """Write the bytes of a segment that lost its name under a new one."""
        with self._lock:
            self._n_begun += 1
            to = self.folder / f"{self._segment_name()}{OPEN}"
        try:
            with to.open("xb") as copy:
                at_bytes = 0
                while chunk := os.pread(segment.fd, _COPY_BYTES, at_bytes):
                    copy.write(chunk)
                    at_bytes += len(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            to.rename(to.with_suffix(CLOSED))
        except OSError:
            to.unlink(missing_ok=True)
            raise

    def close(self) -> bool:
        """Sync, publish the last segment and let go; later lines are refused and counted."""
        with self._lock:
            if self._is_closed:
                return True
            self._is_closed = True
            self._fd = -1
            if self._segment is not None:
                self._segment.is_lost = not is_at(self._segment.fd, self._segment.path)
                self._ended.append(self._segment)
                self._segment = None
        done = self.sync()
        if self._held >= 0:
            if done:
                (self.folder / f"{self.writer}{WRITER}").unlink(missing_ok=True)
            os.close(self._held)
            self._held = -1
        return done


def _told(fault: OSError) -> str:
    code = errno.errorcode.get(fault.errno or 0, "OSError")
    return f"{code}: {fault.strerror or fault}"
