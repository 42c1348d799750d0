"""The body as it goes upstream: another model, `include_usage` set, all else byte for byte.

What was decided on is what the upstream must see. Parsers differ where a key occurs twice, is
spelled with escapes or in another case; so a body with any of that is put together anew from the
values that `asking` read, which are the last ones.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from weighbridge.gateway.dialects.ask import Ask, AskError

_DECODE_OBJECT = msgspec.json.Decoder(dict[str, Raw]).decode
_ENCODE = msgspec.json.encode
_DECISIVE = frozenset(
    (
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "n",
        "best_of",
        "tools",
        "previous_response_id",
        "conversation",
        "metadata",
        "service_tier",
        "background",
        "models",
        "route",
    )
)
_ORDINARY = (
    "messages",
    "input",
    "prompt",
    "system",
    "instructions",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "user",
    "tool_choice",
    "response_format",
)
_QUOTED = {name: b"," + _ENCODE(name) + b":" for name in (*_DECISIVE, *_ORDINARY)}
_TRUE = Raw(b"true")
_USAGE = {"include_usage": _TRUE}
_CONTINUOUS = {"include_usage": _TRUE, "continuous_usage_stats": _TRUE}
_WITH_STREAM_OPTIONS = frozenset(("chat", "completions"))


def rewrite(
    ask: Ask, body: bytes, model: str | None, add_usage: bool, add_continuous: bool = False
) -> bytes:
    """The body for the upstream; the same object where it is plain and nothing changes.

    `model` None keeps the client's. `add_usage` counts for streams of chat and completions only;
    `add_continuous` asks for vLLM's `continuous_usage_stats` with it.
    """
    if ask.endpoint in {"models", "other"} and not ask.model:
        return body
    if ask.fields is not None:
        fields = dict(ask.fields)
    else:
        try:
            fields = _DECODE_OBJECT(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise AskError("the body is not a JSON object that can be passed on") from None
    is_plain = _is_plain(body, fields)
    for name in [name for name in fields if name not in _QUOTED and name.casefold() in _DECISIVE]:
        del fields[name]  # a parser that minds no case would take it for what we decided on
        is_plain = False
    if model is not None and model != ask.model:
        fields["model"] = Raw(_ENCODE(model))
        is_plain = False
    if add_usage and ask.stream and ask.endpoint in _WITH_STREAM_OPTIONS:
        is_plain &= not _add_usage(fields, _CONTINUOUS if add_continuous else _USAGE)
    return body if is_plain else _joined(fields)


def _add_usage(fields: dict[str, Raw], wanted: dict[str, Raw]) -> bool:
    """Set what we ask of `stream_options`, keeping the rest; whether that changes anything."""
    asked = fields.get("stream_options")
    options = {} if asked is None or bytes(asked) == b"null" else _DECODE_OBJECT(asked)
    if all(name in options and bytes(options[name]) == b"true" for name in wanted):
        return False
    fields["stream_options"] = Raw(_joined({**options, **wanted}))
    return True


def _is_plain(body: bytes, fields: dict[str, Raw]) -> bool:
    """Whether a body has each key once and spelled plainly.

    Put together with no space it cannot be shorter, so that the same length means the same text.
    Python's spacing is common too, and compared byte by byte.
    """
    n_fields = len(fields)
    n_bytes = sum(map(len, fields)) + sum(map(len, fields.values())) + 4 * n_fields + 1
    if len(body) == n_bytes:
        return True
    if len(body) != n_bytes + 2 * n_fields - 1:
        return False
    at = 0
    for name, raw in fields.items():
        key = (b", " if at else b"{") + _ENCODE(name) + b": "
        if not body.startswith(key, at):
            return False
        at += len(key)
        if not body.startswith(raw, at):  # any buffer will do: no copy
            return False
        at += len(raw)
    return body[at:] == b"}"


def _joined(fields: dict[str, Raw]) -> bytes:
    pieces: list[bytes | Raw] = []
    for name, raw in fields.items():
        pieces.append(_QUOTED.get(name) or b"," + _ENCODE(name) + b":")
        pieces.append(raw)
    pieces.append(b"}")
    pieces[0] = b"{" + bytes(pieces[0])[1:]  # nothing is ever joined that has no field
    return b"".join(pieces)
