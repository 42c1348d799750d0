"""The access log: the same JSON line as the spool's, to standard output or a file, in batches."""

from __future__ import annotations

import os
import threading
from pathlib import Path

MOST_HELD_BYTES = 4 * 1024 * 1024


class AccessLog:
    """Lines wait in memory until the next flush; a log that cannot keep up loses lines, counted."""

    def __init__(self, where: str | Path) -> None:
        self._path = None if where == "-" else Path(where)
        self._lines: list[bytes] = []
        self._n_bytes = 0
        self._lock = threading.Lock()
        self.n_lost = 0

    def write(self, line: bytes) -> None:
        """Take a line."""
        if self._n_bytes > MOST_HELD_BYTES:
            self.n_lost += 1
            return
        self._lines.append(line)
        self._n_bytes += len(line)

    def flush(self) -> None:
        """Write what waits, in the spool's thread; a file that was moved away is made anew."""
        with self._lock:
            lines, self._lines = self._lines, []
            self._n_bytes = 0
            if not lines:
                return
            try:
                if self._path is None:
                    os.write(1, b"".join(lines))
                else:
                    with self._path.open("ab") as file:
                        file.write(b"".join(lines))
            except OSError:
                self.n_lost += len(lines)
