"""Load for streams and held connections; runs as a process of its own on the load's core.

python -m benchmarks.gateway.streams streams PORT FILE --at-once N --each N [--spread-s S]
python -m benchmarks.gateway.streams idle PORT FILE --at-once N --hold-s S

FILE holds the whole request; the result is one JSON object on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from pathlib import Path

import httptools
import uvloop


class Caller(asyncio.Protocol):
    """One kept connection: sends the request and reads the answer to its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[bool] | None = None
        self.tail = b""
        self.n_events = 0
        self.first_s = 0.0
        self.started = 0.0
        self.finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes) -> asyncio.Future[bool]:
        """Send the request; the future tells whether a whole good answer came."""
        self.done = asyncio.get_running_loop().create_future()
        self.n_events = 0
        self.first_s = 0.0
        self.finished = False
        self.tail = b""
        self.parser = httptools.HttpResponseParser(self)
        self.started = time.monotonic()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        """Read on, until the answer ends."""
        self.parser.feed_data(data)
        if self.finished and self.done is not None and not self.done.done():
            self.done.set_result(self.parser.get_status_code() == 200)

    def on_body(self, data: bytes) -> None:
        """Count events; one may be split over packets."""
        if not self.first_s:
            self.first_s = time.monotonic() - self.started
        text = self.tail + data
        self.n_events += text.count(b"\n\n")
        self.tail = data[-1:] if data[-1:] == b"\n" and data[-2:] != b"\n\n" else b""

    def on_message_complete(self) -> None:
        """The answer has ended."""
        self.finished = True

    def connection_lost(self, _exc: Exception | None) -> None:
        """An answer cut short is a failure."""
        if self.done is not None and not self.done.done():
            self.done.set_result(False)


async def _connect(port: int) -> Caller:
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(Caller, "127.0.0.1", port)
    return caller


async def _stream_again(port: int, request: bytes, wait_s: float, each: int) -> list[int]:
    """Events of each of some streams one after another on one connection; -1: failed."""
    await asyncio.sleep(wait_s)
    counts: list[int] = []
    caller: Caller | None = None
    for _ in range(each):
        if caller is None or caller.transport.is_closing():
            caller = await _connect(port)
        good = await asyncio.wait_for(caller.ask(request), 600)
        counts.append(caller.n_events if good else -1)
    if caller is not None:
        caller.transport.close()
    return counts


async def stream(args: argparse.Namespace, request: bytes) -> dict[str, object]:
    """Many streams at once, their events spread evenly over an interval."""
    n = args.at_once
    waits = (args.spread_s * number / n for number in range(n))
    results = await asyncio.gather(
        *(_stream_again(args.port, request, wait_s, args.each) for wait_s in waits)
    )
    counts = [count for result in results for count in result]
    good = [count for count in counts if count >= 0]
    return {
        "n_streams": len(counts),
        "n_failed": len(counts) - len(good),
        "least_events": min(good, default=0),
        "most_events": max(good, default=0),
    }


async def idle(args: argparse.Namespace, request: bytes) -> dict[str, object]:
    """Many kept connections that ask once, rest, and ask once more."""
    callers: list[Caller] = []
    first = second = 0
    for start in range(0, args.at_once, 100):
        some = await asyncio.gather(
            *(_connect(args.port) for _ in range(min(100, args.at_once - start)))
        )
        first += sum(await asyncio.gather(*(caller.ask(request) for caller in some)))
        callers += some
    print(json.dumps({"open": len(callers)}), flush=True)
    await asyncio.sleep(args.hold_s)
    alive = [caller for caller in callers if not caller.transport.is_closing()]
    for start in range(0, len(alive), 100):
        second += sum(await asyncio.gather(*(c.ask(request) for c in alive[start : start + 100])))
    for caller in callers:
        caller.transport.close()
    return {"n_open": len(callers), "n_first": first, "n_alive": len(alive), "n_second": second}


def main() -> None:
    """Read the arguments, run, print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("streams", "idle"))
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--each", type=int, default=1)
    parser.add_argument("--spread-s", type=float, default=0.02)
    parser.add_argument("--hold-s", type=float, default=30.0)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = stream if args.what == "streams" else idle
    print(json.dumps(uvloop.run(run(args, args.file.read_bytes()))), flush=True)


if __name__ == "__main__":
    main()
