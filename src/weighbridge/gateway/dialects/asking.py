"""What a request asks for, read without decoding its prompt.

The body is decoded once, and only its small top-level fields; prompts, tools and schemas are
skipped over. Where a key occurs twice the last one counts, here as in `rewriting`.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from weighbridge.gateway.dialects.ask import Ask, AskError, Endpoint
from weighbridge.gateway.dialects.naming import MAX_LABEL_CHARS, labels_in_metadata, tidy
from weighbridge.gateway.dialects.naming import names_from_headers as names_from_headers
from weighbridge.gateway.dialects.prompts import prompt_parts as prompt_parts

MAX_TOKENS_ASKED = 1_000_000_000
MAX_CHOICES = 1024
BYTES_PER_TOKEN = 4
ATTACHMENT_TOKENS = 1_000  # an image, roughly; its base64 text says nothing about its tokens
_PROBE_EVERY_BYTES = 4096
_PROBE_BYTES = 64
_IS_ATTACHED = re.compile(rb';base64,|"data"\s*:\s*"')
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
_LARGE_BYTES = 16 * 1024
_ABSENT = Raw()
_NOT_ASKED = frozenset((b"", b"null", b"false"))
_NOTHING_BYTES = 4  # absent, null, [] and {} are no longer than this

Number = int | float | None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _OpenAIBody(Struct):
    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Number = None
    max_completion_tokens: Number = None
    n: Number = None
    best_of: Number = None
    tools: Raw = _ABSENT
    functions: Raw = _ABSENT
    response_format: Raw = _ABSENT
    user: Raw = _ABSENT
    safety_identifier: Raw = _ABSENT
    prompt_cache_key: Raw = _ABSENT
    metadata: Raw = _ABSENT
    service_tier: Raw = _ABSENT
    models: Raw = _ABSENT
    route: Raw = _ABSENT


class _ResponsesBody(Struct):
    model: str
    stream: bool | None = None
    max_output_tokens: Number = None
    tools: Raw = _ABSENT
    text: Raw = _ABSENT
    user: Raw = _ABSENT
    safety_identifier: Raw = _ABSENT
    prompt_cache_key: Raw = _ABSENT
    previous_response_id: str | None = None
    background: Raw = _ABSENT
    conversation: Raw = _ABSENT
    metadata: Raw = _ABSENT
    service_tier: Raw = _ABSENT
    models: Raw = _ABSENT
    route: Raw = _ABSENT


class _MessagesBody(Struct):
    model: str
    stream: bool | None = None
    max_tokens: Number = None
    tools: Raw = _ABSENT
    output_config: Raw = _ABSENT
    output_format: Raw = _ABSENT
    metadata: Raw = _ABSENT
    service_tier: Raw = _ABSENT
    models: Raw = _ABSENT
    route: Raw = _ABSENT


class _OtherBody(Struct):
    model: str = ""
    stream: bool | None = None
    models: Raw = _ABSENT
    route: Raw = _ABSENT


class _Format(Struct):
    type: str = ""


class _Formatted(Struct):
    format: _Format | None = None


class _Named(Struct):
    id: str = ""


_READ = frozenset(
    name for body in (_OpenAIBody, _ResponsesBody, _MessagesBody) for name in body.__struct_fields__
)
_DECODE_OBJECT = msgspec.json.Decoder(dict[str, Raw]).decode
_DECODE_OPENAI = msgspec.json.Decoder(_OpenAIBody).decode
_DECODE_RESPONSES = msgspec.json.Decoder(_ResponsesBody).decode
_DECODE_MESSAGES = msgspec.json.Decoder(_MessagesBody).decode
_DECODE_OTHER = msgspec.json.Decoder(_OtherBody).decode
_DECODE_FORMAT = msgspec.json.Decoder(_Format).decode
_DECODE_FORMATTED = msgspec.json.Decoder(_Formatted).decode
_DECODE_CONVERSATION = msgspec.json.Decoder(str | _Named | None).decode
_DECODE_TEXT = msgspec.json.Decoder(str | None).decode


def read_ask(endpoint: Endpoint, body: bytes) -> Ask:
    """What a body asks for; AskError, with a message for the client, where it cannot be told."""
    if endpoint in {"models", "other"}:
        return _ask_other(endpoint, body)
    try:
        if endpoint == "responses":
            ask = _ask_responses(body)
        elif endpoint in {"messages", "count_tokens"}:
            ask = _ask_messages(endpoint, body)
        else:
            ask = _ask_openai(endpoint, body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise AskError(_what_is_wrong(body, fault)) from None
    if not ask.model:
        raise AskError("`model` is empty; name the model to be asked")
    if len(ask.model) > MAX_LABEL_CHARS:
        raise AskError(f"`model` is longer than {MAX_LABEL_CHARS} characters")
    return ask


def _without_prompt(body: bytes) -> tuple[bytes, dict[str, Raw] | None]:
    """What is to be read of a body; of a large one, also all its fields, for `rewriting`."""
    if len(body) < _LARGE_BYTES:
        return body, None
    fields = _DECODE_OBJECT(body)
    return msgspec.json.encode({name: fields[name] for name in fields if name in _READ}), fields


def _ask_openai(endpoint: Endpoint, body: bytes) -> Ask:
    head, fields = _without_prompt(body)
    said = _DECODE_OPENAI(head)
    ask = Ask(endpoint, said.model, said.stream is True, fields=fields)
    options = said.stream_options
    if options is not None:
        ask.asked_usage = options.include_usage is True
    if said.max_tokens is not None or said.max_completion_tokens is not None:
        ask.max_output_tokens = _larger(
            _whole("max_tokens", said.max_tokens),
            _whole("max_completion_tokens", said.max_completion_tokens),
        )
    if said.n is not None or said.best_of is not None:
        ask.n_choices = _choices(said.n, said.best_of)
    ask.has_tools = len(said.tools) > _NOTHING_BYTES or len(said.functions) > _NOTHING_BYTES
    if len(said.response_format) > _NOTHING_BYTES:
        ask.has_json_schema = _DECODE_FORMAT(said.response_format).type == "json_schema"
    _add_common(ask, said, body)
    return ask


def _ask_responses(body: bytes) -> Ask:
    head, fields = _without_prompt(body)
    said = _DECODE_RESPONSES(head)
    ask = Ask("responses", said.model, said.stream is True, fields=fields)
    ask.max_output_tokens = _whole("max_output_tokens", said.max_output_tokens)
    ask.has_tools = len(said.tools) > _NOTHING_BYTES
    if len(said.text) > _NOTHING_BYTES:
        text = _DECODE_FORMATTED(said.text)
        ask.has_json_schema = text.format is not None and text.format.type == "json_schema"
    _add_common(ask, said, body)
    ask.acts_once = bytes(said.background) == b"true"
    ask.is_background = bytes(said.background) not in _NOT_ASKED
    if said.previous_response_id:
        ask.stateful_id = said.previous_response_id
    if len(said.conversation) > _NOTHING_BYTES:
        named = _DECODE_CONVERSATION(said.conversation)
        conversation = named.id if isinstance(named, _Named) else named
        if conversation:
            ask.conversation = tidy(conversation)
            ask.acts_once = True
            ask.stateful_id = ask.stateful_id or conversation
    return ask


def _ask_messages(endpoint: Endpoint, body: bytes) -> Ask:
    head, fields = _without_prompt(body)
    said = _DECODE_MESSAGES(head)
    ask = Ask(endpoint, said.model, said.stream is True, fields=fields)
    ask.max_output_tokens = _whole("max_tokens", said.max_tokens)
    ask.has_tools = len(said.tools) > _NOTHING_BYTES
    if len(said.output_config) > _NOTHING_BYTES:
        output = _DECODE_FORMATTED(said.output_config)
        ask.has_json_schema = output.format is not None and output.format.type == "json_schema"
    if len(said.output_format) > _NOTHING_BYTES:
        ask.has_json_schema |= _DECODE_FORMAT(said.output_format).type == "json_schema"
    if len(said.metadata) > _NOTHING_BYTES:
        _add_labels(ask, said.metadata)
    ask.service_tier = _text(said.service_tier)
    ask.names_fallbacks = said.models is not _ABSENT or said.route is not _ABSENT
    ask.input_tokens_estimate = estimate_input_tokens(body)
    return ask


def _ask_other(endpoint: Endpoint, body: bytes) -> Ask:
    """An endpoint that we pass through unread; it may name a model and may be no JSON at all."""
    if body.lstrip()[:1] != b"{":
        return Ask(endpoint, "")
    try:
        said = _DECODE_OTHER(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise AskError(_what_is_wrong(body, fault)) from None
    ask = Ask(endpoint, said.model, said.stream is True)
    ask.names_fallbacks = said.models is not _ABSENT or said.route is not _ABSENT
    ask.input_tokens_estimate = estimate_input_tokens(body)
    return ask


def _add_common(ask: Ask, said: _OpenAIBody | _ResponsesBody, body: bytes) -> None:
    """Fields that OpenAI's endpoints share."""
    if said.user is not _ABSENT or said.safety_identifier is not _ABSENT:
        ask.user = _text(said.safety_identifier) or _text(said.user)
    if said.prompt_cache_key is not _ABSENT:
        ask.conversation = _text(said.prompt_cache_key)
    if said.service_tier is not _ABSENT:
        ask.service_tier = _text(said.service_tier)
    if said.models is not _ABSENT or said.route is not _ABSENT:
        ask.names_fallbacks = True
    if len(said.metadata) > _NOTHING_BYTES:
        _add_labels(ask, said.metadata)
    ask.input_tokens_estimate = estimate_input_tokens(body)


