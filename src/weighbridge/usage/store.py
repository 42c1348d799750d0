"""The ledger on disk: Parquet parts by day, and a manifest per imported file to vouch for them.

Layout::

    ledger.json                                 format version
    requests/date=YYYY-MM-DD/part-<digest>.parquet
    imports/<import_id>.json                    manifest: what was read, stored, and cannot be told
    sketches/part-<digest>.parquet              keyed hashes of prompts that nobody named
    query-types.json                            their groups (`weighbridge types`)
    rejects/<import_id>.csv                     line, field, reason, hash of each rejected row
    .staging/                                   unfinished imports; swept by the next one

A part counts only when a manifest names it, and manifests that were committed together count only
together, so that an import that dies at any instant leaves the ledger as it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weighbridge.ledger.record import (
    COLUMN_NAMES,
    COLUMNS,
    COST_SCALE,
    GATEWAY_COLUMN_NAMES,
    FleetHours,
)
from weighbridge.units import InputError
from weighbridge.usage.fleet_hours import read_engine_samples, read_fleet_hours
from weighbridge.usage.manifests import Manifest as Manifest
from weighbridge.usage.manifests import Part as Part
from weighbridge.usage.manifests import counting, read_manifests
from weighbridge.usage.manifests import live_manifests as live_manifests
from weighbridge.usage.recognising.naming import TypeNames, type_names

FORMAT = "weighbridge-ledger"
FORMAT_VERSION = 1

_ARROW_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp_us_utc": pa.timestamp("us", tz="UTC"),
    "decimal_18_12": pa.decimal128(18, COST_SCALE),
}

SCHEMA = pa.schema([pa.field(c.name, _ARROW_TYPES[c.type], nullable=c.nullable) for c in COLUMNS])


class _LedgerFile(msgspec.Struct):
    format: str
    version: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """An opened ledger: its live manifests, and the Parquet files that they name."""

    path: Path
    manifests: tuple[Manifest, ...]

    @property
    def parquet_files(self) -> tuple[str, ...]:
        """The files that count, in order of day; what every reader should read."""
        return tuple(str(self.path / name) for name in self._part_names)

    @property
    def parquet_glob(self) -> str:
        """Glob over all parts, for a DuckDB prompt; may match parts of an import that died."""
        return str(self.path / "requests" / "date=*" / "part-*.parquet")

    @property
    def fleet_files(self) -> tuple[str, ...]:
        """The files that say what self-hosted fleets cost."""
        return tuple(str(self.path / part.path) for m in self.manifests for part in m.fleet_parts)

    @property
    def engine_files(self) -> tuple[str, ...]:
        """The files that hold what self-hosted engines said of themselves."""
        return tuple(str(self.path / part.path) for m in self.manifests for part in m.engine_parts)

    def fleet_hours(self) -> tuple[FleetHours, ...]:
        """What self-hosted fleets cost, by target and start; no hour of one counted twice."""
        return read_fleet_hours(self.fleet_files)

    def engine_samples(self) -> pa.Table:
        """What self-hosted engines said of themselves (`fleet_hours.ENGINE_SCHEMA`)."""
        return read_engine_samples(self.engine_files)

    @property
    def sketch_files(self) -> tuple[str, ...]:
        """The files that hold sketches of prompts that nobody named (`recognising.stored`)."""
        return tuple(str(self.path / part.path) for m in self.manifests for part in m.sketch_parts)

    @property
    def digest(self) -> str:
        """Digest of the parts' names, which are digests of their bytes, and of what types say."""
        told = "\n".join(self._part_names).encode()
        for name in ("query-types.json", "query-types.yaml"):
            with suppress(FileNotFoundError):
                told += (self.path / name).read_bytes()
        return hashlib.sha256(told).hexdigest()[:16]

    def type_names(self) -> TypeNames:
        """Query types of what nobody named, as the last `weighbridge types` recognised them."""
        return type_names(self.path)

    @property
    def n_rows(self) -> int:
        """Requests stored."""
        return sum(manifest.rows_stored for manifest in self.manifests)

    @property
    def time_resolution_s(self) -> float | None:
        """Longest bucket of time [s] that requests were spread over; None: each has its instant."""
        told = [m.time_resolution_s for m in self.manifests if m.time_resolution_s is not None]
        return max(told, default=None)

    @property
    def cannot_tell(self) -> tuple[str, ...]:
        """What the sources do not record; the source is named where another one does record it."""
        told = {(m.source, thing) for m in self.manifests for thing in m.cannot_tell}
        sources = {m.source for m in self.manifests}
        things: dict[str, set[str]] = {}
        for source, thing in told:
            things.setdefault(thing, set()).add(source)
        return tuple(
            sorted(
                thing if names == sources else f"{thing} (in {', '.join(sorted(names))})"
                for thing, names in things.items()
            )
        )

    @property
    def _part_names(self) -> list[str]:
        return sorted(part.path for m in self.manifests for part in m.parts)


