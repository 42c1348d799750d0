"""The work that processes share: stretches of a log to staged rows, staged rows to parts."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from weighbridge.catalog.prices import compile_prices
from weighbridge.ledger.prompt_shape import Sketch
from weighbridge.units import WeighbridgeError
from weighbridge.usage.batches import LinesTask, MisalignedError, RowDecoder, Task
from weighbridge.usage.buckets import BucketsTask
from weighbridge.usage.faults import Reject
from weighbridge.usage.recognising.importing import PromptHasher, hasher_named, takes_prompts
from weighbridge.usage.shape import GATEWAY_CACHE, Plan, Prices, Shaped, shape
from weighbridge.usage.store import SCHEMA, Part, stage_part

_DAY_US = 86_400 * 10**6


@dataclass(frozen=True, slots=True)
class Chunk:
    """One stretch of a file, staged: rows ordered by instant, and where each day lies in them."""

    number: int
    path: Path | None
    n_read: int
    n_rows: int
    rejects: tuple[Reject, ...]
    days: tuple[tuple[str, int, int], ...]  # day, offset, length
    resolution_us: int = 0
    sketches: tuple[Sketch, ...] = ()  # of prompts that nobody named
    n_left_out: int = 0  # records that are no requests


def ids_name(number: int) -> str:
    """Name of the Parquet file of a chunk's ids, for the query that looks for repeated ones."""
    return f"ids-{number:06d}.parquet"


@dataclass(frozen=True, slots=True)
class _Slice:
    path: Path
    offset: int
    length: int
    dropped: NDArray[np.int64]
    renamed: NDArray[np.int64]
    names: pa.Array | None


@dataclass(slots=True)
class PartJob:
    """The staged rows that make one part."""

    day: str
    import_id: str
    slices: list[_Slice] = field(default_factory=list)

    def add(
        self,
        chunk: Chunk,
        where: tuple[int, int],
        dropped: NDArray[np.int64],
        renamed: tuple[NDArray[np.int64], pa.Array | None],
    ) -> None:
        """Rows of a chunk, apart from the dropped ones, some under another id."""
        assert chunk.path is not None
        self.slices.append(_Slice(chunk.path, *where, dropped, *renamed))


@dataclass(frozen=True, slots=True)
class StagedPart:
    """A part waiting to be committed, and what its manifest will say of it."""

    path: Path
    part: Part
    n_failed: int
    n_from_cache: int
    first_at: str
    last_at: str
    models: frozenset[str]
    unpriced_models: Counter[str]
    prices_digest: str


class _Worker:
    """What one process keeps between tasks: the price book and a decoder for each set of paths."""

    def __init__(self, place: Path, prices: Path | None, prices_digest: str) -> None:
        self.place = place
        self.priced = Prices(compile_prices(prices), prices_digest)
        self._decoders: dict[Any, RowDecoder] = {}
        self._hasher: PromptHasher | None = None

    def stage(
        self, number: int, file: int, task: Task | BucketsTask, plan: Plan, name: str
    ) -> Chunk:
        """Decode, check and price a stretch, and stage its rows as an Arrow file."""
        kind = (plan.source.takes, plan.source.unfold)
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = RowDecoder(*kind)
            self._decoders[kind] = decoder
        with _no_collection():
            shaped = self._shaped(task, decoder, plan, name)
        n_rows = shaped.table.num_rows
        path = self._write(number, file, shaped) if n_rows else None
        days = _days(shaped.table) if n_rows else ()
        told = (shaped.n_read, n_rows, shaped.rejects, days, shaped.resolution_us, shaped.sketches)
        return Chunk(number, path, *told, shaped.n_left_out)

    def _shaped(
        self, task: Task | BucketsTask, decoder: RowDecoder, plan: Plan, name: str
    ) -> Shaped:
        if isinstance(task, BucketsTask):
            return shape(task.batch(decoder, name), plan, self.priced, task.spread)
        hasher = self._hasher_for(plan)
        try:
            return shape(task.batch(decoder, name), plan, self.priced, hasher=hasher)
        except MisalignedError:
            assert isinstance(task, LinesTask)
            return shape(task.batch_by_line(decoder), plan, self.priced, hasher=hasher)

    def _hasher_for(self, plan: Plan) -> PromptHasher | None:
        if self._hasher is None and takes_prompts(plan.source):
            self._hasher = hasher_named(os.environ)
        return self._hasher

    def _write(self, number: int, file: int, shaped: Shaped) -> Path:
        n = shaped.table.num_rows
        table = (
            shaped.table.append_column("_line", pa.array(shaped.lines))
            .append_column("_row", pa.array(np.arange(n, dtype=np.int32)))
            .append_column("_chunk", pa.array(np.full(n, number, dtype=np.int32)))
            .append_column("_file", pa.array(np.full(n, file, dtype=np.int32)))
        )
        ids = table.select(["request_id", "_chunk", "_row", "_line", "_file"])
        pq.write_table(ids, self.place / ids_name(number), compression="NONE", use_dictionary=False)
        path = self.place / f"chunk-{number:06d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return path

    def write_part(self, job: PartJob) -> StagedPart | None:
        """Gather one day's rows, order them by instant, and write them."""
        table = pa.concat_tables([_read_slice(one) for one in job.slices])
        if not table.num_rows:
            return None
        started = table["started_at"].cast(pa.int64()).to_numpy()
        if np.any(started[1:] < started[:-1]):
            table = table.take(pa.array(np.argsort(started, kind="stable")))
        ids = pa.array([job.import_id], pa.string()).take(
            pa.array(np.zeros(table.num_rows, dtype=np.int32))
        )
        table = table.append_column("import_id", ids).select(SCHEMA.names)
        path, part = stage_part(self.place, job.day, table)
        return _described(path, part, table, self.priced.digest)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Decoded rows hold no cycles, and looking for some among millions costs more than decoding."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _days(table: pa.Table) -> tuple[tuple[str, int, int], ...]:
    at = table["started_at"].cast(pa.int64()).to_numpy() // _DAY_US
    edges = np.flatnonzero(np.diff(at)) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(at)]
    return tuple(
        (str(np.datetime64(int(at[start]), "D")), start, end - start)
        for start, end in zip(starts, ends, strict=True)
    )


