"""What is read of a request, and how one that cannot be read is refused."""

import base64
import json

import pytest

from weighbridge.gateway.dialects.ask import AskError, Endpoint
from weighbridge.gateway.dialects.asking import (
    ATTACHMENT_TOKENS,
    estimate_input_tokens,
    read_ask,
)

HELLO = [{"role": "user", "content": "Hello"}]


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", **fields}).encode()


def test_chat_request_is_read() -> None:
    ask = read_ask(
        "chat",
        body(
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True, "include_obfuscation": False},
            max_tokens=100,
            max_completion_tokens=200,
            n=3,
            tools=[{"type": "function", "function": {"name": "f"}}],
            response_format={"type": "json_schema", "json_schema": {"name": "x"}},
            user="u-1",
            prompt_cache_key="thread-9",
            service_tier="flex",
            metadata={"feature": "search", "template": "q/1", "tags": ["team:a"]},
        ),
    )
    assert (ask.endpoint, ask.model, ask.stream, ask.asked_usage) == ("chat", "m", True, True)
    assert (ask.max_output_tokens, ask.n_choices) == (200, 3)
    assert ask.has_tools
    assert ask.has_json_schema
    assert (ask.user, ask.conversation, ask.service_tier) == ("u-1", "thread-9", "flex")
    assert (ask.feature, ask.template, ask.tags) == ("search", "q/1", ("team:a",))
    assert ask.stateful_id is None


def test_plain_chat_request_has_defaults() -> None:
    ask = read_ask("chat", body(messages=HELLO, tools=[], stream=None, n=None))
    assert [ask.stream, ask.asked_usage, ask.has_tools, ask.has_json_schema] == [False] * 4
    assert (ask.max_output_tokens, ask.n_choices, ask.user, ask.tags) == (None, 1, None, ())


def test_safety_identifier_names_the_user() -> None:
    assert read_ask("chat", body(user="old", safety_identifier="new")).user == "new"


def test_functions_are_tools() -> None:
    assert read_ask("chat", body(functions=[{"name": "f", "parameters": {}}])).has_tools


def test_best_of_counts_as_choices() -> None:
    assert read_ask("completions", body(prompt="x", n=2, best_of=5)).n_choices == 5


def test_responses_request_is_read() -> None:
    ask = read_ask(
        "responses",
        body(
            input="Hello",
            max_output_tokens=50,
            text={"format": {"type": "json_schema", "name": "x", "schema": {}}},
            previous_response_id="resp_1",
            prompt_cache_key="k",
            tools=[{"type": "web_search"}],
        ),
    )
    assert ask.has_json_schema
    assert ask.has_tools
    assert (ask.max_output_tokens, ask.stateful_id, ask.conversation) == (50, "resp_1", "k")


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
def test_conversation_of_responses_is_state(conversation: object) -> None:
    ask = read_ask("responses", body(input="Hello", conversation=conversation))
    assert (ask.conversation, ask.stateful_id) == ("conv_1", "conv_1")


def test_no_conversation_is_no_state() -> None:
    ask = read_ask("responses", body(conversation=None, previous_response_id=None, text={}))
    assert (ask.conversation, ask.stateful_id) == (None, None)


def test_messages_request_is_read() -> None:
    ask = read_ask(
        "messages",
        body(
            messages=HELLO,
            max_tokens=1024,
            stream=True,
            metadata={"user_id": "u-2"},
            output_config={"format": {"type": "json_schema", "schema": {}}, "effort": "low"},
            service_tier="standard_only",
        ),
    )
    assert (ask.max_output_tokens, ask.stream, ask.user) == (1024, True, "u-2")
    assert ask.has_json_schema
    assert ask.service_tier == "standard_only"
    assert read_ask("messages", body(output_format={"type": "json_schema"})).has_json_schema


def test_other_endpoints_may_carry_no_json() -> None:
    assert read_ask("other", b"--boundary\r\n").model == ""
    assert read_ask("models", b"").model == ""
    assert read_ask("other", body(stream=True)).model == "m"
    with pytest.raises(AskError):
        read_ask("other", b'{"model": 7}')


def test_last_of_two_keys_counts() -> None:
    assert read_ask("chat", b'{"model":"a","model":"b"}').model == "b"
    assert read_ask("chat", b'{"model":"a","mod\\u0065l":"b"}').model == "b"


