"""Reads other tools' logs into a ledger: all the files of one command, or none of them.

Each file is cut into stretches; workers turn them into rows of the ledger in Arrow files below
`.staging`; one query finds rows seen before; workers write the rest as one sorted part a day; the
manifests, renamed into place last, make it count.
"""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import duckdb

from weighbridge.units import InputError, TooManyRejectsError
from weighbridge.usage.bucket_layouts import finished, refuse_other_cut
from weighbridge.usage.buckets import RequestCounter, resolution_words
from weighbridge.usage.detect import named_rightly
from weighbridge.usage.duplicates import (
    Renamed,
    Seen,
    Staged,
    compared_parts,
    find_seen,
    whole_rows,
)
from weighbridge.usage.faults import CONFLICT, MENDS, Reject
from weighbridge.usage.import_options import ImportOptions as ImportOptions
from weighbridge.usage.import_options import plan_of, settings_of
from weighbridge.usage.inputs import LogFile, Reading, format_of
from weighbridge.usage.kinds import BILLS
from weighbridge.usage.locating import located_in
from weighbridge.usage.log_files import find_files
from weighbridge.usage.manifests import BucketRun
from weighbridge.usage.recognising.importing import hasher_named, takes_prompts, without_prompts
from weighbridge.usage.recognising.stored import table_of
from weighbridge.usage.rejects import hashes_of_lines, write_rejects
from weighbridge.usage.shape import Plan
from weighbridge.usage.sources import source_named
from weighbridge.usage.sources.source import Source
from weighbridge.usage.sources.table import with_map
from weighbridge.usage.staging import Chunk, PartJob, StagedPart, Workers, ids_name
from weighbridge.usage.store import (
    Manifest,
    Part,
    StagedImport,
    commit,
    live_manifests,
    locked,
    stage_file,
    staging,
)
from weighbridge.usage.unfolding import rows_of

MOST_REJECTED_FRAC = 0.01
MOST_QUOTED = 10
ROWS_PER_PART = 2_000_000
WORTH_PROCESSES_BYTES = 32 * 2**20  # starting them takes as long as reading this much

KEY_SETTING = "prompt_key"

OnProgress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Which logs to read into which ledger; `-` is standard input, a directory all its logs."""

    source: str
    files: tuple[str | Path, ...]
    into: Path
    options: ImportOptions = field(default_factory=ImportOptions)
    called: str | None = None  # the files' name in the manifest, where they were made on the way


@dataclass(frozen=True, slots=True)
class QuotedReject:
    """A rejected row as the summary quotes it."""

    file_name: str
    reject: Reject


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: a manifest for each new file, and the files that were known already."""

    into: Path
    source: str
    manifests: tuple[Manifest, ...]
    known_files: tuple[str, ...]
    quoted: tuple[QuotedReject, ...] = ()

    def total(self, count: str) -> int:
        """Sum of one count over the new files."""
        return sum(int(getattr(manifest, count)) for manifest in self.manifests)

    def rejected_by_reason(self) -> Counter[str]:
        """Rejected rows by field and reason."""
        total: Counter[str] = Counter()
        for manifest in self.manifests:
            total.update(manifest.rejected_by_reason)
        return total

    def raise_if_too_many_rejects(self) -> None:
        """Raise where any file lost more than 1 % of its rows; the others are stored."""
        for manifest in self.manifests:
            if manifest.rows_rejected > MOST_REJECTED_FRAC * manifest.rows_read:
                raise TooManyRejectsError(_too_many(self.into, manifest))


def _too_many(into: Path, manifest: Manifest) -> str:
    lost = manifest.rows_rejected / manifest.rows_read
    reasons = Counter(manifest.rejected_by_reason).most_common()
    lines = [
        f"{manifest.file_name}: {manifest.rows_rejected:,} of {manifest.rows_read:,} rows "
        f"({lost:.1%}) were rejected, the others are stored",
        *(f"  {count:,} x {reason}" for reason, count in reasons),
        f"  mend: see {into / 'rejects' / manifest.import_id}.csv, correct those rows, and "
        "import the corrected file into the same folder",
    ]
    if manifest.bucket_runs and any(CONFLICT in reason for reason, _ in reasons):
        lines[-1] = (
            "  mend: the report was summed up anew since it was stored, and what is stored stays; "
            "to have the new sums, import the whole report into a new folder"
        )
    return "\n".join(lines)


