"""Errors in the words of each dialect, so that client libraries raise what they always raise."""

from __future__ import annotations

import msgspec

from weighbridge.gateway.dialects.ask import Endpoint
from weighbridge.policy.types import Dialect

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ENCODE = msgspec.json.encode
_FIRST_SERVER_STATUS = 500


def error_type_of(dialect: Dialect, status: int) -> str:
    """The `type` that goes with a status.

    >>> error_type_of("anthropic", 503), error_type_of("openai", 503)
    ('overloaded_error', 'server_error')
    """
    known = _ANTHROPIC_TYPES if dialect == "anthropic" else _OPENAI_TYPES
    kind = known.get(status)
    if kind is not None:
        return kind
    if status < _FIRST_SERVER_STATUS:
        return "invalid_request_error"
    return "api_error" if dialect == "anthropic" else "server_error"


def error_body(dialect: Dialect, status: int, code: str, message: str, request_id: str) -> bytes:
    """The JSON body of a refusal; `code` is ours, in either dialect."""
    kind = error_type_of(dialect, status)
    if dialect == "anthropic":
        error: dict[str, object] = {"type": kind, "message": message, "code": code}
        return _ENCODE({"type": "error", "error": error, "request_id": request_id})
    return _ENCODE({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_event(endpoint: Endpoint, code: str, message: str, sequence_number: int = 0) -> bytes:
    """The last event of a stream that broke; it is never followed by `[DONE]`.

    For responses the facts stand beside `type`, as documented, and under `error`, which is where
    OpenAI's client library looks.
    """
    if endpoint == "messages":
        error: dict[str, object] = {"type": "api_error", "message": message, "code": code}
        return b"event: error\ndata: " + _ENCODE({"type": "error", "error": error}) + b"\n\n"
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    if endpoint != "responses":
        return b"data: " + _ENCODE({"error": error}) + b"\n\n"
    told = {
        "type": "error",
        "code": code,
        "message": message,
        "param": None,
        "sequence_number": sequence_number,
        "error": error,
    }
    return b"event: error\ndata: " + _ENCODE(told) + b"\n\n"