DEEP = b'{"model":"m","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the body is empty; a JSON object is needed"),
        (b" \n", "the body is empty; a JSON object is needed"),
        (b"{", "the body is not JSON: Input data was truncated"),
        (b"model=m", "the body is not JSON: JSON is malformed: invalid character (byte 0)"),
        (
            b'{"model":"m"} {}',
            "the body is not JSON: JSON is malformed: trailing characters (byte 15)",
        ),
        (b"[]", "the body does not fit: Expected `object`, got `array`"),
        (b"{}", "`model` is missing; name the model to be asked"),
        (b'{"model":""}', "`model` is empty; name the model to be asked"),
        (b'{"model":7}', "the body does not fit: Expected `str`, got `int` - at `$.model`"),
        (b'{"model":null}', "the body does not fit: Expected `str`, got `null` - at `$.model`"),
        (b'{"model":"\xff"}', "the body is not UTF-8"),
        (
            b'{"model":"m","stream":"yes"}',
            "the body does not fit: Expected `bool | null`, got `str` - at `$.stream`",
        ),
        (
            b'{"model":"m","stream_options":true}',
            "the body does not fit: Expected `object | null`, got `bool` - at `$.stream_options`",
        ),
        (
            b'{"model":"m","max_tokens":-1}',
            "`max_tokens` must be a whole number from 0 to 1000000000",
        ),
        (
            b'{"model":"m","max_tokens":1e300}',
            "`max_tokens` must be a whole number from 0 to 1000000000",
        ),
        (
            b'{"model":"m","max_completion_tokens":1.5}',
            "`max_completion_tokens` must be a whole number from 0 to 1000000000",
        ),
        (b'{"model":"m","n":0}', "`n` and `best_of` must be whole numbers from 1 to 1024"),
        (DEEP, "the body is nested too deeply"),
    ],
)
def test_body_that_cannot_be_read_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(AskError) as refused:
        read_ask("chat", data)
    assert str(refused.value) == message


@pytest.mark.parametrize("endpoint", ["responses", "messages", "count_tokens", "embeddings"])
def test_model_is_needed_everywhere(endpoint: Endpoint) -> None:
    with pytest.raises(AskError, match="`model` is missing"):
        read_ask(endpoint, b'{"input":"x"}')


def test_whole_floats_are_whole_numbers() -> None:
    assert read_ask("chat", b'{"model":"m","max_tokens":16.0}').max_output_tokens == 16
    assert read_ask("chat", b'{"model":"m","max_tokens":0}').max_output_tokens == 0


@pytest.mark.parametrize("label", [7, "", "a\nb", "x" * 257, ["a"], {"a": 1}, "\x7f"])
def test_labels_that_do_not_fit_are_passed_over(label: object) -> None:
    ask = read_ask(
        "chat",
        body(user=label, prompt_cache_key=label, metadata={"feature": label, "template": label}),
    )
    assert (ask.user, ask.conversation, ask.feature, ask.template) == (None, None, None, None)


@pytest.mark.parametrize("metadata", [7, "feature", [], [1, 2, 3], {"tags": 7}, {"tags": [7]}])
def test_metadata_of_another_kind_is_passed_over(metadata: object) -> None:
    ask = read_ask("chat", body(metadata=metadata))
    assert (ask.feature, ask.template, ask.tags) == (None, None, ())


def test_tags_of_litellm_name_feature_and_template() -> None:
    tags = ["feature:search", "template:q", "feature:second", "prod"]
    ask = read_ask("chat", body(metadata={"tags": tags}))
    assert (ask.feature, ask.template) == ("search", "q")
    assert ask.tags == tuple(tags)
    assert read_ask("chat", body(metadata={"tags": "a, b"})).tags == ("a", "b")


def test_input_is_estimated_from_size() -> None:
    assert estimate_input_tokens(b"x" * 40_000) == 10_000
    assert read_ask("chat", body(messages=HELLO)).input_tokens_estimate > 10


PICTURE = base64.b64encode(bytes(range(256)) * 300).decode()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "image", "source": {"type": "base64", "data": PICTURE}},
        {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PICTURE}"}},
    ],
)
def test_attachments_do_not_count_as_text(part: object) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        data = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": [part, part]}]},
            separators=separators,
        ).encode()
        estimate = estimate_input_tokens(data)
        assert 2 * ATTACHMENT_TOKENS < estimate < 2 * ATTACHMENT_TOKENS + 200
