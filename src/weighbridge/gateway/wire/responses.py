"""Bytes of an upstream → head, body and end of one answer at a time. No sockets, no clock."""

from __future__ import annotations

from collections import deque
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from weighbridge.gateway.wire.heads import HOP_BY_HOP
from weighbridge.gateway.wire.messages import Fault, Headers

MAX_HEAD_BYTES = 256 * 1024
MAX_HEADERS = 200
_MAX_INTERIM = 16
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_VERSIONS = frozenset({"1.0", "1.1"})
_OURS = HOP_BY_HOP | {b"date"}  # the server side gives its own date


class BadAnswerError(Exception):
    """An answer that cannot be passed on."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


class ResponseReader:
    """Reads the answers of one connection; `begin` before each.

    After `feed`, what is new stands in `has_head`, `data` and `is_complete`; who reads them clears
    the first two. Bytes after a complete answer make the connection unfit for another.

    While `is_between` holds, what comes next begins a chunk: one that is whole may be taken
    without `feed`, which finds itself between chunks as before.
    """

    __slots__ = (
        "_fields",
        "_is_chunked",
        "_is_head_request",
        "_is_past_chunk",
        "_n_head",
        "_n_interim",
        "_parser",
        "_parts",
        "_skipping",
        "bad",
        "can_keep",
        "data",
        "has_head",
        "headers",
        "is_between",
        "is_complete",
        "is_started",
        "length",
        "status",
        "until_eof",
    )

    def __init__(self) -> None:
        self._parser: Any = HttpResponseParser(self)
        self._fields: Headers | deque[tuple[bytes, bytes]] = []
        self._parts: list[bytes] | None = None
        self._skipping = self._is_chunked = False
        self.begin(False)

    def begin(self, is_head_request: bool) -> None:
        """Expect an answer."""
        self._is_head_request = is_head_request
        self._n_head = self._n_interim = 0
        self.status = 0
        self.headers: Headers = []
        self.length: int | None = None
        self.data: bytes | None = None
        self.bad: BadAnswerError | None = None
        self.has_head = self.is_complete = self.is_started = self.until_eof = False
        self._is_past_chunk = self.is_between = False
        self.can_keep = True

    def feed(self, data: bytes) -> None:
        """Read on."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(error)
        if self._is_past_chunk:
            # An unfinished size line has no line end yet, so that these two bytes are the chunk's.
            self.is_between = data[-2:] == b"\r\n" and self.bad is None
        if self.data is not None:
            self._n_head = 0
        else:  # a head, trailers or chunk extensions: nothing that anybody takes from us yet
            self._n_head += len(data)
            if self._n_head > MAX_HEAD_BYTES and self.bad is None:
                self.bad = BadAnswerError(Fault.TOO_LARGE, "head or trailers are too large")
        if self._parts is not None:
            self.data = b"".join(self._parts)
            self._parts = None

    def close(self) -> None:
        """Let go of the parser, which holds us."""
        self._parser = None

    def _fail(self, error: Exception) -> None:
        self.can_keep = False
        if self.is_complete:
            return
        cause = error.__context__
        if isinstance(cause, BadAnswerError):
            self.bad = cause
        elif cause is not None:  # a fault of ours
            raise error
        else:
            self.bad = BadAnswerError(Fault.MALFORMED, str(error))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        if self.is_complete:
            self.can_keep = False
            self._skipping = True
            return
        self.is_started = True
        self._fields = []
        self.length = None
        self._is_chunked = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, of the head or of trailers (which are dropped)."""
        name = name.lower()
        if name not in _OURS:
            self._fields.append((name, value.rstrip()))
        elif self.status:
            if name in _FRAMING:
                raise BadAnswerError(Fault.MALFORMED, "a trailer that belongs into the head")
        elif name == b"content-length":
            self.length = int(value)
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or self._is_chunked:
                raise BadAnswerError(Fault.MALFORMED, "transfer coding other than chunked")
            self._is_chunked = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._skipping:
            return
        parser = self._parser
        status = parser.get_status_code()
        if status < 200:
            self._interim(status)
            return
        if parser.get_http_version() not in _VERSIONS:
            raise BadAnswerError(Fault.MALFORMED, "answer in another version of HTTP")
        fields = self._fields
        assert isinstance(fields, list)
        if len(fields) > MAX_HEADERS or status > 999:
            raise BadAnswerError(Fault.TOO_LARGE, "too many headers in the answer")
        self.status = status
        self.headers = fields
        self.has_head = True
        self._fields = deque(maxlen=0)  # trailers go nowhere
        if not parser.should_keep_alive():
            self.can_keep = False
            self.until_eof = self.length is None and not self._is_chunked
        if self._is_head_request:
            self.is_complete = True
            self.can_keep = False  # the parser expects a body that never comes
            self._skipping = True

    def on_body(self, data: bytes) -> None:
        """Bytes of the body."""
        if self._skipping:
            return
        if self.data is None:
            self.data = data
        elif self._parts is None:
            self._parts = [self.data, data]
        else:
            self._parts.append(data)

    def on_chunk_header(self) -> None:
        """A chunk's size is known; the last one's is zero, and trailers follow it."""
        self._is_past_chunk = self.is_between = False

    def on_chunk_complete(self) -> None:
        """A chunk has ended, with its line end."""
        self._is_past_chunk = True

    def on_message_complete(self) -> None:
        """The answer is whole, an interim one aside."""
        self._is_past_chunk = self.is_between = False
        if self.status:
            self.is_complete = True

    def _interim(self, status: int) -> None:
        self._n_interim += 1
        if status == 101 or self._n_interim > _MAX_INTERIM:
            raise BadAnswerError(Fault.MALFORMED, f"unasked interim answer {status}")
