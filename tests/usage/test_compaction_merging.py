from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from weighbridge.ledger.lines import EngineLine, FleetLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.usage.compaction import SOURCE, compact
from weighbridge.usage.merging import Limits, merge_small
from weighbridge.usage.store import Ledger, live_manifests, open_ledger

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=2)
START_US = 1_795_219_200_000_000
DAY_US = 86_400 * 10**6
FOUR = Limits(n_small=4)


def fill(place: Path, n_imports: int, first: int = 0) -> Path:
    """A ledger of that many compactions, over two days, each with an hour of a fleet."""
    for index in range(first, first + n_imports):
        writer = SpoolWriter(place / "spool", worker="0")
        at_us = START_US - (index % 2) * DAY_US + index
        hour_us = START_US + index * 3600 * 10**6
        writer.append_many(
            [
                encode_line(
                    RequestLine(
                        request_id=f"r{index:03d}",
                        started_at_us=at_us,
                        status="ok",
                        price_state="unpriced",
                        model=f"m{index % 3}",
                    )
                ),
                encode_line(
                    FleetLine(
                        target="own",
                        gpu="H100",
                        n_gpus=1,
                        usd_per_gpu_hour="2",
                        started_at_us=hour_us,
                        ended_at_us=hour_us + 3600 * 10**6,
                        source="config",
                    )
                ),
                encode_line(EngineLine(target="own", at_us=hour_us, engine="vllm")),
            ]
        )
        writer.close()
        compact(place / "spool", place / "ledger", now=NOW + dt.timedelta(seconds=index))
    return place / "ledger"


def ids(ledger: Ledger) -> list[str]:
    tables = [pq.ParquetFile(name).read() for name in ledger.parquet_files]
    return sorted(one for table in tables for one in table["request_id"].to_pylist())


def test_many_small_imports_become_one_that_says_the_same(tmp_path: Path) -> None:
    folder = fill(tmp_path, 5)
    before = open_ledger(folder)
    assert merge_small(folder, SOURCE, now=NOW, limits=FOUR) == 5
    after = open_ledger(folder)
    assert ids(after) == ids(before) == [f"r{index:03d}" for index in range(5)]
    assert (len(after.manifests), len(after.parquet_files)) == (1, 2)
    assert after.fleet_hours() == before.fleet_hours()
    assert after.engine_samples().equals(before.engine_samples())
    (made,) = after.manifests
    assert (made.rows_read, made.rows_stored, made.unpriced_models) == (
        5,
        5,
        {"m0": 2, "m1": 2, "m2": 1},
    )
    stored = [pq.ParquetFile(name).read()["import_id"].to_pylist() for name in after.parquet_files]
    assert {one for part in stored for one in part} == {made.import_id}


def test_few_imports_and_large_ones_are_left(tmp_path: Path) -> None:
    folder = fill(tmp_path, 3)
    assert merge_small(folder, SOURCE, now=NOW, limits=FOUR) == 0
    assert merge_small(folder, SOURCE, now=NOW, limits=Limits(2, small_rows=1)) == 0
    assert merge_small(folder, SOURCE, now=NOW, limits=Limits(2, most_rows=2)) == 2
    assert merge_small(folder, "litellm", now=NOW, limits=Limits(1)) == 0
    assert merge_small(tmp_path / "none", SOURCE, now=NOW) == 0
    assert ids(open_ledger(folder)) == ["r000", "r001", "r002"]


def test_reader_that_opened_the_ledger_before_can_finish(tmp_path: Path) -> None:
    folder = fill(tmp_path, 4)
    before = open_ledger(folder)
    merge_small(folder, SOURCE, now=NOW, limits=FOUR)
    fill(tmp_path, 1, first=4)
    assert len(ids(before)) == 4
    merge_small(folder, SOURCE, now=LATER, limits=Limits(n_small=99))
    merge_small(folder, SOURCE, now=LATER, limits=Limits(n_small=99))  # sweeps
    assert not any(Path(name).exists() for name in before.parquet_files)
    assert len(ids(open_ledger(folder))) == 5


def test_merged_imports_are_merged_again_and_what_they_replaced_stays_replaced(
    tmp_path: Path,
) -> None:
    folder = fill(tmp_path, 4)
    merge_small(folder, SOURCE, now=NOW, limits=FOUR)
    fill(tmp_path, 3, first=4)
    assert merge_small(folder, SOURCE, now=NOW, limits=FOUR) == 4
    (made,) = live_manifests(folder)
    assert len(made.replaces) == 8
    assert ids(open_ledger(folder)) == [f"r{index:03d}" for index in range(7)]
    for _ in range(2):
        merge_small(folder, SOURCE, now=LATER, limits=FOUR)
        assert len(ids(open_ledger(folder))) == 7
    assert [path.stem for path in (folder / "imports").iterdir()] == [made.import_id]


def test_segment_still_in_the_spool_is_not_stored_again_after_a_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path, 4)
    writer = SpoolWriter(tmp_path / "spool", worker="0")
    told = RequestLine(
        request_id="last", started_at_us=START_US, status="ok", price_state="unpriced"
    )
    writer.append(encode_line(told))
    writer.close()
    (segment,) = (tmp_path / "spool").glob("*.jsonl")
    text = segment.read_bytes()
    compact(tmp_path / "spool", folder, now=NOW)
    segment.write_bytes(text)  # as if the compaction had died before it removed it
    spooled = frozenset({segment.name})
    assert merge_small(folder, SOURCE, now=NOW, spooled=spooled, limits=FOUR) == 5
    assert live_manifests(folder)[0].segments == (segment.name,)
    assert compact(tmp_path / "spool", folder, now=NOW).n_segments == 0
    assert list((tmp_path / "spool").glob("*.jsonl")) == []


@pytest.mark.parametrize("n_calls", range(1, 12))
def test_merge_that_dies_changes_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_calls: int
) -> None:
    folder = fill(tmp_path, 4)
    left, plain = [n_calls], Path.rename

    def rename(path: Path, target: Path) -> Path:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return plain(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with suppress(KeyboardInterrupt):
            merge_small(folder, SOURCE, now=NOW, limits=FOUR)
    assert len(ids(open_ledger(folder))) == 4
    merge_small(folder, SOURCE, now=NOW, limits=FOUR)
    assert len(ids(open_ledger(folder))) == 4
