"""Any sequence of faults: what the spool said it recorded is read back, the rest is counted."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.ledger.lines import RequestLine
from weighbridge.ledger.spool import SpoolReader, SpoolWriter, encode_line
from weighbridge.ledger.spool_files import close_abandoned, forget_dead, live_writers

codes = st.sampled_from([errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
answers = st.lists(st.one_of(st.none(), codes, st.integers(-60, -1)), max_size=3)
steps = st.one_of(
    st.tuples(st.just("append"), answers),
    st.tuples(st.just("append"), st.just([])),
    st.tuples(st.just("many"), answers),
    st.tuples(st.just("sync"), st.lists(st.one_of(st.none(), codes), max_size=2)),
    st.tuples(st.just("sync"), st.just([])),
    st.tuples(st.just("rotate"), answers),
    st.tuples(st.sampled_from(["remove", "rename", "unlink", "tidy"]), st.just([])),
)


class Disk:
    """Answers writes, cuts and syncs with faults from a list, then as the system does."""

    def __init__(self) -> None:
        self.faults: list[int | None] = []
        self.write, self.sync, self.cut = os.write, os.fdatasync, os.ftruncate

    def _next(self) -> int | None:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and fault > 0:
            raise OSError(fault, os.strerror(fault))
        return fault

    def on_write(self, fd: int, data: bytes) -> int:
        fault = self._next()
        return self.write(fd, data if fault is None else data[: -fault % len(data)])

    def on_sync(self, fd: int) -> None:
        self._next()
        self.sync(fd)

    def on_cut(self, fd: int, n_bytes: int) -> None:
        self._next()
        self.cut(fd, n_bytes)


@contextmanager
def faulty() -> Iterator[Disk]:
    disk = Disk()
    with (
        patch.object(os, "write", disk.on_write),
        patch.object(os, "fdatasync", disk.on_sync),
        patch.object(os, "ftruncate", disk.on_cut),
    ):
        yield disk


def line(n: int) -> bytes:
    told = RequestLine(
        request_id=str(n), started_at_us=n, status="ok", price_state="priced", tenant="t" * (n % 50)
    )
    return encode_line(told)


class Run:
    """One writer, what it said it recorded, and what went away beyond its reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = SpoolWriter(folder, worker="0", max_segment_bytes=1)
        self.recorded: set[str] = set()
        self.out_of_reach: set[str] = set()
        self.n, self.n_refused = 0, 0

    def append(self, n_lines: int) -> None:
        numbers = range(self.n, self.n + n_lines)
        self.n += n_lines
        lines = [line(n) for n in numbers]
        done = self.writer.append(lines[0]) if n_lines == 1 else self.writer.append_many(lines)
        if done:
            self.recorded |= {str(n) for n in numbers}
        else:
            self.n_refused += n_lines

    def forget_closed(self) -> None:
        """Segments that were closed and then removed are gone, as the spool says of itself."""
        for path in SpoolReader(self.folder).segments(closed_only=True):
            self.out_of_reach |= {told.request_id for told in _lines(path)}

    def step(self, what: str) -> None:
        match what:
            case "append" | "many":
                self.append(1 if what == "append" else 3)
            case "sync":
                self.writer.sync()
            case "rotate":
                self.writer.rotate_if_due()
            case "remove":
                self.forget_closed()
                shutil.rmtree(self.folder, ignore_errors=True)
            case "rename":
                self.forget_closed()
                if self.folder.exists():
                    self.folder.rename(
                        self.folder.with_name(f"away-{self.n}-{os.urandom(4).hex()}")
                    )
            case "unlink":
                if self.writer.segment is not None:
                    self.writer.segment.unlink(missing_ok=True)
            case _:
                if self.folder.exists():
                    close_abandoned(self.folder)
                    forget_dead(self.folder)


def _lines(path: Path) -> list[Any]:
    from weighbridge.ledger.spool_reader import read_segment  # noqa: PLC0415

    return read_segment(path).lines


@settings(max_examples=150)
@given(st.lists(steps, max_size=12))
def test_what_was_recorded_is_read_back_after_any_faults(
    made: list[tuple[str, list[int | None]]],
) -> None:
    with TemporaryDirectory() as place, faulty() as disk:
        run = Run(Path(place) / "spool")
        for what, faults in made:
            disk.faults = list(faults)
            run.step(what)
            assert run.writer.unrecorded == run.n_refused
        disk.faults = []
        assert run.writer.sync()
        assert run.writer.append(line(10**6))
        assert run.writer.failing is None
        assert live_writers(run.folder) == {run.writer.writer}
        assert run.writer.close()
        found = {told.request_id for told in SpoolReader(run.folder).finished()}
        assert run.recorded - run.out_of_reach <= found
        assert {path.suffix for path in run.folder.iterdir()} == {".jsonl"}
