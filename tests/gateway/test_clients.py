"""The openai and anthropic Python clients, unchanged but for base URL and key."""

import asyncio
import json

import pytest

from weighbridge.rehearsal.provider_settings import Fault

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["city", "n"],
    "additionalProperties": False,
}


def with_openai(h, n_retries: int = 0, key: str | None = None):
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{h.port}/v1", api_key=key or h.key, max_retries=n_retries
    )


def with_anthropic(h, n_retries: int = 0, key: str | None = None):
    return anthropic.Anthropic(
        base_url=f"http://127.0.0.1:{h.port}", api_key=key or h.key, max_retries=n_retries
    )


def in_house(house, run, ask, change=None, fault: Fault | None = None, **given):
    """Run `ask(h)` in a thread beside the gateway; its answer, and the records."""

    async def main():
        async with house(change, **given) as h:
            if fault is not None:
                h.providers[0].add_fault(fault)
            said = await asyncio.wait_for(asyncio.to_thread(ask, h), 20)
            await asyncio.sleep(0.05)
            return said, h.records()

    return run(main)


def test_openai_chat_with_and_without_streaming(house, run) -> None:
    def ask(h):
        with with_openai(h) as client:
            whole = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            events = list(
                client.chat.completions.create(
                    model="gpt-4o-mini", messages=MESSAGES, stream=True, max_tokens=9
                )
            )
            told = list(
                client.chat.completions.create(
                    model="gpt-4o-mini", messages=MESSAGES, stream=True, max_tokens=9,
                    stream_options={"include_usage": True},
                )
            )  # fmt: skip
            return whole, events, told

    (whole, events, told), records = in_house(house, run, ask)
    assert whole.choices[0].message.content
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices)
    assert all(event.usage is None for event in events)
    assert told[-1].usage.completion_tokens == records[2].output_tokens
    assert records[0].output_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_openai_tools(house, run, stream) -> None:
    def ask(h):
        with with_openai(h) as client:
            said = client.chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, tools=TOOLS, tool_choice="required",
                stream=stream,
            )  # fmt: skip
            if not stream:
                return said.choices[0].message.tool_calls[0].function.arguments
            calls = [e.choices[0].delta.tool_calls for e in said if e.choices]
            return "".join(c[0].function.arguments or "" for c in calls if c)

    arguments, (record,) = in_house(house, run, ask)
    assert "city" in json.loads(arguments)
    assert record.status == "ok"
    if stream:
        assert record.ttft_s is not None


def test_openai_json_schema(house, run) -> None:
    def ask(h):
        form = {"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}}
        with with_openai(h) as client:
            return client.chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, response_format=form
            )

    said, _ = in_house(house, run, ask)
    assert set(json.loads(said.choices[0].message.content)) == {"city", "n"}


def test_openai_embeddings_completions_models_and_responses(house, run) -> None:
    def ask(h):
        with with_openai(h) as client:
            vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
            old = client.completions.create(model="gpt-4o-mini", prompt="x", max_tokens=5)
            names = [model.id for model in client.models.list()]
            first = client.responses.create(model="gpt-4o-mini", input="hello")
            next_one = client.responses.create(
                model="gpt-4o-mini", input="more", previous_response_id=first.id
            )
            kinds = [
                event.type
                for event in client.responses.create(
                    model="gpt-4o-mini", input="hello", stream=True
                )
            ]
            return vectors, old, names, next_one, kinds

    (vectors, old, names, next_one, kinds), records = in_house(house, run, ask)
    assert len(vectors.data) == 2
    assert old.choices[0].text
    assert "gpt-4o-mini" in names
    assert next_one.output_text
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert [r.endpoint for r in records] == [
        "embeddings", "completions", "responses", "responses", "responses",
    ]  # fmt: skip


def test_anthropic_messages_streaming_tools_and_counting(house, run) -> None:
    def ask(h):
        model = "claude-sonnet-4-5"
        with with_anthropic(h) as client:
            whole = client.messages.create(model=model, max_tokens=30, messages=MESSAGES)
            with client.messages.stream(model=model, max_tokens=30, messages=MESSAGES) as stream:
                text = "".join(stream.text_stream)
                final = stream.get_final_message()
            tool = {"name": "get_weather", "input_schema": SCHEMA}
            used = client.messages.create(
                model=model, max_tokens=90, messages=MESSAGES, tools=[tool],
                tool_choice={"type": "any"},
            )  # fmt: skip
            n = client.messages.count_tokens(model=model, messages=MESSAGES).input_tokens
            names = [one.id for one in client.models.list()]
            return whole, text, final, used, n, names

    (whole, text, final, used, n, names), records = in_house(house, run, ask)
    assert whole.content[0].text
    assert text
    assert any(block.type == "tool_use" for block in used.content)
    assert n > 0
    assert names == ["claude-sonnet-4-5"]
    assert records[1].output_tokens == final.usage.output_tokens
    assert [record.target for record in records] == ["claude"] * 4


