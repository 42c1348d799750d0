"""Which endpoint a path is, and which dialect is spoken there."""

from __future__ import annotations

import re

from weighbridge.gateway.dialects.ask import Endpoint
from weighbridge.gateway.wire.messages import Headers
from weighbridge.policy.types import Dialect

_EXACT: dict[tuple[bytes, bytes], Endpoint] = {
    (b"POST", b"/v1/chat/completions"): "chat",
    (b"POST", b"/v1/completions"): "completions",
    (b"POST", b"/v1/embeddings"): "embeddings",
    (b"POST", b"/v1/responses"): "responses",
    (b"POST", b"/v1/messages"): "messages",
    (b"POST", b"/v1/messages/count_tokens"): "count_tokens",
    (b"GET", b"/v1/models"): "models",
}
_BELOW_MESSAGES = b"/v1/messages/"
_STATEFUL = re.compile(rb"/v1/(?:responses|conversations)/([A-Za-z0-9_-]{1,256})(?:/|\Z)")
_PLAIN_PATH = re.compile(rb"/v1/[A-Za-z0-9._~!$&'()*+,;=:@/-]*\Z")


def endpoint_of(method: bytes, path: bytes) -> Endpoint | None:
    """The endpoint that a request asks for; None outside `/v1` and for a path that is ambiguous.

    Percent-encoding, empty and dot segments could name one endpoint here and another one upstream,
    so that nothing but plain paths passes; model names with a slash are plain.

    >>> endpoint_of(b"POST", b"/v1/chat/completions")
    'chat'
    >>> endpoint_of(b"POST", b"/v1/x/../chat/completions") is None
    True
    """
    endpoint = _EXACT.get((method, path))
    if endpoint is not None:
        return endpoint
    if _PLAIN_PATH.match(path) is None or b"//" in path:
        return None
    if b"/./" in path or b"/../" in path or path.endswith((b"/.", b"/..")):
        return None
    if method == b"GET" and path.startswith(b"/v1/models/"):
        return "models"
    return "other"


def dialect_of(endpoint: Endpoint, headers: Headers, path: bytes = b"") -> Dialect:
    """Whose dialect a request is in; both have `/v1/models`, and Anthropic's names a version."""
    if endpoint in {"messages", "count_tokens"} or path.startswith(_BELOW_MESSAGES):
        return "anthropic"
    if endpoint in {"models", "other"}:
        for name, _ in headers:
            if name == b"anthropic-version":
                return "anthropic"
    return "openai"


def stateful_id_in(path: bytes) -> str | None:
    """The stored response or conversation that a path names: only the target that made it has it.

    >>> stateful_id_in(b"/v1/responses/resp_1/cancel")
    'resp_1'
    """
    found = _STATEFUL.match(path)
    return found.group(1).decode("ascii") if found else None
