"""Heads as they leave: joined in one pass, and refused where a value would split them."""

from __future__ import annotations

from http import HTTPStatus

from weighbridge.gateway.wire.messages import Headers

STATUS_LINES: dict[int, bytes] = {code: b"HTTP/1.1 %d " % code for code in range(200, 1000)}
STATUS_LINES.update({s.value: b"HTTP/1.1 %d %b" % (s.value, s.phrase.encode()) for s in HTTPStatus})

# Between two neighbours or for the wire itself (RFC 9110, 7.6.1), so never handed on.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_pair = b": ".join


class UnsafeHeaderError(ValueError):
    """A header's name or value holds CR, LF or NUL and would split the message."""


def join_head(first: bytes, headers: Headers, *rest: bytes) -> bytes:
    r"""Join a head; `rest` are ready lines, the last one empty so that the head is closed.

    >>> join_head(b"GET / HTTP/1.1", [(b"accept", b"*/*")], b"host: a", b"", b"")
    b'GET / HTTP/1.1\r\naccept: */*\r\nhost: a\r\n\r\n'
    >>> join_head(b"GET / HTTP/1.1", [(b"accept", b"a\r\nevil: 1")], b"", b"")
    Traceback (most recent call last):
        ...
    weighbridge.gateway.wire.heads.UnsafeHeaderError: accept
    """
    head = b"\r\n".join([first, *map(_pair, headers), *rest])
    # Each line ends once: one more CR or LF than that came from within a value.
    n_lines = len(headers) + len(rest)
    if head.count(b"\n") != n_lines or head.count(b"\r") != n_lines or b"\0" in head:
        raise UnsafeHeaderError(_culprit(first, headers))
    return head


def _culprit(first: bytes, headers: Headers) -> str:
    """Name what is unsafe, never its value: it may be a secret."""
    for name, value in headers:
        if any(byte in part for part in (name, value) for byte in b"\r\n\0"):
            return repr(name)[2:-1]
    return repr(first.split(b" ")[0])[2:-1]
