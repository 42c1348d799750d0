"""Answers are drawn by seed and prompt, keep to what was asked, and have each API's shape."""

import json
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_bill import Bill
from weighbridge.rehearsal.provider_engine import EngineSays, Load, engine_metrics
from weighbridge.rehearsal.provider_limits import Bucket, KeyLimits, duration
from weighbridge.rehearsal.provider_schema import SchemaExample
from weighbridge.rehearsal.provider_settings import Limits, Settings

CHAT = "/v1/chat/completions"


def _ask(client: Any, path: str, body: Any, told: Settings, **headers: str) -> Any:
    async def scene() -> None:
        async with Provider(told) as p:
            found.append(await client.ask(p.url, path, body, **headers))

    found: list[Any] = []
    client.run(scene)
    return found[0]


@pytest.mark.parametrize("stream", [True, False])
def test_equal_seeds_give_equal_bytes_and_others_do_not(client: Any, stream: bool) -> None:
    body = {**client.chat, "stream": stream}
    first, again, other = (
        _ask(client, CHAT, body, Settings(speed=0, seed=seed)).raw for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_words_do_not_depend_on_what_a_gateway_may_change(client: Any) -> None:
    whole = _ask(client, CHAT, client.chat, Settings(speed=0)).json()
    changed = {
        **client.chat,
        "model": "other",
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "ana",
    }
    events = _ask(client, CHAT, changed, Settings(speed=0)).events()
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]


def test_an_id_can_be_ordered_so_that_bytes_repeat_within_a_run(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0)) as p:
            ordered = [await client.ask(p.url, CHAT, client.chat, x_rehearsal_id="a") for _ in "ab"]
            assert ordered[0].raw == ordered[1].raw
            plain = [await client.ask(p.url, CHAT, client.chat) for _ in "ab"]
            assert plain[0].json()["id"] != plain[1].json()["id"]

    client.run(scene)


@pytest.mark.parametrize("split", [{"bytes_per_write": 7}, {"events_per_write": 5}])
def test_packets_do_not_change_what_is_said(client: Any, split: dict[str, int]) -> None:
    body = {**client.chat, "stream": True}
    usual = _ask(client, CHAT, body, Settings(speed=0)).parsed()[2]
    assert _ask(client, CHAT, body, Settings(speed=0, **split)).parsed()[2] == usual  # type: ignore[arg-type]


@given(most=st.integers(1, 30))
def test_output_keeps_to_max_tokens(client: Any, most: int) -> None:
    body = {**client.chat, "max_tokens": most}
    answer = _ask(client, CHAT, body, Settings(speed=0)).json()
    made = answer["usage"]["completion_tokens"]
    assert made <= most
    assert (answer["choices"][0]["finish_reason"] == "length") is (made == most)


def test_usage_comes_with_every_chunk_where_it_was_asked_for(client: Any) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {**client.chat, "stream": True, "stream_options": options}
    events = _ask(client, CHAT, body, Settings(speed=0)).events()
    told = [json.loads(e.removeprefix("data: "))["usage"] for e in events[:-1]]
    counts = [usage["completion_tokens"] for usage in told]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[1] == 1


def test_usage_is_not_told_to_a_stream_that_did_not_ask(client: Any) -> None:
    got = _ask(client, CHAT, {**client.chat, "stream": True}, Settings(speed=0))
    assert b"usage" not in got.raw


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, {"model": "gpt-4o"}, 400),
        (CHAT, "not an object", 400),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 99}, 400),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": "x"}, 400),
        ("/v1/messages", {"model": "m", "messages": [{"role": "user", "content": "x"}]}, 400),
        ("/v1/nothing", {"model": "m"}, 404),
        ("/v1/responses", {"model": "m", "input": "x", "previous_response_id": "resp_gone"}, 400),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    client: Any, path: str, body: Any, status: int
) -> None:
    got = _ask(client, path, body, Settings(speed=0))
    assert got.parsed()[0] == status
    assert got.json()["error"]["message"]


def test_an_unknown_model_and_a_wrong_key_are_refused(client: Any) -> None:
    strict = Settings(speed=0, other_models=None, api_keys=("right",))
    assert _ask(client, CHAT, client.chat, strict).parsed()[0] == 401
    body = {**client.chat, "model": "none-such"}
    got = _ask(client, CHAT, body, strict, authorization="Bearer right")
    assert (got.parsed()[0], got.json()["error"]["code"]) == (404, "model_not_found")
    assert _ask(client, CHAT, client.chat, strict, api_key="right").parsed()[0] == 200


def test_a_response_can_be_continued_where_its_state_is(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0)) as p:
            body = {"model": "gpt-4o", "input": "one"}
            first = (await client.ask(p.url, "/v1/responses", body)).json()["id"]
            body = {"model": "gpt-4o", "input": "two", "previous_response_id": first}
            assert (await client.ask(p.url, "/v1/responses", body)).parsed()[0] == 200

    client.run(scene)


def test_an_azure_path_names_the_model(client: Any) -> None:
    path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2026-01-01"
    body = {"messages": client.chat["messages"]}
    assert _ask(client, path, body, Settings(speed=0)).json()["model"] == "gpt-4o-mini"


def test_requests_are_kept_only_where_asked(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0, n_requests_kept=1)) as p:
            for name in ("one", "two"):
                await client.ask(p.url, CHAT, client.chat, x_name=name)
            (seen,) = p.requests
            assert seen.headers["x-name"] == "two"
            assert json.loads(seen.body) == client.chat

    client.run(scene)


