"""Writers of the spool that die at any instant: every line they reported is read back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.ledger.spool import SpoolReader, SpoolWriter
from weighbridge.ledger.spool_files import close_abandoned, live_writers

APPENDS = """
import sys, threading
from pathlib import Path
from weighbridge.ledger.lines import OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line

writer = SpoolWriter(Path(sys.argv[1]), worker="0", max_segment_bytes=20_000)
stop = threading.Event()

def keep():
    while not stop.wait(0.001):
        writer.sync()

threading.Thread(target=keep, daemon=True).start()
n = 0
while True:
    n += 1
    writer.append(encode_line(OpenLine(request_id=f"open-{n}", started_at_us=n)))
    line = RequestLine(request_id=str(n), started_at_us=n, status="ok", price_state="priced")
    if writer.append(encode_line(line)):
        sys.stdout.write(f"{n}\\n")
        sys.stdout.flush()
    writer.rotate_if_due()
"""


def run_until_killed(folder: Path, n_reports: int) -> int:
    """Last request that a writer reported before it was killed; it ran a moment longer."""
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDS, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        for _ in range(n_reports):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
    reported = [line for line in rest if line.endswith("\n")]
    return n_reports + len(reported)


@pytest.mark.parametrize("seed", range(8))
def test_no_reported_record_is_lost_to_kill_9(tmp_path: Path, seed: int) -> None:
    last = run_until_killed(tmp_path, random.Random(seed).randint(1, 3000))
    assert live_writers(tmp_path) == frozenset()
    found = {line.request_id: line for line in SpoolReader(tmp_path).finished()}
    assert {str(n) for n in range(1, last + 1)} <= found.keys()
    open_ids = {name for name, line in found.items() if line.status == "interrupted"}
    assert {f"open-{n}" for n in range(1, last + 1)} <= open_ids


def test_restarts_after_kills_add_up_and_leave_only_closed_segments(tmp_path: Path) -> None:
    n_least = 0
    for n_reports in (5, 50, 200):
        run_until_killed(tmp_path, n_reports)
        n_least += n_reports
    writer = SpoolWriter(tmp_path, worker="0")
    assert SpoolReader(tmp_path).segments(closed_only=True)
    assert live_writers(tmp_path) == {writer.writer}
    writer.close()
    assert not list(tmp_path.glob("*.open"))
    lines = [
        line for line in SpoolReader(tmp_path).lines() if line.__class__.__name__ == "RequestLine"
    ]
    assert len(lines) >= n_least
    assert close_abandoned(tmp_path) == ()
