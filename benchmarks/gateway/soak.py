"""Memory over many requests, and many connections and streams held at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gateway import load, ours, payloads, process_cost, rounds, running
from benchmarks.gateway.load import LoadError
from benchmarks.gateway.rounds import Bench, Row
from benchmarks.gateway.running import Running

_SLICE_S = 10
_SLOW_INTERVAL_S = 0.5


def run(bench: Bench, n_requests: int, n_idle: int, n_slow: int, out: Path) -> None:
    """Soak ours; print as it goes, and write `soak.json`."""
    found: dict[str, object] = {}
    slow = _slow_upstream(bench)
    row = rounds.open_row(bench, ours.ROWS[0], paced_port=slow.port)
    try:
        if row.plain is None or row.streaming is None or row.problem:
            raise LoadError(row.problem or row.note)
        process_cost.thaw(row.plain.pid)
        found["requests"] = _requests(bench, row, row.plain, n_requests)
        found["idle"] = _idle(bench, row, row.plain, n_idle)
        process_cost.freeze(row.plain.pid)
        process_cost.thaw(row.streaming.pid)
        found["slow_streams"] = _slow_streams(bench, row, row.streaming, n_slow)
    finally:
        row.stop()
        slow.stop()
        out.mkdir(parents=True, exist_ok=True)
        (out / "soak.json").write_text(json.dumps(found, indent=1) + "\n")
        print((out / "soak.json").read_text())


def _slow_upstream(bench: Bench) -> Running:
    port = running.free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.paced", str(port), str(_SLOW_INTERVAL_S)]
    launch = running.Launch(command, "")
    slow = running.start(launch, "slow", port, bench.load_core, bench.folder / "slow.txt")
    running.wait(slow, load.write_sending(bench.folder, "slow", (), payloads.request()), 10)
    return slow


def _requests(bench: Bench, row: Row, gateway: Running, n_requests: int) -> dict[str, object]:
    """Slices of load, each fourth with prompts never seen before; memory after each slice."""
    sent = 0
    samples: list[tuple[int, float]] = [(0, process_cost.rss_mib(gateway.pid))]
    started = time.monotonic()
    number = 0
    while sent < n_requests:
        name = "fresh" if number % 4 == 3 else "chat"
        hit = load.wrk(
            gateway.port, row.sendings[name], 32, _SLICE_S, core=bench.load_core, pid=gateway.pid
        )
        number += 1
        sent += hit.n_requests
        samples.append((sent, round(process_cost.rss_mib(gateway.pid), 1)))
        print(
            f"{sent:>9,} requests  {hit.cpu_ms or 0:.4f} ms  {samples[-1][1]:.1f} MiB  ({name})",
            flush=True,
        )
    return {
        "n_requests": sent,
        "wall_s": round(time.monotonic() - started),
        "rss_mib": samples if len(samples) < 200 else samples[:: len(samples) // 100],
    }


def _idle(bench: Bench, row: Row, gateway: Running, n_idle: int) -> dict[str, object]:
    """Connections that ask once, rest while others ask, and ask again."""
    before = process_cost.rss_mib(gateway.pid)
    request = load.whole_request(row.sendings["chat"], gateway.port, bench.folder)
    command = [sys.executable, "-m", "benchmarks.gateway.streams", "idle", str(gateway.port)]
    command += [str(request), "--at-once", str(n_idle), "--hold-s", "20"]
    with subprocess.Popen(load.pinned(bench.load_core, command), stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        opened = json.loads(caller.stdout.readline())
        held = process_cost.rss_mib(gateway.pid)
        cpu_s = process_cost.cpu_s(gateway.pid)
        time.sleep(5)
        idle_cpu_s = process_cost.cpu_s(gateway.pid) - cpu_s
        meanwhile = load.wrk(
            gateway.port, row.sendings["chat"], 32, 5, core=bench.load_core, pid=gateway.pid
        )
        result = json.loads(caller.stdout.readline())
    return {
        **opened,
        **result,
        "rss_mib_before": before,
        "rss_mib_held": held,
        "kib_per_connection": (held - before) * 1024 / n_idle,
        "cpu_ms_per_s_idle": idle_cpu_s / 5 * 1e3,
        "cpu_ms_per_request_meanwhile": meanwhile.cpu_ms,
    }


def _slow_streams(bench: Bench, row: Row, gateway: Running, n_slow: int) -> dict[str, object]:
    """Streams of 50 events, two a second, held at once."""
    before, most = process_cost.rss_mib(gateway.pid), 0.0
    cpu_s = process_cost.cpu_s(gateway.pid)
    command = [sys.executable, "-m", "benchmarks.gateway.streams", "streams"]
    command += [str(gateway.port), str(row.stream_request), "--at-once", str(n_slow)]
    command += ["--spread-s", "5"]
    started = time.monotonic()
    with subprocess.Popen(load.pinned(bench.load_core, command), stdout=subprocess.PIPE) as caller:
        while caller.poll() is None:
            most = max(most, process_cost.rss_mib(gateway.pid))
            time.sleep(0.5)
        assert caller.stdout is not None
        result = json.loads(caller.stdout.readline())
    cpu_s = process_cost.cpu_s(gateway.pid) - cpu_s
    return {
        **result,
        "wall_s": round(time.monotonic() - started, 1),
        "rss_mib_before": before,
        "rss_mib_most": most,
        "kib_per_stream": (most - before) * 1024 / n_slow,
        "cpu_ms_per_stream": cpu_s / n_slow * 1e3,
    }