def test_a_limit_is_told_by_headers_and_by_429_in_each_dialect(client: Any) -> None:
    async def scene() -> None:
        limits = Limits(requests_per_min=2, tokens_per_min=100_000)
        async with Provider(Settings(speed=0, limits=limits)) as p:
            left = [
                (await client.ask(p.url, CHAT, client.chat)).parsed()[1][
                    "x-ratelimit-remaining-requests"
                ]
                for _ in range(2)
            ]
            assert left == ["1", "0"]
            got = await client.ask(p.url, CHAT, client.chat)
            status, headers, _ = got.parsed()
            assert status == 429
            assert got.json()["error"]["code"] == "rate_limit_exceeded"
            assert headers["x-ratelimit-limit-requests"] == "2"
            assert 29_000 < int(headers["retry-after-ms"]) <= 30_000
            assert headers["retry-after"] == "30"
            got = await client.ask(p.url, "/v1/messages", client.message)
            status, headers, _ = got.parsed()
            assert (status, got.json()["error"]["type"]) == (429, "rate_limit_error")
            assert headers["anthropic-ratelimit-requests-remaining"] == "0"
            assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
            other = await client.ask(p.url, CHAT, client.chat, authorization="Bearer other")
            assert other.parsed()[0] == 200

    client.run(scene)


def test_a_bucket_refills_evenly_and_never_above_its_cap() -> None:
    bucket = Bucket(60)
    bucket.take(60, 0.0)
    assert bucket.wait_s(1, 0.0) == 1.0
    assert bucket.left(30.0) == 30.0
    assert bucket.left(1e6) == 60.0


def test_a_refused_request_takes_nothing() -> None:
    limits = KeyLimits(Limits(requests_per_min=5, tokens_per_min=100))
    assert limits.admit(90, 0, 0.0).limit is None
    assert limits.admit(90, 0, 0.0).limit == "tokens"
    assert dict(limits.openai_headers(0.0))["x-ratelimit-remaining-requests"] == "4"


def test_durations_read_as_a_provider_writes_them() -> None:
    assert [duration(s) for s in (0, 0.5, 59.5, 60, 372)] == [
        "0ms",
        "500ms",
        "59.5s",
        "1m0s",
        "6m12s",
    ]


def test_engine_metrics_are_vllms_and_can_be_set(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0)) as p:
            await client.ask(p.url, CHAT, client.chat)
            order = {"running": 3, "waiting": 9, "kv_usage_frac": 0.97}
            await client.ask(p.url, "/rehearsal/engine", order)
            text = (await client.ask(p.url, "/metrics", method="GET")).parsed()[2].decode()
            samples = {
                sample.name: sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            assert samples["vllm:num_requests_running"] == 3
            assert samples["vllm:num_requests_waiting"] == 9
            assert samples["vllm:kv_cache_usage_perc"] == 0.97
            told = p.bill()["total"]["output_tokens"]
            assert samples["vllm:generation_tokens_total"] == told > 0
            await client.ask(p.url, "/rehearsal/engine", {"healthy": False})
            assert (await client.ask(p.url, "/health", method="GET")).parsed()[0] == 503

    client.run(scene)


def test_other_engines_figures_have_their_own_names(client: Any) -> None:
    says = EngineSays(running=3, waiting=9, kv_usage_frac=0.97)
    sglang, llama = (
        engine_metrics(engine, says, Load(), 1000, Bill(1)).decode()
        for engine in ("sglang", "llama.cpp")
    )
    assert 'sglang:num_queue_reqs{model_name="rehearsal"} 9.0' in sglang
    assert 'sglang:token_usage{model_name="rehearsal"} 0.97' in sglang
    assert "\nllamacpp:requests_deferred 9.0\n" in llama
    assert "0.97" not in llama


def test_requests_beyond_the_slots_wait_and_are_seen_waiting(client: Any) -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0, n_slots=1)) as p:
            held = await client.open(p.url, CHAT, client.chat, x_rehearsal_fault="hang")
            await client.until(lambda: p.stats()["by_fault"] == {"hang": 1})
            waits = await client.open(p.url, CHAT, client.chat)
            await client.until(lambda: p.stats()["n_in_flight"] == 2)
            text = (await client.ask(p.url, "/metrics", method="GET")).raw
            assert b'num_requests_running{engine="0",model_name="rehearsal"} 1.0' in text
            assert b'num_requests_waiting{engine="0",model_name="rehearsal"} 1.0' in text
            await held.leave()
            assert (await waits.read_to_end()).parsed()[0] == 200

    client.run(scene)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "role", "function", "type", "name", "schema", "format"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
FIELDS = (
    "messages",
    "prompt",
    "input",
    "n",
    "max_tokens",
    "tools",
    "tool_choice",
    "stream",
    "stream_options",
    "response_format",
    "text",
    "dimensions",
    "service_tier",
)


@given(
    path=st.sampled_from(
        [CHAT, "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"]
    ),
    body=st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_asked_gets_an_answer(client: Any, path: str, body: dict[str, Any]) -> None:
    got = _ask(client, path, {"model": "m", **body}, Settings(speed=0, embedding_dimensions=2))
    assert got.parsed()[0] in (200, 400)


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
    {"enum": ["x", "y"]},
    {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 3},
    {"type": ["string", "null"], "minLength": 30},
    {"type": "string", "maxLength": 3},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"type": "null"}}}]},
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["name", "next"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    {"type": "integer", "multipleOf": 7, "minimum": 20, "maximum": 30},
    {"type": "integer", "maximum": -5},
    {"type": "string", "format": "date"},
]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("seed", range(5))
def test_an_example_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    jsonschema.validate(SchemaExample(schema, Random(seed)).value(), schema)
