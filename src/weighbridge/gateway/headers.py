"""Headers that the pipeline looks at, drops or adds; names are lower-case bytes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from weighbridge.gateway.wire.messages import Headers

if TYPE_CHECKING:
    from weighbridge.gateway.exchange import Exchange

REQUEST_ID = b"x-weighbridge-request-id"

CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key"))
OTHERS_CREDENTIALS = frozenset((b"helicone-auth", b"x-litellm-api-key"))  # for gateways before us
OURS = frozenset(
    b"x-weighbridge-" + name
    for name in (b"feature", b"template", b"conversation", b"user", b"data-class", b"key")
)
# Usage is read in passing, so that answers are asked for as they are, uncompressed. What belongs to
# the hop the wire has taken away.
NOT_SENT_WITH_CREDENTIALS = OURS | OTHERS_CREDENTIALS | {b"accept-encoding"}
NOT_SENT = NOT_SENT_WITH_CREDENTIALS | CREDENTIALS

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
    return [*x.upstream_headers, (REQUEST_ID, x.request_id)]


def value_of(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header."""
    for key, value in headers:
        if key == name:
            return value
    return None


def is_event_stream(headers: Headers, was_asked: bool) -> bool:
    """Whether an answer is server-sent events; where they were asked for, whatever is no JSON."""
    value = value_of(headers, b"content-type")
    if value is not None and value[:17].lower() == b"text/event-stream":
        return True
    return was_asked and (value is None or value[:16].lower() != b"application/json")


def is_coded(headers: Headers) -> bool:
    """Whether an answer is compressed, unasked."""
    coding = value_of(headers, b"content-encoding")
    return coding is not None and coding.strip().lower() != b"identity"


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