def open_ledger(path: Path | str) -> Ledger:
    """The ledger in a directory; raises where there is none or where it holds no request."""
    folder = Path(path)
    mend = (
        f"run `weighbridge import SOURCE FILE... --into {folder}` first, or for what a gateway "
        f"wrote `weighbridge compact SPOOL {folder}`, or name another folder"
    )
    if not folder.exists():
        raise InputError(str(folder), "", "there is no such ledger directory", mend)
    if not folder.is_dir():
        raise InputError(str(folder), "", "is a file, and a ledger is a directory", mend)
    if not (folder / "ledger.json").exists():
        raise InputError(str(folder), "", "holds no ledger (no ledger.json in it)", mend)
    _check_format(folder)
    ledger = Ledger(folder, live_manifests(folder))
    if ledger.n_rows == 0:
        raise InputError(str(folder), "", "the ledger is empty: no request is stored", mend)
    missing = [name for name in ledger.parquet_files if not Path(name).exists()]
    if missing:
        problem = f"{len(missing)} part(s) named by a manifest are gone, the first is {missing[0]}"
        raise InputError(str(folder), "", problem, "restore the files, or import into a new folder")
    return ledger


def _check_format(folder: Path) -> None:
    where = str(folder / "ledger.json")
    try:
        found = msgspec.json.decode((folder / "ledger.json").read_bytes(), type=_LedgerFile)
    except msgspec.DecodeError as fault:
        raise InputError(where, "", f"cannot be read ({fault})", "name another folder") from fault
    if (found.format, found.version) != (FORMAT, FORMAT_VERSION):
        problem = (
            f"is {found.format} version {found.version}, not {FORMAT} version {FORMAT_VERSION}"
        )
        raise InputError(where, "version", problem, "use the release that wrote it, or import anew")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the ledger for writing, having swept what an import that died left behind."""
    created = not folder.exists()
    _refuse_other_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        sweep(folder)
        yield
    finally:
        shutil.rmtree(folder / ".staging", ignore_errors=True)
        os.close(handle)
        if created and not any(folder.iterdir()):
            folder.rmdir()


def _refuse_other_folders(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        mend = "name a directory with --into"
        raise InputError(str(folder), "", "is a file, and a ledger is a directory", mend)
    if (folder / "ledger.json").exists():
        _check_format(folder)
    elif folder.exists() and any(item.name != ".staging" for item in folder.iterdir()):
        mend = "name an empty or a new directory with --into"
        raise InputError(str(folder), "", "holds other files and no ledger.json", mend)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        problem = "another import is writing to this ledger"
        raise InputError(str(folder), "", problem, "wait until it has ended") from fault


def sweep(folder: Path) -> None:
    """Delete staged files, and whatever no live manifest names."""
    shutil.rmtree(folder / ".staging", ignore_errors=True)
    known = read_manifests(folder)
    live = counting(known)
    ids = {manifest.import_id for manifest in live}
    # Replaced ones stay a while for those who are reading them; `merging` removes them.
    ids |= {name for manifest in live for name in manifest.replaces if name in known}
    parts = {part.path for import_id in ids for part in known[import_id].all_parts}
    for pattern in ("requests/date=*/*", "fleet_hours/*", "engine_samples/*", "sketches/*"):
        for file in folder.glob(pattern):
            if file.relative_to(folder).as_posix() not in parts:
                file.unlink()
                _remove_if_empty(file.parent)
    for file in [*(folder / "imports").glob("*"), *(folder / "rejects").glob("*")]:
        if file.stem not in ids:
            file.unlink()


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A private directory inside the ledger, on its file system, gone afterwards."""
    (folder / ".staging").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=folder / ".staging"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def stage_part(place: Path, day: str, table: pa.Table) -> tuple[Path, Part]:
    """Write one day's rows as a Parquet part into the staging directory."""
    rows = table.cast(SCHEMA) if table.schema != SCHEMA else table
    return stage_file(place, f"requests/date={day}", rows)


def stage_file(place: Path, below: str, table: pa.Table) -> tuple[Path, Part]:
    """Write a table as a Parquet file that will stand in a folder of the ledger."""
    draft = place / f"draft-{os.getpid()}.parquet"
    pq.write_table(
        table,
        draft,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in DICTIONARY_COLUMNS if name in table.column_names],
        store_schema=False,
        row_group_size=500_000,
    )
    digest = sync_and_digest(draft)
    name = f"{below}/part-{digest[:24]}.parquet"
    staged = place / Path(name).name
    draft.rename(staged)
    return staged, Part(name, table.num_rows)


