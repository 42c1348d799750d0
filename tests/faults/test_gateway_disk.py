"""Disks under the gateway that are full, read-only or pulled away: a choice, never a crash."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    done = None
    if os.geteuid() == 0 and shutil.which("mount"):
        done = subprocess.run(command, capture_output=True, check=False)
    if done is None or done.returncode:
        pytest.skip("a small file system can only be mounted by root, where mounting is allowed")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def on_disk(place, on_failure):
    def change(document) -> None:
        document["spool"] = {"path": str(place / "spool"), "on_failure": on_failure}

    return change


def fill(place) -> None:
    """Leave room for some hundred records."""
    left = os.statvfs(place)
    n_bytes = left.f_bavail * left.f_frsize - 100_000
    (place / "ballast").write_bytes(b"x" * n_bytes)


def told_ids(load) -> list[str]:
    return [one.request_id for one in load.whole]


def test_full_disk_stops_records_and_not_the_service_and_is_counted(
    serving, provider, drive, run, small_disk
) -> None:
    with serving([provider.url], on_disk(small_disk, "serve")) as gateway:

        async def main():
            async with drive(gateway) as load:
                await load.until(600)
                n_unrecorded = gateway.metric("unrecorded_lines_total")
                assert gateway.metric("spool_failing") == 1
                assert gateway.ask_admin("/readyz")[0] == 200
                assert n_unrecorded > 0
                await drive.until(lambda: "spool_failing: ENOSPC" in gateway.said.read_text())
                os.truncate(small_disk / "ballast", 0)
                n_before = len(load.whole)
                await load.until(n_before + 60)
                await drive.until(lambda: "spool_records_again" in gateway.said.read_text())
                await load.stop()
                return load, n_before

        fill(small_disk)
        load, n_before = run(main)
        assert load.statuses == {200: len(load.outcomes)}
        assert gateway.metric("spool_failing") == 0
        n_unrecorded = gateway.metric("unrecorded_lines_total")
        assert gateway.stop() == 0
        records = gateway.records()
        missing = [name for name in told_ids(load) if not records[name]]
        assert len(missing) == n_unrecorded
        assert not set(missing) & set(told_ids(load)[n_before + 8 :])
        assert max(records.values()) == 1
        assert "lines could not be recorded" in gateway.said.read_text()


def test_full_disk_refuses_where_told_to_and_serves_again_when_there_is_room(
    serving, provider, drive, run, small_disk
) -> None:
    with serving([provider.url], on_disk(small_disk, "refuse")) as gateway:

        async def main():
            async with drive(gateway) as load:
                await load.until(600)
                assert gateway.ask_admin("/readyz")[0] == 503
                one = await drive.once(gateway)
                assert one.status == 503
                assert b"not_recorded" in one.answer
                assert int(one.headers["retry-after"]) >= 1
                os.truncate(small_disk / "ballast", 0)
                n_served = load.statuses[200]
                end_s = time.monotonic() + 5
                while load.statuses[200] < n_served + 100:
                    assert time.monotonic() < end_s
                    await load.until(len(load.whole) + 1)
                await load.stop()
                return load

        fill(small_disk)
        load = run(main)
        assert set(load.statuses) == {200, 503}
        assert gateway.ask_admin("/readyz")[0] == 200
        assert gateway.stop() == 0
        records = gateway.records()
        served = [one.request_id for one in load.whole if one.status == 200]
        missing = [name for name in served if not records[name]]
        assert len(missing) <= 8  # those that were under way when the disk became full


def test_read_only_disk_is_told_and_left_behind(serving, provider, drive, run, small_disk) -> None:
    remount = ["mount", "-o"]
    with serving([provider.url], on_disk(small_disk, "serve"), starts=False) as gateway:
        (small_disk / "spool").mkdir()
        subprocess.run([*remount, "remount,ro", str(small_disk)], check=True)
        gateway.start()

        async def main():
            async with drive(gateway) as load:
                await load.until(50)
                assert "EROFS" in gateway.ask_admin("/status")[1]
                subprocess.run([*remount, "remount,rw", str(small_disk)], check=True)
                await load.until(len(load.whole) + 50)
                await drive.until(lambda: gateway.metric("spool_failing") == 0, "recovery")
                await load.stop()
                return load

        load = run(main)
        assert load.statuses == {200: len(load.outcomes)}
        n_unrecorded = gateway.metric("unrecorded_lines_total")
        assert gateway.stop() == 0
        records = gateway.records()
        missing = [name for name in told_ids(load) if not records[name]]
        assert 50 <= len(missing) <= n_unrecorded


def test_spool_and_state_removed_while_running_lose_only_what_was_closed(
    serving, provider, drive, run
) -> None:
    with serving([provider.url]) as gateway:

        async def main():
            async with drive(gateway) as load:
                await load.until(100)
                shutil.rmtree(gateway.spool)
                shutil.rmtree(gateway.folder / "state")
                await load.until(len(load.whole) + 200)
                await load.stop()
                return load

        load = run(main)
        assert load.statuses == {200: len(load.outcomes)}
        assert gateway.metric("spool_failing") == 0
        assert gateway.metric("unrecorded_lines_total") == 0
        assert gateway.stop() == 0
        records = gateway.records()
        assert [name for name in told_ids(load) if not records[name]] == []
        rows = [row["request_id"] for row in gateway.compacted()]
        assert sorted(rows) == sorted(set(told_ids(load)))
