"""Streams as upstreams send them, cut into packets in every way."""

import json
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.dialects import streams
from weighbridge.gateway.dialects.answers import StreamReader
from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage
from weighbridge.gateway.dialects.streams import MAX_EVENT_BYTES

TRANSCRIPTS = Path(__file__).parent / "transcripts"
STREAMS: dict[str, tuple[Endpoint, int, TokenUsage]] = {
    "openai_chat": (
        "chat",
        7,
        TokenUsage(190, 1024, 0, 9, 2, "gpt-4.1-mini-2025-04-14", "default", "chatcmpl-Cw2p0"),
    ),
    "azure_chat": (
        "chat",
        4,
        TokenUsage(21, 0, 0, 5, 0, "gpt-4o-2024-11-20", None, "chatcmpl-Az1"),
    ),
    "vllm_chat_continuous": (
        "chat",
        8,
        TokenUsage(17, 0, 0, 8, 0, "Qwen/Qwen3-8B", None, "chatcmpl-7f3a"),
    ),
    "llamacpp_chat": (
        "chat",
        7,
        TokenUsage(1, 30, 0, 8, 0, "smollm2-135m", None, "chatcmpl-oGgy"),
    ),
    "openrouter_tools_crlf": (
        "chat",
        2,
        TokenUsage(10, 100, 30, 22, 0, "vendor/model", None, "gen-1"),
    ),
    "openai_completions": (
        "completions",
        3,
        TokenUsage(4, 0, 0, 6, 0, "davinci-002", None, "cmpl-1"),
    ),
    "anthropic_messages": (
        "messages",
        5,
        TokenUsage(14, 3000, 200, 37, 11, "claude-sonnet-4-5-20250929", "standard", "msg_01Ab"),
    ),
    "openai_responses": (
        "responses",
        3,
        TokenUsage(20, 12, 5, 11, 4, "gpt-5-mini-2025-08-07", "default", "resp_68a"),
    ),
}
BASE = {"id": "c", "object": "chat.completion.chunk", "model": "m"}


def transcript(name: str) -> bytes:
    return (TRANSCRIPTS / f"{name}.sse").read_bytes()


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def delta(content: str | None = None, **more: object) -> bytes:
    said = {} if content is None else {"content": content}
    return event({**BASE, "choices": [{"index": 0, "delta": said}], **more})


def relay(reader: StreamReader, packets: list[bytes]) -> bytes:
    return b"".join([*(reader.feed(packet) for packet in packets), reader.close()])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def facts(reader: StreamReader) -> tuple[object, ...]:
    return (
        reader.usage,
        reader.first_token_seen,
        reader.finished,
        reader.n_deltas,
        reader.n_text_bytes,
        reader.error,
        reader.model,
        reader.response_id,
    )


@pytest.mark.parametrize("name", STREAMS)
def test_transcript_is_relayed_untouched_and_counted(name: str) -> None:
    endpoint, n_deltas, usage = STREAMS[name]
    data = transcript(name)
    reader = StreamReader(endpoint)
    assert reader.feed(data) is data
    assert reader.close() == b""
    assert reader.usage == usage
    assert reader.usage_or_estimate(999) == usage
    assert reader.n_deltas == n_deltas
    assert reader.first_token_seen
    assert reader.finished
    assert reader.error is None


@pytest.mark.parametrize("name", STREAMS)
def test_transcript_comes_to_the_same_event_by_event(name: str) -> None:
    endpoint, n_deltas, usage = STREAMS[name]
    data = transcript(name)
    end = b"\r\n\r\n" if b"\r\n" in data else b"\n\n"
    reader = StreamReader(endpoint)
    for piece in data.split(end)[:-1]:
        packet = piece + end
        assert reader.feed(packet) is packet
    assert (reader.usage, reader.n_deltas, reader.finished) == (usage, n_deltas, True)


