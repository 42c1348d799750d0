"""What clients say of themselves: feature, template, conversation, user, data class and tags.

Our own headers must be well formed, else the request is refused: a figure booked under the wrong
name is worse than an error. What LiteLLM's and Helicone's clients send was meant for others, so
that what does not fit there is passed over.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from weighbridge.gateway.dialects.ask import AskError
from weighbridge.gateway.wire.messages import Headers

MAX_LABEL_CHARS = 256
MAX_TAGS = 32


class Labels(NamedTuple):
    """Names that a request carries; None where it does not say."""

    feature: str | None = None
    template: str | None = None
    conversation: str | None = None
    user: str | None = None
    data_class: str | None = None
    tags: tuple[str, ...] = ()


class _Metadata(Struct):
    feature: Raw = Raw()
    template: Raw = Raw()
    tags: Raw = Raw()
    user_id: Raw = Raw()


NO_LABELS = Labels()
_DECODE_METADATA = msgspec.json.Decoder(_Metadata).decode
_DECODE_TEXT = msgspec.json.Decoder(str).decode
_DECODE_TAGS = msgspec.json.Decoder(str | list[str]).decode
_N_NAMES = 5
_THEIRS = 8  # from here on names are not ours
_TAGS = 16
_PLACES = {
    b"x-weighbridge-feature": 0,
    b"x-weighbridge-template": 1,
    b"x-weighbridge-conversation": 2,
    b"x-weighbridge-user": 3,
    b"x-weighbridge-data-class": 4,
    b"helicone-property-feature": _THEIRS + 0,
    b"helicone-prompt-id": _THEIRS + 1,
    b"helicone-session-id": _THEIRS + 2,
    b"helicone-user-id": _THEIRS + 3,
    b"x-litellm-customer-id": _THEIRS + 3,
    b"x-litellm-end-user-id": _THEIRS + 3,
    b"x-litellm-tags": _TAGS,
}
_FROM_TAGS = {"feature": 0, "template": 1}


def tidy(text: str | None) -> str | None:
    """The text, where it is short and printable; else None."""
    if text and len(text) <= MAX_LABEL_CHARS and text.isprintable():
        return text.strip() or None
    return None


def names_from_headers(headers: Headers) -> Labels:
    """What the headers say; AskError where one of ours is malformed or given twice.

    Ours count before Helicone's and LiteLLM's, a header of its own before a tag.
    """
    found = [(at, name, value) for name, value in headers if (at := _PLACES.get(name)) is not None]
    if not found:
        return NO_LABELS
    told: list[str | None] = [None] * _N_NAMES
    for at, name, value in found:
        if at < _THEIRS:
            if told[at] is not None:
                raise AskError(f"header {name.decode()} is given twice")
            told[at] = _own_value(name, value)
    tags: tuple[str, ...] = ()
    for at, _, value in found:
        if at == _TAGS:
            tags += tuple(_tidy_tags(value.decode("utf-8", "replace").split(",")))
        elif at >= _THEIRS:
            told[at - _THEIRS] = told[at - _THEIRS] or _their_value(value)
    if tags:
        _fill_from_tags(told, tags)
    return Labels(told[0], told[1], told[2], told[3], told[4], tags[:MAX_TAGS])


def labels_in_metadata(metadata: Raw) -> Labels:
    """What a body's `metadata` says: feature, template, tags, Anthropic's user_id."""
    try:
        said = _DECODE_METADATA(metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NO_LABELS
    tags = tuple(_tags_in(said.tags))
    told = [_text_in(said.feature), _text_in(said.template)]
    _fill_from_tags(told, tags)
    return Labels(told[0], told[1], user=_text_in(said.user_id), tags=tags[:MAX_TAGS])


@lru_cache(maxsize=4096)
def _own_value(name: bytes, value: bytes) -> str:
    try:
        told = tidy(value.decode("utf-8"))
    except UnicodeDecodeError:
        told = None
    if told is None:
        raise AskError(
            f"header {name.decode()} must be 1 to {MAX_LABEL_CHARS} printable characters of UTF-8"
        )
    return told


def _their_value(value: bytes) -> str | None:
    try:
        return tidy(value.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _text_in(raw: Raw) -> str | None:
    if len(raw) <= 2:
        return None
    try:
        return tidy(_DECODE_TEXT(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _tags_in(raw: Raw) -> list[str]:
    if len(raw) <= 2:
        return []
    try:
        tags = _DECODE_TAGS(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    return _tidy_tags(tags.split(",") if isinstance(tags, str) else tags)


def _tidy_tags(tags: list[str]) -> list[str]:
    return [told for tag in tags if (told := tidy(tag.strip())) is not None]


def _fill_from_tags(told: list[str | None], tags: tuple[str, ...]) -> None:
    """Take `feature:x` and `template:x` from tags where nothing else names them."""
    for tag in tags:
        kind, colon, name = tag.partition(":")
        at = _FROM_TAGS.get(kind)
        if colon and at is not None and told[at] is None:
            told[at] = name.strip() or None
