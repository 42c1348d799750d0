"""The access log: to a file that is rotated away under it, and to standard output."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from weighbridge.gateway import access_log
from weighbridge.gateway.access_log import MOST_HELD_BYTES, AccessLog


def test_a_file_that_was_renamed_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    log.write(b"one\n")
    log.flush()
    path.rename(tmp_path / "access.jsonl.1")
    log.write(b"two\n")
    log.flush()
    assert (tmp_path / "access.jsonl.1").read_bytes() == b"one\n"
    assert path.read_bytes() == b"two\n"
    assert log.n_lost == 0


def test_lines_that_cannot_be_written_are_counted(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "gone" / "access.jsonl")
    log.write(b"one\n")
    log.write(b"two\n")
    log.flush()
    assert log.n_lost == 2
    (tmp_path / "gone").mkdir()
    log.write(b"three\n")
    log.flush()
    assert log.n_lost == 2
    assert (tmp_path / "gone" / "access.jsonl").read_bytes() == b"three\n"


def test_a_line_that_was_cut_short_is_counted_and_the_next_begins_a_line_of_its_own(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "access.jsonl"
    log, room = AccessLog(path), [6, 0]

    def write(handle: int, data: bytes) -> int:
        if not room:
            return real(handle, data)
        n_bytes = room.pop(0)
        if not n_bytes:
            raise OSError(28, "No space left on device")
        return real(handle, data[:n_bytes])

    real = os.write
    monkeypatch.setattr(access_log.os, "write", write)
    for line in (b"one\n", b"two\n", b"three\n"):
        log.write(line)
    log.flush()
    assert log.n_lost == 2
    log.write(b"four\n")
    log.flush()
    assert path.read_bytes() == b"one\ntw\nfour\n"
    assert log.n_lost == 2


def test_a_log_that_nobody_empties_keeps_so_much_and_counts_the_rest(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    line = b"x" * 1023 + b"\n"
    n_lines = MOST_HELD_BYTES // 1024 + 100
    for _ in range(n_lines):
        log.write(line)
    assert log.n_lost == 99
    log.flush()
    log.write(line)
    log.flush()
    assert (tmp_path / "access.jsonl").stat().st_size == (n_lines - 99 + 1) * 1024


def test_no_line_is_lost_between_the_threads(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    done = threading.Event()

    def keep_flushing() -> None:
        while not done.is_set():
            log.flush()

    thread = threading.Thread(target=keep_flushing)
    thread.start()
    for number in range(20_000):
        log.write(b"%d\n" % number)
    done.set()
    thread.join()
    log.stop()
    lines = (tmp_path / "access.jsonl").read_bytes().splitlines()
    assert lines == [b"%d" % number for number in range(20_000)]
    assert log.n_lost == 0


def test_standard_output_gets_each_request_as_a_line_of_json(house, run, capfd) -> None:
    async def main() -> str:
        async with house(lambda document: document.update(access_log="-")) as h:
            answer = await h.ask()
            return answer.headers["x-weighbridge-request-id"]

    request_id = run(main)
    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line)["request_id"] == request_id


def test_a_file_of_the_configuration_is_relative_to_it_and_holds_no_secret(
    house, run, tmp_path: Path
) -> None:
    async def main() -> str:
        async with house(lambda document: document.update(access_log="access.jsonl")) as h:
            await h.ask()
            await h.ask({"model": "none"})
            await h.ask(key="wb-k1-wrong")  # a stranger's, which is only counted
            return h.key

    key = run(main)
    text = (tmp_path / "access.jsonl").read_text()
    assert [json.loads(line)["status"] for line in text.splitlines()] == ["ok", "error"]
    assert key not in text
    assert "hello" not in text