@pytest.mark.parametrize("name", STREAMS)
@given(places=st.lists(st.integers(0, 10_000), max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_cut_relays_the_same_bytes_and_reads_the_same_facts(
    name: str, places: list[int]
) -> None:
    endpoint = STREAMS[name][0]
    data = transcript(name)
    for hide_usage, hide_each in ((False, False), (True, False), (True, True)):
        whole = StreamReader(endpoint, hide_usage=hide_usage, hide_each=hide_each)
        pieces = StreamReader(endpoint, hide_usage=hide_usage, hide_each=hide_each)
        expected = relay(whole, [data])
        assert relay(pieces, cut(data, places)) == expected
        assert facts(pieces) == facts(whole)
        if not hide_usage:
            assert expected == data


@pytest.mark.parametrize("name", STREAMS)
def test_every_byte_its_own_packet(name: str) -> None:
    endpoint, n_deltas, usage = STREAMS[name]
    data = transcript(name)
    reader = StreamReader(endpoint)
    assert relay(reader, [data[at : at + 1] for at in range(len(data))]) == data
    assert (reader.usage, reader.n_deltas) == (usage, n_deltas)


CHAT_STREAMS = [name for name, stream in STREAMS.items() if stream[0] in {"chat", "completions"}]


@pytest.mark.parametrize("name", CHAT_STREAMS)
def test_hidden_usage_leaves_the_stream_as_if_it_had_not_been_asked_for(name: str) -> None:
    data = transcript(name)
    reader = StreamReader(STREAMS[name][0], hide_usage=True, hide_each=True)
    end = "\r\n\r\n" if b"\r\n" in data else "\n\n"
    expected = []
    for text in data.decode().split(end)[:-1]:
        if not text.startswith("data: {"):
            expected.append(text)
            continue
        said = json.loads(text[6:])
        if said.get("usage") and not said["choices"]:
            continue
        said.pop("usage", None)
        packed = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
        expected.append(f"data: {packed}")
    assert relay(reader, [data]).decode() == "".join(text + end for text in expected)


def test_usage_beside_content_stays_where_only_the_usage_chunk_is_ours() -> None:
    data = delta("a", usage={"prompt_tokens": 1, "completion_tokens": 1})
    reader = StreamReader("chat", hide_usage=True)
    assert reader.feed(data) is data
    assert reader.usage == TokenUsage(1, 0, 0, 1, 0, "m", None, "c")


def test_spaced_null_usage_is_hidden_wherever_it_stands() -> None:
    reader = StreamReader("chat", hide_usage=True)
    first = b'data: {"usage": null, "id": "c", "choices": [{"delta": {"content": "a"}}]}\n\n'
    last = b'data: {"id": "c", "choices": [{"delta": {"content": "a"}}], "usage": null}\n\n'
    assert reader.feed(first) == first.replace(b'"usage": null, ', b"")
    assert reader.feed(last) == last.replace(b', "usage": null', b"")


def test_usage_written_by_the_model_is_text() -> None:
    said = 'so send {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":5}},"usage":null'
    data = delta(said) + delta(said) + delta(said[:40])
    reader = StreamReader("chat", hide_usage=True, hide_each=True)
    assert relay(reader, cut(data, [200])) == data
    assert reader.usage is None
    assert reader.n_deltas == 3


def test_a_delta_like_those_before_is_passed_on_as_the_same_object() -> None:
    reader = StreamReader("chat")
    reader.feed(delta("first"))
    for text in ("a", " b", "\\", "é", '"', "\n", "x" * 500):
        packet = delta(text)
        assert reader.feed(packet) is packet
    assert reader.n_deltas == 8


def test_two_events_in_a_packet_are_two_deltas() -> None:
    reader = StreamReader("chat")
    reader.feed(delta("first"))
    reader.feed(delta("a") + delta("b"))
    assert reader.n_deltas == 3


def test_an_empty_text_in_a_known_shape_is_no_delta() -> None:
    reader = StreamReader("chat")
    reader.feed(delta("first"))
    reader.feed(delta(""))
    assert reader.n_deltas == 1


@pytest.mark.parametrize(
    "quiet",
    [
        b": keep-alive\n\n",
        b":\n",
        b"\n\n\n",
        b"event: ping\ndata: {}\n\n",
        b"retry: 100\n\n",
        event({**BASE, "choices": [{"index": 0, "delta": {"role": "assistant"}}]}),
        event({**BASE, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        event({**BASE, "choices": [{"index": 0, "delta": {"content": None, "tool_calls": []}}]}),
        event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
    ],
)
def test_what_is_no_token(quiet: bytes) -> None:
    for hide in (False, True):
        reader = StreamReader("chat", hide_usage=hide)
        assert reader.feed(quiet) == quiet
        assert not reader.first_token_seen
        assert reader.n_deltas == 0
        assert reader.close() == b""


@pytest.mark.parametrize(
    "said",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"function_call": {"name": "f", "arguments": ""}},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]},
    ],
)
def test_what_is_a_token(said: object) -> None:
    reader = StreamReader("chat")
    reader.feed(event({**BASE, "choices": [{"index": 0, "delta": said}]}))
    assert reader.first_token_seen
    assert reader.n_deltas == 1