def test_clients_raise_what_they_always_raise(house, run) -> None:
    def change(document) -> None:
        document["limits"] = [{"scope": "tenant", "name": "*", "requests_per_minute": 2}]

    def ask(h):
        raised = []
        model = "claude-sonnet-4-5"
        with with_openai(h, key="wb-k1-no") as o, with_anthropic(h, key="wb-k1-no") as a:
            for call in (
                lambda: o.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES),
                lambda: a.messages.create(model=model, max_tokens=5, messages=MESSAGES),
            ):
                try:
                    call()
                except (openai.AuthenticationError, anthropic.AuthenticationError) as error:
                    raised.append(type(error))
        with with_openai(h) as o, with_anthropic(h) as a:
            for call in (
                lambda: o.chat.completions.create(model="gpt-nope", messages=MESSAGES),
                lambda: o.chat.completions.create(model=model, messages=MESSAGES),
                lambda: o.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES),
                lambda: o.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES),
                lambda: o.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES),
            ):
                try:
                    call()
                    raised.append(None)
                except openai.APIStatusError as error:
                    raised.append(type(error))
            try:
                a.messages.create(model=model, max_tokens=5, messages=MESSAGES)
            except anthropic.RateLimitError as error:
                raised.append(type(error))
        return raised

    raised, _ = in_house(house, run, ask, change)
    assert raised == [
        openai.AuthenticationError,
        anthropic.AuthenticationError,
        openai.NotFoundError,
        openai.BadRequestError,
        None,
        None,
        openai.RateLimitError,
        anthropic.RateLimitError,
    ]


def test_clients_retry_a_limit_after_the_time_that_they_are_told(house, run) -> None:
    def ask(h):
        with with_openai(h, n_retries=2) as client:
            return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    def change(document) -> None:
        document["retry"]["max_attempts"] = 1

    fault = Fault(fault="status_429", retry_after_s=1, count=1)
    said, records = in_house(house, run, ask, change, fault)
    assert said.choices
    assert [record.http_status for record in records] == [429, 200]


@pytest.mark.parametrize("fault", ["torn_stream", "reset", "stall"])
def test_clients_notice_a_stream_that_breaks(house, run, fault) -> None:
    def change(document) -> None:
        for target in document["targets"].values():
            target["timeouts"] = {"stall_s": 0.2}

    def ask(h):
        raised = []
        with with_openai(h) as client:
            try:
                for _ in client.chat.completions.create(
                    model="gpt-4o-mini", messages=MESSAGES, stream=True, max_tokens=50
                ):
                    pass
            except openai.APIError as error:
                raised.append(str(error))
            try:
                for _ in client.responses.create(model="gpt-4o-mini", input="x", stream=True):
                    pass
            except openai.APIError as error:
                raised.append(str(error))
        with with_anthropic(h) as client:
            try:
                for _ in client.messages.create(
                    model="claude-sonnet-4-5", messages=MESSAGES, max_tokens=50, stream=True
                ):
                    pass
            except anthropic.APIError as error:
                raised.append(str(error))
        return raised

    raised, records = in_house(house, run, ask, change, Fault(fault=fault, after_events=8))
    assert len(raised) == 3
    assert all("incomplete" in words for words in raised)
    assert {record.status for record in records} == {"interrupted"}


def test_async_clients_many_at_once(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            base = f"http://127.0.0.1:{h.port}"
            async with (
                openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=h.key) as o,
                anthropic.AsyncAnthropic(base_url=base, api_key=h.key) as a,
            ):

                async def streamed() -> int:
                    stream = await o.chat.completions.create(
                        model="gpt-4o-mini", messages=MESSAGES, stream=True
                    )
                    return len([event async for event in stream])

                async def theirs() -> int:
                    said = await a.messages.create(
                        model="claude-sonnet-4-5", max_tokens=9, messages=MESSAGES
                    )
                    return len(said.content)

                asks = [streamed() for _ in range(10)] + [theirs() for _ in range(10)]
                counts = await asyncio.wait_for(asyncio.gather(*asks), 20)
                assert all(counts)
            await h.until(lambda: len(h.records()) == 20)
            assert {record.status for record in h.records()} == {"ok"}

    run(main)


def test_a_client_that_stops_reading_cancels_upstream(house, run) -> None:
    def ask(h):
        with with_openai(h) as client:
            stream = client.chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, stream=True, max_tokens=50
            )
            for _ in stream:
                break
            stream.close()

    fault = Fault(fault="stall", after_events=5)
    _, records = in_house(house, run, ask, fault=fault)
    assert [record.error_type for record in records] == ["client_left"]
