"""Spend against budgets over a restart: a snapshot each second, and the spool's lines since it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.gateway.admission import Claim
from weighbridge.gateway.upkeep import read_json, write_whole
from weighbridge.ledger.lines import OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter
from weighbridge.ledger.spool_files import writer_of
from weighbridge.ledger.spool_reader import SpoolReader, interrupted, read_segment

if TYPE_CHECKING:
    from weighbridge.gateway.admission.local import LocalAdmission
    from weighbridge.gateway.keys import KeyRing
    from weighbridge.ledger.exact import Pricer


class SpendKeeper:
    """Writes snapshots of one process's spend, and starts the next process from them."""

    def __init__(self, path: Path, admission: LocalAdmission) -> None:
        self._path = path
        self._admission = admission
        self._mark: Mark | None = None  # how far the spool is in the counts

    def save(self, spool: SpoolWriter, at: float) -> None:
        """Write what is spent now, and how far the spool had come."""
        position = spool.position
        if position is not None:  # else the disk takes no segment: nothing is there to count
            self._mark = Mark(*position)
        write_whole(self._path, msgspec.json.encode(self._admission.snapshot(at, self._mark)))

    def restore(self, spool_folder: Path, keys: KeyRing, pricer: Pricer) -> int:
        """Start from the last snapshot; how many requests since then were charged from the spool.

        To be called before compaction runs: what it has taken away is no longer in the spool.
        """
        saved = read_json(self._path)
        if saved is not None:
            mark: Any = self._admission.restore(saved)
            self._mark = None if mark is None else msgspec.convert(mark, Mark)
        since = _Since(self._mark)
        since.read(spool_folder)
        n_charged = 0
        for line in since.requests(pricer):
            if not line.list_cost_pico_usd:
                continue
            key = None if line.key_id is None else keys.by_id(line.key_id)
            claim = Claim(
                key,
                line.tenant,
                line.feature,
                line.model_requested or "",
                0,
                line.list_cost_pico_usd,
            )
            self._admission.charge(claim, line.started_at_us / 1e6 + (line.latency_s or 0.0))
            n_charged += 1
        self._mark = since.mark
        return n_charged


class Mark(msgspec.Struct, frozen=True):
    """A place in the spool; all before it is in the snapshot, but for what was open then."""

    segment: str
    n_bytes: int


class _Since:
    """What the spool tells of the time since a mark.

    Of before it, only requests matter that the process of the snapshot had open: nobody but the
    next process can charge them.
    """

    def __init__(self, mark: Mark | None) -> None:
        self.mark = mark
        self._from = mark
        self._done: dict[str, RequestLine | None] = {}
        self._left_open: dict[str, OpenLine] = {}

    def read(self, folder: Path) -> None:
        """All that is there."""
        for path in SpoolReader(folder).segments():
            try:
                self._read(path)
            except FileNotFoundError:  # somebody compacts just now: it is in the ledger
                continue

    def _read(self, path: Path) -> None:
        n_bytes = path.stat().st_size
        if self._from is None or path.stem > self._from.segment:
            self._take(path, 0, counts=True)
        elif path.stem == self._from.segment:
            self._take(path, 0, counts=False, until_byte=self._from.n_bytes)
            self._take(path, self._from.n_bytes, counts=True)
        elif writer_of(path) == writer_of(Path(self._from.segment)):
            self._take(path, 0, counts=False)
        if self.mark is None or path.stem >= self.mark.segment:
            self.mark = Mark(path.stem, n_bytes)

    def _take(
        self, path: Path, from_byte: int, *, counts: bool, until_byte: int | None = None
    ) -> None:
        for line in read_segment(path, from_byte, until_byte).lines:
            if isinstance(line, RequestLine):
                if self._done.get(line.request_id, line) is not None:  # else it is a copy
                    self._done[line.request_id] = line if counts else None
            elif isinstance(line, OpenLine):
                self._left_open[line.request_id] = line

    def requests(self, pricer: Pricer) -> Iterator[RequestLine]:
        """Requests that ended since the mark, and those that a dead process left open."""
        yield from (line for line in self._done.values() if line is not None)
        for request_id, open_line in self._left_open.items():
            if request_id not in self._done:
                yield interrupted(open_line, lambda line: _input_cost(line, pricer))


def _input_cost(line: OpenLine, pricer: Pricer) -> int | None:
    prices = pricer.lookup(line.provider, line.model or "")
    if prices is None:
        return None
    n_tokens = line.input_tokens_estimate
    return pricer.cost_pico_usd(prices, line.started_at_us, n_tokens, 0, 0, 0, line.service_tier)
