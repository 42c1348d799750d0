"""What one event of a stream says, per endpoint. Nothing here keeps state between events."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage
from weighbridge.gateway.dialects.counting import read_usage, tokens_of

_ABSENT = Raw()
_NO_TEXT_BYTES = 2  # "" and [] and {}
_NULL = b"null"
_MAX_ERROR_CHARS = 500
BYTES_PER_TOKEN = 4
_CALL_BYTES = 80  # of names and punctuation around the arguments of a tool call


class Chunk(NamedTuple):
    """One event, as far as it matters to metering and to what the client sees."""

    n_text_bytes: int = 0  # of content, reasoning, refusal, tool calls; 0: no token in it
    usage: TokenUsage | None = None
    is_usage_only: bool = False  # a chunk that is there only because include_usage was asked for
    has_null_usage: bool = False
    is_partial_usage: bool = False  # counts of one choice, or of the input alone
    is_last: bool = False
    error: str | None = None
    model: str | None = None
    response_id: str | None = None
    is_stopped: bool = False  # a choice says why it ended


Reading = Callable[[bytes], Chunk]


class _Delta(Struct):
    content: Raw = _ABSENT
    reasoning_content: Raw = _ABSENT
    reasoning: Raw = _ABSENT
    refusal: Raw = _ABSENT
    tool_calls: Raw = _ABSENT
    function_call: Raw = _ABSENT
    audio: Raw = _ABSENT


class _Choice(Struct):
    delta: _Delta | None = None
    text: Raw = _ABSENT
    index: int = 0
    finish_reason: Raw = _ABSENT
    usage: Raw = _ABSENT  # Moonshot's place for it


class _ChatChunk(Struct):
    choices: list[_Choice] | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    model: str | None = None
    id: str | None = None
    service_tier: str | None = None


class _Response(Struct):
    id: str | None = None
    model: str | None = None
    usage: Raw = _ABSENT
    service_tier: str | None = None
    error: Raw = _ABSENT


class _ResponsesEvent(Struct):
    type: str = ""
    delta: Raw = _ABSENT
    response: _Response | None = None
    error: Raw = _ABSENT
    message: str | None = None
    code: str | None = None


class _Message(Struct):
    id: str | None = None
    model: str | None = None
    usage: Raw = _ABSENT


class _MessagesEvent(Struct):
    type: str = ""
    delta: Raw = _ABSENT
    message: _Message | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT


class _BlockDelta(Struct):
    text: Raw = _ABSENT
    thinking: Raw = _ABSENT
    partial_json: Raw = _ABSENT


class _Error(Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


_DECODE_CHAT = msgspec.json.Decoder(_ChatChunk).decode
_DECODE_RESPONSES = msgspec.json.Decoder(_ResponsesEvent).decode
_DECODE_MESSAGES = msgspec.json.Decoder(_MessagesEvent).decode
_DECODE_BLOCK = msgspec.json.Decoder(_BlockDelta).decode
_DECODE_ERROR = msgspec.json.Decoder(_Error | str).decode
_ENDS = frozenset(
    ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
)
NOTHING = Chunk()
DONE = Chunk(is_last=True)


def reading_of(endpoint: Endpoint) -> Reading:
    """How events of an endpoint are read; a reading raises what msgspec raises on bad JSON."""
    if endpoint == "responses":
        return _read_responses
    return _read_messages if endpoint == "messages" else _read_chat


def _read_chat(payload: bytes) -> Chunk:
    if payload[:6] == b"[DONE]":
        return DONE
    said = _DECODE_CHAT(payload)
    n_text_bytes = 0
    usage = said.usage
    is_partial = is_stopped = False
    for choice in said.choices or ():
        delta = choice.delta
        n_text_bytes += _delta_bytes(delta) if delta is not None else _text_bytes(choice.text)
        is_partial = is_partial or choice.index > 0
        is_stopped = is_stopped or len(choice.finish_reason) > len(_NULL)
        if len(choice.usage) > len(_NULL) and len(usage) <= len(_NULL):
            usage = choice.usage
    read = None
    if len(usage) > len(_NULL):
        read = _usage("chat", usage, said.model, said.id, said.service_tier)
    return Chunk(
        n_text_bytes,
        read,
        read is not None and not said.choices,
        len(said.usage) == len(_NULL),
        is_partial and read is not None,
        False,
        _error(said.error) if len(said.error) else None,
        said.model,
        said.id,
        is_stopped,
    )


def _delta_bytes(delta: _Delta) -> int:
    """Bytes of text in a delta of a chat; a role, or an empty text, is none."""
    n_bytes = _text_bytes(delta.content)
    if len(delta.reasoning_content):
        n_bytes += _text_bytes(delta.reasoning_content)
    elif len(delta.reasoning):
        n_bytes += _text_bytes(delta.reasoning)
    if len(delta.refusal):
        n_bytes += _text_bytes(delta.refusal)
    for call in (delta.tool_calls, delta.function_call, delta.audio):
        if len(call):
            n_bytes += _text_bytes(call)
    return n_bytes


def _text_bytes(raw: Raw) -> int:
    """Bytes between the quotes of a text; of anything else, less what surrounds its text."""
    n_bytes = len(raw)
    if n_bytes <= _NO_TEXT_BYTES:
        return 0
    first = memoryview(raw)[0]
    if first == 0x22:
        return n_bytes - 2
    return 0 if first == 0x6E else max(BYTES_PER_TOKEN, n_bytes - _CALL_BYTES)


def _read_responses(payload: bytes) -> Chunk:
    if payload[:6] == b"[DONE]":
        return DONE
    said = _DECODE_RESPONSES(payload)
    kind = said.type
    if kind.endswith(".delta"):
        return Chunk(_text_bytes(said.delta))
    response = said.response
    error = None
    if kind == "error":
        error = said.message or _error(said.error) or said.code or "error"
    elif response is not None and len(response.error):
        error = _error(response.error)
    is_last = kind in _ENDS
    if response is None:
        return Chunk(is_last=is_last, error=error)
    read = _usage("responses", response.usage, response.model, response.id, response.service_tier)
    return Chunk(
        usage=read,
        is_last=is_last,
        error=error,
        model=response.model,
        response_id=response.id,
    )


def _read_messages(payload: bytes) -> Chunk:
    said = _DECODE_MESSAGES(payload)
    kind = said.type
    if kind == "content_block_delta":
        return Chunk(_block_delta_bytes(said.delta))
    if kind == "message_start" and said.message is not None:
        message = said.message
        read = _usage("messages", message.usage, message.model, message.id, None)
        return Chunk(
            usage=read,
            is_partial_usage=read is not None,
            model=message.model,
            response_id=message.id,
        )
    if kind == "message_delta":
        return Chunk(usage=_usage("messages", said.usage, None, None, None))
    if kind == "error":
        return Chunk(error=_error(said.error) or "error")
    return Chunk(is_last=kind == "message_stop")


def _block_delta_bytes(raw: Raw) -> int:
    """Text of Anthropic's delta, of whichever kind; one that is empty is no token."""
    try:
        delta = _DECODE_BLOCK(raw)
    except msgspec.MsgspecError:
        return 0
    n_bytes = _text_bytes(delta.text) + _text_bytes(delta.thinking)
    return n_bytes + _text_bytes(delta.partial_json)


def _usage(
    endpoint: Endpoint, raw: Raw, model: str | None, id_: str | None, tier: str | None
) -> TokenUsage | None:
    """Usage with what the event says beside it."""
    said = read_usage(raw)
    told = tokens_of(endpoint, said) if said is not None else None
    if told is not None:
        told.model = model
        told.response_id = id_
        told.service_tier = told.service_tier or tier
    return told


def _error(raw: Raw) -> str | None:
    """The message of an error object, bounded; None where there is none."""
    if len(raw) <= len(_NULL):
        return None
    try:
        said = _DECODE_ERROR(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "error"
    if isinstance(said, str):
        return said[:_MAX_ERROR_CHARS]
    return str(said.message or said.type or said.code or "error")[:_MAX_ERROR_CHARS]
