"""Usage in an answer that comes whole."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage
from weighbridge.gateway.dialects.counting import read_usage, tokens_of
from weighbridge.gateway.dialects.streams import StreamReader as StreamReader
from weighbridge.gateway.dialects.tails import usage_in_tail

DECODE_BELOW_BYTES = 1 << 16
_AROUND_BYTES = 4096
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Answer(Struct):
    usage: Raw = Raw()
    model: str | None = None
    id: str | int | None = None
    service_tier: str | None = None


class _IdAlone(Struct):
    id: object = None


class _UsageAlone(Struct):
    usage: Raw = Raw()


_DECODE = msgspec.json.Decoder(_Answer).decode
_DECODE_ID = msgspec.json.Decoder(_IdAlone).decode
_DECODE_USAGE = msgspec.json.Decoder(_UsageAlone).decode
_NAMES = re.compile(rb'"(model|id|service_tier)"\s*:\s*"([^"\\]{1,256})"')


def read_answer(endpoint: Endpoint, body: bytes) -> TokenUsage | None:
    """Tokens that an answer reports; None where it reports none, or cannot be understood.

    Counting tokens and listing models cost none, which is exact.
    """
    if endpoint in {"count_tokens", "models"}:
        return TokenUsage()
    if len(body) > DECODE_BELOW_BYTES:
        told = _read_large(endpoint, body)
        if told is not None:
            return told
    try:
        said = _DECODE(body)
    except msgspec.ValidationError:
        return _read_usage_alone(endpoint, body)
    except _UNREADABLE:
        return None
    usage = read_usage(said.usage)
    told = tokens_of(endpoint, usage) if usage is not None else None
    if told is not None:
        told.model = said.model
        told.response_id = str(said.id) if said.id is not None else None
        told.service_tier = told.service_tier or said.service_tier
    return told


def response_id_in(body: bytes) -> str | None:
    """The id of what an answer stores upstream, where it reports no usage (yet)."""
    try:
        found = _DECODE_ID(body).id
    except _UNREADABLE:
        return None
    return found if isinstance(found, str) else None


def _read_usage_alone(endpoint: Endpoint, body: bytes) -> TokenUsage | None:
    """Of an answer whose other fields are not what we expect."""
    try:
        usage = read_usage(_DECODE_USAGE(body).usage)
    except _UNREADABLE:
        return None
    return tokens_of(endpoint, usage) if usage is not None else None


def _read_large(endpoint: Endpoint, body: bytes) -> TokenUsage | None:
    """By the last `usage` key: a megabyte of vectors or text before it need not be decoded."""
    found = usage_in_tail(body)
    told = tokens_of(endpoint, found[0]) if found is not None else None
    if found is None or told is None:
        return None
    at = found[1]
    names: dict[bytes, str] = {}
    for piece in (body[:512], body[max(0, at - 256) : at + _AROUND_BYTES], body[-512:]):
        for name, value in _NAMES.findall(piece):
            names.setdefault(name, value.decode("utf-8", "replace"))
    told.model = names.get(b"model")
    told.response_id = names.get(b"id")
    told.service_tier = told.service_tier or names.get(b"service_tier")
    return told