def import_logs(
    request: ImportRequest,
    *,
    now: dt.datetime,
    n_workers: int | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> ImportReport:
    """Read logs into a ledger; raises, having written nothing, where a file is unusable.

    `n_workers` is the number of processes: 0 reads in this one, None decides by size.
    """
    options, into = request.options, request.into
    _refuse_bill(request.source)
    plan = plan_of(with_map(source_named(request.source), options.column_map), options, now)
    plan, key_settings = _with_key(plan)
    try:
        with locked(into), staging(into) as place:
            found = find_files(request.files, plan.source.formats, place)
            if request.called is not None:
                found = [replace(file, name=request.called) for file in found]
            work = _Import(plan, into, place, settings_of(options) | key_settings)
            with Workers(place, plan.prices, _n_processes(found, n_workers)) as workers:
                return work.run(found, workers, on_progress)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as fault:
        mend = "free space or allow writing there, and import again; nothing was imported"
        raise InputError(str(into), "", f"could not be written ({fault})", mend) from fault


def _with_key(plan: Plan) -> tuple[Plan, dict[str, str]]:
    """The plan, prompts left out of it where there is no key to hash them with; and which key."""
    if not takes_prompts(plan.source):
        return plan, {}
    hasher = hasher_named(os.environ)
    if hasher is None:
        return replace(plan, source=without_prompts(plan.source)), {}
    return plan, {KEY_SETTING: hasher.key_id}


def _refuse_bill(name: str) -> None:
    if name in {bill.name for bill in BILLS}:
        mend = "hold it against a ledger: weighbridge reconcile --bill FILE --usage DIR"
        raise InputError("import", "SOURCE", f"{name} is a bill, which holds no requests", mend)


def _n_processes(found: Sequence[LogFile], n_workers: int | None) -> int:
    if n_workers is not None:
        return n_workers
    large = sum(file.path.stat().st_size for file in found) > WORTH_PROCESSES_BYTES
    return (os.cpu_count() or 1) if large else 0


@dataclass(slots=True)
class _FileRead:
    """One file after reading: where it was cut, and what was wrong with it."""

    number: int
    file: LogFile
    reading: Reading
    plan: Plan
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def rejects(self) -> list[Reject]:
        return [*self.reading.rejects, *(r for chunk in self.chunks for r in chunk.rejects)]

    @property
    def n_read(self) -> int:
        return sum(chunk.n_read for chunk in self.chunks) + len(self.reading.rejects)

    @property
    def n_left_out(self) -> int:
        return sum(chunk.n_left_out for chunk in self.chunks)

    @property
    def bucket_runs(self) -> tuple[BucketRun, ...]:
        """How a report's finished buckets are cut; none of a log of requests."""
        counter = self.reading.counter
        return () if counter is None else finished(counter.runs, self.plan.now_us)

    @property
    def import_id(self) -> str:
        return self.reading.content_sha256[:16]


@dataclass(slots=True)
class _Import:
    plan: Plan
    into: Path
    place: Path
    settings: Mapping[str, str]

    def run(
        self, found: Sequence[LogFile], workers: Workers, on_progress: OnProgress
    ) -> ImportReport:
        self._find_told_twice(found)
        new, known = self._read_all(found, workers, on_progress)
        chunks = [chunk for one in new for chunk in one.chunks]
        seen, renamed = self._find_seen(chunks)
        imports, quoted = [], []
        for index, one in enumerate(new):
            on_progress("store", index, len(new))
            staged, rejects = self._stage(one, workers, seen, renamed)
            imports.append(staged)
            quoted += [QuotedReject(one.file.name, reject) for reject in rejects[:MOST_QUOTED]]
        if imports:
            on_progress("store", len(new), len(new))
            commit(self.into, self.place, imports)
        manifests = tuple(item.manifest for item in imports)
        names = tuple(known)
        return ImportReport(
            self.into, self.plan.source.name, manifests, names, tuple(quoted[:MOST_QUOTED])
        )

    def _find_told_twice(self, found: Sequence[LogFile]) -> None:
        """Read all files once before, where two rows, in two files maybe, tell of one request."""
        unfold = self.plan.source.unfold
        if unfold is not None:
            rows = (row for file in found for row in rows_of(file, self.plan.source))
            self.plan = replace(self.plan, told_twice=unfold.told_twice(rows))

    def _read_all(
        self, found: Sequence[LogFile], workers: Workers, on_progress: OnProgress
    ) -> tuple[list[_FileRead], list[str]]:
        live = {manifest.import_id: manifest for manifest in live_manifests(self.into)}
        total = sum(file.path.stat().st_size for file in found)
        new: dict[str, _FileRead] = {}
        known: list[str] = []
        done = 0
        for number, file in enumerate(found):
            on_bytes = partial(_tell_read, on_progress, done, total)
            one = self._read(number, file, workers, on_bytes)
            done += file.path.stat().st_size
            if one.import_id in live:
                self._check_known(file, live[one.import_id])
                known.append(file.name)
            elif one.import_id in new:
                known.append(file.name)
            else:
                new[one.import_id] = one
                with named_rightly(self.plan.source, file):
                    _check_usable(one)
        self._refuse_other_cuts(list(new.values()), live.values())
        return list(new.values()), known

    def _refuse_other_cuts(self, new: Sequence[_FileRead], live: Iterable[Manifest]) -> None:
        source = self.plan.source.name
        earlier = [(m.file_name, m.bucket_runs) for m in live if m.source == source]
        for one in new:
            refuse_other_cut(one.file.name, one.bucket_runs, earlier)
            earlier.append((one.file.name, one.bucket_runs))

    def _read(
        self, number: int, file: LogFile, workers: Workers, on_bytes: Callable[[int], None]
    ) -> _FileRead:
        source = self.plan.source
        reading = Reading(file, format_of(file, source.formats), source.delimiter, on_bytes)
        reading.envelope = source.envelope
        if source.is_bucketed:
            reading.counter = RequestCounter(
                source, self.plan.tokens_per_request, self.plan.most_rows
            )
        one = _FileRead(number, file, reading, self.plan)
        with named_rightly(source, file):
            located = False
            for task in reading.tasks():
                if not located:
                    one.plan = replace(self.plan, source=located_in(source, reading))
                    located = True
                one.chunks += workers.submit(number, task, one.plan, file.name)
            one.chunks += workers.drain()
        if not one.n_read:
            raise _no_rows(one)
        return one

    def _check_known(self, file: LogFile, manifest: Manifest) -> None:
        then = {"source": manifest.source, **manifest.settings}
        today = {"source": self.plan.source.name, **self.settings}
        changed = sorted(
            key for key in then.keys() | today.keys() if then.get(key) != today.get(key)
        )
        if changed:
            told = ", ".join(
                f"{key} {then.get(key, '(none)')!r}, now {today.get(key, '(none)')!r}"
                for key in changed
            )
            problem = f"was imported before with other settings: {told}"
            raise InputError(file.name, "", problem, "import it into a new folder")

    def _find_seen(self, chunks: Sequence[Chunk]) -> tuple[Seen, Renamed]:
        days = {day for chunk in chunks for day, _, _ in chunk.days}
        live = live_manifests(self.into)
        found = compared_parts(live, days, self.plan.makes_ids or self.plan.source.is_bucketed)
        stored = [str(self.into / path) for path in found]
        full = [chunk for chunk in chunks if chunk.path is not None]
        staged = Staged(
            rows=tuple(chunk.path for chunk in full if chunk.path is not None),
            ids=tuple(self.place / ids_name(chunk.number) for chunk in full),
        )
        seen, renamed = find_seen(staged, stored, self.place, self.plan.makes_ids)
        if self.plan.source.is_bucketed:
            seen = whole_rows(seen, {chunk.number: chunk.path for chunk in full})
        return seen, renamed

    def _stage(
        self, one: _FileRead, workers: Workers, seen: Seen, renamed: Renamed
    ) -> tuple[StagedImport, list[Reject]]:
        numbers = [chunk.number for chunk in one.chunks]
        mine = (seen.chunk >= min(numbers)) & (seen.chunk <= max(numbers))
        conflicts = sorted(int(line) for line in seen.line[mine & seen.conflict])
        hashes = hashes_of_lines(one.file, one.reading, conflicts)
        rejects = one.rejects
        rejects += [Reject(line, "request_id", CONFLICT, hashes[line]) for line in conflicts]
        rejects.sort(key=lambda reject: reject.line)
        jobs = _part_jobs(one, seen, renamed)
        parts = workers.write_parts(jobs)
        file = write_rejects(self.place / f"{one.import_id}.csv", rejects) if rejects else None
        duplicates = int((mine & ~seen.conflict).sum())
        manifest = self._manifest(one, parts, rejects, duplicates)
        staged = tuple((p.path, p.part) for p in parts)
        return StagedImport(manifest, staged, file, sketches=self._sketches(one)), rejects

    def _sketches(self, one: _FileRead) -> tuple[tuple[Path, Part], ...]:
        found = [sketch for chunk in one.chunks for sketch in chunk.sketches]
        if not found:
            return ()
        table = table_of(found, self.settings[KEY_SETTING])
        return (stage_file(self.place, "sketches", table),)

    def _manifest(
        self,
        one: _FileRead,
        parts: Sequence[StagedPart],
        rejects: Sequence[Reject],
        duplicates: int,
    ) -> Manifest:
        reasons = Counter(f"{r.field}: {r.reason}" if r.field else r.reason for r in rejects)
        unpriced = sum((part.unpriced_models for part in parts), Counter[str]())
        now = dt.datetime.fromtimestamp(self.plan.now_us / 1e6, dt.UTC)
        resolution_s = max(chunk.resolution_us for chunk in one.chunks) / 1e6 or None
        manifest = Manifest(
            import_id=one.import_id,
            source=self.plan.source.name,
            file_name=one.file.name,
            content_sha256=one.reading.content_sha256,
            rows_read=one.n_read,
            rows_stored=sum(part.part.rows for part in parts),
            rows_duplicate=duplicates,
            rows_rejected=len(rejects),
            rejected_by_reason=dict(reasons.most_common()),
            rows_left_out=one.n_left_out,
            rows_failed=sum(part.n_failed for part in parts),
            rows_from_cache=sum(part.n_from_cache for part in parts),
            first_at=min((part.first_at for part in parts), default=None),
            last_at=max((part.last_at for part in parts), default=None),
            cannot_tell=_cannot_tell(self.plan.source, one, resolution_s),
            assumptions=_assumptions(self.plan),
            time_resolution_s=resolution_s,
            bucket_runs=one.bucket_runs,
            settings=dict(self.settings),
            prices_digest=parts[0].prices_digest if parts else None,
            n_models=len({model for part in parts for model in part.models}),
            unpriced_models=dict(unpriced.most_common()),
            imported_at=now.isoformat(),
        )
        total = manifest.rows_stored + manifest.rows_duplicate + manifest.rows_rejected
        assert manifest.rows_read == total, "a row went missing"
        return manifest


def _no_rows(one: _FileRead) -> InputError:
    if one.n_left_out:
        problem = f"holds {one.n_left_out:,} records, none of which is a request to a model"
        mend = "export those of requests too: generations, or spans of the client's calls"
        return InputError(one.file.name, "", problem, mend)
    mend = "export the log again: it has no rows"
    return InputError(one.file.name, "", "holds no row", mend)


def _cannot_tell(source: Source, one: _FileRead, resolution_s: float | None) -> tuple[str, ...]:
    told = list(source.cannot_tell.values())
    if resolution_s is not None:
        told.append(
            f"time: known to within {resolution_words(resolution_s)}; requests are spread evenly "
            "within it, each of the mean size"
        )
    if one.reading.has_more:
        told.append(
            "the rest of the report: its last page says that more follow (has_more), unless they "
            "are in another file"
        )
    return tuple(told)


def _assumptions(plan: Plan) -> tuple[str, ...]:
    source = plan.source
    told = list(source.assumptions)
    if source.start is not None:
        start = dt.datetime.fromtimestamp(plan.start_us / 1e6, dt.UTC)
        told.append(f"the log begins at {start.isoformat()} (--start)")
    elif plan.timezone is not None:
        told.append(f"instants without a time zone are {plan.timezone} (--timezone)")
    elif source.naive_timezone is not None:
        why = source.naive_timezone_reason
        told.append(f"instants without a time zone are {source.naive_timezone} ({why})")
    if plan.tokens_per_request is not None:
        told.append(
            f"requests: one for every {plan.tokens_per_request:,} tokens (--tokens-per-request), "
            "where the report counts none"
        )
    return tuple(told)


def _tell_read(on_progress: OnProgress, before: int, total: int, n_bytes: int) -> None:
    on_progress("read", before + n_bytes, total)


def _check_usable(one: _FileRead) -> None:
    """A file without one usable row was misread as a whole: say so, and write nothing."""
    if any(chunk.n_rows for chunk in one.chunks):
        return
    rejects = one.rejects
    reasons = Counter((reject.field, reject.reason) for reject in rejects)
    (name, reason), count = reasons.most_common(1)[0]
    first = min(r.line for r in rejects if (r.field, r.reason) == (name, reason))
    others = len(reasons) - 1
    problem = f"none of its {one.n_read:,} rows can be used: {count:,} x {reason}"
    problem += f", and {others} other reason{'s' * (others > 1)}" if others else ""
    mend = MENDS.get(reason, "check that this is the right source, and export the log again")
    raise InputError(f"{one.file.name}:{first}", name, problem, mend)


def _part_jobs(one: _FileRead, seen: Seen, renamed: Renamed) -> list[PartJob]:
    """One job a day, or several where a day has very many rows."""
    jobs: dict[tuple[str, int], PartJob] = {}
    rows: Counter[str] = Counter()
    for chunk in one.chunks:
        dropped = seen.row[seen.chunk == chunk.number]
        mine = renamed.chunk == chunk.number
        named = renamed.request_id if mine.any() else None
        names = None if named is None else named.filter(mine)
        for day, offset, length in chunk.days:
            key = (day, rows[day] // ROWS_PER_PART)
            job = jobs.setdefault(key, PartJob(day, one.import_id))
            job.add(chunk, (offset, length), dropped, (renamed.row[mine], names))
            rows[day] += length
    return [jobs[key] for key in sorted(jobs)]
