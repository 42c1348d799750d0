"""A configuration that changes while requests are in flight: all of it takes effect, or none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from weighbridge.units import WeighbridgeError

LOOK_S = 1.0


class Reloader:
    """Watches files; `reload` answers what is wrong, or None where the new setup took effect."""

    def __init__(
        self,
        paths: Callable[[], tuple[Path, ...]],
        apply: Callable[[], None],
        tell: Callable[[str, str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._paths = paths
        self._apply = apply
        self._tell = tell
        self._loop = loop
        self._seen = self._stamps()
        self._timer: asyncio.TimerHandle | None = None
        self.error: str | None = None

    def start(self) -> None:
        """Look at the files from now on."""
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def reload(self) -> str | None:
        """Read everything anew; a fault changes nothing."""
        self._seen = self._stamps()
        try:
            self._apply()
        except (WeighbridgeError, OSError) as error:
            self.error = str(error)
            self._tell("reload_refused", self.error)
            return self.error
        self.error = None
        self._tell("reloaded", "")
        return None

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        if self._stamps() != self._seen:
            self.reload()

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._paths())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # one call, three fields
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
