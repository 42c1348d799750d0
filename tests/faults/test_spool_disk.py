"""Disks that are full, read-only or failing, and spools that are removed under their writer."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weighbridge.ledger.lines import RequestLine
from weighbridge.ledger.spool import SpoolReader, SpoolWriter, encode_line

Fault = Callable[..., int]


def line(name: str, n_bytes: int = 0) -> bytes:
    told = RequestLine(
        request_id=name,
        started_at_us=1,
        status="ok",
        price_state="priced",
        tenant="x" * n_bytes or None,
    )
    return encode_line(told)


def ids(folder: Path) -> list[str]:
    return [told.request_id for told in SpoolReader(folder).finished()]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SpoolWriter]:
    one = SpoolWriter(tmp_path / "spool", worker="0")
    yield one
    one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    done = None
    if os.geteuid() == 0 and shutil.which("mount"):
        done = subprocess.run(command, capture_output=True, check=False)
    if done is None or done.returncode:
        pytest.skip("a small file system can only be mounted by root, where mounting is allowed")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_is_told_and_every_recorded_line_is_read_back(small_disk: Path) -> None:
    writer = SpoolWriter(small_disk / "spool", worker="0")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 30_000)
    recorded = [str(n) for n in range(200) if writer.append(line(str(n), 700))]
    assert 0 < len(recorded) < 200
    assert writer.unrecorded == 200 - len(recorded)
    assert writer.failing == "ENOSPC: No space left on device"
    assert ids(small_disk / "spool") == recorded
    ballast.unlink()
    assert writer.append(line("later"))
    assert writer.failing is None
    assert writer.sync()
    reader = SpoolReader(small_disk / "spool")
    assert [told.request_id for told in reader.finished()] == [*recorded, "later"]
    assert reader.n_skipped == 0
    assert writer.close()


def test_spool_on_a_disk_full_from_the_start_begins_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(b"x" * 100_000)
    writer = SpoolWriter(small_disk / "spool", worker="0")
    assert not writer.append(line("lost"))
    assert writer.failing is not None
    assert not writer.sync()
    ballast.unlink()
    assert writer.append(line("a"))
    assert writer.sync()
    assert (ids(small_disk / "spool"), writer.unrecorded, writer.failing) == (["a"], 1, None)
    writer.close()


def test_read_only_file_system_is_told_and_left_behind_when_writable_again(
    small_disk: Path,
) -> None:
    writer = SpoolWriter(small_disk / "spool", worker="0")
    assert writer.append(line("a"))
    writer.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    writer = SpoolWriter(small_disk / "spool", worker="0")
    assert not writer.append(line("lost"))
    assert writer.failing == "EROFS: Read-only file system"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert writer.append(line("b"))
    assert (ids(small_disk / "spool"), writer.unrecorded, writer.failing) == (["a", "b"], 1, None)
    writer.close()


LIMITED = """
import resource, sys
from pathlib import Path
from weighbridge.ledger.lines import RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
writer = SpoolWriter(Path(sys.argv[1]), worker="0")
for n in range(100):
    assert writer.append(encode_line(RequestLine(request_id=str(n), started_at_us=1, status="ok",
        price_state="priced", tenant="x" * 300))), writer.failing
