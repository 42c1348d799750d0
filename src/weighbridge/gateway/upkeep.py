"""What goes on beside the requests: disk, snapshots of spend and counters, compaction."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from weighbridge.ledger.spool import SpoolWriter


class SpoolKeeper:
    """Syncs and rotates the spool in a thread of its own, since a disk may take its time."""

    def __init__(self, spool: SpoolWriter, every_s: float, also: Callable[[], None]) -> None:
        self._spool = spool
        self._every_s = every_s
        self._also = also
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Sync once more, publish the segment, end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)
        self._spool.close()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._spool.sync()
            self._spool.rotate_if_due()
            self._also()  # of a segment that may be new


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file, so that a reader sees the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """What such a file holds; None where it is missing or broken."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


class Compactor:
    """Runs `weighbridge compact` now and then, in a process of its own: Parquet is heavy."""

    def __init__(
        self,
        spool: Path,
        ledger: Path,
        every_s: float,
        tell: Callable[[str, str], None],
        prices: Path | None = None,
    ) -> None:
        self.command = [sys.executable, "-m", "weighbridge", "compact", str(spool), str(ledger)]
        if prices is not None:  # what a dying gateway cut off is priced only then
            self.command += ["--prices", str(prices)]
        self._every_s = every_s
        self._tell = tell
        self.n_ended = 0
        self.n_failed = 0
        self.is_failing = False
        self._child: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first run comes at once, for what an earlier process left."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End a run that is under way; it can be repeated without loss."""
        if self._task is not None:
            self._task.cancel()
        if self._child is not None and self._child.returncode is None:
            self._child.terminate()
            await self._child.wait()

    async def _run(self) -> None:
        while True:
            await self.compact()
            await asyncio.sleep(self._every_s)

    async def compact(self) -> None:
        """One run; its failure is an event, never the gateway's end."""
        try:
            self._child = await asyncio.create_subprocess_exec(
                *self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            _, said = await self._child.communicate()
        except OSError as error:
            self._end(str(error))
            return
        self._end(said.decode("utf-8", "replace")[-500:] if self._child.returncode else None)

    def _end(self, problem: str | None) -> None:
        self.n_ended += 1
        self.is_failing = problem is not None
        if problem is not None:
            self.n_failed += 1
            self._tell("compaction_failed", problem)


def settle_memory() -> None:
    """Leave what was loaded at the start out of garbage collection: it never becomes garbage.

    Requests are freed by reference counts; the collector is for the rest, and may come seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
