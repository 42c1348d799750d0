"""Bytes of a client → whole requests, or one refusal. No sockets, no clock.

llhttp (strict) reads the fields and checks every body's end; where a message begins and ends is
found here too, and the two must agree. What llhttp lets pass though two servers could read it
differently is refused: codings other than `chunked`, missing or double Host, unclear targets.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from weighbridge.gateway.wire.chunks import ChunkDecoder, ChunkError, TooMuchError
from weighbridge.gateway.wire.heads import HOP_BY_HOP
from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.messages import Head, Headers, Request

IDLE, HEAD, BODY, CLOSED = range(4)

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_OURS = HOP_BY_HOP | {b"host", b"expect"}
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=\[\]:-]+")
_TARGET = rb"(/[!\"$->@-~]*)(?:\?([!\"$-~]*))?"
_LINE = re.compile(rb"([A-Z]+) " + _TARGET + rb" HTTP/1\.([01])\r\n")
_LOOSE_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_ORIGIN_FORM = re.compile(_TARGET)
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)(.*)")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_BARE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_LENGTH, _SDK_LENGTH = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_KNOWN_BELOW_BYTES = 8192
_MAX_PARTS = 256
_LINE_SLACK_BYTES = 32  # method and version beside the target


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """Why a request is not read further: the status and words of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RequestReader:
    """Reads one client's requests in order; after a refusal it reads no more."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_ended",
        "_expect",
        "_fields",
        "_has_line",
        "_head",
        "_host",
        "_known",
        "_known_head",
        "_left",
        "_length",
        "_limits",
        "_parser",
        "_parts",
        "_request",
        "_scanned",
        "_transfer",
        "_unchecked",
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
        self._head = bytearray()
        self._scanned = 0
        self._has_line = False
        self._fields: Headers = []
        self._host: bytes | None = None
        self._length: bytes | None = None
        self._transfer: bytes | None = None
        self._connection: bytes | None = None
        self._expect: bytes | None = None
        self._request: Request | None = None
        self._parts: list[bytes] | bytearray = []
        self._left = 0
        self._chunks: ChunkDecoder | None = None
        self._ended = False
        self._unchecked = False
        self._known = b""  # the last head without its Content-Length line, where it was plain
        self._known_head: Head | None = None

    def feed(self, data: bytes) -> None:
        """Read on; whole requests are in `ready`, a refusal in `refusal`."""
        try:
            while data and self.phase != CLOSED:
                data = self._on_body(data) if self.phase == BODY else self._on_head(data)
        except Refusal as refusal:
            self.refusal = refusal
            self.phase = CLOSED
        except ChunkError as error:
            self.refusal = Refusal(400, str(error))
            self.phase = CLOSED
        except TooMuchError:
            self.refusal = Refusal(413, "request body too large")
            self.phase = CLOSED

    def close(self) -> None:
        """Let go of the parser, which holds us."""
        self.phase = CLOSED
        self._parser = None

    # Heads.

    def _on_head(self, data: bytes) -> bytes:
        """Gather a head; returns what follows it."""
        if self.phase == HEAD:
            gathered = self._head
            before = len(gathered)
            gathered += data
            end = gathered.find(b"\r\n\r\n", max(0, before - 3))
            if end >= 0:
                data = bytes(gathered)
                self._head = bytearray()
        else:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = bytearray(data)
                self._scanned = 0
                self._has_line = False
                self.phase = HEAD
        if end < 0:
            self._judge_part()
            return b""
        end += 4
        return self._on_whole_head(data, end)

    def _judge_part(self) -> None:
        """Refuse early what cannot become a head; each byte is looked at once."""
        head, limits = self._head, self._limits
        start = max(0, self._scanned - 1)
        if _TOKEN.match(head) is None:
            raise Refusal(400, "malformed request")
        if not self._has_line:
            line_end = head.find(b"\r\n", start)
            if line_end >= 0:
                self._has_line = True
                self._judge_line(bytes(head[:line_end]))
            elif len(head) > limits.max_target_bytes + _LINE_SLACK_BYTES + 1:
                raise Refusal(414, "request target too long")
        if _BARE.search(head, start) is not None:
            raise Refusal(400, "malformed request")
        if len(head) > limits.max_head_bytes:
            raise Refusal(431, "request head too large")
        self._scanned = len(head)

    def _judge_line(self, line: bytes) -> None:
        """Refuse a request line that no field can mend."""
        if len(line) > self._limits.max_target_bytes + _LINE_SLACK_BYTES:
            raise Refusal(414, "request target too long")
        found = _LOOSE_LINE.fullmatch(line)
        if found is None:
            raise Refusal(400, "malformed request line")
        if found[3] != b"1" or found[4] not in {b"0", b"1"}:
            raise Refusal(505, "HTTP version not supported")
        if found[1] not in METHODS:
            raise Refusal(501, "method not supported")

    def _on_whole_head(self, data: bytes, end: int) -> bytes:
        """Read a head that is all here; returns what follows the request, or b''."""
        start = data.find(_LENGTH, 0, end)
        if start < 0:
            start = data.find(_SDK_LENGTH, 0, end)
        if start >= 0:
            rest = self._on_known_head(data, start, end)
            if rest is not None:
                return rest
        limits = self._limits
        found = _LINE.match(data)
        if found is None or found[1] not in METHODS or found.end() > limits.max_target_bytes:
            self._judge_line(data[: data.find(b"\r\n")])
        if end > limits.max_head_bytes:
            bare = _BARE.search(data, 0, limits.max_head_bytes + 1)
            raise (
                Refusal(431, "request head too large")
                if bare is None
                else Refusal(400, "malformed request")
            )
        fields: Headers = []
        self._fields = fields
        self._host = self._length = self._transfer = self._connection = self._expect = None
        self._request = None
        self._ended = self._unchecked = False
        self._check(data if len(data) == end else data[:end])
        request = self._request = self._new_request(data, found, fields)
        if start >= 0 and end <= _KNOWN_BELOW_BYTES:
            self._get_to_know(request, data, start, end)
        return self._begin_body(request, data[end:])

    def _on_known_head(self, data: bytes, start: int, end: int) -> bytes | None:
        """A head like the last one but for its length, as clients send them again and again.

        What is known was read strictly and had this one Content-Length, so that nothing else in it
        can say otherwise; only the number is new.
        """
        line_end = data.find(b"\r\n", start + 2)
        if data[:start] + data[line_end:end] != self._known:
            return None
        length = data[start + len(_LENGTH) : line_end]
        if not length.isdigit() or len(length) > 18:
            return None
        head = self._known_head
        assert head is not None
        request = self._request = Request(head.method, head.path, head.query, head.headers)
        request.head = head
        self._length = length
        self._transfer = self._expect = None
        self._unchecked = True  # llhttp has seen such a head; its body is as long as it says
        return self._begin_body(request, data[end:])

    def _get_to_know(self, request: Request, data: bytes, start: int, end: int) -> None:
        """Remember a head whose like is read by comparing; nothing unusual may stand in it."""
        is_plain = request.keep_alive and request.http_minor and not self._unchecked
        if not is_plain or self._length is None or self._transfer or self._expect:
            self._known = b""
            return
        line_end = data.find(b"\r\n", start + 2)
        if data[start + len(_LENGTH) : line_end] != self._length:
            self._known = b""
            return
        self._known = data[:start] + data[line_end:end]
        head = Head(request.method, request.path, request.query, request.headers)
        request.head = self._known_head = head

    def _new_request(self, data: bytes, found: re.Match[bytes] | None, fields: Headers) -> Request:
        if found is not None:
            method, path, query, minor = found.groups()
        else:
            method, path, query, minor = self._other_form(data)
        if len(fields) > self._limits.max_headers:
            raise Refusal(431, "too many headers")
        request = Request(method, path, query or b"", fields)
        if minor == b"0":
            request.http_minor = 0
            request.keep_alive = False
            if self._transfer is not None:
                raise Refusal(400, "Transfer-Encoding in HTTP/1.0")
        elif self._host is None:
            raise Refusal(400, "Host is missing")
        if self._connection is not None:
            self._judge_connection(request, self._connection)
        if self._expect is not None and self._expect.lower() != b"100-continue":
            raise Refusal(417, "Expect is other than 100-continue")
        self._fields = []  # trailers go nowhere
        return request

    # Bodies.

    def _begin_body(self, request: Request, rest: bytes) -> bytes:
        if self._transfer is not None:
            self._chunks = ChunkDecoder(self._limits.max_body_bytes)
        else:
            self._left = 0 if self._length is None else int(self._length)
            if self._left == 0:
                self._complete(request, b"")
                return rest
            if self._left > self._limits.max_body_bytes:
                raise Refusal(413, "request body too large")
            if len(rest) == self._left:
                self._check(rest)
                self._complete(request, rest)
                return b""
            self._parts = []
        self.n_body = 0
        self.wants_continue = self._expect is not None and request.http_minor == 1
        self.phase = BODY
        return rest

    def _on_body(self, data: bytes) -> bytes:
        """Read body bytes; returns what follows the request."""
        chunks = self._chunks
        n_used = min(self._left, len(data)) if chunks is None else chunks.feed(data)
        part, rest = (data, b"") if n_used == len(data) else (data[:n_used], data[n_used:])
        self._check(part)
        self.n_body += n_used
        request = self._request
        assert request is not None
        if chunks is not None:
            if chunks.is_done:
                self._chunks = None
                self._complete(request, bytes(chunks.body))
            return rest
        parts = self._parts
        if isinstance(parts, bytearray):
            parts += part
        else:
            parts.append(part)
            if len(parts) > _MAX_PARTS:  # many small parts would weigh more than what they hold
                self._parts = bytearray().join(parts)
        self._left -= n_used
        if self._left == 0:
            body = b"".join(parts) if isinstance(parts, list) else bytes(parts)
            self._parts = []
            self._complete(request, body)
        return rest

    def _complete(self, request: Request, body: bytes) -> None:
        if not self._ended and not self._unchecked:
            raise Refusal(400, "the request's end is unclear")
        request.body = body
        self._request = None
        self.wants_continue = False
        self.phase = IDLE if request.keep_alive else CLOSED
        self.ready.append(request)

    # llhttp, and what it calls.

    def _check(self, data: bytes) -> None:
        if self._unchecked:
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # We never switch protocols, and llhttp would take the body for the other protocol.
            self._parser = HttpRequestParser(self)
            self._unchecked = True
        except HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Refusal):
                raise cause from None
            if cause is not None:  # a fault of ours
                raise
            raise Refusal(400, "malformed request") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, of the head or of trailers (which are dropped)."""
        name = name.lower()
        if name in _OURS:
            self._own_field(name, value.strip(b" \t"))
        else:
            self._fields.append((name, value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        """llhttp has seen the message's end."""
        self._ended = True

    def _own_field(self, name: bytes, value: bytes) -> None:
        if self._request is not None:
            raise Refusal(400, "a trailer that belongs into the head")
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
            self._expect = value if self._expect is None else b"twice"

    # What is seldom.

    def _other_form(self, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        """Take the absolute form apart if its authority is the Host; `*` is for OPTIONS alone."""
        method, target, version = data[: data.find(b"\r\n")].split(b" ")
        if target == b"*" and method == b"OPTIONS":
            return method, target, b"", version[-1:]
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or self._host is None or absolute[1].lower() != self._host.lower():
            raise Refusal(400, "request target is malformed")
        rest = absolute[2]
        found = _ORIGIN_FORM.fullmatch(rest if rest[:1] == b"/" else b"/" + rest)
        if found is None:
            raise Refusal(400, "request target is malformed")
        return method, found[1], found[2] or b"", version[-1:]

    def _judge_connection(self, request: Request, connection: bytes) -> None:
        if connection == b"keep-alive":
            request.keep_alive = True
            return
        named = {token.strip(b" \t") for token in connection.split(b",")}
        if b"keep-alive" in named:
            request.keep_alive = True
        if b"close" in named:
            request.keep_alive = False
        named -= {b"close", b"keep-alive", b""}
        if named:
            request.headers[:] = [field for field in request.headers if field[0] not in named]
