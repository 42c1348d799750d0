"""Rounds over all gateways in turn, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gateway import load, payloads, process_cost, running
from benchmarks.gateway.load import LoadError, Sending
from benchmarks.gateway.peers import InstallError, Peer, Place
from benchmarks.gateway.running import Running, StartError

AT_ONCE = (1, 32, 128)
WARM_S = 20.0
SLOW_S = 4.0  # of load for gateways that cost milliseconds a request


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rounds share."""

    folder: Path
    peers_dir: Path
    canned_port: int
    paced_port: int
    load_core: int
    gateway_core: int
    seconds: float


@dataclass(slots=True)
class Row:
    """A gateway under test: its two processes, what is sent, what was measured."""

    peer: Peer
    version: str = ""
    note: str = ""
    problem: str = ""
    plain: Running | None = None  # in front of the canned upstream
    streaming: Running | None = None  # in front of the paced one
    sendings: dict[str, Sending] = field(default_factory=dict)
    stream_request: Path | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Keep one round's figure."""
        self.figures.setdefault(name, []).append(value)

    def tell(self, text: str) -> None:
        """Something to say below the table, once."""
        if text not in self.note:
            self.note = f"{self.note}; {text}".lstrip("; ")

    def stop(self) -> None:
        """End both processes."""
        for process in (self.plain, self.streaming):
            if process is not None:
                process.stop()


def _sendings(peer: Peer, key: str, folder: Path, upstream_port: int) -> dict[str, Sending]:
    """What this gateway is sent, by name."""
    headers = [
        ("Content-Type", "application/json"),
        ("Authorization", f"Bearer {key}"),
        *((k, v.replace("@UPSTREAM_PORT@", str(upstream_port))) for k, v in peer.headers),
    ]
    named = [*headers, ("x-weighbridge-template", payloads.TEMPLATE)]
    padded = payloads.SYSTEM + " Context: " + "the tents of this year have taped seams. " * 200
    fresh = ("@@@@@@@@@@@@ " + padded)[:4096]
    long = payloads.request("Context: " + "the tents of this year have taped seams. " * 6388)
    bodies = {
        "chat": (named, payloads.request(), False),
        "long": (named, long, False),
        "stream": (named, payloads.request(stream=True), False),
        "unnamed": (headers, payloads.request(), False),
        "fresh": (headers, payloads.request(fresh), True),
        "fresh_named": (named, payloads.request(fresh), True),
    }
    return {
        name: load.write_sending(folder, name, head, body, fresh)
        for name, (head, body, fresh) in bodies.items()
    }


def _start(bench: Bench, row: Row, name: str, upstream_port: int, sent: str) -> Running:
    folder = bench.folder / row.peer.name / name
    folder.mkdir(parents=True)
    port = running.free_port()
    launch = row.peer.prepare(Place(port, upstream_port, folder, bench.peers_dir))
    sendings = _sendings(row.peer, launch.client_key, folder, upstream_port)
    row.version, row.note = launch.version, launch.note
    process = running.start(launch, row.peer.name, port, bench.gateway_core, folder / "log.txt")
    try:
        running.wait(process, sendings[sent], row.peer.start_s)
    except StartError:
        process.stop()
        raise
    if name == "plain":
        row.sendings = sendings
    else:
        row.stream_request = load.whole_request(sendings["stream"], port, folder)
    process_cost.freeze(process.pid)
    return process


def open_row(bench: Bench, peer: Peer, paced_port: int | None = None) -> Row:
    """Install and start a gateway; where that fails the row says why."""
    row = Row(peer)
    paced_port = paced_port or bench.paced_port
    try:
        row.plain = _start(bench, row, "plain", bench.canned_port, "chat")
        row.streaming = _start(bench, row, "streaming", paced_port, "stream")
    except (InstallError, StartError, OSError) as error:
        row.problem = str(error)
        if row.plain is not None and row.streaming is None:
            row.tell(f"streams: {error}")
            row.problem = ""
    return row


def direct(bench: Bench, sending: Sending) -> dict[int, load.Hit]:
    """Latency without any gateway."""
    return {
        n: load.wrk(bench.canned_port, sending, n, bench.seconds / 2, core=bench.load_core)
        for n in AT_ONCE
    }


def measure(bench: Bench, row: Row, base: dict[int, load.Hit]) -> None:
    """One round of one gateway; what fails is told beside the table, and the rest goes on."""
    if row.plain is not None:
        process_cost.thaw(row.plain.pid)
        for part in (_latency, _long, _fingerprint):
            try:
                part(bench, row, base)
            except LoadError as error:
                row.tell(f"{part.__name__[1:]}: {error}")
        row.add("rss_mib", process_cost.rss_mib(row.plain.pid))
        process_cost.freeze(row.plain.pid)
    if row.streaming is not None and row.stream_request is not None:
        process_cost.thaw(row.streaming.pid)
        try:
            _streams(bench, row, row.streaming, row.stream_request)
        except LoadError as error:
            row.tell(str(error))
        process_cost.freeze(row.streaming.pid)


def _hit(bench: Bench, row: Row, name: str, n_at_once: int, seconds: float) -> load.Hit:
    gateway = row.plain
    assert gateway is not None
    if row.peer.slow:
        seconds = max(seconds, SLOW_S)
    return load.wrk(
        gateway.port,
        row.sendings[name],
        n_at_once,
        seconds,
        core=bench.load_core,
        pid=gateway.pid,
    )


def _latency(bench: Bench, row: Row, base: dict[int, load.Hit]) -> None:
    _hit(bench, row, "chat", 32, 1)  # connections that were idle, caches
    if not row.figures:
        started, n_warm = time.monotonic(), 0
        while n_warm < row.peer.n_warm and time.monotonic() - started < WARM_S:
            n_warm += _hit(bench, row, "chat", 8, 2).n_requests
    for n in AT_ONCE:
        got = _hit(bench, row, "chat", n, bench.seconds if n == 32 else bench.seconds / 2)
        row.add(f"added_p50_ms_c{n}", got.p50_ms - base[n].p50_ms)
        row.add(f"added_p99_ms_c{n}", got.p99_ms - base[n].p99_ms)
        if n == 32 and got.cpu_ms is not None:
            row.add("cpu_ms", got.cpu_ms)
            row.add("requests_per_s", got.requests_per_s)


def _long(bench: Bench, row: Row, _: dict[int, load.Hit]) -> None:
    n_at_once = 1 if row.peer.slow else 8
    row.add("long_cpu_ms", _hit(bench, row, "long", n_at_once, bench.seconds / 2).cpu_ms or 0.0)


def _fingerprint(bench: Bench, row: Row, _: dict[int, load.Hit]) -> None:
    if row.peer.name != "weighbridge":
        return
    for name in ("unnamed", "fresh_named", "fresh"):
        row.add(f"{name}_cpu_ms", _hit(bench, row, name, 32, bench.seconds / 2).cpu_ms or 0.0)


def _streams(bench: Bench, row: Row, gateway: Running, request: Path) -> None:
    each = 1 if row.peer.slow else 3
    cost_ms = load.streams_cpu_ms(
        gateway.port, request, gateway.pid, core=bench.load_core, each=each
    )
    row.add("stream_cpu_ms", cost_ms)
