"""Headers that the pipeline looks at, drops or adds; names are lower-case bytes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from weighbridge.gateway.wire.messages import Headers

if TYPE_CHECKING:
    from weighbridge.gateway.exchange import Exchange

REQUEST_ID = b"x-weighbridge-request-id"

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key"))
OURS = frozenset(
    b"x-weighbridge-" + name
    for name in (b"feature", b"template", b"conversation", b"user", b"data-class", b"key")
)
# Usage is read in passing, so that answers are asked for as they are, uncompressed.
NOT_SENT_WITH_CREDENTIALS = (
    HOP_BY_HOP
    | OURS
    | {
        b"host",
        b"content-length",
        b"expect",
        b"accept-encoding",
    }
)
NOT_SENT = NOT_SENT_WITH_CREDENTIALS | CREDENTIALS
NOT_RETURNED = HOP_BY_HOP | {b"content-length", REQUEST_ID}

MOST_INFLATED_BYTES = 8 * 1024 * 1024


def presented_key(headers: dict[bytes, bytes]) -> bytes | None:
    """The key that a client shows, as OpenAI's, Anthropic's or Azure's clients send it."""
    value = headers.get(b"authorization")
    if value is not None:
        scheme, _, text = value.partition(b" ")
        return text.strip() if scheme.lower() == b"bearer" else None
    return headers.get(b"x-api-key") or headers.get(b"api-key")


def answer_headers(x: Exchange) -> Headers:
    """An upstream's headers as the client gets them, with our request id."""
    headers = [pair for pair in x.upstream_headers if pair[0] not in NOT_RETURNED]
    headers.append((REQUEST_ID, x.request_id))
    return headers


def value_of(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header."""
    for key, value in headers:
        if key == name:
            return value
    return None


def is_event_stream(headers: Headers) -> bool:
    """Whether an answer is server-sent events."""
    value = value_of(headers, b"content-type")
    return value is not None and value[:17].lower() == b"text/event-stream"


def promised_length(headers: Headers) -> int | None:
    """Content-Length of an answer; the wire has checked that it is a number."""
    value = value_of(headers, b"content-length")
    return None if value is None else int(value)


def readable(body: bytes, headers: Headers) -> bytes:
    """The body to read usage from: inflated, where an upstream compressed it unasked."""
    coding = value_of(headers, b"content-encoding")
    if coding is None or coding.strip().lower() == b"identity":
        return body
    if coding.strip().lower() not in (b"gzip", b"deflate"):
        return b""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MOST_INFLATED_BYTES)
    except zlib.error:
        return b""
