"""The client libraries that people use, unchanged but for base URL and key."""

import math
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from weighbridge.rehearsal.provider_process import ProviderProcess
from weighbridge.rehearsal.provider_settings import Fault, Settings

TALK: list[Any] = [{"role": "user", "content": "What is the weather in Lisbon?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}
FUNCTION: dict[str, Any] = {"name": "forecast", "parameters": PARAMETERS}
OPENAI_TOOLS: list[Any] = [{"type": "function", "function": FUNCTION}]
MODEL = "claude-rehearsal"  # a name that no client library warns about


class Weather(BaseModel):
    """What the answer must look like."""

    city: str
    degrees: float
    tags: list[str]


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess(Settings(speed=0)) as running:
        yield running


@pytest.fixture(scope="module")
def oai(provider: ProviderProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def ant(provider: ProviderProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="any", max_retries=0) as made:
        yield made


def test_chat_streams_what_it_says_whole(oai: openai.OpenAI) -> None:
    whole = oai.chat.completions.create(model="gpt-4o", messages=TALK)
    stream = oai.chat.completions.create(
        model="gpt-4o", messages=TALK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "forecast"}}]
)
def test_chat_calls_the_tool_it_must(oai: openai.OpenAI, choice: Any) -> None:
    whole = oai.chat.completions.create(
        model="gpt-4o", messages=TALK, tools=OPENAI_TOOLS, tool_choice=choice
    )
    (call,) = whole.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "forecast"
    assert whole.choices[0].finish_reason == "tool_calls"
    with oai.chat.completions.stream(
        model="gpt-4o", messages=TALK, tools=OPENAI_TOOLS, tool_choice=choice
    ) as stream:
        (streamed,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert streamed.function.arguments == call.function.arguments


def test_chat_answers_in_the_schema_it_must(oai: openai.OpenAI) -> None:
    answer = oai.chat.completions.parse(model="gpt-4o", messages=TALK, response_format=Weather)
    assert isinstance(answer.choices[0].message.parsed, Weather)


def test_several_choices_are_streamed_side_by_side(oai: openai.OpenAI) -> None:
    whole = oai.chat.completions.create(model="gpt-4o", messages=TALK, n=2)
    said = ["", ""]
    for chunk in oai.chat.completions.create(model="gpt-4o", messages=TALK, n=2, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == [choice.message.content for choice in whole.choices]


def test_completions_stream_what_they_say_whole(oai: openai.OpenAI) -> None:
    whole = oai.completions.create(model="gpt-4o", prompt="Once")
    stream = oai.completions.create(model="gpt-4o", prompt="Once", stream=True)
    assert "".join(c.choices[0].text for c in stream) == whole.choices[0].text


def test_reasoning_tokens_are_told(oai: openai.OpenAI) -> None:
    usage = oai.chat.completions.create(model="o4-mini", messages=TALK).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert 0 < (usage.completion_tokens_details.reasoning_tokens or 0) < usage.completion_tokens


def test_embeddings_are_unit_vectors_of_the_size_asked(oai: openai.OpenAI) -> None:
    answer = oai.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=16)
    plain = oai.embeddings.create(
        model="text-embedding-3-small", input=["a", "b"], dimensions=16, encoding_format="float"
    )
    for packed, numbers in zip(answer.data, plain.data, strict=True):
        assert len(packed.embedding) == 16
        assert math.hypot(*numbers.embedding) == pytest.approx(1)
    assert answer.usage.total_tokens == 2


def test_responses_stream_what_they_say_whole(oai: openai.OpenAI) -> None:
    whole = oai.responses.create(model="gpt-4o", input="Tell me more.")
    with oai.responses.stream(model="gpt-4o", input="Tell me more.") as stream:
        streamed = stream.get_final_response()
    assert streamed.output_text == whole.output_text
    assert streamed.usage == whole.usage


def test_responses_call_tools_and_parse_schemas(oai: openai.OpenAI) -> None:
    tools: list[Any] = [{"type": "function", "strict": False, **FUNCTION}]
    called = oai.responses.create(model="gpt-4o", input="x", tools=tools, tool_choice="required")
    assert called.output[0].type == "function_call"
    parsed = oai.responses.parse(model="gpt-4o", input="x", text_format=Weather)
    assert isinstance(parsed.output_parsed, Weather)


def test_messages_stream_what_they_say_whole(ant: anthropic.Anthropic) -> None:
    whole = ant.messages.create(model=MODEL, max_tokens=80, messages=TALK)
    with ant.messages.stream(model=MODEL, max_tokens=80, messages=TALK) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].text == whole.content[0].text  # type: ignore[union-attr]
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_messages_call_the_tool_they_must(ant: anthropic.Anthropic) -> None:
    tools: list[Any] = [{"name": "forecast", "input_schema": PARAMETERS}]
    choice: Any = {"type": "tool", "name": "forecast"}
    asked: dict[str, Any] = {"tools": tools, "tool_choice": choice, "messages": TALK}
    whole = ant.messages.create(model=MODEL, max_tokens=80, **asked)
    with ant.messages.stream(model=MODEL, max_tokens=80, **asked) as stream:
        streamed = stream.get_final_message()
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert whole.content[0].input == streamed.content[0].input  # type: ignore[union-attr]


def test_tokens_are_counted_and_models_listed(ant: anthropic.Anthropic, oai: openai.OpenAI) -> None:
    assert ant.messages.count_tokens(model=MODEL, messages=TALK).input_tokens > 5
    assert [m.id for m in ant.models.list()] == [m.id for m in oai.models.list()]


def test_errors_become_the_exceptions_of_each_library(
    provider: ProviderProcess, ant: anthropic.Anthropic, oai: openai.OpenAI
) -> None:
    provider.add_fault(Fault(fault="status_429"))
    with pytest.raises(openai.RateLimitError):
        oai.chat.completions.create(model="gpt-4o", messages=TALK)
    with pytest.raises(anthropic.RateLimitError):
        ant.messages.create(model=MODEL, max_tokens=9, messages=TALK)
    provider.clear_faults()
    provider.add_fault(Fault(fault="torn_stream", after_events=2))
    with pytest.raises(openai.APIConnectionError):
        list(oai.chat.completions.create(model="gpt-4o", messages=TALK, stream=True))
    provider.clear_faults()


def test_the_process_tells_its_bill_and_forgets_on_request(provider: ProviderProcess) -> None:
    provider.reset()
    assert provider.bill()["total"]["n_requests"] == 0
    provider.set_engine(waiting=5)
    with pytest.raises(RuntimeError, match="404"):
        provider.admin("GET", "/rehearsal/nothing")
