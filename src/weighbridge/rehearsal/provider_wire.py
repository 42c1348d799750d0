"""One client's connection to the stand-in: reads requests, writes what it is told, wrong or right.

A test double: it must be able to send malformed bytes on purpose, so nothing here mends them.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, cast

import httptools

Headers = list[tuple[str, str]]

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    529: "Overloaded",
}
HIGH_WATER_BYTES = 65_536
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for no time: the kernel answers with a reset


class Received:
    """One whole request."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query", "received_s")

    def __init__(self) -> None:
        self.method = ""
        self.path = ""
        self.query = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.keep_alive = True
        self.received_s = 0.0  # by time.monotonic


Serve = Callable[["Connection", Received], Coroutine[Any, Any, None]]


class Connection(asyncio.Protocol):
    """Serves a connection's requests one after the other; cancels the one whose client leaves."""

    def __init__(self, serve: Serve, open_connections: set[Connection]) -> None:
        self._serve = serve
        self._open = open_connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Received] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._current = Received()
        self._url = b""
        self._body: list[bytes] = []
        self.task: asyncio.Task[None] | None = None
        self.left = False  # the client has gone

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.close()
        except httptools.HttpParserError:
            self.whole(400, [("content-type", "text/plain")], b"malformed request", close=True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self.left = True
        self._open.discard(self)
        self._writable.set()
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._current, self._url, self._body = Received(), b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._current.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._current.headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        received = self._current
        received.method = self._parser.get_method().decode()
        path, _, query = self._url.decode("latin-1").partition("?")
        received.path, received.query = path, query
        received.body = b"".join(self._body)
        received.keep_alive = self._parser.should_keep_alive()
        received.received_s = monotonic()
        self._waiting.append(received)
        if self.task is None:
            self.task = self._loop.create_task(self._serve_all())

    async def _serve_all(self) -> None:
        try:
            while self._waiting and not self.left:
                received = self._waiting.popleft()
                await self._serve(self, received)
                if not received.keep_alive:
                    self.close()
        except asyncio.CancelledError:
            if not self.left:
                raise
        finally:
            self.task = None

    # What the one who answers calls.

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        if self._transport is not None and not self.left:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the client reads too slowly."""
        if not self._writable.is_set():
            await self._writable.wait()

    def head(self, status: int, headers: Headers) -> bytes:
        """Status line and headers."""
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def whole(self, status: int, headers: Headers, body: bytes, close: bool = False) -> None:
        """A whole answer."""
        length = [("content-length", str(len(body)))]
        ending = [("connection", "close")] if close else []
        self.write(self.head(status, headers + length + ending) + body)
        if close:
            self.close()

    def chunk(self, data: bytes) -> None:
        """A piece of a chunked body."""
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def last_chunk(self) -> None:
        """The end of a chunked body."""
        self.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._transport is not None:
            self._transport.close()

    async def reset(self) -> None:
        """Close with a reset, once what was written has had time to arrive."""
        await asyncio.sleep(0.02)
        if self._transport is not None:
            wire: socket.socket = self._transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
