"""A worker's counters with its gauges as of now, and those of all workers of a machine."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from weighbridge.gateway.admission.local import Level
from weighbridge.gateway.exposition import exposition
from weighbridge.gateway.metrics import Snapshot, merge, quoted
from weighbridge.gateway.upkeep import read_json, write_whole

if TYPE_CHECKING:
    from weighbridge.gateway.worker import Worker

STALE_S = 5.0  # a worker that has written nothing for so long holds nothing open
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def own_snapshot(worker: Worker) -> Snapshot:
    """What this process counted, with its gauges as of now."""
    metrics, now = worker.metrics, worker.gateway.now()
    metrics.gauges = _gauges(worker) | worker.watcher.gauges()
    metrics.levels = {}
    for level in worker.admission.levels(now):
        labels = _level_labels(level)
        metrics.levels[f"limit_used{{{labels}}}"] = level.used
        metrics.levels[f"limit_size{{{labels}}}"] = level.limit
    snapshot = metrics.snapshot(worker.wall())
    snapshot.counters |= _counters(worker)
    return snapshot


def _gauges(worker: Worker) -> dict[str, float]:
    server, reloader = worker.server, worker.reloader
    told = {
        "open_requests": len(worker.gateway.active),
        "connections": 0 if server is None else server.n_connections,
        "spool_failing": worker.spool.failing is not None,
        "shared_state_degraded": worker.admission.is_degraded,
        "reload_failing": reloader.error is not None,
        "restart_needed": bool(reloader.waits_for_restart),
        "process_resident_memory_bytes": _resident_bytes(),
        "process_cpu_seconds_total": _cpu_s(),
        "workers": 1,
    }
    if worker.compactor is not None:
        told["compaction_failing"] = worker.compactor.is_failing
    return {name: float(value) for name, value in told.items()}


def _counters(worker: Worker) -> dict[str, int]:
    """Counts that others keep; with those of a predecessor that died, where there was one."""
    told = {f"admission_{name}_total": n for name, n in worker.admission.counters().items()}
    if worker.server is not None:
        for status, n in worker.server.n_refused_by_status.items():
            told[f'wire_refused_total{{status="{status}"}}'] = n
    if worker.access_log is not None:
        told["access_log_lines_lost_total"] = worker.access_log.n_lost
    if worker.compactor is not None:
        told["compactions_total"] = worker.compactor.n_ended
        told["compaction_failures_total"] = worker.compactor.n_failed
    before = worker.metrics.counters
    return {name: n + before.get(name, 0) for name, n in told.items()}


def _level_labels(level: Level) -> str:
    return f'scope="{level.scope}",name={quoted(level.name)},what="{level.what}"'


def _resident_bytes() -> int:
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:  # no such file system here: the most it ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(pages) * _PAGE_BYTES


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _path(worker: Worker, index: int) -> Path:
    return worker.state / f"metrics-{index}.json"


def write_snapshot(worker: Worker) -> None:
    """For the worker that answers `/metrics`, and for a successor."""
    write_whole(_path(worker, worker.worker), msgspec.json.encode(own_snapshot(worker)))


def _read(worker: Worker, index: int) -> Snapshot | None:
    try:
        return msgspec.convert(read_json(_path(worker, index)), Snapshot)
    except msgspec.ValidationError:  # none yet, or of another version
        return None


def take_over(worker: Worker) -> None:
    """Count on from where a worker that died left off: sums over workers must not fall."""
    before = _read(worker, worker.worker)
    if before is not None:
        worker.metrics.add(before)


def forget_workers(state: Path) -> None:
    """Counters begin at 0 when a gateway starts; to be called before its first worker."""
    for path in state.glob("metrics-*.json"):
        path.unlink(missing_ok=True)


def metrics_text(worker: Worker) -> str:
    """Prometheus text over all workers of this machine."""
    snapshots = [own_snapshot(worker)]
    found = (_read(worker, index) for index in range(1, worker.n_workers))
    snapshots += [snapshot for snapshot in found if snapshot is not None]
    total = merge(snapshots, worker.wall() - STALE_S)
    total.providers = worker.metrics.providers
    return exposition(total)
