"""Usage of whole answers, per dialect and upstream."""

import json

import pytest

from weighbridge.gateway.dialects.answers import DECODE_BELOW_BYTES, read_answer
from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage

CHAT = {"id": "c1", "model": "m-1", "service_tier": "default", "choices": []}


def chat(usage: object, **more: object) -> bytes:
    return json.dumps({**CHAT, **more, "usage": usage}).encode()


@pytest.mark.parametrize(
    ("endpoint", "usage", "counts"),
    [
        ("chat", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, (9, 0, 0, 4, 0)),
        (
            "chat",
            {
                "prompt_tokens": 100,
                "completion_tokens": 40,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 16},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2},
            },
            (20, 64, 16, 40, 30),
        ),
        (
            "chat",
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 60,
                "prompt_cache_miss_tokens": 40,
            },
            (40, 60, 0, 5, 0),
        ),
        (
            "chat",
            {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4},
            (6, 4, 0, 5, 0),
        ),
        (
            "chat",
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            (10, 0, 0, 105, 100),
        ),
        ("chat", {"prompt_tokens": 3, "completion_tokens": None}, (3, 0, 0, 0, 0)),
        ("chat", {"prompt_tokens": 3.0, "completion_tokens": 2.0}, (3, 0, 0, 2, 0)),
        (
            "chat",
            {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None},
            (3, 0, 0, 2, 0),
        ),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, (8, 0, 0, 0, 0)),
        (
            "responses",
            {
                "input_tokens": 37,
                "input_tokens_details": {"cached_tokens": 12},
                "output_tokens": 11,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 48,
            },
            (25, 12, 0, 11, 4),
        ),
        (
            "messages",
            {
                "input_tokens": 14,
                "cache_read_input_tokens": 3000,
                "cache_creation_input_tokens": 200,
                "output_tokens": 37,
            },
            (14, 3000, 200, 37, 0),
        ),
        (
            "messages",
            {
                "input_tokens": 1,
                "cache_creation": {
                    "ephemeral_1h_input_tokens": 5,
                    "ephemeral_5m_input_tokens": 7,
                },
                "output_tokens": 2,
                "output_tokens_details": {"thinking_tokens": 1},
            },
            (1, 0, 12, 2, 1),
        ),
        ("chat", {"prompt_tokens": 0, "completion_tokens": 0}, (0, 0, 0, 0, 0)),
    ],
)
def test_counts_are_made_disjoint(
    endpoint: Endpoint, usage: object, counts: tuple[int, ...]
) -> None:
    told = read_answer(endpoint, chat(usage))
    assert told == TokenUsage(*counts, "m-1", "default", "c1")


def test_anthropic_tier_stands_in_its_usage() -> None:
    told = read_answer(
        "messages", chat({"input_tokens": 1, "output_tokens": 1, "service_tier": "priority"})
    )
    assert told is not None
    assert told.service_tier == "priority"


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 9},
            },
            "9 cached and 0 cache-written of 5 input tokens",
        ),
        ({"prompt_tokens": -5, "completion_tokens": 1}, "prompt_tokens is -5"),
        ({"prompt_tokens": 5, "completion_tokens": 1.5}, "completion_tokens is 1.5"),
        ({"prompt_tokens": 5, "completion_tokens": 10**20}, f"completion_tokens is {10**20}"),
        ({"prompt_tokens": 10**9 + 1}, f"prompt_tokens is {10**9 + 1}"),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            "7 reasoning of 1 output tokens",
        ),
    ],
)
def test_contradiction_is_said(usage: object, words: str) -> None:
    told = read_answer("chat", chat(usage))
    assert told is not None
    assert told.contradiction == words
    assert told.uncached_input_tokens >= 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"usage":null}',
        b'{"usage":{}}',
        b'{"usage":7}',
        b'{"usage":{"prompt_tokens":"9"}}',
        b'{"error":{"message":"no"}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_answer_without_readable_usage_has_none(body: bytes) -> None:
    assert read_answer("chat", body) is None


def test_other_fields_of_another_kind_do_not_hide_usage() -> None:
    body = b'{"model":7,"id":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    assert read_answer("chat", body) == TokenUsage(1, 0, 0, 2, 0)


def test_counting_tokens_costs_none() -> None:
    assert read_answer("count_tokens", b'{"input_tokens":2095}') == TokenUsage()


PADDING = ['say "usage":{"prompt_tokens":1} ' * 4000]


@pytest.mark.parametrize("usage_first", [True, False])
def test_large_answer_is_read_like_a_small_one(usage_first: bool) -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    text = {"choices": PADDING}
    named = {"id": "c1", "model": "m-1", **({} if usage_first else text), "usage": usage}
    fields = {**named, **text, "service_tier": "flex"}
    body = json.dumps(fields).encode()
    assert len(body) > DECODE_BELOW_BYTES
    assert read_answer("chat", body) == TokenUsage(6, 3, 0, 4, 0, "m-1", "flex", "c1")


def test_large_answer_without_usage_has_none() -> None:
    assert read_answer("chat", json.dumps({"choices": PADDING}).encode()) is None


def test_model_of_large_embeddings_stands_at_their_end() -> None:
    body = json.dumps(
        {"data": [0.125] * 30_000, "model": "e-1", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    ).encode()
    told = read_answer("embeddings", body)
    assert told == TokenUsage(8, model="e-1")