def _add_labels(ask: Ask, metadata: Raw) -> None:
    labels = labels_in_metadata(metadata)
    ask.feature = labels.feature
    ask.template = labels.template
    ask.tags = labels.tags
    ask.user = ask.user or labels.user


def _text(raw: Raw) -> str | None:
    """A short printable text, or None: what is only a label never makes a request fail."""
    if len(raw) <= 2:
        return None
    try:
        return tidy(_DECODE_TEXT(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _whole(field: str, number: Number) -> int | None:
    if number is None:
        return None
    if not 0 <= number <= MAX_TOKENS_ASKED or number != int(number):
        raise AskError(f"`{field}` must be a whole number from 0 to {MAX_TOKENS_ASKED}")
    return int(number)


def _larger(first: int | None, second: int | None) -> int | None:
    return max(first or 0, second or 0) if first is not None or second is not None else None


def _choices(n: Number, best_of: Number) -> int:
    asked = [number for number in (n, best_of) if number is not None]
    for number in asked:
        if not 1 <= number <= MAX_CHOICES or number != int(number):
            raise AskError(f"`n` and `best_of` must be whole numbers from 1 to {MAX_CHOICES}")
    return int(max(asked, default=1))


def estimate_input_tokens(body: bytes) -> int:
    """Input tokens [tokens] by size alone: four bytes a token, a flat rate for an attachment.

    An attachment is base64, which text is not for long: a look every few kilobytes finds it.

    >>> estimate_input_tokens(b"x" * 400)
    100
    """
    size = len(body)
    n_attached = n_bytes = 0
    at = _PROBE_EVERY_BYTES
    while at < size:
        to = at + _PROBE_BYTES  # a space is looked for first: it is soon found in text, and cheaply
        if body.find(b" ", at, to) >= 0 or body[at:to].translate(None, _BASE64):
            at += _PROBE_EVERY_BYTES
            continue
        start = body.rfind(b'"', 0, at)
        end = body.find(b'"', at)
        end = size if end < 0 else end
        if _IS_ATTACHED.search(body, max(0, start - _PROBE_BYTES), start + _PROBE_BYTES):
            n_attached += 1
            n_bytes += end - start
        at = end + _PROBE_EVERY_BYTES
    return (size - n_bytes) // BYTES_PER_TOKEN + n_attached * ATTACHMENT_TOKENS


def _what_is_wrong(body: bytes, fault: Exception) -> str:
    """Why a body was refused, in words for the client; never with a piece of the prompt."""
    if isinstance(fault, RecursionError):
        return "the body is nested too deeply"
    if isinstance(fault, UnicodeDecodeError):
        return "the body is not UTF-8"
    if not body.strip():
        return "the body is empty; a JSON object is needed"
    if isinstance(fault, msgspec.ValidationError):
        words = str(fault)
        if "missing required field" in words:
            return "`model` is missing; name the model to be asked"
        return f"the body does not fit: {words}"
    return f"the body is not JSON: {fault}"
