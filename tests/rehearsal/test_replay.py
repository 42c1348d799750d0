"""The replay is open loop: requests leave at their times, whatever becomes of those before."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Fault, Settings
from weighbridge.rehearsal.replay import Replay, Tally, quantiles
from weighbridge.rehearsal.replay_answer import Outcome
from weighbridge.rehearsal.replay_client import Client, endpoint_of
from weighbridge.rehearsal.replay_prompt import PromptMaker, PromptSettings
from weighbridge.rehearsal.replay_rows import Row
from weighbridge.rehearsal.replay_run import ReplaySettings, replay
from weighbridge.units import InputError


class PlayClock:
    """Time passes only when somebody sleeps, or when it is told to."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.at_s += seconds


def _rows(n: int, every_s: float = 1.0) -> list[Row]:
    return [Row(number * every_s, 10, 5) for number in range(n)]


def test_requests_leave_at_their_times_though_none_is_answered() -> None:
    clock, sent, ends = PlayClock(), [], []

    async def scene() -> None:
        answered = asyncio.Event()

        async def send(row: Row, outcome: Outcome, start_s: float) -> None:
            outcome.sent_s = clock.now_s() - start_s
            sent.append(outcome.sent_s)
            if len(sent) == 5:
                answered.set()  # only when the last has left
            await answered.wait()

        play = Replay(send, ends.append, clock, speed=4)
        tally = await play.run(_rows(5))
        assert tally.n_ok == 5
        assert tally.lateness_s == [0.0] * 5
        assert tally.offered_requests_per_s == tally.achieved_requests_per_s == 5.0

    asyncio.run(scene())
    assert sent == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert sorted(outcome.number for outcome in ends) == [0, 1, 2, 3, 4]


def test_what_cannot_be_open_is_dropped_and_said_so() -> None:
    ends: list[Outcome] = []

    async def scene() -> None:
        async def send(row: Row, outcome: Outcome, start_s: float) -> None:
            outcome.sent_s = 0.0
            while len(ends) < 3:
                await asyncio.sleep(0)

        tally = await Replay(send, ends.append, PlayClock(), n_open_most=2).run(_rows(5))
        assert (tally.n_scheduled, tally.n_sent, tally.n_ok) == (5, 2, 2)
        assert tally.errors == {"dropped": 3}

    asyncio.run(scene())
    assert [(o.number, o.sent_s) for o in ends[:3]] == [(2, None), (3, None), (4, None)]


def test_a_generator_that_is_too_slow_shows_in_the_lateness() -> None:
    clock = PlayClock()

    async def scene() -> Tally:
        async def send(row: Row, outcome: Outcome, start_s: float) -> None:
            outcome.sent_s = clock.now_s() - start_s
            clock.at_s += 3.0  # making the request held everything up

        return await Replay(send, lambda _: None, clock).run(_rows(3))

    tally = asyncio.run(scene())
    assert max(tally.lateness_s) >= 2.0
    assert tally.achieved_requests_per_s < tally.offered_requests_per_s


def test_rows_are_made_before_the_clock_starts() -> None:
    clock = PlayClock()

    def slow_rows() -> Any:
        clock.at_s += 60.0
        yield Row(0.0, 1, 1)

    async def scene() -> Tally:
        async def send(row: Row, outcome: Outcome, start_s: float) -> None:
            outcome.sent_s = clock.now_s() - start_s

        return await Replay(send, lambda _: None, clock).run(slow_rows())

    assert asyncio.run(scene()).lateness_s == [0.0]


def test_a_replay_that_is_cut_short_reports_what_was_open() -> None:
    ends: list[Outcome] = []

    async def scene() -> None:
        async def send(row: Row, outcome: Outcome, start_s: float) -> None:
            outcome.sent_s = 0.0
            if outcome.number:
                await asyncio.Event().wait()

        play = Replay(send, ends.append, PlayClock())
        task = asyncio.ensure_future(play.run(_rows(3)))
        while len(play._open) < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert play.tally.n_ok == 1
        assert play.tally.errors == {"interrupted": 2}

    asyncio.run(scene())
    assert len(ends) == 3


def test_a_fault_of_the_generator_is_no_fault_of_the_server() -> None:
    async def scene() -> None:
        async def send(row: Row, outcome: Outcome, start_s: float) -> None:
            raise ZeroDivisionError

        tally = await Replay(send, lambda _: None, PlayClock()).run(_rows(1))
        assert tally.errors == {"generator: ZeroDivisionError": 1}

    asyncio.run(scene())


def test_quantiles_of_nothing_are_nothing() -> None:
    assert quantiles([], 0.5) is None
    assert quantiles([1.0, 2.0, 3.0], 0.5) == (2.0,)


# Against a stand-in.


def _sent(provider_settings: Settings, rows: list[Row], fault: Fault | None = None) -> Any:
    """Send rows one after the other; outcomes, connections made, and the stand-in's bill."""

    async def scene() -> Any:
        async with Provider(provider_settings) as p:
            if fault is not None:
                p.add_fault(fault)
            client = Client(endpoint_of(p.url), timeout_s=0.2 if fault else 30)
            maker, outcomes = PromptMaker(PromptSettings()), []
            for number, row in enumerate(rows):
                outcome = Outcome(number=number, scheduled_s=0.0)
                await client.send(maker.call(row, number, "key"), outcome, lambda _: None)
                outcomes.append(outcome)
            await client.close()
            return outcomes, client.n_connects, p.bill()

    return asyncio.run(scene())


