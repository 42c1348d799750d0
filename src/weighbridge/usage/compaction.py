"""Moves what the gateway spooled into the ledger: every record once, whenever this is killed.

Segments that are closed are read a batch at a time, stored as one import of the source "gateway",
and removed only after the import counts. The manifest names the segments that it holds: one that is
found again belongs to a run that died before it could remove it, and adds nothing. Single requests
that the ledger holds already are left out by their id.

A request of which only the beginning is known waits in `pending` beside the segments until its end
is found, or until its gateway process is gone with all it wrote: then it is `interrupted`. The
compaction must run where the gateway's locks can be seen, on the same machine or file system.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weighbridge.catalog.prices import compile_prices
from weighbridge.ledger.exact import Pricer
from weighbridge.ledger.lines import OpenLine, RequestLine
from weighbridge.ledger.spool_files import (
    CLOSED,
    close_abandoned,
    forget_dead,
    live_writers,
    segments,
    sync_folder,
    writer_of,
)
from weighbridge.ledger.spool_reader import (
    GATEWAY_DIED,
    Requests,
    SegmentLines,
    interrupted,
    read_segment,
)
from weighbridge.units import InputError
from weighbridge.usage.fleet_hours import engine_table, fleet_table
from weighbridge.usage.merging import merge_small
from weighbridge.usage.pending import Pending
from weighbridge.usage.recognising.stored import sketch_table
from weighbridge.usage.spool_rows import Sorted, request_table, sort_out
from weighbridge.usage.store import (
    Manifest,
    Part,
    StagedImport,
    by_day,
    commit,
    live_manifests,
    locked,
    stage_file,
    stage_part,
    staging,
)

SOURCE = "gateway"
BATCH_BYTES = 64 * 2**20  # of segments: some 130,000 requests, and half a gigabyte of memory
DONE = "done"  # where segments go that hold a rejected line


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """What one run did."""

    n_segments: int = 0
    n_requests: int = 0
    n_interrupted: int = 0
    n_duplicate: int = 0
    n_rejected: int = 0
    n_skipped: int = 0  # stretches that a crash tore
    n_fleet_lines: int = 0
    n_engine_samples: int = 0
    n_sketches: int = 0  # of prompts that nobody named
    n_pending: int = 0  # requests still open in a gateway that lives
    events: dict[str, int] = field(default_factory=dict)


def compact(
    spool: Path,
    ledger: Path,
    *,
    now: dt.datetime,
    prices: Pricer | None = None,
    batch_bytes: int = BATCH_BYTES,
) -> CompactionResult:
    """Store every closed segment of a spool in a ledger, and remove it.

    Parameters
    ----------
    spool : Path
        Folder that the gateway writes.
    ledger : Path
        Ledger to add to; made where it is missing.
    now : datetime
        Aware instant of this run.
    prices : Pricer, optional
        Prices the input of interrupted requests; the catalog's by default.
    batch_bytes : int
        How much of the spool is stored as one import [bytes].

    Raises
    ------
    InputError
        No such spool, or the spool or the ledger is being written by another run.
    """
    with _held(spool):
        alive = live_writers(spool)  # before the segments: the dead have then written all
        close_abandoned(spool)
        batches = _batches(segments(spool, CLOSED), batch_bytes)
        run = _Run(spool, ledger, now, prices, alive)
        for index, batch in enumerate(batches):
            unread = {writer_of(path) for later in batches[index + 1 :] for path in later}
            run.store(batch, frozenset(unread))
        if not batches:
            run.store([], frozenset())
        forget_dead(spool)
        result = run.result()
        if result.n_segments:
            left = frozenset(path.name for path in segments(spool, CLOSED))
            merge_small(ledger, SOURCE, now=now, spooled=left)
        return result


@contextmanager
def _held(spool: Path) -> Iterator[None]:
    mend = "name the spool folder of the gateway's configuration"
    if not spool.is_dir():
        raise InputError(str(spool), "", "there is no such spool directory", mend)
    handle = os.open(spool, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as fault:
        problem = "another compaction is reading this spool"
        raise InputError(str(spool), "", problem, "let one of them do it") from fault
    finally:
        os.close(handle)


def _batches(paths: Sequence[Path], most_bytes: int) -> list[list[Path]]:
    batches: list[list[Path]] = []
    n_bytes = most_bytes
    for path in paths:
        size = path.stat().st_size
        if n_bytes + size > most_bytes:
            batches.append([])
            n_bytes = 0
        batches[-1].append(path)
        n_bytes += size
    return batches


@dataclass(slots=True)
class _Batch:
    """Segments read together, apart from those that an earlier run had stored."""

    read: list[SegmentLines]
    is_stored: list[bool]
    requests: Requests = field(default_factory=Requests)  # of segments that are new
    n_skipped: int = 0

    @property
    def fresh(self) -> list[SegmentLines]:
        """Segments that no manifest names."""
        return [one for one, stored in zip(self.read, self.is_stored, strict=True) if not stored]


class _Run:
    """One compaction: batch after batch, each committed before its segments go."""

    def __init__(
        self,
        spool: Path,
        ledger: Path,
        now: dt.datetime,
        prices: Pricer | None,
        alive: frozenset[str],
    ) -> None:
        self.spool, self.ledger, self.now, self.alive = spool, ledger, now, alive
        self._prices = prices
        self.pending = Pending.read(spool)
        self.counts: Counter[str] = Counter()
        self.events: Counter[str] = Counter()

    def store(self, paths: Sequence[Path], unread: frozenset[str]) -> None:
        """Store one batch of segments, then let go of them."""
        if not paths and not self.pending.may_end(self.alive):
            return
        with locked(self.ledger), staging(self.ledger) as place:
            stored = {
                name for manifest in live_manifests(self.ledger) for name in manifest.segments
            }
            batch = _read(paths, stored)
            died = self._take_in(batch, unread)
            lines = sort_out(
                [*batch.requests.finished.values(), *died],
                (line for one in batch.fresh for line in one.lines),
                int(self.now.timestamp() * 1e6),
            )
            staged = self._staged(place, batch, lines)
            if staged is not None:
                commit(self.ledger, place, [staged])
        self.pending.write(self.spool)
        _let_go(self.spool, batch, keep=bool(lines.rejected))

    def _take_in(self, batch: _Batch, unread: frozenset[str]) -> list[RequestLine]:
        """Requests that will have no other end than that their gateway died."""
        for one in batch.read:
            for line in one.lines:
                if isinstance(line, OpenLine):
                    self.pending.add(one.writer, line)
        for one in batch.read:
            for line in one.lines:
                if isinstance(line, RequestLine):
                    self.pending.remove(line.request_id)
        return [interrupted(line, self._cost_of) for line in self.pending.end(self.alive | unread)]

    def _cost_of(self, line: OpenLine) -> int | None:
        if self._prices is None:
            self._prices = Pricer(compile_prices())
        prices = self._prices.lookup(line.provider, line.model or line.model_requested or "")
        if prices is None:
            return None
        return self._prices.cost_pico_usd(
            prices, line.started_at_us, line.input_tokens_estimate, 0, 0, 0, line.service_tier
        )

    def _staged(self, place: Path, batch: _Batch, lines: Sorted) -> StagedImport | None:
        if not batch.fresh and not lines.requests:
            return None
        digest = _digest(batch, lines)
        table, n_known = _without_known(self.ledger, request_table(lines.requests, digest[:16]))
        if not batch.fresh and not table.num_rows:
            return None
        parts = [stage_part(place, day, rows) for day, rows in by_day(table)]
        fleet = _staged_file(place, "fleet_hours", fleet_table(lines.fleet))
        engine = _staged_file(place, "engine_samples", engine_table(lines.engine))
        sketches = _staged_file(place, "sketches", sketch_table(lines.sketches))
        n_rejected = lines.rejected.total()
        n_died = pc.sum(pc.equal(table["error_type"], GATEWAY_DIED)).as_py() or 0
        manifest = Manifest(
            import_id=digest[:16],
            content_sha256=digest,
            rows_read=len(lines.requests) + n_rejected + batch.requests.n_repeated,
            rows_stored=table.num_rows,
            rows_duplicate=n_known + batch.requests.n_repeated,
            rows_rejected=n_rejected,
            rejected_by_reason=dict(lines.rejected.most_common()),
            imported_at=self.now.isoformat(),
            segments=tuple(one.path.name for one in batch.fresh),
            lines_skipped=batch.n_skipped,
            events=dict(lines.events),
            assumptions=_assumptions(n_died),
            **_told_of(table),
        )
        self._count(manifest, lines, n_died)
        return StagedImport(manifest, tuple(parts), fleet=fleet, engine=engine, sketches=sketches)

    def _count(self, manifest: Manifest, lines: Sorted, n_died: int) -> None:
        self.events.update(lines.events)
        self.counts += Counter(
            n_segments=len(manifest.segments),
            n_requests=manifest.rows_stored,
            n_interrupted=n_died,
            n_duplicate=manifest.rows_duplicate,
            n_rejected=manifest.rows_rejected,
            n_skipped=manifest.lines_skipped,
            n_fleet_lines=len(lines.fleet),
            n_engine_samples=len(lines.engine),
            n_sketches=len(lines.sketches),
        )

    def result(self) -> CompactionResult:
        """What was done so far."""
        return CompactionResult(
            n_pending=len(self.pending), events=dict(self.events), **self.counts
        )


def _read(paths: Sequence[Path], stored: set[str]) -> _Batch:
    read = [read_segment(path) for path in paths]
    batch = _Batch(read, [one.path.name in stored for one in read])
    for one in batch.fresh:
        batch.n_skipped += one.n_skipped
        for line in one.lines:
            batch.requests.add(line)
    return batch


def _digest(batch: _Batch, lines: Sorted) -> str:
    """Digest of what an import is made from, so that another one gets another id."""
    digest = hashlib.sha256()
    for one in batch.fresh:
        digest.update(f"{one.path.name}\n{len(one.lines)}\n".encode())
    for line in lines.requests:
        digest.update(f"{line.request_id}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _without_known(ledger: Path, table: pa.Table) -> tuple[pa.Table, int]:
    """Rows whose id the ledger does not hold at the same instant; and how many it does."""
    if not table.num_rows:
        return table, 0
    ends = pc.min_max(table["started_at"])
    days = {day for day, _ in by_day(table)}
    span = [("started_at", ">=", ends["min"]), ("started_at", "<=", ends["max"])]
    known = [
        pq.read_table(str(ledger / part.path), columns=["request_id"], filters=span)["request_id"]
        for manifest in live_manifests(ledger)
        for part in manifest.parts
        if part.path.split("/")[1].removeprefix("date=") in days
    ]
    if not known:
        return table, 0
    ids = pa.chunked_array([chunk for column in known for chunk in column.chunks], pa.string())
    fresh = table.filter(pc.invert(pc.is_in(table["request_id"], value_set=ids)))
    return fresh, table.num_rows - fresh.num_rows


def _staged_file(place: Path, below: str, table: pa.Table) -> tuple[tuple[Path, Part], ...]:
    return (stage_file(place, below, table),) if table.num_rows else ()


def _told_of(table: pa.Table) -> dict[str, Any]:
    """What a manifest says of its rows."""
    if not table.num_rows:
        return {"source": SOURCE, "file_name": ""}
    ends = pc.min_max(table["started_at"]).as_py()
    unpriced = table.filter(pc.equal(table["price_state"], "unpriced"))
    models = pc.value_counts(pc.fill_null(unpriced["model"], "(no model named)")).to_pylist()
    digests = pc.unique(table["prices_digest"].drop_null()).to_pylist()
    return {
        "source": SOURCE,
        "file_name": "",
        "first_at": ends["min"].isoformat(),
        "last_at": ends["max"].isoformat(),
        "rows_failed": int(pc.sum(pc.not_equal(table["status"], "ok")).as_py() or 0),
        "n_models": len(pc.unique(table["model"].drop_null())),
        "unpriced_models": {pair["values"]: pair["counts"] for pair in models},
        "prices_digest": digests[-1] if digests else None,
    }


def _assumptions(n_died: int) -> tuple[str, ...]:
    if not n_died:
        return ()
    return (
        "tokens of requests that a dying gateway cut off: "
        "input as estimated at admission, output not counted",
    )


def _let_go(spool: Path, batch: _Batch, *, keep: bool) -> None:
    """Remove segments that the ledger holds now; those with a rejected line are set aside."""
    if keep:
        (spool / DONE).mkdir(exist_ok=True)
    for one in batch.read:
        if keep:
            one.path.rename(spool / DONE / one.path.name)
        else:
            one.path.unlink(missing_ok=True)
    if batch.read:
        sync_folder(spool)