def test_comments_pass_at_once_while_usage_is_hidden() -> None:
    reader = StreamReader("chat", hide_usage=True)
    assert reader.feed(b": waiting\n") == b": waiting\n"
    assert reader.feed(b"\n") == b"\n"
    assert reader.feed(b": wai") == b""
    assert reader.feed(b"ting\n\ndata: [DO") == b": waiting\n\n"
    assert reader.close() == b"data: [DO"


def test_torn_stream_gives_back_what_was_held() -> None:
    data = delta("a") + delta("b")[:-9]
    reader = StreamReader("chat", hide_usage=True)
    assert relay(reader, [data]) == data
    assert not reader.finished
    assert reader.n_deltas == 1


def test_last_event_without_an_empty_line_is_still_read() -> None:
    reader = StreamReader("chat")
    reader.feed(delta("a") + b"data: [DONE]")
    assert not reader.finished
    reader.close()
    assert reader.finished


def test_torn_stream_of_continuous_counts_is_exact() -> None:
    data = transcript("vllm_chat_continuous")
    events = data.split(b"\n\n")
    for n_events in range(1, 9):
        reader = StreamReader("chat")
        for text in events[:n_events]:
            reader.feed(text + b"\n\n")
        told = reader.usage_or_estimate(1000)
        assert told.output_tokens == n_events - 1
        assert told.uncached_input_tokens == 17
        assert told.estimated == ()