def _read_slice(one: _Slice) -> pa.Table:
    with pa.memory_map(str(one.path)) as source:
        table = pa.ipc.open_file(source).read_all().slice(one.offset, one.length)
    rows = np.arange(one.offset, one.offset + one.length)
    if one.names is not None:
        table = _with_names(table, one)
    if len(one.dropped):
        table = table.filter(pa.array(~np.isin(rows, one.dropped)))
    return table.drop_columns(["_line", "_row", "_chunk", "_file"])


def _with_names(table: pa.Table, one: _Slice) -> pa.Table:
    inside = (one.renamed >= one.offset) & (one.renamed < one.offset + one.length)
    mask = np.zeros(one.length, dtype=bool)
    mask[one.renamed[inside] - one.offset] = True
    assert one.names is not None
    ids = pc.replace_with_mask(
        table["request_id"].combine_chunks(), pa.array(mask), one.names.filter(pa.array(inside))
    )
    return table.set_column(table.column_names.index("request_id"), "request_id", ids)


def _described(path: Path, part: Part, table: pa.Table, prices_digest: str) -> StagedPart:
    ends = pc.min_max(table["started_at"]).as_py()
    unpriced = table.filter(pc.equal(table["price_state"], "unpriced"))
    models = pc.value_counts(pc.fill_null(unpriced["model"], NO_MODEL)).to_pylist()
    return StagedPart(
        path=path,
        part=part,
        n_failed=table.num_rows - _count(table["status"], "ok"),
        n_from_cache=_count(table["target"], GATEWAY_CACHE),
        first_at=ends["min"].isoformat(),
        last_at=ends["max"].isoformat(),
        models=frozenset(pc.unique(table["model"].drop_null()).to_pylist()),
        unpriced_models=Counter({pair["values"]: pair["counts"] for pair in models}),
        prices_digest=prices_digest,
    )


NO_MODEL = "(no model named)"


def _count(column: pa.ChunkedArray, value: str) -> int:
    return int(pc.sum(pc.equal(column, value)).as_py() or 0)


_worker: _Worker | None = None


class _NoPandas(MetaPathFinder):
    """Arrow imports pandas, where it is there, to know its types: a second that no row needs."""

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> None:
        """Refuse pandas; leave every other module to the other finders."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def _start_worker(place: Path, prices: Path | None, prices_digest: str) -> None:
    global _worker  # noqa: PLW0603  (one for each process, made once)
    sys.meta_path.insert(0, _NoPandas())
    pa.set_cpu_count(1)
    _worker = _Worker(place, prices, prices_digest)


def _stage(*arguments: Any) -> Chunk:
    assert _worker is not None
    return _worker.stage(*arguments)


def _write_part(job: PartJob) -> StagedPart | None:
    assert _worker is not None
    return _worker.write_part(job)


class Workers:
    """Runs tasks in other processes and gives back results in order; 0 processes: in this one."""

    def __init__(self, place: Path, prices: Path | None, n_processes: int) -> None:
        self._n, self._waiting = 0, deque[Future[Chunk]]()
        self._most_waiting = 2 * n_processes + 2
        self._local: _Worker | None = None
        self._pool: ProcessPoolExecutor | None = None
        digest = compile_prices(prices).digest[:16]
        if n_processes:
            arguments = (place, prices, digest)
            spawn = get_context("spawn")
            self._pool = ProcessPoolExecutor(n_processes, spawn, _start_worker, arguments)
        else:
            self._local = _Worker(place, prices, digest)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, file: int, task: Task | BucketsTask, plan: Plan, name: str) -> list[Chunk]:
        """Start on a task; returns chunks that are ready, so that few tasks wait in memory."""
        number, self._n = self._n, self._n + 1
        if self._pool is None:
            assert self._local is not None
            return [self._local.stage(number, file, task, plan, name)]
        self._waiting.append(self._pool.submit(_stage, number, file, task, plan, name))
        return [self._next()] if len(self._waiting) > self._most_waiting else []

    def drain(self) -> list[Chunk]:
        """Wait for every task begun."""
        return [self._next() for _ in range(len(self._waiting))]

    def _next(self) -> Chunk:
        chunk: Chunk = _result(self._waiting.popleft())
        return chunk

    def write_parts(self, jobs: Sequence[PartJob]) -> list[StagedPart]:
        """Write parts; those that have no row left are left out."""
        if self._pool is None:
            assert self._local is not None
            parts = [self._local.write_part(job) for job in jobs]
        else:
            parts = [_result(f) for f in [self._pool.submit(_write_part, job) for job in jobs]]
        return [part for part in parts if part is not None]


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as fault:
        raise WeighbridgeError(
            "import: a worker process died (was memory short?), and nothing was imported\n"
            f"  mend: free memory and import again ({os.cpu_count()} processors seen)"
        ) from fault
