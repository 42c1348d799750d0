"""Manifests: what each import gave to a ledger, and so which of its files count."""

from __future__ import annotations

from pathlib import Path

import msgspec

from weighbridge.units import InputError


class Part(msgspec.Struct, frozen=True):
    """One Parquet file of a ledger: its path below the ledger, and its rows."""

    path: str
    rows: int


class BucketRun(msgspec.Struct, frozen=True):
    """Buckets of time of one report that follow each other and are cut alike."""

    kind: str  # which report of the service; empty where it does not say
    dimensions: tuple[str, ...]  # what its rows are grouped by
    width_us: int
    start_us: int
    stop_us: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one imported file gave; `rows_read` is always the sum of the next three counts."""

    import_id: str
    source: str
    file_name: str
    content_sha256: str
    rows_read: int
    rows_stored: int
    rows_duplicate: int
    rows_rejected: int
    rejected_by_reason: dict[str, int] = {}
    rows_left_out: int = 0  # records that are no requests, in none of those counts
    rows_failed: int = 0
    rows_from_cache: int = 0
    n_models: int = 0
    first_at: str | None = None
    last_at: str | None = None
    time_resolution_s: float | None = None  # None: each request has its own instant
    bucket_runs: tuple[BucketRun, ...] = ()  # of a report by bucket of time
    cannot_tell: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    prices_digest: str | None = None
    unpriced_models: dict[str, int] = {}
    imported_at: str | None = None
    parts: tuple[Part, ...] = ()
    committed_with: tuple[str, ...] = ()
    fleet_parts: tuple[Part, ...] = ()  # what self-hosted fleets cost
    engine_parts: tuple[Part, ...] = ()  # what their engines said of themselves
    sketch_parts: tuple[Part, ...] = ()  # what prompts that nobody named are made of, hashed
    segments: tuple[str, ...] = ()  # of the gateway's spool, read into this import
    lines_skipped: int = 0  # stretches of those that a crash tore
    events: dict[str, int] = {}  # what an operator should see, by name
    replaces: tuple[str, ...] = ()  # imports whose rows now stand in this one

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """Every file that this import stored."""
        return (*self.parts, *self.fleet_parts, *self.engine_parts, *self.sketch_parts)


def read_manifests(folder: Path) -> dict[str, Manifest]:
    """Every manifest of a ledger by import id, those that do not count included."""
    found: dict[str, Manifest] = {}
    for file in sorted((folder / "imports").glob("*.json")):
        try:
            manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
        except FileNotFoundError:
            continue  # replaced, and removed since the folder was listed
        except msgspec.DecodeError as fault:
            mend = "restore it, or import into a new folder"
            raise InputError(str(file), "", f"cannot be read ({fault})", mend) from fault
        found[manifest.import_id] = manifest
    return found


def counting(found: dict[str, Manifest]) -> tuple[Manifest, ...]:
    """Manifests whose whole batch was committed and that no later one replaces."""
    whole = [m for m in found.values() if all(other in found for other in m.committed_with)]
    replaced = {import_id for manifest in whole for import_id in manifest.replaces}
    return tuple(manifest for manifest in whole if manifest.import_id not in replaced)


def live_manifests(folder: Path) -> tuple[Manifest, ...]:
    """The manifests that count, ordered by import id."""
    return counting(read_manifests(folder))
