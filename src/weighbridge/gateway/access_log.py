"""The access log: the same JSON line as the spool's, to standard output or a file, in batches.

It has a thread of its own: a pipe that nobody reads, or a disk that hangs, must hold up neither
requests nor the spool's syncs.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

MOST_HELD_BYTES = 4 * 1024 * 1024
EVERY_S = 0.2
STOP_S = 5.0


class AccessLog:
    """Lines wait in memory until the next flush; a log that cannot keep up loses lines, counted."""

    def __init__(self, where: str | Path) -> None:
        self._path = None if where == "-" else Path(where)
        self._lines: deque[bytes] = deque()
        self._n_in_bytes = 0  # each of the two is changed by one thread alone
        self._n_out_bytes = 0
        self._n_refused = 0
        self._n_failed = 0
        self._is_torn = False
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)

    @property
    def n_lost(self) -> int:
        """Lines that did not get there."""
        return self._n_refused + self._n_failed

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and end; what cannot be written within seconds is left."""
        self._stop.set()
        if self._thread.ident is None:
            self.flush()
        else:
            self._thread.join(STOP_S)

    def write(self, line: bytes) -> None:
        """Take a line."""
        if self._n_in_bytes - self._n_out_bytes > MOST_HELD_BYTES:
            self._n_refused += 1
            return
        self._n_in_bytes += len(line)
        self._lines.append(line)

    def flush(self) -> None:
        """Write what waits; a file that was moved away is made anew."""
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if lines:
                self._put(lines)
                self._n_out_bytes += sum(map(len, lines))

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.flush()
        self.flush()

    def _put(self, lines: list[bytes]) -> None:
        before = b"\n" if self._is_torn else b""
        data = before + b"".join(lines)
        n_written = self._written(data) - len(before)
        self._is_torn = False
        for line in lines:
            n_written -= len(line)
            if n_written < 0:
                self._n_failed += 1
                self._is_torn = self._is_torn or n_written > -len(line)

    def _written(self, data: bytes) -> int:
        """How many bytes got there."""
        n_written = 0
        try:
            handle = 1 if self._path is None else _open(self._path)
            try:
                while n_written < len(data):
                    n_written += os.write(handle, data[n_written:])
            finally:
                if handle != 1:
                    os.close(handle)
        except OSError:
            pass  # counted as lost
        return n_written


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
