"""An upstream that streams: one event each interval, many streams at once.

python -m benchmarks.gateway.paced PORT [INTERVAL_S]
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop
from benchmarks.gateway import payloads

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_EVENTS = [_chunked(event) for event in payloads.events()]
_END = b"0\r\n\r\n"
_PLAIN = payloads.completion()
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_PLAIN),
    _PLAIN,
)


class Paced(asyncio.Protocol):
    """One connection: requests one after another, each answered with a paced stream."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.parser = httptools.HttpRequestParser(self)
        self.body = bytearray()
        self.transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, _exc: Exception | None) -> None:
        """Stop the stream of a client that left."""
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls back below."""
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Forget the last body."""
        self.body.clear()

    def on_body(self, data: bytes) -> None:
        """Collect the request."""
        self.body += data

    def on_message_complete(self) -> None:
        """Answer: a stream where one was asked for."""
        compact = bytes(self.body).replace(b" ", b"")
        if b'"stream":true' not in compact:
            self.transport.write(_ANSWER)
            return
        self.transport.write(_HEAD)
        with_usage = b'"include_usage":true' in compact
        due_at = asyncio.get_running_loop().time() + self.interval_s
        self.timer = asyncio.get_running_loop().call_at(due_at, self.send, 0, due_at, with_usage)

    def send(self, number: int, due_at: float, with_usage: bool) -> None:
        """Send one event and plan the next by the clock, so that delays do not add up."""
        if number + 1 < len(_EVENTS):
            self.transport.write(_EVENTS[number])
            due_at += self.interval_s
            loop = asyncio.get_running_loop()
            self.timer = loop.call_at(due_at, self.send, number + 1, due_at, with_usage)
            return
        self.timer = None
        self.transport.write(_EVENTS[number] + _chunked(payloads.closing(with_usage)) + _END)


async def serve(port: int, interval_s: float) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Paced(interval_s), "127.0.0.1", port, backlog=4096, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.02))
