"""One answer to a client: a whole one, or a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.gateway.wire.heads import STATUS_LINES, join_head
from weighbridge.gateway.wire.messages import Headers, Request, ResponseEvents

if TYPE_CHECKING:
    from weighbridge.gateway.wire.client import ClientConnection

_JOIN_BELOW_BYTES = 64 * 1024  # larger bodies are written apart from their head: no copy


class Answer:
    """The responder of one request; once it is over, calls do nothing."""

    __slots__ = ("_chunked", "_client", "_head", "_left", "handler", "request")

    def __init__(self, client: ClientConnection, request: Request) -> None:
        self.request = request
        self.handler: ResponseEvents | None = None
        self._client: ClientConnection | None = client
        self._head: bytes | None = None
        self._chunked = False
        self._left = -2  # body bytes still due; -1: not told; -2: not started

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer in one write; it replaces a head that has not left yet."""
        client = self._client
        if client is None:
            return
        if self._left != -2 and self._head is None:
            self._fail(client, "a second head after one that was sent")
            return
        request = self.request
        if status in (204, 304):
            body = b""
            length: list[bytes] = []
        else:
            length = [b"content-length: %d" % len(body)]
            if request.method == b"HEAD":
                body = b""
        head = join_head(
            STATUS_LINES[status],
            headers,
            client.server.date,
            *client.manners(request),
            *length,
            b"",
            b"",
        )
        if len(body) < _JOIN_BELOW_BYTES:
            client.write(head + body)
        else:
            client.write(head)
            client.write(body)
        self._over(client)

    def start(self, status: int, headers: Headers, length: int | None) -> None:
        """Head of an answer; it waits for the first bytes."""
        client = self._client
        if client is None:
            return
        if self._left != -2:
            self._fail(client, "an answer was started twice")
            return
        request = self.request
        rest = [client.server.date, *client.manners(request)]
        if status in (204, 304):
            length = 0
        elif length is not None:
            rest.append(b"content-length: %d" % length)
        elif request.http_minor:
            rest.append(b"transfer-encoding: chunked")
            self._chunked = request.method != b"HEAD"
        else:
            request.keep_alive = False  # only the end of the connection tells the end of the body
            rest = [client.server.date, *client.manners(request)]
        self._head = join_head(STATUS_LINES[status], headers, *rest, b"", b"")
        self._left = -1 if length is None else length

    def write(self, data: bytes) -> None:
        """Body bytes, sent at once, the waiting head before them."""
        client = self._client
        if client is None or not data:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self.request.method == b"HEAD":
            return
        elif self._left >= 0:
            if len(data) > self._left:
                self._fail(client, "more was written than was promised")
                return
            self._left -= len(data)
        head = self._head
        if head is not None:
            self._head = None
            data = head + data
        client.write(data)

    @property
    def takes_chunks(self) -> bool:
        """Whether `write_chunk` may be used: a chunked answer whose head has left."""
        return self._chunked and self._head is None and self._client is not None

    def write_chunk(self, chunk: bytes) -> None:
        """A chunk with its size line; at once, unless others wait that it would overtake."""
        client = self._client
        if client is not None:
            outbox = client.server.outbox
            if outbox is None or outbox.is_due:
                client.write(chunk)
            else:
                client.write_now(chunk)

    def flush(self) -> None:
        """Send a head that still waits."""
        client, head = self._client, self._head
        if client is not None and head is not None:
            self._head = None
            client.write(head)

    def end(self) -> None:
        """The answer is complete; one that is short of its promise is cut instead."""
        client = self._client
        if client is None:
            return
        left, head = self._left, self._head
        if left > 0 and self.request.method != b"HEAD":
            self.abort()
            return
        if left == -2:
            self._fail(client, "an answer ended before it started")
            return
        if self._chunked:
            client.write(b"0\r\n\r\n" if head is None else head + b"0\r\n\r\n")
        elif head is not None:
            client.write(head)
        self._over(client)

    def abort(self) -> None:
        """Cut the connection."""
        client = self._client
        if client is not None:
            self.forget()
            client.abort()

    @property
    def is_congested(self) -> bool:
        """The client reads more slowly than we write."""
        client = self._client
        return client is not None and client.is_congested

    @property
    def is_started(self) -> bool:
        """A head was given, so that no other can follow."""
        return self._left != -2

    def forget(self) -> None:
        """Let go of the connection and of the pipeline: no more calls either way."""
        self._client = None
        self._head = None
        self.handler = None

    def _over(self, client: ClientConnection) -> None:
        self._client = None
        self._head = None
        self.handler = None
        client.answered(self.request.keep_alive)

    def _fail(self, client: ClientConnection, what: str) -> None:
        self.abort()
        client.server.report(RuntimeError(what))
