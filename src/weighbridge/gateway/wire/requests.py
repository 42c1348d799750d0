"""Bytes of a client → whole requests, or one refusal. No sockets, no clock.

llhttp (strict) reads the syntax; what it lets pass though two servers could read it differently is
refused here: codings other than `chunked`, missing or double Host, unclear targets.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from weighbridge.gateway.wire.heads import HOP_BY_HOP
from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.messages import Headers, Request

IDLE, HEAD, BODY, REFUSED = range(4)

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_OURS = HOP_BY_HOP | {b"host", b"expect"}
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=\[\]:-]+")
_TARGET = re.compile(rb"/[!\"$-~]*")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)(.*)", re.DOTALL)
_MAX_PARTS = 256
_CHUNK_SLACK_BYTES = 64 * 1024
_HEAD_SLACK_BYTES = 4 * 1024


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """Why a request is not read further: the status and words of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RequestReader:
    """Reads one client's requests in order; after a refusal it reads no more."""

    __slots__ = (
        "_body",
        "_connection",
        "_expect",
        "_fields",
        "_host",
        "_length",
        "_limits",
        "_n_fed",
        "_n_head",
        "_n_raw",
        "_parser",
        "_request",
        "_transfer",
        "_url",
        "n_body",
        "phase",
        "ready",
        "refusal",
        "wants_continue",
    )

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._parser: Any = HttpRequestParser(self)
        self.ready: deque[Request] = deque()
        self.refusal: Refusal | None = None
        self.phase = IDLE
        self.wants_continue = False
        self.n_body = 0
        self._n_fed = 0
        self._n_head = 0
        self._n_raw = 0
        self._url = b""
        self._fields: Headers | deque[tuple[bytes, bytes]] = []
        self._host: bytes | None = None
        self._length: bytes | None = None
        self._transfer: bytes | None = None
        self._connection: bytes | None = None
        self._expect: bytes | None = None
        self._request: Request | None = None
        self._body: bytes | list[bytes] | bytearray = b""

    def feed(self, data: bytes) -> None:
        """Read on; whole requests are in `ready`, a refusal in `refusal`."""
        n_ready = len(self.ready)
        self._n_fed = len(data)
        while self.phase != REFUSED:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                # We never switch protocols: what follows is the next request.
                self._parser = HttpRequestParser(self)
                data = data[upgrade.args[0] :]
                if data:
                    continue
            except HttpParserError as error:
                self._refuse(error)
            break
        if self.phase >= HEAD:
            self._check_sizes(data, len(self.ready) == n_ready)

    def close(self) -> None:
        """Let go of the parser, which holds us."""
        self.phase = REFUSED
        self._parser = None

    def _refuse(self, error: HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, Refusal):
            self.refusal = cause
        elif cause is not None:  # a fault of ours
            raise error
        elif "HTTP version" in str(error):
            self.refusal = Refusal(505, "HTTP version not supported")
        elif "method" in str(error):
            self.refusal = Refusal(501, "method not supported")
        else:
            self.refusal = Refusal(400, "malformed request")
        self.phase = REFUSED

    def _check_sizes(self, data: bytes, began_before: bool) -> None:
        """Bound what has not become a request yet; a packet that also ended one is let off."""
        if not began_before:
            return
        if self.phase == HEAD:
            self._n_head += len(data)
            if self._n_head > self._limits.max_head_bytes + _HEAD_SLACK_BYTES:
                self.phase = REFUSED
                self.refusal = (
                    Refusal(431, "request head too large") if self._fields else self._long_target()
                )
        elif self.phase == BODY and self._transfer is not None:
            self._n_raw += len(data)
            # One byte a chunk takes six on the wire; more than eight is an attack by extensions.
            if self._n_raw > 8 * self.n_body + self._limits.max_head_bytes + _CHUNK_SLACK_BYTES:
                self.phase = REFUSED
                self.refusal = Refusal(400, "chunks carry more overhead than data")

    def _long_target(self) -> Refusal:
        if len(self._url) > self._limits.max_target_bytes:
            return Refusal(414, "request target too long")
        return Refusal(431, "request head too large")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self.phase = HEAD
        self._n_head = self._n_raw = self.n_body = 0
        self._url = self._body = b""
        self._fields = []
        self._host = self._length = self._transfer = self._connection = self._expect = None

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, of the head or of trailers (which are dropped)."""
        name = name.lower()
        if name in _OURS:
            self._own_field(name, value.strip())
        else:
            self._fields.append((name, value.rstrip()))

    def on_headers_complete(self) -> None:
        """The head is whole: judge it."""
        parser = self._parser
        fields = self._fields
        url = self._url
        method = parser.get_method()
        if method not in METHODS:
            raise Refusal(501, "method not supported")
        if len(fields) > self._limits.max_headers:
            raise Refusal(431, "too many headers")
        if len(url) > self._limits.max_target_bytes:
            raise Refusal(414, "request target too long")
        if self._n_head + self._n_fed > self._limits.max_head_bytes:
            self._check_head_size()
        if _TARGET.fullmatch(url) is None:
            url = self._origin_form(method, url)
        path, _, query = url.partition(b"?")
        assert isinstance(fields, list)
        request = Request(method, path, query, fields)
        request.keep_alive = parser.should_keep_alive()
        if self._connection is not None or not request.keep_alive:
            self._judge_connection(request)
        if self._host is None and request.http_minor:
            raise Refusal(400, "Host is missing")
        self._request = request
        self._fields = deque(maxlen=0)  # trailers go nowhere
        if self._length is not None or self._transfer is not None or self._expect is not None:
            self._judge_body(request)
        self.phase = BODY

    def on_body(self, data: bytes) -> None:
        """Bytes of a body."""
        self.n_body += len(data)
        if self.n_body > self._limits.max_body_bytes:
            raise Refusal(413, "request body too large")
        body = self._body
        if not body:
            self._body = data
        elif isinstance(body, bytes):
            self._body = [body, data]
        elif isinstance(body, bytearray):
            body += data
        else:
            body.append(data)
            if len(body) > _MAX_PARTS:  # many small parts would weigh more than what they hold
                self._body = bytearray().join(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self._request
        assert request is not None
        body = self._body
        if isinstance(body, list):
            request.body = b"".join(body)
        else:
            request.body = body if isinstance(body, bytes) else bytes(body)
        self._request = None
        self._body = b""
        self.wants_continue = False
        self.phase = IDLE
        self.ready.append(request)

    # What is asked once in a head, or seldom.

    def _own_field(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self._host is not None:
                raise Refusal(400, "Host is given twice")
            if _HOST.fullmatch(value) is None:
                raise Refusal(400, "Host is malformed")
            self._host = value
        elif name == b"content-length":
            if self._length is not None or not value.isdigit() or len(value) > 18:
                raise Refusal(400, "Content-Length is malformed or given twice")
            self._length = value
        elif name == b"connection":
            seen = self._connection
            self._connection = value.lower() if seen is None else seen + b"," + value.lower()
        else:
            self._rare_field(name, value)

    def _rare_field(self, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            if self._transfer is not None or value.lower() != b"chunked":
                raise Refusal(400, "Transfer-Encoding is other than chunked")
            self._transfer = value
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise Refusal(417, "Expect is other than 100-continue")
            self._expect = value

    def _check_head_size(self) -> None:
        size = len(self._url) + sum(len(name) + len(value) for name, value in self._fields)
        if size > self._limits.max_head_bytes:
            raise Refusal(431, "request head too large")

    def _origin_form(self, method: bytes, url: bytes) -> bytes:
        """Take the absolute form apart if its authority is the Host; `*` is for OPTIONS alone."""
        if url == b"*" and method == b"OPTIONS":
            return url
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is None or self._host is None or absolute[1].lower() != self._host.lower():
            raise Refusal(400, "request target is malformed")
        rest = absolute[2]
        target = rest if rest[:1] == b"/" else b"/" + rest
        if _TARGET.fullmatch(target) is None:
            raise Refusal(400, "request target is malformed")
        return target

    def _judge_connection(self, request: Request) -> None:
        if self._parser.get_http_version() == "1.0":
            request.http_minor = 0
            if self._transfer is not None:
                raise Refusal(400, "Transfer-Encoding in HTTP/1.0")
        named = {token.strip() for token in (self._connection or b"").split(b",")}
        if b"close" in named:
            request.keep_alive = False
        named -= {b"close", b"keep-alive", b""}
        if named:
            request.headers[:] = [field for field in request.headers if field[0] not in named]

    def _judge_body(self, request: Request) -> None:
        if self._length is not None and self._transfer is not None:
            raise Refusal(400, "Content-Length and Transfer-Encoding together")
        length = int(self._length or b"0")
        if length > self._limits.max_body_bytes:
            raise Refusal(413, "request body too large")
        has_body = length > 0 or self._transfer is not None
        self.wants_continue = self._expect is not None and request.http_minor == 1 and has_body
