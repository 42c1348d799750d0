"""Errors as the clients' own libraries read them."""

import json

import pytest

from weighbridge.gateway.dialects.answers import StreamReader
from weighbridge.gateway.dialects.ask import Endpoint
from weighbridge.gateway.dialects.errors import error_body, error_event, error_type_of


def test_openai_body() -> None:
    assert error_body("openai", 429, "budget_exhausted", 'No money "left"', "r1") == (
        b'{"error":{"message":"No money \\"left\\"","type":"rate_limit_error","param":null,'
        b'"code":"budget_exhausted"}}'
    )


def test_anthropic_body() -> None:
    assert error_body("anthropic", 403, "model_not_allowed", "No", "r1") == (
        b'{"type":"error","error":{"type":"permission_error","message":"No",'
        b'"code":"model_not_allowed"},"request_id":"r1"}'
    )


@pytest.mark.parametrize(
    ("status", "in_openai", "in_anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (404, "not_found_error", "not_found_error"),
        (413, "invalid_request_error", "request_too_large"),
        (422, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "overloaded_error"),
        (504, "server_error", "timeout_error"),
    ],
)
def test_type_of_a_status(status: int, in_openai: str, in_anthropic: str) -> None:
    assert error_type_of("openai", status) == in_openai
    assert error_type_of("anthropic", status) == in_anthropic


@pytest.mark.parametrize("endpoint", ["chat", "completions", "messages", "responses"])
def test_error_event_is_one_whole_event_and_no_end(endpoint: Endpoint) -> None:
    data = error_event(endpoint, "upstream_broke", "The upstream\nbroke")
    assert data.count(b"\n\n") == 1
    assert data.endswith(b"\n\n")
    assert b"[DONE]" not in data
    reader = StreamReader(endpoint)
    assert reader.feed(data) is data
    assert reader.error == "The upstream\nbroke"
    said = json.loads(data[data.index(b"{") :])
    assert said["error"]["code"] == "upstream_broke"
