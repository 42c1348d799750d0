"""A bare pass-through on uvloop and httptools: what Python must pay before it decides anything.

No keys, limits, time-outs, retries or records; heads are parsed on both sides, bodies relayed.

python -m benchmarks.gateway.bare PORT UPSTREAM_PORT
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop

_HOP = frozenset((b"connection", b"keep-alive", b"host", b"transfer-encoding", b"content-length"))


class Upstream(asyncio.Protocol):
    """A kept connection to the upstream; relays bytes to the client that it serves now."""

    def __init__(self, pool: list[Upstream]) -> None:
        self.pool = pool
        self.client: Client | None = None
        self.transport: asyncio.Transport
        self.parser = httptools.HttpResponseParser(self)
        self.complete = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Pass the answer on, whole; the parser only tells where it ends."""
        client = self.client
        if client is None:
            self.transport.close()
            return
        self.parser.feed_data(data)
        client.transport.write(data)
        if self.complete:
            self.complete = False
            self.client = None
            client.upstream = None
            self.parser = httptools.HttpResponseParser(self)
            self.pool.append(self)

    def on_message_complete(self) -> None:
        """The answer has ended."""
        self.complete = True

    def connection_lost(self, _exc: Exception | None) -> None:
        """Leave the pool; an answer cut short ends the client's connection too."""
        if self in self.pool:
            self.pool.remove(self)
        if self.client is not None:
            self.client.transport.close()


class Client(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, pool: list[Upstream], upstream_port: int) -> None:
        self.pool = pool
        self.upstream_port = upstream_port
        self.upstream: Upstream | None = None
        self.transport: asyncio.Transport
        self.parser = httptools.HttpRequestParser(self)
        self.headers: list[bytes] = []
        self.body: list[bytes] = []
        self.url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls back below."""
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self.headers = []
        self.body = []
        self.url = b""

    def on_url(self, url: bytes) -> None:
        """Collect the path."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect what goes on to the upstream."""
        if name.lower() not in _HOP:
            self.headers.append(name + b": " + value + b"\r\n")

    def on_body(self, data: bytes) -> None:
        """Collect the body."""
        self.body.append(data)

    def on_message_complete(self) -> None:
        """Send the request on a kept connection, or on a new one."""
        n_bytes = sum(map(len, self.body))
        message = b"".join(
            (
                self.parser.get_method(),
                b" ",
                self.url,
                b" HTTP/1.1\r\nhost: 127.0.0.1\r\n",
                *self.headers,
                b"content-length: %d\r\n\r\n" % n_bytes,
                *self.body,
            )
        )
        if self.pool:
            self.send(self.pool.pop(), message)
        else:
            asyncio.get_running_loop().create_task(self.connect(message))

    def send(self, upstream: Upstream, message: bytes) -> None:
        """Hand the request to an upstream connection."""
        self.upstream = upstream
        upstream.client = self
        upstream.transport.write(message)

    async def connect(self, message: bytes) -> None:
        """Open another upstream connection for this request."""
        _, upstream = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(self.pool), "127.0.0.1", self.upstream_port
        )
        self.send(upstream, message)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Cancel upstream what nobody waits for."""
        if self.upstream is not None:
            self.upstream.client = None
            self.upstream.transport.close()


async def serve(port: int, upstream_port: int) -> None:
    """Serve until killed."""
    pool: list[Upstream] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Client(pool, upstream_port), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
