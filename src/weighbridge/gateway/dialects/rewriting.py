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
    )
)
_TRUE = Raw(b"true")
_NULL = Raw(b"null")
_USAGE = ("include_usage",)
_CONTINUOUS = ("include_usage", "continuous_usage_stats")
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
    try:
        fields = _DECODE_OBJECT(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise AskError("the body is not a JSON object that can be passed on") from None
    changed = False
    if model is not None and model != ask.model:
        fields["model"] = Raw(_ENCODE(model))
        changed = True
    if add_usage and ask.stream and ask.endpoint in _WITH_STREAM_OPTIONS:
        changed |= _add_usage(fields, add_continuous)
    names = [(name, raw) for name, raw in fields.items() if not _poses(name)]
    if not changed and len(names) == len(fields) and _is_plain(body, fields):
        return body
    return _joined(names, b",", b":")


def _add_usage(fields: dict[str, Raw], add_continuous: bool) -> bool:
    """Set what we ask of `stream_options`, keeping the rest; whether that changes anything."""
    asked = fields.get("stream_options", _NULL)
    options = {} if bytes(asked) == b"null" else _DECODE_OBJECT(asked)
    wanted = _CONTINUOUS if add_continuous else _USAGE
    if all(name in options and bytes(options[name]) == b"true" for name in wanted):
        return False
    options.update(dict.fromkeys(wanted, _TRUE))
    fields["stream_options"] = Raw(_joined(list(options.items()), b",", b":"))
    return True


def _poses(name: str) -> bool:
    """Whether a key would be read as one that we decide on by a parser that minds no case."""
    return name not in _DECISIVE and name.casefold() in _DECISIVE


def _is_plain(body: bytes, fields: dict[str, Raw]) -> bool:
    """Whether a body has each key once and spelled plainly.

    Put together with no space it cannot be shorter, so that the same length means the same text.
    Python's spacing is common too, and compared byte by byte.
    """
    n_bytes = sum(map(len, fields)) + sum(map(len, fields.values())) + 4 * len(fields) + 1
    if len(body) == n_bytes:
        return True
    return len(body) == n_bytes + 2 * len(fields) - 1 and body == _joined(
        list(fields.items()), b", ", b": "
    )


def _joined(fields: list[tuple[str, Raw]], comma: bytes, colon: bytes) -> bytes:
    pieces: list[bytes | Raw] = []
    for name, raw in fields:
        pieces += (comma, _ENCODE(name), colon, raw)
    pieces[0:1] = [b"{"]
    pieces.append(b"}")
    return b"".join(pieces)