DICTIONARY_COLUMNS = [
    c.name
    for c in COLUMNS
    if c.type == "string" and c.name not in {"request_id", "estimated", "attempt_log"}
]


def sync_and_digest(file: Path) -> str:
    """Push a file to the disk; returns the SHA-256 of its bytes."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        os.fsync(stream.fileno())
    return digest


@dataclass(frozen=True, slots=True)
class StagedImport:
    """One file's staged rows and rejects, with the manifest that will make them count."""

    manifest: Manifest
    parts: tuple[tuple[Path, Part], ...]
    rejects: Path | None = None
    fleet: tuple[tuple[Path, Part], ...] = ()
    engine: tuple[tuple[Path, Part], ...] = ()
    sketches: tuple[tuple[Path, Part], ...] = ()

    @property
    def files(self) -> tuple[tuple[Path, Part], ...]:
        """Every staged file, and where it goes."""
        return (*self.parts, *self.fleet, *self.engine, *self.sketches)


def commit(folder: Path, place: Path, imports: Sequence[StagedImport]) -> None:
    """Make staged imports count, all together: the last manifest's rename is the instant."""
    _write_ledger_file(folder, place)
    touched = {_move(staged, folder / part.path) for i in imports for staged, part in i.files}
    for item in imports:
        if item.rejects is not None:
            name = f"{item.manifest.import_id}.csv"
            touched.add(_move(item.rejects, folder / "rejects" / name))
    _sync_folders([*touched, *{place.parent for place in touched}, folder])
    together = tuple(sorted(item.manifest.import_id for item in imports))
    for item in imports:
        manifest = msgspec.structs.replace(
            item.manifest,
            committed_with=together,
            parts=tuple(part for _, part in item.parts),
            fleet_parts=tuple(part for _, part in item.fleet),
            engine_parts=tuple(part for _, part in item.engine),
            sketch_parts=tuple(part for _, part in item.sketches),
        )
        draft = _write_synced(place / "manifest.json", manifest)
        _move(draft, folder / "imports" / f"{manifest.import_id}.json")
    _sync_folders([folder / "imports", folder])


def _write_ledger_file(folder: Path, place: Path) -> None:
    if not (folder / "ledger.json").exists():
        _move(
            _write_synced(place / "ledger.json", _LedgerFile(FORMAT, FORMAT_VERSION)),
            folder / "ledger.json",
        )


def _write_synced(file: Path, value: Any) -> Path:
    with file.open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return file


def _move(file: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    file.rename(to)
    return to.parent


def _sync_folders(folders: Iterable[Path]) -> None:
    for folder in sorted(set(folders)):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_table(
    path: Path | str,
    table: pa.Table,
    source: str = "table",
    cannot_tell: Sequence[str] = (),
) -> Manifest:
    """Store rows that already have the ledger's columns as one committed import.

    `import_id` is filled in here; ids are taken as unique. For rows made by our own code
    (synthetic traffic, tests): logs of other tools go through `importing`.
    """
    folder = Path(path)
    table = _with_gateway_columns(table)
    draft = (
        table.set_column(*_import_id_column(table, "0" * 16))
        if "import_id" in table.column_names
        else table.append_column("import_id", pa.array(["0" * 16] * table.num_rows))
    )
    rows = draft.select(list(COLUMN_NAMES)).cast(SCHEMA)
    content = _table_digest(rows)
    rows = rows.set_column(*_import_id_column(rows, content[:16]))
    with locked(folder), staging(folder) as place:
        parts = tuple(
            stage_part(place, day, part) for day, part in by_day(rows.sort_by("started_at"))
        )
        manifest = Manifest(
            import_id=content[:16],
            source=source,
            file_name="",
            content_sha256=content,
            rows_read=rows.num_rows,
            rows_stored=rows.num_rows,
            rows_duplicate=0,
            rows_rejected=0,
            cannot_tell=tuple(cannot_tell),
        )
        commit(folder, place, [StagedImport(manifest, parts)])
    return manifest


def _with_gateway_columns(table: pa.Table) -> pa.Table:
    for name in GATEWAY_COLUMN_NAMES:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, SCHEMA.field(name).type))
    return table


def _import_id_column(table: pa.Table, import_id: str) -> tuple[int, str, pa.Array]:
    place = table.column_names.index("import_id")
    return place, "import_id", pa.array([import_id] * table.num_rows, pa.string())


def _table_digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Rows of each UTC day; the table must be ordered by `started_at`."""
    days = pc.cast(pc.floor_temporal(table["started_at"], unit="day"), pa.date32())
    counts = pc.value_counts(days.combine_chunks()).to_pylist()
    at = 0
    for count in counts:
        yield count["values"].isoformat(), table.slice(at, count["counts"])
        at += count["counts"]
