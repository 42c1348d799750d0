"""Usage at the end of what is too large to decode, and JSON with one key taken out."""

from __future__ import annotations

import re

import msgspec

from weighbridge.gateway.dialects.ask import Endpoint
from weighbridge.gateway.dialects.chunks import NOTHING, Chunk
from weighbridge.gateway.dialects.counting import Usage, read_usage, tokens_of

_KEY = b'"usage"'
_PLAIN_KEY = b',"usage":{'
_OPENS = re.compile(rb"\s*:\s*(?=\{)")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]')
_MAX_USAGE_BYTES = 8192
_DECODE_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def usage_in_tail(tail: bytes) -> tuple[Usage, int] | None:
    """The last `usage` object, and where its key stands.

    Within a JSON text a quote is escaped, so that the key cannot be part of what a model wrote.
    """
    at = tail.rfind(_KEY)
    while at >= 0:
        opens = _OPENS.match(tail, at + len(_KEY))
        if opens is not None and tail[at - 1 : at] != b"\\":
            usage = read_usage(_object_at(tail, opens.end()))
            if usage is not None:
                return usage, at
        at = tail.rfind(_KEY, 0, at)
    return None


def _object_at(data: bytes, start: int) -> bytes:
    """The JSON object that begins at `start`; nothing where it does not end soon."""
    depth = 0
    for token in _TOKEN.finditer(data, start, start + _MAX_USAGE_BYTES):
        if token.group() == b"{":
            depth += 1
        elif token.group() == b"}":
            depth -= 1
            if not depth:
                return data[start : token.end()]
    return b""


def read_tail(endpoint: Endpoint, tail: bytes) -> Chunk:
    """What the end of an event too large to hold says."""
    found = usage_in_tail(tail)
    usage = tokens_of(endpoint, found[0]) if found is not None else None
    if usage is None:
        return NOTHING
    return Chunk(usage=usage, is_last=endpoint == "responses")


def without_usage(event: bytes) -> bytes:
    """An event of one `data:` line without the `usage` of its object; else as it is."""
    start = event.rfind(_PLAIN_KEY)
    end = event.find(b"}", start) + 1
    if start >= 0 and end and b"{" not in event[start + len(_PLAIN_KEY) : end]:
        return event[:start] + event[end:]
    start = event.find(b"{")
    end = event.rfind(b"}") + 1
    try:
        fields = _DECODE_OBJECT(event[start:end])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return event
    fields.pop("usage", None)
    return event[:start] + msgspec.json.encode(fields) + event[end:]
