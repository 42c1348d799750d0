"""Spend against budgets over a restart: a snapshot each second, and the spool's lines since it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.gateway.admission import Claim
from weighbridge.gateway.upkeep import read_json, write_whole
from weighbridge.ledger.lines import Line, OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter
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

    def save(self, spool: SpoolWriter, at: float) -> None:
        """Write what is spent now, and how far the spool had come."""
        mark = None
        if spool.segment is not None:
            mark = {"segment": spool.segment.stem, "n_bytes": spool.n_segment_bytes}
        write_whole(self._path, msgspec.json.encode(self._admission.snapshot(at, mark)))

    def restore(self, spool_folder: Path, keys: KeyRing, pricer: Pricer) -> int:
        """Start from the last snapshot; how many requests since then were charged from the spool.

        To be called before compaction runs: what it has taken away is no longer in the spool.
        """
        saved = read_json(self._path)
        mark: Any = None
        if saved is not None:
            mark = self._admission.restore(saved)
        n_charged = 0
        for line in _requests(spool_folder, mark, pricer):
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
        return n_charged


def _requests(folder: Path, mark: Any, pricer: Pricer) -> Iterator[RequestLine]:
    """Requests that ended since the mark, and those that a dead process left open."""
    done: dict[str, RequestLine] = {}
    left_open: dict[str, OpenLine] = {}
    for line in _lines(folder, mark):
        if isinstance(line, RequestLine):
            done[line.request_id] = line
        elif isinstance(line, OpenLine):
            left_open[line.request_id] = line
    yield from done.values()
    for request_id, open_line in left_open.items():
        if request_id not in done:
            yield interrupted(open_line, lambda line: _input_cost(line, pricer))


def _lines(folder: Path, mark: Any) -> Iterator[Line]:
    for path in SpoolReader(folder).segments():
        from_byte = 0
        if mark is not None:
            if path.stem < mark["segment"]:
                continue
            if path.stem == mark["segment"]:
                from_byte = mark["n_bytes"]
        yield from read_segment(path, from_byte).lines


def _input_cost(line: OpenLine, pricer: Pricer) -> int | None:
    prices = pricer.lookup(line.provider, line.model or "")
    if prices is None:
        return None
    n_tokens = line.input_tokens_estimate
    return pricer.cost_pico_usd(prices, line.started_at_us, n_tokens, 0, 0, 0, line.service_tier)
