"""The words that the wire and the pipeline exchange. Bytes throughout; header names lower-case."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

Headers = list[tuple[bytes, bytes]]


class Head:
    """What requests with the same head share; the pipeline keeps here what it made of it."""

    __slots__ = ("headers", "method", "path", "query", "seen")

    def __init__(self, method: bytes, path: bytes, query: bytes, headers: Headers) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers  # never changed: later requests are given the same list
        self.seen: object | None = None


class Request:
    """One whole request of a client, body included."""

    __slots__ = (
        "body",
        "head",
        "headers",
        "http_minor",
        "keep_alive",
        "method",
        "path",
        "peer",
        "query",
    )

    def __init__(self, method: bytes, path: bytes, query: bytes, headers: Headers) -> None:
        self.head: Head | None = None  # set where the next request may well have the same
        self.method = method
        self.path = path  # without the query, still percent-encoded
        self.query = query  # without the question mark
        self.headers = headers
        self.body = b""
        self.keep_alive = True
        self.http_minor = 1
        self.peer = ""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Responder(Protocol):
    """The client's side of one exchange; calls after `end`, `abort` or `client_left` do nothing."""

    request: Request
    handler: ResponseEvents | None  # the pipeline sets it, to hear of the client

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer in one write."""

    def start(self, status: int, headers: Headers, length: int | None) -> None:
        """Head of an answer; `length` None means chunked (or close-delimited for HTTP/1.0).

        Nothing leaves before the next `write`, `flush` or `end`, so that head and first bytes share
        a packet.
        """

    def write(self, data: bytes) -> None:
        """Body bytes, sent at once."""

    @property
    def takes_chunks(self) -> bool:
        """Whether chunks may be passed on framed: the answer is chunked and its head has left."""

    def write_chunk(self, chunk: bytes) -> None:
        """One chunk, its size line and line end included."""

    def flush(self) -> None:
        """Send a head that still waits for its first bytes."""

    def end(self) -> None:
        """The answer is complete."""

    def abort(self) -> None:
        """Cut the connection, so that a cut answer never looks complete."""

    @property
    def is_congested(self) -> bool:
        """The client reads more slowly than we write."""


class ResponseEvents(Protocol):
    """What the pipeline hears of a client while it answers."""

    def client_left(self) -> None:
        """The connection is gone, or its sending side closed, before the answer was complete."""

    def cut_off(self) -> None:
        """The server ends, and cut the client off before the answer was complete."""

    def client_paused(self) -> None:
        """Enough is buffered: stop reading upstream."""

    def client_resumed(self) -> None:
        """Go on."""


class RequestHandler(Protocol):
    """The pipeline, as the server sees it."""

    def on_request(self, responder: Responder) -> None:
        """A whole request has arrived; answers may come later, in any order across connections."""


class Fault(Enum):
    """Why an upstream attempt failed below HTTP. The value is OpenTelemetry's `error.type`."""

    DNS = "dns_error"
    CONNECT = "connect_error"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls_error"
    PROXY = "proxy_error"
    RESET_UNSENT = "reset_unsent"  # a kept connection died before one byte of the answer
    RESET = "connection_reset"  # gone within an answer, or after the request was sent on a new one
    MALFORMED = "malformed_response"
    TOO_LARGE = "response_head_too_large"
    # Below HTTP all was well; the pipeline sees these.
    UNFINISHED = "stream_unfinished"  # the stream ended without a token
    ERROR_EVENT = "stream_error_event"  # it began with an error


class UpstreamEvents(Protocol):
    """What the pipeline hears of one upstream attempt; after `on_end` or `on_fault`, nothing."""

    def on_head(self, status: int, headers: Headers) -> None:
        """Status and headers; 1xx answers are not shown."""

    def on_body(self, data: bytes) -> None:
        """Bytes of the body, without transfer coding, as they come."""

    def on_end(self) -> None:
        """The body is complete and its length was as promised."""

    def on_fault(self, fault: Fault, detail: str) -> None:
        """The attempt failed."""


class Attempt(Protocol):
    """One request on its way upstream."""

    @property
    def is_sent(self) -> bool:
        """Whether it has a connection: before that the upstream knows nothing of it."""

    @property
    def length(self) -> int | None:
        """Content-Length of the answer, from `on_head` on; None where it has none."""

    def pipe(self, read: Callable[[bytes], bytes | None], write: Callable[[bytes], object]) -> None:
        """Hand chunks from one side to the other, past `on_body`.

        What `read` is given begins as a chunk; it answers what goes to `write`, or None where it is
        not one whole chunk or should take the usual way.
        """

    def cancel(self) -> None:
        """Give it up: its connection is closed at once; no more events come."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read again."""


class Upstream(Protocol):
    """A pool of connections to one origin."""

    def send(
        self, method: bytes, path: bytes, headers: Headers, body: bytes, events: UpstreamEvents
    ) -> Attempt:
        """Send on a kept connection or a new one; `path` carries the query.

        `host`, `content-length` and `connection` are the wire's; the caller gives the others.
        Events never come before `send` has returned.
        """

    def prepare(self, method: bytes, path: bytes, headers: Headers) -> bytes:
        """A head that may be sent again and again, with bodies of other lengths."""

    def send_prepared(self, prepared: bytes, body: bytes, events: UpstreamEvents) -> Attempt:
        """As `send`, with a head that is ready but for its length."""

    def warm(self, n_connections: int) -> None:
        """Open connections ahead of need."""

    def close(self) -> None:
        """Close idle connections, and busy ones as they finish."""
