"""Rows of each source, and the requests made of them."""

import datetime as dt
import json
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.rehearsal.demo_mix import DEMO_MIX
from weighbridge.rehearsal.replay_answer import StreamReading, counts
from weighbridge.rehearsal.replay_prompt import PromptMaker, PromptSettings
from weighbridge.rehearsal.replay_rows import Row, ledger_rows, mix_rows, trace_rows, within
from weighbridge.units import InputError
from weighbridge.usage.store import SCHEMA, write_table

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05,110,27
"""
MOONCAKE = """{"timestamp": 500, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]}
{"timestamp": 2500, "input_length": 600, "output_length": 9, "hash_ids": [0, 7]}
"""


def _file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_an_azure_trace_is_read_with_its_tenth_microseconds(tmp_path: Path) -> None:
    rows = list(trace_rows(_file(tmp_path, "a.csv", AZURE)))
    assert [(r.input_tokens, r.output_tokens) for r in rows] == [(4808, 10), (3180, 8), (110, 27)]
    assert [r.offset_s for r in rows] == pytest.approx([0, 0.052, 1.02004])


def test_a_mooncake_trace_is_read_with_its_blocks(tmp_path: Path) -> None:
    rows = list(trace_rows(_file(tmp_path, "m.jsonl", MOONCAKE)))
    assert [r.offset_s for r in rows] == [0.0, 2.0]
    assert rows[0].blocks == (0, 1, 2)


def test_the_public_traces_are_read(shared_traces: Path) -> None:
    azure = shared_traces / "azure2023" / "AzureLLMInferenceTrace_conv.csv"
    mooncake = shared_traces / "mooncake" / "conversation_trace.jsonl"
    for path in (azure, mooncake):
        rows = list(islice(trace_rows(path), 500))
        offsets = [row.offset_s for row in rows]
        assert offsets == sorted(offsets)
        assert all(row.input_tokens > 0 for row in rows)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n", "a.csv:2"),
        ("a.csv", "when,tokens\n1,2\n", "a.csv:2"),
        ("m.jsonl", MOONCAKE + '{"timestamp": 1}\n', "m.jsonl:3"),
        ("a.parquet", "", "a.parquet"),
    ],
)
def test_a_trace_that_is_none_is_told_by_line(
    tmp_path: Path, name: str, text: str, where: str
) -> None:
    with pytest.raises(InputError) as caught:
        list(trace_rows(_file(tmp_path, name, text)))
    assert caught.value.where.endswith(where)


def test_a_ledger_is_replayed_in_the_order_of_its_requests(tmp_path: Path) -> None:
    start = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
    rows = [
        {
            **dict.fromkeys(SCHEMA.names),
            "request_id": f"r{n}",
            "started_at": start + dt.timedelta(seconds=10 - n),
            "status": "ok",
            "price_state": "unpriced",
            "import_id": "0" * 16,
            "model": "m",
            "model_requested": "asked" if n else None,
            "template": "t",
            "uncached_input_tokens": 100 + n,
            "cache_read_tokens": 10,
            "cache_write_tokens": 1,
            "output_tokens": 5,
            "reasoning_tokens": 0,
            "ttft_s": 0.5 if n else None,
        }
        for n in range(3)
    ]
    write_table(tmp_path / "usage", pa.Table.from_pylist(rows, schema=SCHEMA))
    found = list(ledger_rows(tmp_path / "usage"))
    assert [row.input_tokens for row in found] == [113, 112, 111]
    assert [row.offset_s for row in found] == [0.0, 1.0, 2.0]
    assert [row.model for row in found] == ["asked", "asked", "m"]
    assert [row.streamed for row in found] == [True, True, False]


def test_a_mix_gives_equal_rows_for_equal_seeds() -> None:
    first, again, other = (list(mix_rows(DEMO_MIX, 1, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert {row.tenant for row in first} <= set(DEMO_MIX.tenants)
    assert all(row.output_tokens >= 1 for row in first)


def test_a_mix_drawn_in_pieces_is_in_order_and_as_long_as_asked() -> None:
    offsets = [row.offset_s for row in mix_rows(DEMO_MIX, 8, 0)]
    assert offsets == sorted(offsets)
    assert 7.9 * 3600 < offsets[-1] < 8 * 3600


def test_rows_end_at_the_limit_or_at_the_instant() -> None:
    rows = [Row(float(n), 1, 1) for n in range(10)]
    assert len(list(within(rows, 4, None))) == 4
    assert len(list(within(rows, None, 2.5))) == 3
    assert len(list(within(rows, None, None))) == 10


# Prompts.

ROW = Row(0.0, 1000, 40, model="m", feature="f", template="t")


def _body(row: Row, number: int = 0, **settings: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        PromptMaker(PromptSettings(**settings)).call(row, number, "key").body
    )
    return body


def test_equal_templates_get_equal_system_prompts_and_their_own_questions() -> None:
    one, two = _body(ROW, 1), _body(replace(ROW, input_tokens=3000), 2)
    other = _body(replace(ROW, template="u"), 1)
    assert one["messages"][0] == two["messages"][0] != other["messages"][0]
    assert one["messages"][1] != two["messages"][1]


@pytest.mark.parametrize("n_tokens", [1, 500, 4000, 130_000])
def test_prompts_have_as_many_words_as_the_row_has_tokens(n_tokens: int) -> None:
    plain = _body(Row(0.0, n_tokens, 1))
    assert len(plain["messages"][0]["content"].split()) == n_tokens
    if n_tokens > 500:
        body = _body(replace(ROW, input_tokens=n_tokens))
        words = " ".join(m["content"] for m in body["messages"]).split()
        assert len(words) == n_tokens + 3  # the three that name the template


def test_equal_blocks_begin_prompts_alike() -> None:
    long = _body(Row(0.0, 1536, 1, blocks=(0, 1, 2)))["messages"][0]["content"].split()
    short = _body(Row(0.0, 1024, 1, blocks=(0, 9)))["messages"][0]["content"].split()
    assert (len(long), len(short)) == (1536, 1024)
    assert long[:512] == short[:512]
    assert long[512:1024] != short[512:]


def test_rows_of_anthropic_go_out_in_its_dialect_unless_told_otherwise() -> None:
    row = replace(ROW, provider="anthropic", streamed=True)
    call = PromptMaker(PromptSettings()).call(row, 0, "secret")
    assert call.path == "/v1/messages"
    assert ("x-api-key", "secret") in call.headers
    assert "stream_options" not in json.loads(call.body)
    for settings in (PromptSettings(model="other"), PromptSettings(api="openai")):
        call = PromptMaker(settings).call(row, 0, "secret")
        assert call.path == "/v1/chat/completions"
        assert ("authorization", "Bearer secret") in call.headers
        assert json.loads(call.body)["stream_options"] == {"include_usage": True}


def test_a_share_is_streamed_the_same_ones_each_time() -> None:
    maker = PromptMaker(PromptSettings(stream_frac=0.3))
    first, again = ([maker.call(ROW, n, None).streamed for n in range(300)] for _ in "ab")
    assert first == again
    assert 50 < sum(first) < 130


def test_exact_output_is_asked_for_as_vllm_takes_it() -> None:
    body = _body(ROW, exact_output=True)
    assert (body["ignore_eos"], body["min_tokens"], body["max_tokens"]) == (True, 40, 40)


# Answers.

STREAM = (
    b": keep-alive\n\n"
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1}}\n\n'
    b"data: [DONE]\n\n"
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    reading, edges = StreamReading(), [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        reading.feed(STREAM[start:end])
    assert (reading.has_token, reading.has_ended, reading.told_error) == (True, True, False)
    assert counts(reading.usage) == (7, 1, None)


def test_comments_and_roles_are_no_tokens() -> None:
    reading = StreamReading()
    reading.feed(STREAM[: STREAM.index(b'{"choices":[{"delta":{"content":"Hi"')])
    assert not reading.has_token


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]},
        {"choices": [{"delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"text": "a"}]},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}},
        {"type": "response.output_text.delta", "delta": "a"},
    ],
)
def test_tokens_are_known_in_every_dialect(event: dict[str, Any]) -> None:
    reading = StreamReading()
    reading.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert reading.has_token


def test_an_error_event_is_heard_and_input_holds_what_was_cached() -> None:
    reading = StreamReading()
    reading.feed(b'event: error\ndata: {"type":"error","error":{"message":"x"}}\n\n')
    assert reading.told_error
    usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 2}
    assert counts(usage) == (8, 2, 3)
