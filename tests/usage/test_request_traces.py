"""Traces and ledgers come in as the requests that they tell of, or with a reason why not."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weighbridge.ledger.lines import RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.units import InputError
from weighbridge.usage.compaction import compact
from weighbridge.usage.request_traces import (
    RequestTrace,
    read_rate_windows,
    read_request_trace,
    requests_of_ledger,
)
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
START = dt.datetime(2026, 11, 20, 6, 30, tzinfo=dt.UTC)
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def trace_of(tmp_path: Path, text: str) -> RequestTrace:
    file = tmp_path / "trace"
    file.write_text(text)
    return read_request_trace(file)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        trace_of(tmp_path, text)
    return str(caught.value).replace(str(tmp_path), "T")


def mooncake(*rows: tuple[int, int, int, list[int]]) -> str:
    names = ("timestamp", "input_length", "output_length", "hash_ids")
    return "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)


@pytest.mark.parametrize(
    "times",
    [
        ("2023-11-16 18:17:03.9799600", "2023-11-16 18:17:04.0319600", "2023-11-16 18:18:03.98"),
        ("2024-05-10 00:00:00.5+00:00", "2024-05-10 00:00:00.552+00:00", "2024-05-10 00:01:00.5Z"),
        ("2024-05-10 00:00:00+00:00", "2024-05-10 00:00:00.052+00:00", "2024-05-10 00:01:00+00:00"),
    ],
)
def test_azure_instants_of_both_years_are_told(tmp_path: Path, times: tuple[str, ...]) -> None:
    rows = zip(times, ("4808,10", "3180,8", "5,1"), strict=True)
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(map(",".join, rows))
    trace = trace_of(tmp_path, text)
    assert np.allclose(trace.requests.arrival_s, [0.0, 0.052, 60.0], atol=3e-4)
    assert trace.requests.input_tokens.tolist() == [4808, 3180, 5]
    assert trace.requests.output_tokens.tolist() == [10, 8, 1]
    assert trace.notes.first_at is not None
    assert trace.notes.first_at.isoformat()[:16] == times[0][:16].replace(" ", "T")


def test_hour_of_week_counts_from_monday(tmp_path: Path) -> None:
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:30:00,1,1"  # a Thursday
    assert trace_of(tmp_path, text).notes.origin_hour_of_week == 3 * 24 + 18.5


def test_mooncake_blocks_become_dense_and_stay_shared(tmp_path: Path) -> None:
    text = mooncake((0, 1030, 5, [7, 90, 4]), (1500, 513, 2, [7, 8]), (1500, 512, 9, [7]))
    trace = trace_of(tmp_path, text)
    prefix = trace.requests.prefix
    assert prefix is not None
    assert trace.requests.arrival_s.tolist() == [0.0, 1.5, 1.5]
    assert prefix.offsets.tolist() == [0, 3, 5, 6]
    assert prefix.n_tokens_per_block == 512
    assert len(set(prefix.block_ids.tolist())) == prefix.block_ids.max() + 1 == 4
    assert prefix.block_ids[0] == prefix.block_ids[3] == prefix.block_ids[5]
    assert trace.notes.origin_hour_of_week is None


def test_blocks_follow_their_requests_into_order(tmp_path: Path) -> None:
    text = mooncake((2000, 512, 5, [3]), (0, 1024, 2, [1, 2]), (1000, 600, 0, [5, 6]))
    trace = trace_of(tmp_path, text)
    assert trace.requests.prefix is not None
    assert trace.requests.prefix.block_ids.tolist() == [0, 1, 2]
    assert trace.requests.input_tokens.tolist() == [1024, 512]
    assert (trace.notes.n_without_output, trace.notes.n_out_of_order) == (1, 1)


def test_failures_of_burstgpt_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,300,0,300,API log\n"
    more = "118,GPT-4,417,276,693,API log\n119,GPT-4,0,7,7,API log\n"
    trace = trace_of(tmp_path, BURSTGPT + rows + more)
    assert trace.requests.arrival_s.tolist() == [0.0, 113.0]
    notes = trace.notes
    assert (notes.n_rows, notes.n_without_output, notes.n_without_input) == (4, 1, 1)
    assert notes.n_left_out == 2
    assert len(trace.requests.session) == 0


def test_sessions_of_burstgpt_are_numbered(tmp_path: Path) -> None:
    # Eight digits before the point are seconds, and no date.
    header = BURSTGPT.replace("Timestamp,", "Timestamp,Session ID,Elapsed time,")
    rows = [f"{19440110 + k}.0,{name},2,GPT-4,9,3,12,API log" for k, name in enumerate("bacba")]
    trace = trace_of(tmp_path, header + "\n".join([*rows, "19440120,,2,GPT-4,9,3,12,API log"]))
    assert trace.requests.arrival_s.tolist() == [0, 1, 2, 3, 4, 10]
    session = trace.requests.session.tolist()
    assert (session[0], session[1]) == (session[3], session[4])
    assert len(set(session)) == 4


def test_a_packed_trace_reads_as_the_plain_one(tmp_path: Path) -> None:
    text = mooncake((0, 1030, 5, [7, 90, 4]), (1500, 513, 2, [7, 8]))
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    packed = read_request_trace(tmp_path / "t.jsonl.gz").requests
    plain = trace_of(tmp_path, text).requests
    assert packed.prefix is not None
    assert plain.prefix is not None
    assert np.array_equal(packed.prefix.block_ids, plain.prefix.block_ids)
    assert np.array_equal(packed.arrival_s, plain.arrival_s)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "T/trace: is no trace of requests that is known here: its columns are a, b"),
        (
            "client,window_start_s,rate_rps,cv,pattern,pattern_params\n0,0,1,1,Gamma,1,1\n",
            "T/trace: holds rates, not requests\n"
            "  mend: draw requests from them (read_rate_windows)",
        ),
        (
            BURSTGPT + "1,m,2,3,5,API log\n2,m,x,3,5,API log\n",
            "T/trace:3: Request tokens: is not a number",
        ),
        (BURSTGPT + "1,m,,3,5,API log\n", "T/trace:2: Request tokens: is missing"),
        (BURSTGPT + "1,m,4,-3,5,API log\n", "T/trace:2: Response tokens: is negative"),
        (BURSTGPT + "1,m,4\n", "T/trace:2: the number of cells differs from the header"),
        (BURSTGPT + "1,m,4,0,4,API log\n", "T/trace: none of 1 requests has tokens in and out"),
        (BURSTGPT, "T/trace: holds no row"),
        ("", "T/trace: the file is empty"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n",
            "T/trace:2: TIMESTAMP: is not a date and time",
        ),
        (mooncake((0, 5, 5, [1])) + "\n{", "T/trace:2: is not JSON"),
        (
            mooncake((0, 5, 5, [1]), (0, 5, 5, ["a"])),  # type: ignore[list-item]
            "T/trace:2: hash_ids: is missing, or not a list of whole numbers",
        ),
        (
            mooncake((0, 512, 5, [1, 2])),
            "T/trace: hash_ids: request 1 has 2 blocks, and its 512 tokens fill 1 of 512",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, told: str) -> None:
    found = refusal(tmp_path, text)
    assert found.startswith(told)
    assert "\n  mend: " in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_request_trace(tmp_path / "none.csv")


def line(name: str, after_s: float, **more: Any) -> RequestLine:
    told = {"status": "ok", "price_state": "unpriced", "output_tokens": 7, **more}
    at_us = int((START.timestamp() + after_s) * 1e6)
    return RequestLine(request_id=name, started_at_us=at_us, **told)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    lines = (
        line("c", 20.0, tenant="b", model="m", uncached_input_tokens=5),
        line("a", 0.0, tenant="a", model="m", uncached_input_tokens=4, cache_read_tokens=6),
        line("b", 10.5, tenant="b", model="n", cache_write_tokens=10, key_id="k"),
        line("d", 30.0, tenant="a", status="error", uncached_input_tokens=5),
        line("e", 31.0, tenant="a", uncached_input_tokens=5, output_tokens=0),
    )
    writer = SpoolWriter(tmp_path / "spool", worker="0", max_segment_bytes=1)
    assert writer.append_many([encode_line(one) for one in lines])
    assert writer.close()
    compact(tmp_path / "spool", tmp_path / "ledger", now=NOW)
    return tmp_path / "ledger"


def test_a_ledger_gives_its_answered_requests_by_time(ledger: Path) -> None:
    trace = read_request_trace(ledger)
    assert trace.requests.arrival_s.tolist() == [0.0, 10.5, 20.0]
    assert trace.requests.input_tokens.tolist() == [10, 10, 5]  # cached ones included
    notes = trace.notes
    assert (notes.n_rows, notes.n_failed, notes.n_without_output) == (5, 1, 1)
    assert notes.cached_input_frac == 6 / 25
    assert notes.first_at == START
    assert notes.origin_hour_of_week == 4 * 24 + 6.5  # a Friday


def test_a_ledger_is_cut_by_time_model_and_tenant(ledger: Path) -> None:
    opened = open_ledger(ledger)

    def inputs(**how: Any) -> list[int]:
        return requests_of_ledger(opened, **how).requests.input_tokens.tolist()

    assert inputs(only={"model": ["m"]}) == [10, 5]
    assert inputs(only={"tenant": ["b"], "model": ["m", "n"]}) == [10, 5]
    assert inputs(from_at=START + dt.timedelta(seconds=10)) == [10, 5]
    assert inputs(to_at=START + dt.timedelta(seconds=20)) == [10, 10]
    assert inputs(only={"feature": [None]}) == [10, 10, 5]


def test_callers_stand_for_sessions_only_when_asked(ledger: Path) -> None:
    opened = open_ledger(ledger)
    assert len(requests_of_ledger(opened).requests.session) == 0
    by_tenant = requests_of_ledger(opened, session_by="tenant").requests.session
    assert by_tenant[1] == by_tenant[2] != by_tenant[0]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"only": {"model": ["x"]}}, r"no request has model in \['x'\]\n  mend: model is .* m, n"),
        ({"only": {"colour": ["x"]}}, "colour: is no dimension of a ledger"),
        ({"from_at": NOW}, "no request has from 2026-11-21 .*\n  mend: requests are from 2026-11-"),
        ({"from_at": dt.datetime(2026, 1, 1)}, "has no zone"),  # noqa: DTZ001
        ({"from_at": START + dt.timedelta(seconds=30)}, "none of 2 requests was answered"),
    ],
)
def test_a_cut_that_leaves_nothing_says_what_there_is(
    ledger: Path, how: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        requests_of_ledger(open_ledger(ledger), **how)


RATES = "client,window_start_s,rate_rps,cv,pattern,pattern_params\n"


def rates_of(tmp_path: Path, text: str) -> Any:
    (tmp_path / "rates.csv").write_text(RATES + text)
    return read_rate_windows(tmp_path / "rates.csv")


def test_rates_come_by_client_and_window(tmp_path: Path) -> None:
    rows = '1,600,0.5,2,Gamma,"0.25,8"\n0,0,1.5,1.2,Weibull,0.8,0.6\n0,600,0,0,,0,0\n'
    windows = rates_of(tmp_path, rows + "1,1200,0,0,,0,0\n")
    assert windows.client.tolist() == [0, 1]
    assert windows.start_s.tolist() == [0.0, 600.0]
    assert windows.is_weibull.tolist() == [True, False]
    assert windows.shape_ratio.tolist() == [0.8, 0.25]
    assert (windows.window_s, windows.duration_s, windows.n_clients) == (600.0, 1800.0, 2)
    assert windows.total_requests_per_s().tolist() == [1.5, 0.5, 0.0]
    assert windows.n_requests == 1200.0
    later = windows.between(600.0, 1800.0).times(2.0)
    assert later.total_requests_per_s().tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0,0,1,1,Gamma\n", "rates.csv:2: has 5 cells"),
        ("0,0,-1,1,Gamma,1,1\n", "rates.csv:2: rate_rps: '-1' is not a number"),
        ("0,0,1,1,Pareto,1,1\n", "rates.csv:2: pattern: is 'Pareto'"),
        ("0,0,1,1,Gamma,0,1\n", "rates.csv:2: pattern_params: has a shape of 0"),
        ("0,0,1,1,Gamma,1,1\n0,0,2,1,Gamma,1,1\n0,600,2,1,Gamma,1,1\n", "two rows for the window"),
        ("0,0,1,1,Gamma,1,1\n", "one window only"),
        ("0,0,1,1,Gamma,1,1\n0,600,1,1,Gamma,1,1\n0,1000,1,1,Gamma,1,1\n", "no multiple"),
        ("0,0,0,0,,0,0\n0,600,0,0,,0,0\n", "no client sends anything"),
    ],
)
def test_rates_that_contradict_are_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        rates_of(tmp_path, text)


def test_public_traces_have_the_requests_that_are_known_of_them(shared_traces: Path) -> None:
    azure = shared_traces / "azure2023"
    code = read_request_trace(azure / "AzureLLMInferenceTrace_code.csv")
    conv = read_request_trace(azure / "AzureLLMInferenceTrace_conv.csv")
    talk = read_request_trace(shared_traces / "mooncake" / "conversation_trace.jsonl")
    counts = [trace.requests.n_requests for trace in (code, conv, talk)]
    assert counts == [8_819, 19_366, 12_031]
    assert [round(t.requests.duration_s / 60) for t in (code, conv, talk)] == [57, 58, 59]
    prefix = talk.requests.prefix
    assert prefix is not None
    assert np.array_equal(np.diff(prefix.offsets), -(-talk.requests.input_tokens // 512))
