"""Keeps a gateway's ledger in few files: many small imports are rewritten as one.

The new manifest names those that it replaces, so that at every instant either they count or it
does. What was replaced stays for an hour, for readers that opened the ledger before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from weighbridge.usage.manifests import Manifest, Part, counting, read_manifests
from weighbridge.usage.store import (
    SCHEMA,
    StagedImport,
    commit,
    locked,
    stage_file,
    stage_part,
    staging,
)

READERS_LEAVE_WITHIN = dt.timedelta(hours=1)

_Staged = tuple[tuple[Path, Part], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """When imports are merged, and how large the result may grow."""

    n_small: int = 32  # this many small ones are worth a rewrite
    small_rows: int = 250_000
    most_rows: int = 500_000


def merge_small(
    folder: Path,
    source: str,
    *,
    now: dt.datetime,
    spooled: frozenset[str] = frozenset(),
    limits: Limits | None = None,
) -> int:
    """Rewrite small imports of a source as one; returns how many it replaced.

    `spooled` are segments that still lie in the spool: their names are carried on, so that they
    are not stored again.
    """
    limits = limits or Limits()
    if not (folder / "ledger.json").exists():
        return 0
    with locked(folder), staging(folder) as place:
        known = read_manifests(folder)
        live = counting(known)
        _forget_replaced(folder, live, known, now)
        small = _small(live, source, limits)
        if len(small) < limits.n_small:
            return 0
        replaced = {one.import_id for one in small}
        replaced |= {name for one in small for name in one.replaces if name in known}
        manifest = _sum(small, tuple(sorted(replaced)), spooled, now)
        staged = StagedImport(
            manifest,
            _requests(folder, place, small, manifest.import_id),
            fleet=_joined(folder, place, "fleet_hours", [p for m in small for p in m.fleet_parts]),
            engine=_joined(
                folder, place, "engine_samples", [p for m in small for p in m.engine_parts]
            ),
            sketches=_joined(folder, place, "sketches", [p for m in small for p in m.sketch_parts]),
        )
        commit(folder, place, [staged])
        return len(small)


def _forget_replaced(
    folder: Path, live: Iterable[Manifest], known: Mapping[str, Manifest], now: dt.datetime
) -> None:
    """Remove what was replaced long enough ago; its files go with the next sweep."""
    for manifest in live:
        made_at = dt.datetime.fromisoformat(manifest.imported_at or now.isoformat())
        if now - made_at < READERS_LEAVE_WITHIN:
            continue
        for name in manifest.replaces:
            if name in known:
                (folder / "imports" / f"{name}.json").unlink(missing_ok=True)


def _small(live: Iterable[Manifest], source: str, limits: Limits) -> list[Manifest]:
    """Small imports that were committed alone, oldest first, as many as fit into one."""
    alone = [
        one
        for one in live
        if one.source == source
        and one.rows_stored < limits.small_rows
        and one.committed_with == (one.import_id,)
    ]
    chosen, n_rows = [], 0
    for one in sorted(alone, key=lambda m: (m.imported_at or "", m.import_id)):
        n_rows += one.rows_stored
        if n_rows > limits.most_rows:
            break
        chosen.append(one)
    return chosen


def _requests(folder: Path, place: Path, small: Sequence[Manifest], import_id: str) -> _Staged:
    days: dict[str, list[Path]] = {}
    for part in (part for one in small for part in one.parts):
        days.setdefault(part.path.split("/")[1].removeprefix("date="), []).append(
            folder / part.path
        )
    return tuple(
        stage_part(place, day, _with_id(_read(files, SCHEMA.names), import_id))
        for day, files in sorted(days.items())
    )


def _read(files: Sequence[Path], names: Sequence[str]) -> pa.Table:
    """Files as one table with these columns, empty where an older file lacks one."""
    tables = []
    for file in files:
        table = pq.ParquetFile(file).read()
        for name in names:
            if name not in table.column_names:
                empty = pa.nulls(table.num_rows, SCHEMA.field(name).type)
                table = table.append_column(name, empty)
        tables.append(table.select(list(names)).cast(SCHEMA))
    return pa.concat_tables(tables).sort_by("started_at")


def _with_id(table: pa.Table, import_id: str) -> pa.Table:
    ids = pa.array([import_id] * table.num_rows, pa.string())
    return table.set_column(table.column_names.index("import_id"), SCHEMA.field("import_id"), ids)


def _joined(folder: Path, place: Path, below: str, parts: Sequence[Part]) -> _Staged:
    if not parts:
        return ()
    tables = [pq.ParquetFile(folder / part.path).read() for part in parts]
    return (stage_file(place, below, pa.concat_tables(tables)),)


def _sum(
    small: Sequence[Manifest],
    replaced: tuple[str, ...],
    spooled: frozenset[str],
    now: dt.datetime,
) -> Manifest:
    """One manifest that says what the small ones said."""
    digest = hashlib.sha256("\n".join(replaced).encode()).hexdigest()

    def total(name: str) -> int:
        return sum(int(getattr(one, name)) for one in small)

    def counted(name: str) -> dict[str, int]:
        return dict(sum((Counter(getattr(one, name)) for one in small), Counter()))

    firsts = [one.first_at for one in small if one.first_at]
    lasts = [one.last_at for one in small if one.last_at]
    return Manifest(
        import_id=digest[:16],
        source=small[0].source,
        file_name="",
        content_sha256=digest,
        rows_read=total("rows_read"),
        rows_stored=total("rows_stored"),
        rows_duplicate=total("rows_duplicate"),
        rows_rejected=total("rows_rejected"),
        rejected_by_reason=counted("rejected_by_reason"),
        rows_failed=total("rows_failed"),
        rows_from_cache=total("rows_from_cache"),
        n_models=max(one.n_models for one in small),
        first_at=min(firsts, default=None),
        last_at=max(lasts, default=None),
        bucket_runs=tuple(run for one in small for run in one.bucket_runs),
        cannot_tell=tuple(dict.fromkeys(thing for one in small for thing in one.cannot_tell)),
        assumptions=tuple(dict.fromkeys(thing for one in small for thing in one.assumptions)),
        prices_digest=small[-1].prices_digest,
        unpriced_models=counted("unpriced_models"),
        imported_at=now.isoformat(),
        segments=tuple(name for one in small for name in one.segments if name in spooled),
        lines_skipped=total("lines_skipped"),
        events=counted("events"),
        replaces=replaced,
    )
