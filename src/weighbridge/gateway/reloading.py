"""A configuration that changes while requests are in flight: all of it takes effect, or none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from weighbridge.gateway.config import Config
from weighbridge.units import WeighbridgeError

LOOK_S = 1.0
# What a running process stands on; a changed value waits for the next start.
FIXED = (
    "listen",
    "tls",
    "admin",
    "http",
    "identify",
    "spool",
    "ledger",
    "compact_s",
    "state",
    "state_path",
    "shared",
    "prices",
    "access_log",
    "otlp",
)


def with_fixed(running: Config, fresh: Config) -> tuple[Config, tuple[str, ...]]:
    """A new configuration with what cannot change left as it runs, and the names of that."""
    changed = tuple(
        name for name in FIXED if getattr(running.settings, name) != getattr(fresh.settings, name)
    )
    kept = {name: getattr(running.settings, name) for name in changed}
    return replace(fresh, settings=msgspec.structs.replace(fresh.settings, **kept)), changed


class Reloader:
    """Watches files; `reload` answers what is wrong, or None where the new setup took effect.

    `apply` answers which settings wait for a restart. `asked` is a file by which the workers of a
    machine ask each other to reload, where no other file has changed (a secret's, say).
    """

    def __init__(  # what it watches, does and tells
        self,
        paths: Callable[[], tuple[Path, ...]],
        apply: Callable[[], tuple[str, ...]],
        tell: Callable[[str, str], None],
        loop: asyncio.AbstractEventLoop,
        asked: Path | None = None,
    ) -> None:
        self._paths = paths
        self._apply = apply
        self._tell = tell
        self._loop = loop
        self._asked = asked
        self._seen = self._stamps()
        self._timer: asyncio.TimerHandle | None = None
        self.error: str | None = None
        self.waits_for_restart: tuple[str, ...] = ()

    def start(self) -> None:
        """Look at the files from now on."""
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def reload_all(self) -> str | None:
        """Reload, and let the other workers of this machine do the same within a second or so."""
        if self._asked is not None:
            try:
                self._asked.write_bytes(os.urandom(8).hex().encode())
            except OSError as error:
                self._tell("workers_not_asked", str(error))
        return self.reload()

    def reload(self) -> str | None:
        """Read everything anew; a fault changes nothing."""
        self._seen = self._stamps()
        try:
            waits = self._apply()
        except (WeighbridgeError, OSError, ValueError, RecursionError) as error:
            self.error = str(error) or type(error).__name__
            self._tell("reload_refused", self.error)
            return self.error
        self.error = None
        self._tell("reloaded", "")
        if waits and waits != self.waits_for_restart:
            self._tell("restart_needed", f"changed, but fixed while running: {', '.join(waits)}")
        self.waits_for_restart = waits
        return None

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        if self._stamps() != self._seen:
            self.reload()

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        paths = self._paths()
        return tuple(_stamp(path) for path in (*paths, *([self._asked] if self._asked else ())))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # one call, three fields
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
