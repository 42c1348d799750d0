"""The two texts of a prompt that fingerprints are made of. They are never stored."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from weighbridge.gateway.dialects.ask import Endpoint

MAX_TEXT_CHARS = 16_384
_INSTRUCTING = frozenset(("system", "developer"))
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Body(Struct):
    messages: list[Raw] | None = None
    system: Raw = Raw()
    instructions: Raw = Raw()
    input: Raw = Raw()
    prompt: Raw = Raw()


class _Message(Struct):
    role: str = ""
    content: Raw = Raw()


class _Part(Struct):
    text: str | None = None


_DECODE_BODY = msgspec.json.Decoder(_Body).decode
_DECODE_MESSAGE = msgspec.json.Decoder(_Message).decode
_DECODE_TEXTS = msgspec.json.Decoder(str | list[Raw]).decode
_DECODE_PART = msgspec.json.Decoder(str | _Part).decode


def prompt_parts(endpoint: Endpoint, body: bytes) -> tuple[str, str]:
    """System text and first user text, each cut to a bound; empty where there is none.

    Messages after the first of the user are not decoded: what comes later is the conversation's,
    not the template's.
    """
    try:
        said = _DECODE_BODY(body)
    except _UNREADABLE:
        return "", ""
    if endpoint in {"messages", "count_tokens"}:
        return _texts_in(said.system), _first_turns(said.messages)[1]
    if endpoint == "responses":
        system, user = _input_parts(said.input)
        return _joined(_texts_in(said.instructions), system), user
    if endpoint == "chat":
        return _first_turns(said.messages)
    if endpoint == "completions":
        return "", _texts_in(said.prompt)
    return "", _texts_in(said.input)


def _first_turns(messages: list[Raw] | None) -> tuple[str, str]:
    """Texts of the instructing messages up to the first of the user, and that one's."""
    system = ""
    for raw in messages or ():
        try:
            message = _DECODE_MESSAGE(raw)
        except _UNREADABLE:
            continue
        if message.role in _INSTRUCTING:
            system = _joined(system, _texts_in(message.content))
        elif message.role == "user":
            return system, _texts_in(message.content)
    return system, ""


def _input_parts(raw: Raw) -> tuple[str, str]:
    """Of the input of responses: a text, or messages among other items."""
    if len(raw) <= 2:
        return "", ""
    try:
        said = _DECODE_TEXTS(raw)
    except _UNREADABLE:
        return "", ""
    return ("", said[:MAX_TEXT_CHARS]) if isinstance(said, str) else _first_turns(said)


def _texts_in(raw: Raw) -> str:
    """A text, or the texts among its parts, one a line."""
    if len(raw) <= 2:
        return ""
    try:
        said = _DECODE_TEXTS(raw)
    except _UNREADABLE:
        return ""
    if isinstance(said, str):
        return said[:MAX_TEXT_CHARS]
    texts = ""
    for part in said:
        try:
            told = _DECODE_PART(part)
        except _UNREADABLE:
            continue
        texts = _joined(texts, told if isinstance(told, str) else told.text or "")
        if len(texts) >= MAX_TEXT_CHARS:
            break
    return texts


def _joined(first: str, second: str) -> str:
    return (f"{first}\n{second}" if first and second else first or second)[:MAX_TEXT_CHARS]
