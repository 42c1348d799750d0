"""Paths and the dialects spoken there."""

import pytest

from weighbridge.gateway.dialects.ask import Endpoint
from weighbridge.gateway.dialects.endpoints import dialect_of, endpoint_of, stateful_id_in


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        (b"POST", b"/v1/chat/completions", "chat"),
        (b"POST", b"/v1/completions", "completions"),
        (b"POST", b"/v1/embeddings", "embeddings"),
        (b"POST", b"/v1/responses", "responses"),
        (b"GET", b"/v1/responses/resp_1", "other"),
        (b"DELETE", b"/v1/responses/resp_1", "other"),
        (b"POST", b"/v1/responses/resp_1/cancel", "other"),
        (b"GET", b"/v1/models", "models"),
        (b"GET", b"/v1/models/gpt-4.1", "models"),
        (b"GET", b"/v1/models/org/name:free", "models"),
        (b"POST", b"/v1/messages", "messages"),
        (b"POST", b"/v1/messages/count_tokens", "count_tokens"),
        (b"POST", b"/v1/messages/batches", "other"),
        (b"GET", b"/v1/chat/completions", "other"),
        (b"POST", b"/v1/audio/transcriptions", "other"),
        (b"POST", b"/chat/completions", None),
        (b"GET", b"/", None),
        (b"GET", b"/v1", None),
        (b"GET", b"/v10/models", None),
        (b"POST", b"/v1/x/../chat/completions", None),
        (b"POST", b"/v1/./chat/completions", None),
        (b"POST", b"/v1//chat/completions", None),
        (b"POST", b"/v1/chat/completions/..", None),
        (b"POST", b"/v1/chat%2fcompletions", None),
        (b"POST", b"/v1/chat\\completions", None),
        (b"POST", b"/v1/chat/completions\n", None),
    ],
)
def test_endpoint_of_a_path(method: bytes, path: bytes, endpoint: Endpoint | None) -> None:
    assert endpoint_of(method, path) == endpoint


@pytest.mark.parametrize(
    ("endpoint", "headers", "dialect"),
    [
        ("chat", [], "openai"),
        ("chat", [(b"anthropic-version", b"2023-06-01")], "openai"),
        ("messages", [], "anthropic"),
        ("count_tokens", [], "anthropic"),
        ("models", [], "openai"),
        ("models", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        ("other", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
    ],
)
def test_dialect_of_an_endpoint(
    endpoint: Endpoint, headers: list[tuple[bytes, bytes]], dialect: str
) -> None:
    assert dialect_of(endpoint, headers) == dialect


@pytest.mark.parametrize(
    ("path", "stateful_id"),
    [
        (b"/v1/responses/resp_1", "resp_1"),
        (b"/v1/responses/resp_1/input_items", "resp_1"),
        (b"/v1/conversations/conv_2/items", "conv_2"),
        (b"/v1/responses", None),
        (b"/v1/models/resp_1", None),
    ],
)
def test_stored_state_is_named_by_the_path(path: bytes, stateful_id: str | None) -> None:
    assert stateful_id_in(path) == stateful_id
