"""The two texts of a prompt, however a log holds it: system text, and the first of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

MOST_CHARS = 16_384  # as the gateway reads
_INSTRUCTING = frozenset({"system", "developer"})
_USER = frozenset({"user", "human"})
_SYSTEM_KEYS = ("system", "instructions", "system_instruction", "systemInstruction")
_MESSAGE_KEYS = ("messages", "contents", "input", "inputs")
_TEXT_KEYS = ("prompt", "inputText", "input_text", "text", "query", "question", "content")
_MOST_DEPTH = 6


def prompt_texts(value: Any) -> tuple[str, str]:
    """System text and first user text of a text, of messages, or of a request's body.

    >>> prompt_texts('{"system": "Be brief.", "messages": [{"role": "user", "content": "Hello"}]}')
    ('Be brief.', 'Hello')
    >>> prompt_texts("Hello")
    ('', 'Hello')
    """
    value = _decoded(value)
    if isinstance(value, str):
        return "", value[:MOST_CHARS]
    if isinstance(value, Mapping):
        return _of_body(value)
    return _of_messages(value) if isinstance(value, list | tuple) else ("", "")


def _decoded(value: Any) -> Any:
    """What a text holds that is messages or a body in JSON; any other text stays a text."""
    if not isinstance(value, str):
        return value
    start = value.lstrip()[:1]
    if start not in ("[", "{"):
        return value
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value
    if isinstance(found, dict):
        known = {*_SYSTEM_KEYS, *_MESSAGE_KEYS, "prompt", "inputText", "role"}
        return found if known & found.keys() else value
    roles = [one for one in found if isinstance(one, dict) and "role" in one]
    return found if roles else value


def _of_body(body: Mapping[str, Any]) -> tuple[str, str]:
    if "role" in body:
        return _of_messages([body])
    system = _joined(_text(body[key], 0) for key in _SYSTEM_KEYS if key in body)
    for key in _MESSAGE_KEYS:
        inner = _decoded(body.get(key))
        if isinstance(inner, list | tuple):
            more, user = _of_messages(inner)
            return _joined((system, more)), user
        if isinstance(inner, Mapping):
            more, user = _of_body(inner)
            return _joined((system, more)), user
        if isinstance(inner, str) and inner:
            return system, inner[:MOST_CHARS]
    for key in _TEXT_KEYS:
        if body.get(key):
            return system, _text(body[key], 0)
    return system, ""


def _of_messages(messages: Sequence[Any]) -> tuple[str, str]:
    system: list[str] = []
    for one in messages:
        if isinstance(one, str):
            return _joined(system), one[:MOST_CHARS]
        if not isinstance(one, Mapping):
            continue
        role = str(one.get("role") or one.get("type") or "").lower()
        held = next((one[key] for key in ("content", "parts", "text") if one.get(key)), "")
        if role in _INSTRUCTING:
            system.append(_text(held, 0))
        elif role in _USER:
            return _joined(system), _text(held, 0)
    return _joined(system), ""


def _text(value: Any, depth: int) -> str:
    """A text, or the texts among its parts, one a line."""
    if isinstance(value, str):
        return value[:MOST_CHARS]
    if depth > _MOST_DEPTH:
        return ""
    if isinstance(value, Mapping):
        held = next((value[key] for key in ("text", "content", "parts") if value.get(key)), "")
        return _text(held, depth + 1)
    if isinstance(value, list | tuple):
        return _joined(_text(one, depth + 1) for one in value)
    return ""


def _joined(texts: Iterable[str]) -> str:
    return "\n".join(text for text in texts if text)[:MOST_CHARS]