WHOLE = Row(0.0, 30, 8)
STREAMED = Row(0.0, 30, 8, streamed=True)
MESSAGE = Row(0.0, 30, 8, provider="anthropic", streamed=True)


def test_answers_are_read_whole_and_streamed_in_both_dialects() -> None:
    rows = [WHOLE, STREAMED, MESSAGE, Row(0.0, 30, 8, provider="anthropic")]
    outcomes, n_connects, bill = _sent(Settings(speed=0), rows)
    assert n_connects == 1
    for outcome, line in zip(outcomes, bill["lines"], strict=True):
        assert (outcome.status, outcome.error) == (200, None)
        assert outcome.output_tokens == line["output_tokens"]
        assert outcome.input_tokens == line["uncached_input_tokens"]
        assert outcome.request_id == line["request_id"]
        assert (outcome.ttft_s is not None) is line["streamed"]


@pytest.mark.parametrize(
    ("fault", "row", "error"),
    [
        ("status_429", WHOLE, "http_429"),
        ("status_500", STREAMED, "http_500"),
        ("hang", WHOLE, "timeout"),
        ("stall", STREAMED, "timeout"),
        ("comments_only", STREAMED, "timeout"),
        ("role_only", STREAMED, "timeout"),
        ("reset", WHOLE, "reset"),
        ("torn_stream", STREAMED, "cut"),
        ("torn_stream", WHOLE, "cut"),
        ("malformed_chunk", STREAMED, "malformed"),
        ("malformed_event", WHOLE, "not_json"),
        ("lying_length", WHOLE, "cut"),
    ],
)
def test_a_fault_is_told_by_its_kind(fault: Any, row: Row, error: str) -> None:
    (outcome,), _, _ = _sent(Settings(speed=0), [row], Fault(fault=fault, after_events=1))
    assert outcome.error == error
    assert outcome.ttft_s is None


def test_a_stream_that_lacks_its_promised_length_is_cut_after_its_first_token() -> None:
    (outcome,), _, _ = _sent(Settings(speed=0), [STREAMED], Fault(fault="lying_length"))
    assert outcome.error == "cut"
    assert outcome.ttft_s is not None


def test_usage_that_is_missing_is_not_made_up() -> None:
    (outcome,), _, _ = _sent(Settings(speed=0), [STREAMED], Fault(fault="missing_usage"))
    assert (outcome.error, outcome.output_tokens) == (None, None)


def test_nobody_listening_is_a_connect_error() -> None:
    async def scene() -> None:
        async with Provider(Settings(speed=0)) as p:
            url = p.url
        client, outcome = Client(endpoint_of(url), 5.0), Outcome(number=0, scheduled_s=0.0)
        call = PromptMaker(PromptSettings()).call(WHOLE, 0, None)
        await client.send(call, outcome, lambda _: None)
        assert (outcome.error, outcome.status) == ("connect_error", 0)

    asyncio.run(scene())


def test_a_kept_connection_that_has_died_is_replaced_once() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answer)
        await reader.read(1)  # the next request, on which the server hangs up
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = Client(endpoint_of(f"http://127.0.0.1:{port}/v1"), 5.0)
        call = PromptMaker(PromptSettings()).call(WHOLE, 0, None)
        for number in range(2):
            outcome = Outcome(number=number, scheduled_s=0.0)
            await client.send(call, outcome, lambda _: None)
            assert (outcome.status, outcome.error) == (200, None)
        assert client.n_connects == 2
        await client.close()
        server.close()
        await server.wait_closed()

    asyncio.run(scene())


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no URL of a server"):
        endpoint_of(url)


def test_an_address_may_end_in_v1_and_carry_a_prefix() -> None:
    assert endpoint_of("http://h:8000/v1").prefix == ""
    assert endpoint_of("https://h/team/v1/").prefix == "/team"
    assert endpoint_of("https://h").port == 443


def test_a_replay_writes_a_line_per_request_and_refuses_to_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    rows = [Row(n / 100, 20, 5, feature="f", template="t", tenant="a") for n in range(20)]

    async def scene() -> None:
        async with Provider(Settings(speed=0, n_requests_kept=20, api_keys=("ka",))) as p:
            settings = ReplaySettings(to=p.url, out=out, keys={"a": "ka", None: "kb"}, speed=10)
            seen: list[int] = []
            tally, was_cut = await replay(rows, settings, lambda t: seen.append(t.n_sent))
            assert (tally.n_ok, was_cut) == (20, False)
            assert seen
            headers = p.requests[0].headers
            assert (headers["x-weighbridge-feature"], headers["x-weighbridge-template"]) == (
                "f",
                "t",
            )
            with pytest.raises(InputError, match="there already"):
                await replay(rows, settings)

    asyncio.run(scene())
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(20))
    assert {"scheduled_s", "sent_s", "ttft_s", "latency_s", "status", "error"} <= lines[0].keys()
