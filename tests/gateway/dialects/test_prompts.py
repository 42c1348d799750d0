"""The texts that fingerprints are made of."""

import json

import pytest

from weighbridge.gateway.dialects.ask import Endpoint
from weighbridge.gateway.dialects.prompts import MAX_TEXT_CHARS, prompt_parts


@pytest.mark.parametrize(
    ("endpoint", "fields", "parts"),
    [
        (
            "chat",
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                    {"role": "user", "content": "Hello"},
                    {"role": "system", "content": "late"},
                    {"role": "user", "content": "Later"},
                ]
            },
            ("Be kind.\nBe brief.", "Hello"),
        ),
        (
            "chat",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "x"}},
                            {"type": "text", "text": "What is it?"},
                        ],
                    }
                ]
            },
            ("", "What is it?"),
        ),
        (
            "messages",
            {"system": "Be kind.", "messages": [{"role": "user", "content": "Hello"}]},
            ("Be kind.", "Hello"),
        ),
        (
            "messages",
            {
                "system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}],
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            },
            ("Be\nkind.", "Hello"),
        ),
        ("responses", {"instructions": "Be kind.", "input": "Hello"}, ("Be kind.", "Hello")),
        (
            "responses",
            {
                "instructions": None,
                "input": [
                    {"role": "developer", "content": "Be kind."},
                    {"type": "reasoning", "summary": []},
                    {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                ],
            },
            ("Be kind.", "Hello"),
        ),
        ("completions", {"prompt": "Once"}, ("", "Once")),
        ("completions", {"prompt": ["Once", "Twice"]}, ("", "Once\nTwice")),
        ("completions", {"prompt": [1, 2, 3]}, ("", "")),
        ("embeddings", {"input": "Some text"}, ("", "Some text")),
        ("chat", {"messages": []}, ("", "")),
        ("chat", {"messages": None}, ("", "")),
        ("chat", {"messages": 7}, ("", "")),
        ("chat", {"messages": [7, {"role": "user", "content": 7}]}, ("", "")),
        ("chat", {}, ("", "")),
    ],
)
def test_texts_of_a_prompt(endpoint: Endpoint, fields: object, parts: tuple[str, str]) -> None:
    assert prompt_parts(endpoint, json.dumps(fields).encode()) == parts


def test_texts_are_cut_to_a_bound() -> None:
    messages = [{"role": role, "content": "x" * 100_000} for role in ("system", "system", "user")]
    system, user = prompt_parts("chat", json.dumps({"messages": messages}).encode())
    assert len(system) == len(user) == MAX_TEXT_CHARS


def test_what_is_no_json_has_no_texts() -> None:
    assert prompt_parts("chat", b"--boundary") == ("", "")