def test_continuous_counts_of_several_choices_are_an_estimate_until_the_last() -> None:
    def chunk(index: int, n_tokens: int) -> bytes:
        return event(
            {
                **BASE,
                "choices": [{"index": index, "delta": {"content": "w"}}],
                "usage": {"prompt_tokens": 4, "completion_tokens": n_tokens},
            }
        )

    reader = StreamReader("chat")
    relay(reader, [chunk(0, 1), chunk(1, 1), chunk(0, 2), chunk(1, 2)])
    told = reader.usage_or_estimate(9)
    assert (told.uncached_input_tokens, told.output_tokens) == (4, 4)
    assert told.estimated == ("output_tokens",)
    reader.feed(
        event({**BASE, "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 5}})
    )
    assert reader.usage_or_estimate(9).output_tokens == 5
    assert reader.usage_or_estimate(9).estimated == ()


def test_estimate_counts_deltas_or_bytes_where_deltas_are_long() -> None:
    short = StreamReader("chat")
    relay(short, [delta(" word") for _ in range(10)])
    told = short.usage_or_estimate(33)
    assert (told.uncached_input_tokens, told.output_tokens) == (33, 10)
    assert told.estimated == ("uncached_input_tokens", "output_tokens")
    assert (told.model, told.response_id) == ("m", "c")
    long = StreamReader("chat")
    relay(long, [delta("w" * 100) for _ in range(10)])
    assert long.usage_or_estimate(33).output_tokens == 250


def test_stream_without_a_token_is_estimated_at_none() -> None:
    assert StreamReader("chat").usage_or_estimate(5).output_tokens == 0


def test_explicit_zero_is_exact() -> None:
    reader = StreamReader("chat")
    relay(
        reader,
        [
            delta("a"),
            event({**BASE, "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
        ],
    )
    assert reader.usage_or_estimate(50) == TokenUsage(0, 0, 0, 0, 0, "m", None, "c")


def test_torn_anthropic_stream_keeps_its_exact_input() -> None:
    data = transcript("anthropic_messages")
    reader = StreamReader("messages")
    reader.feed(data[: data.index(b"event: message_delta")])
    assert reader.usage is None
    told = reader.usage_or_estimate(1)
    assert (told.uncached_input_tokens, told.cache_read_tokens) == (14, 3000)
    assert told.cache_write_tokens == 200
    assert told.output_tokens == 5
    assert told.estimated == ("output_tokens",)
    assert told.model == "claude-sonnet-4-5-20250929"


def test_message_delta_may_say_less_than_the_start() -> None:
    data = transcript("anthropic_messages").replace(
        b'"input_tokens":14,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,'
        b'"output_tokens":37',
        b'"output_tokens":37',
    )
    reader = StreamReader("messages")
    reader.feed(data)
    assert reader.usage == STREAMS["anthropic_messages"][2]


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        ("chat", b'data: {"error":{"message":"overloaded","code":503}}\n\n'),
        ("chat", b'data: {"error":"overloaded"}\n\n'),
        (
            "messages",
            b'event: error\ndata: {"type":"error","error":{"type":"x","message":"overloaded"}}\n\n',
        ),
        ("responses", b'event: error\ndata: {"type":"error","message":"overloaded"}\n\n'),
        (
            "responses",
            b'data: {"type":"response.failed","response":{"id":"r",'
            b'"error":{"code":"server_error","message":"overloaded"}}}\n\n',
        ),
    ],
)
def test_error_within_a_stream_is_seen(endpoint: Endpoint, data: bytes) -> None:
    reader = StreamReader(endpoint)
    assert reader.feed(data) is data
    assert reader.error == "overloaded"
    assert not reader.first_token_seen


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {\n\n",
        b"data: \n\n",
        b"data\n\n",
        b"data: []\n\n",
        b"data: 7\n\n",
        b'data: {"choices":7}\n\n',
        b'data: {"choices":[{"delta":[]}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":"many"}}\n\n',
        b'data: {"choices":[],"usage":[1,2,3]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"\xff\xfe\n\n",
        b'data: {"model":"\xff"}\n\n',
    ],
)
def test_malformed_event_passes_and_the_next_is_read(bad: bytes) -> None:
    for hide in (False, True):
        reader = StreamReader("chat", hide_usage=hide)
        assert reader.feed(bad) == bad
        assert reader.usage is None
        reader.feed(delta("a"))
        assert reader.n_deltas == 1


def test_data_over_several_lines_is_joined() -> None:
    reader = StreamReader("chat")
    reader.feed(
        b'id: 1\ndata: {"model":"m",\ndata: "choices":[{"delta":\ndata:{"content":"a"}}]}\n\n'
    )
    assert reader.n_deltas == 1
    assert reader.model == "m"


@given(data=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_bytes_pass_untouched(data: bytes, places: list[int]) -> None:
    for endpoint in ("chat", "messages", "responses"):
        assert relay(StreamReader(endpoint), cut(data, places)) == data


PIECES = st.sampled_from(
    [
        delta("a"),
        delta("b", usage=None),
        delta("c", usage={"prompt_tokens": 1, "completion_tokens": 2}),
        delta("d", obfuscation="xyz"),
        delta("e", usage=None, obfuscation="x"),
        event({**BASE, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        b": c\n",
        b": c\n\n",
        b"\n",
        b"\r\n",
        b"data: [DONE]\n\n",
        b"data: [DONE]\r\n\r\n",
        b"data: {",
        b"event: x\n",
        b"\r",
    ]
)


@given(
    pieces=st.lists(PIECES, max_size=12),
    places=st.lists(st.integers(0, 2000), max_size=12),
    hide=st.booleans(),
    each=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_cut_of_any_mixture_comes_to_the_same(
    pieces: list[bytes], places: list[int], hide: bool, each: bool
) -> None:
    data = b"".join(pieces)
    whole = StreamReader("chat", hide_usage=hide, hide_each=each)
    split = StreamReader("chat", hide_usage=hide, hide_each=each)
    assert relay(split, cut(data, places)) == relay(whole, [data])
    assert facts(split) == facts(whole)


def test_event_too_large_to_hold_passes_and_its_usage_is_found() -> None:
    big = "x" * MAX_EVENT_BYTES
    usage = {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}
    last = event({"type": "response.completed", "response": {"output": [big], "usage": usage}})
    data = last + b'data: {"type":"x"}\n\n'
    for places in ([], [500_000], list(range(0, len(data), 70_000)), [len(last) - 1]):
        reader = StreamReader("responses")
        assert relay(reader, cut(data, places)) == data
        assert reader.finished
        assert reader.usage is not None
        assert reader.usage.output_tokens == 9


def test_hiding_holds_no_more_than_its_bound() -> None:
    huge = delta("y" * MAX_EVENT_BYTES)
    data = huge + delta("a", usage=None)
    reader = StreamReader("chat", hide_usage=True)
    shown = relay(reader, cut(data, list(range(0, len(data), 100_000))))
    assert shown == huge + delta("a")


VARIANTS = st.sampled_from(
    [
        {},
        {"usage": None},
        {"obfuscation": "abc"},
        {"usage": None, "obfuscation": ""},
        {"usage": {"prompt_tokens": 7, "total_tokens": 8, "completion_tokens": 1}},
        {"usage": {"prompt_tokens": 7, "completion_tokens": 99}},
        {"usage": {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}}},
        {"error": {"message": "no"}},
    ]
)


@given(
    events=st.lists(st.tuples(st.text(max_size=6), VARIANTS, st.booleans()), max_size=14),
    hide=st.booleans(),
    each=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_known_shapes_read_and_relay_as_decoding_every_event_does(
    events: list[tuple[str, dict[str, object], bool]], hide: bool, each: bool
) -> None:
    packets = [
        json.dumps(
            {**BASE, "choices": [{"index": 0, "delta": {"content": text}}], **more},
            separators=(",", ":"),
            ensure_ascii=escaped,
        ).encode()
        for text, more, escaped in events
    ]
    packets = [b"data: " + packet + b"\n\n" for packet in packets]
    quick = StreamReader("chat", hide_usage=hide, hide_each=each)
    shown = relay(quick, packets)
    with mock.patch.object(streams, "MAX_SHAPES", 0):
        thorough = StreamReader("chat", hide_usage=hide, hide_each=each)
        assert relay(thorough, packets) == shown
    assert facts(quick) == facts(thorough)


def framed(data: bytes, spelled: str = "%x") -> bytes:
    return (spelled % len(data)).encode() + b"\r\n" + data + b"\r\n"


def unframed(chunk: bytes) -> bytes:
    line, _, rest = chunk.partition(b"\r\n")
    assert len(rest) == int(line, 16) + 2
    assert rest[-2:] == b"\r\n"
    return rest[:-2]


@given(
    events=st.lists(st.tuples(st.text(max_size=20), VARIANTS, st.booleans()), max_size=14),
    hide=st.booleans(),
    each=st.booleans(),
    spaced=st.booleans(),
    spelled=st.sampled_from(["%x", "%X", "0%x"]),
)
@settings(max_examples=300, deadline=None)
def test_chunks_that_pass_as_they_are_read_and_relay_as_their_events_do(
    events: list[tuple[str, dict[str, object], bool]],
    hide: bool,
    each: bool,
    spaced: bool,
    spelled: str,
) -> None:
    packets = [
        b"data: "
        + json.dumps(
            {**BASE, "choices": [{"index": 0, "delta": {"content": text}}], **more},
            separators=None if spaced else (",", ":"),
            ensure_ascii=escaped,
        ).encode()
        + b"\n\n"
        for text, more, escaped in events
    ]
    usual = StreamReader("chat", hide_usage=hide, hide_each=each)
    piped = StreamReader("chat", hide_usage=hide, hide_each=each)
    for packet in packets:
        chunk = piped.read_chunk(framed(packet, spelled))
        shown = piped.feed(packet) if chunk is None else unframed(chunk)
        assert shown == usual.feed(packet)
    assert facts(piped) == facts(usual)


@pytest.mark.parametrize("closing", [{}, {"obfuscation": "xyz"}, {"usage": None}])
def test_only_one_whole_chunk_passes_as_it_is(closing: dict[str, object]) -> None:
    reader = StreamReader("chat", hide_usage=True)
    reader.feed(delta("a", **closing))
    chunk = framed(delta("b", **closing))
    for wrong in (
        chunk[:-1],
        chunk[:-2] + b"\n\n",
        chunk[1:],
        b"1" + chunk,
        chunk + chunk,
        chunk + b"0\r\n\r\n",
        chunk.replace(b"\r\n", b";x=y\r\n", 1),
        chunk.replace(b'"b"', b'""'),
        chunk.replace(b'"b"', b'"\n"'),
        framed(delta("b", **closing) + delta("c", **closing)),
        framed(delta("b", **closing)[:-1]),
        b"",
        b"\r\n",
        b"0\r\n\r\n",
    ):
        assert reader.read_chunk(wrong) is None
    assert reader.n_deltas == 1
    assert reader.read_chunk(chunk) == framed(
        delta("b", **closing) if "usage" not in closing else delta("b")
    )
    assert reader.n_deltas == 2


def test_no_chunk_passes_while_an_event_is_held() -> None:
    reader = StreamReader("chat")
    reader.feed(delta("a") + b"data: {")
    assert reader.read_chunk(framed(delta("b"))) is None


@pytest.mark.parametrize("n_bytes", [15, 16, 17, 255, 256, 257, 4095, 4096, 70_000])
def test_chunks_of_every_size_pass(n_bytes: int) -> None:
    reader = StreamReader("chat")
    reader.feed(b'{"text":"a"}\n\n')
    opening = b'data: {"choices":[{"text":"'
    reader.feed(opening + b'a"}]}\n\n')
    text = b"x" * max(1, n_bytes - len(opening) - 6)
    chunk = framed(opening + text + b'"}]}\n\n')
    assert reader.read_chunk(chunk) is chunk
