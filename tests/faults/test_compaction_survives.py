"""Compactions that die at any step: run again, every record is in the ledger once."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from weighbridge.ledger.lines import FleetLine, Line, OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.usage.compaction import compact
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
START_US = 1_795_219_200_000_000


class KilledError(BaseException):
    """Stands in for SIGKILL: nothing of ours catches it."""


def fill(spool: Path) -> SpoolWriter:
    """Five closed segments of two gateways, the second of which lives on with a request open."""
    hour = FleetLine(
        target="own",
        gpu="H100",
        n_gpus=1,
        usd_per_gpu_hour="2",
        started_at_us=START_US,
        ended_at_us=START_US + 3600 * 10**6,
        source="config",
    )
    for worker in ("0", "1"):
        writer = SpoolWriter(spool, worker=worker, max_segment_bytes=1)
        lines: list[list[Line]] = [
            [begun(f"cut-{worker}"), request(f"a-{worker}")],
            [request(f"b-{worker}"), hour],
            [begun(f"c-{worker}"), request(f"c-{worker}")],
        ]
        for some in lines:
            writer.append_many([encode_line(line) for line in some])
            writer.rotate_if_due()
        writer.sync()
        if worker == "0":
            writer.close()
    return writer


def request(name: str) -> RequestLine:
    return RequestLine(request_id=name, started_at_us=START_US, status="ok", price_state="unpriced")


def begun(name: str) -> OpenLine:
    return OpenLine(request_id=name, started_at_us=START_US)


def dying(monkeypatch: pytest.MonkeyPatch, n_calls: int) -> Callable[[], int]:
    """Die before the n-th rename, unlink or sync; tells how many there were."""
    made = [0]

    def wrap(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            made[0] += 1
            if made[0] == n_calls:
                raise KilledError
            return plain(*args, **more)

        return call

    monkeypatch.setattr(Path, "rename", wrap(Path.rename))
    monkeypatch.setattr(Path, "unlink", wrap(Path.unlink))
    monkeypatch.setattr(os, "fsync", wrap(os.fsync))
    return lambda: made[0]


def check(spool: Path, ledger: Path, writer: SpoolWriter) -> None:
    compact(spool, ledger, now=NOW)
    found = open_ledger(ledger)
    ids = [
        row
        for name in found.parquet_files
        for row in pq.ParquetFile(name).read()["request_id"].to_pylist()
    ]
    assert sorted(ids) == ["a-0", "a-1", "b-0", "b-1", "c-0", "c-1", "cut-0"]
    (hour,) = found.fleet_hours()
    assert hour.ended_at - hour.started_at == dt.timedelta(hours=1)
    assert sum(m.rows_stored for m in found.manifests) == len(ids)
    writer.append(encode_line(request("cut-1")))  # it lived, and ends as it should
    writer.close()
    assert compact(spool, ledger, now=NOW).n_requests == 1
    assert {path.name for path in spool.iterdir()} <= {"pending"}
    assert (spool / "pending").read_bytes() == b""


@pytest.mark.parametrize("batch_bytes", [1, 2**20])
def test_compaction_killed_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    n_calls, died = 0, True
    while died:
        n_calls += 7 if batch_bytes == 1 else 2
        place = tmp_path / str(n_calls)
        writer = fill(place / "spool")
        with monkeypatch.context() as patch:
            dying(patch, n_calls)
            try:
                compact(place / "spool", place / "ledger", now=NOW, batch_bytes=batch_bytes)
                died = False
            except KilledError:
                died = True
        check(place / "spool", place / "ledger", writer)
    assert n_calls > 20
