"""Spend against budgets over a restart, however the process before ended.

Each second a process writes how far its spool had come, which requests were open, and, where it
keeps the spend itself, what was spent. Its successor adds the requests that ended after that, and
those that were open and never ended, whose input the provider bills.

Compaction may take a dead process's segments away before its successor starts, so each segment
that a snapshot depends on has a second name, in a folder beside it, until no snapshot does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.gateway.admission import Claim
from weighbridge.gateway.upkeep import read_json, write_whole
from weighbridge.ledger.lines import Line, OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter
from weighbridge.ledger.spool_reader import SpoolReader, interrupted, read_segment

if TYPE_CHECKING:
    from weighbridge.gateway.admission.build import AnyAdmission
    from weighbridge.gateway.keys import KeyRing
    from weighbridge.ledger.exact import Pricer

HELD = "held"  # folder in the spool, of one worker's segments since its last snapshot


class Mark(msgspec.Struct, frozen=True):
    """A place in the spool; all before it is in the snapshot, but for what was open then."""

    segment: str
    n_bytes: int


class _Saved(msgspec.Struct):
    """Of a snapshot, what is not the admission's own."""

    mark: Mark | None = None
    open: list[OpenLine] = []


class SpendKeeper:
    """Writes snapshots of one process, and starts the next process from them."""

    def __init__(
        self, path: Path, spool: SpoolWriter, worker: int, admission: AnyAdmission
    ) -> None:
        self._path = path
        self._spool = spool
        self._held = spool.folder / f"{HELD}-{worker}"
        self._admission = admission
        self._held_last = ""
        self._mark: Mark | None = None  # how far the spool is in the counts

    def save(self, at: float, opened: Iterable[OpenLine]) -> None:
        """Write what is spent now; everything that was settled must be in the spool already."""
        position = self._spool.position
        if position is not None:  # else the disk takes no segment: nothing is there to count
            self._mark = Mark(*position)
        kept: dict[str, Any] = {"mark": self._mark}
        if not self._admission.keeps_spend:
            kept = self._admission.snapshot(at, self._mark)
        self.hold()
        write_whole(self._path, msgspec.json.encode({**kept, "open": list(opened)}))
        self._release()

    def hold(self) -> None:
        """Give the current segment its second name; to be called when a new one begins."""
        segment = self._spool.segment
        if segment is None or segment.stem == self._held_last:
            return
        self._held_last = segment.stem
        with contextlib.suppress(OSError):  # without it, a restart reads the spool's own names
            self._held.mkdir(exist_ok=True)
            os.link(segment, self._held / f"{segment.stem}.{HELD}")

    def _release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for path in self._held.iterdir():
                if self._mark is not None and path.stem < self._mark.segment:
                    path.unlink(missing_ok=True)

    def restore(self, keys: KeyRing, pricer: Pricer) -> int:
        """Start from the last snapshot; how many requests since then were charged."""
        found = read_json(self._path)
        saved = _Saved()
        if found is not None:
            saved = msgspec.convert(found, _Saved)
            self._mark = saved.mark
            if not self._admission.keeps_spend:
                self._admission.restore(found)
        n_charged = 0
        for line in self._since(saved, pricer):
            if not line.list_cost_pico_usd:
                continue
            key = None if line.key_id is None else keys.by_id(line.key_id)
            model, cost = line.model_requested or "", line.list_cost_pico_usd
            claim = Claim(key, line.tenant, line.feature, model, 0, cost)
            self._admission.charge(claim, line.started_at_us / 1e6 + (line.latency_s or 0.0))
            n_charged += 1
        return n_charged

    def _since(self, saved: _Saved, pricer: Pricer) -> Iterator[RequestLine]:
        """Requests that ended since the mark, and those that a dead process left open."""
        done: dict[str, RequestLine] = {}
        left_open = {line.request_id: line for line in saved.open}
        counted: set[str] = set()
        for line, is_counted in self._lines(saved.mark):
            if isinstance(line, RequestLine):
                done[line.request_id] = line
                if is_counted:
                    counted.add(line.request_id)
            elif isinstance(line, OpenLine) and not is_counted:
                left_open[line.request_id] = line
        if not self._admission.keeps_spend:
            yield from (line for name, line in done.items() if name not in counted)
        for name, open_line in left_open.items():
            if name not in done:
                yield interrupted(open_line, lambda line: _input_cost(line, pricer))

    def _lines(self, mark: Mark | None) -> Iterator[tuple[Line, bool]]:
        """Lines of the mark's segment and later ones; whether the snapshot holds them already."""
        for path in self._segments():
            if mark is not None and path.stem < mark.segment:
                continue
            n_bytes = path.stat().st_size
            n_counted_bytes = mark.n_bytes if mark and path.stem == mark.segment else 0
            if n_counted_bytes:
                yield from ((line, True) for line in read_segment(path, 0, n_counted_bytes).lines)
            yield from ((line, False) for line in read_segment(path, n_counted_bytes).lines)
            self._mark = Mark(path.stem, n_bytes)

    def _segments(self) -> list[Path]:
        """This worker's: by their second names, and those of the spool that have none."""
        found: dict[str, Path] = {}
        with contextlib.suppress(FileNotFoundError):
            found = {path.stem: path for path in self._held.iterdir()}
        prefix = self._spool.writer.rpartition("-")[0].rpartition("-")[0] + "-"
        for path in SpoolReader(self._spool.folder).segments():
            if path.stem.partition("-")[2].startswith(prefix):
                found.setdefault(path.stem, path)
        return [found[stem] for stem in sorted(found)]


def _input_cost(line: OpenLine, pricer: Pricer) -> int | None:
    prices = pricer.lookup(line.provider, line.model or "")
    if prices is None:
        return None
    n_tokens = line.input_tokens_estimate
    return pricer.cost_pico_usd(prices, line.started_at_us, n_tokens, 0, 0, 0, line.service_tier)