assert writer.close() and writer.unrecorded == 0
"""


def test_file_that_may_not_grow_is_followed_by_another(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True, timeout=60)
    reader = SpoolReader(tmp_path)
    assert [told.request_id for told in reader.finished()] == [str(n) for n in range(100)]
    assert (reader.n_skipped, len(reader.segments()) > 5) == (0, True)


def test_write_that_stops_short_leaves_no_half_line(
    writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writer.append(line("a"))
    plain = os.write
    answers: list[int | None] = [10, None, 10, 0]

    def short(fd: int, data: bytes) -> int:
        n_bytes = answers.pop(0) if answers else len(data)
        if n_bytes is None:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return plain(fd, data[:n_bytes])

    monkeypatch.setattr(os, "write", short)
    assert not writer.append_many([line("b"), line("c")])
    assert writer.unrecorded == 2
    assert writer.failing == "EDQUOT: Disk quota exceeded"
    answers[:] = [10]
    assert writer.append(line("d"))
    monkeypatch.undo()
    reader = SpoolReader(writer.folder)
    assert [told.request_id for told in reader.finished()] == ["a", "d"]
    assert reader.n_skipped == 0


def test_torn_tail_that_cannot_be_cut_off_is_left_in_a_segment_of_its_own(
    writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writer.append(line("a"))
    plain, first = os.write, writer.segment

    def fails(fd: int, data: bytes) -> int:
        plain(fd, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cannot(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "write", fails)
    monkeypatch.setattr(os, "ftruncate", cannot)
    assert not writer.append(line("b"))
    monkeypatch.undo()
    assert writer.append(line("c"))
    assert writer.segment != first
    reader = SpoolReader(writer.folder)
    assert [told.request_id for told in reader.finished()] == ["a", "c"]
    assert reader.n_skipped == 1


def test_failing_disk_is_left_for_a_new_segment(
    writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, broken = os.write, writer._fd

    def fails(fd: int, data: bytes) -> int:
        if fd == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(fd, data)

    monkeypatch.setattr(os, "write", fails)
    assert writer.append(line("a"))
    assert (writer.unrecorded, ids(writer.folder)) == (0, ["a"])


def test_sync_that_fails_copies_what_may_be_lost(
    writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writer.append(line("a"))
    plain, answers = os.fdatasync, [errno.EIO]

    def fails(fd: int) -> None:
        if answers:
            raise OSError(answers.pop(), "broken")
        plain(fd)

    monkeypatch.setattr(os, "fdatasync", fails)
    first = writer.segment
    assert not writer.sync()
    assert writer.failing == "EIO: broken"
    assert writer.append(line("b"))
    assert writer.sync()
    assert writer.failing is None
    assert first is not None
    assert not first.exists()
    assert sorted(ids(writer.folder)) == ["a", "b"]


@pytest.mark.parametrize("how", ["removed", "renamed", "emptied"])
def test_spool_directory_that_goes_is_made_again_with_all_its_lines(
    writer: SpoolWriter, how: str
) -> None:
    assert writer.append_many([line("a"), line("b")])
    assert writer.sync()
    if how == "renamed":
        writer.folder.rename(writer.folder.with_name("away"))
    else:
        shutil.rmtree(writer.folder)
    if how == "emptied":
        writer.folder.mkdir()
    assert writer.append(line("c"))
    assert writer.sync()
    assert writer.append(line("d"))
    assert sorted(ids(writer.folder)) == ["a", "b", "c", "d"]
    assert (writer.unrecorded, writer.failing) == (0, None)
    assert writer.close()
    assert sorted(ids(writer.folder)) == ["a", "b", "c", "d"]


def test_spool_that_cannot_be_made_again_is_told_and_mended_later(writer: SpoolWriter) -> None:
    assert writer.append(line("a"))
    shutil.rmtree(writer.folder)
    writer.folder.write_text("in the way")
    assert not writer.sync()
    assert writer.failing is not None
    assert writer.append(line("b"))  # into the file without a name, from which it is copied
    assert writer.failing is not None
    writer.folder.unlink()
    assert writer.sync()
    assert (sorted(ids(writer.folder)), writer.failing) == (["a", "b"], None)


def test_segment_removed_after_its_rotation_and_before_its_sync_is_written_again(
    tmp_path: Path,
) -> None:
    writer = SpoolWriter(tmp_path, worker="0", max_segment_bytes=1)
    assert writer.append(line("a"))
    first = writer.segment
    assert writer.rotate_if_due()
    assert first is not None
    first.unlink()
    assert writer.close()
    assert ids(tmp_path) == ["a"]
