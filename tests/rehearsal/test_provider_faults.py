"""Each fault does at the byte level what its name says, and is billed as it should be."""

import asyncio
import json
from typing import Any

import h11
import pytest

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import FAULT_NAMES, Fault, Settings

FAST = Settings(speed=0)
PATH = "/v1/chat/completions"


def _play(client: Any, scene: Any, settings: Settings = FAST) -> None:
    async def play() -> None:
        async with Provider(settings) as provider:
            await scene(provider)

    client.run(play)


def _streamed(client: Any, **more: Any) -> dict[str, Any]:
    return {**client.chat, "stream": True, "max_tokens": 20, **more}


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_an_error_status_is_told_in_each_dialect_and_costs_nothing(
    client: Any, status: int
) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault=f"status_{status}", retry_after_s=2.5))  # type: ignore[arg-type]
        got = await client.ask(p.url, PATH, client.chat)
        assert got.parsed()[0] == status
        assert got.parsed()[1]["retry-after"] == "3"
        assert set(got.json()["error"]) == {"message", "type", "param", "code"}
        got = await client.ask(p.url, "/v1/messages", client.message)
        assert got.parsed()[0] == status
        assert got.json()["type"] == "error"
        lines = p.bill()["lines"]
        assert [line["http_status"] for line in lines] == [status, status]
        assert p.bill()["total"]["cost_pico_usd"] == 0

    _play(client, scene)


def test_an_error_that_is_billed_all_the_same_costs_its_prompt(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="status_500", billed=True))
        await client.ask(p.url, PATH, client.chat)
        total = p.bill()["total"]
        assert total["uncached_input_tokens"] > 0
        assert total["cost_pico_usd"] == total["uncached_input_tokens"] * 2_500_000

    _play(client, scene)


@pytest.mark.parametrize(
    ("fault", "stream"),
    [("hang", True), ("hang", False), ("comments_only", False), ("role_only", False)],
)
def test_a_hang_sends_nothing_until_the_client_leaves(
    client: Any, fault: Any, stream: bool
) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault=fault))
        wire = await client.open(p.url, PATH, _streamed(client, stream=stream))
        await client.until(lambda: p.stats()["by_fault"] == {fault: 1})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.reader.read(1), 0.05)
        await wire.leave()
        await client.until(lambda: p.stats()["n_cancelled_by_client"] == 1)
        assert p.stats()["n_in_flight"] == 0
        (line,) = p.bill()["lines"]
        assert (line["http_status"], line["cancelled"], line["cost_pico_usd"]) == (0, True, 0)

    _play(client, scene)


def test_slow_answers_after_its_delay(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="slow", delay_s=0.01))
        got = await client.ask(p.url, PATH, client.chat)
        assert got.json()["usage"]["total_tokens"] > 0

    _play(client, scene)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_torn_stream_ends_after_its_events_without_a_last_chunk(client: Any, after: int) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="torn_stream", after_events=after))
        got = await client.ask(p.url, PATH, _streamed(client))
        assert got.raw.startswith(b"HTTP/1.1 200")
        assert got.raw.count(b"data: ") == after
        assert not got.raw.endswith(b"0\r\n\r\n")
        with pytest.raises(h11.RemoteProtocolError):
            got.parsed()
        (line,) = p.bill()["lines"]
        assert line["output_tokens"] == max(after - 1, 0)  # the first event is the role
        assert not line["complete"]

    _play(client, scene)


def test_a_torn_answer_is_half_of_it(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="torn_stream"))
        got = await client.ask(p.url, PATH, client.chat)
        with pytest.raises(h11.RemoteProtocolError):
            got.parsed()
        assert p.bill()["lines"][0]["output_tokens"] > 0  # it was generated, and so is billed

    _play(client, scene)


@pytest.mark.parametrize("stream", [True, False])
def test_a_reset_at_once_sends_no_byte(client: Any, stream: bool) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="reset"))
        got = await client.ask(p.url, PATH, _streamed(client, stream=stream))
        assert (got.raw, got.was_reset) == (b"", True)
        assert p.bill()["total"]["cost_pico_usd"] == 0

    _play(client, scene)


def test_a_reset_within_a_stream_comes_after_its_events(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="reset", after_events=3))
        got = await client.ask(p.url, PATH, _streamed(client))
        assert got.was_reset
        assert got.raw.count(b"data: ") == 3
        assert p.bill()["total"]["output_tokens"] == 2

    _play(client, scene)


@pytest.mark.parametrize("stream", [True, False])
def test_a_malformed_chunk_is_no_http(client: Any, stream: bool) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="malformed_chunk", after_events=2))
        got = await client.ask(p.url, PATH, _streamed(client, stream=stream))
        assert got.raw.endswith(b"\r\nzz\r\n")
        with pytest.raises(h11.RemoteProtocolError):
            got.parsed()

    _play(client, scene)


def test_a_malformed_event_is_whole_http_and_broken_json(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="malformed_event", after_events=2))
        events = (await client.ask(p.url, PATH, _streamed(client))).events()
        with pytest.raises(json.JSONDecodeError):
            json.loads(events[2].removeprefix("data: "))
        assert events[-1] == "data: [DONE]"
        got = await client.ask(p.url, PATH, client.chat)
        with pytest.raises(json.JSONDecodeError):
            got.json()

    _play(client, scene)


@pytest.mark.parametrize(("path", "stream"), [(PATH, True), (PATH, False), ("/v1/messages", True)])
def test_missing_usage_is_nowhere_and_billed_all_the_same(
    client: Any, path: str, stream: bool
) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="missing_usage"))
        options = {"stream_options": {"include_usage": True}} if path == PATH else {}
        got = await client.ask(p.url, path, _streamed(client, stream=stream, **options))
        assert got.parsed()[0] == 200
        assert b'"usage":{' not in got.raw
        assert p.bill()["total"]["output_tokens"] > 0

    _play(client, scene)


@pytest.mark.parametrize("stream", [True, False])
def test_zero_usage_is_an_explicit_zero(client: Any, stream: bool) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="zero_usage"))
        body = _streamed(client, stream=stream, stream_options={"include_usage": True})
        got = await client.ask(p.url, PATH, body)
        assert b'"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0' in got.raw
        assert p.bill()["total"]["output_tokens"] > 0

    _play(client, scene)


@pytest.mark.parametrize("stream", [True, False])
def test_a_wrong_content_type_says_html(client: Any, stream: bool) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="wrong_content_type"))
        got = await client.ask(p.url, PATH, _streamed(client, stream=stream))
        assert got.parsed()[1]["content-type"] == "text/html"

    _play(client, scene)


@pytest.mark.parametrize("stream", [True, False])
def test_a_lying_length_promises_more_than_comes(client: Any, stream: bool) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="lying_length"))
        got = await client.ask(p.url, PATH, _streamed(client, stream=stream))
        head, _, body = got.raw.partition(b"\r\n\r\n")
        said = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        assert said > len(body) > 0
        assert b"transfer-encoding" not in head
        with pytest.raises(h11.RemoteProtocolError):
            got.parsed()

    _play(client, scene)


def test_a_stall_is_silent_after_its_events(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="stall", after_events=3))
        wire = await client.open(p.url, PATH, _streamed(client))
        seen = b""
        while seen.count(b"\n\n") < 3:
            seen += await wire.reader.read(65536)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.reader.read(1), 0.05)
        await wire.leave()
        await client.until(lambda: p.stats()["n_cancelled_by_client"] == 1)
        (line,) = p.bill()["lines"]
        assert (line["output_tokens"], line["cancelled"]) == (2, True)

    _play(client, scene)


@pytest.mark.parametrize("stream", [True, False])
def test_a_stall_of_a_while_goes_on(client: Any, stream: bool) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="stall", after_events=3, delay_s=0.01))
        got = await client.ask(p.url, PATH, _streamed(client, stream=stream))
        assert got.parsed()[0] == 200
        assert p.bill()["lines"][0]["complete"]

    _play(client, scene)


def test_comments_only_keeps_alive_and_says_no_token(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="comments_only", delay_s=0.001))
        wire = await client.open(p.url, PATH, _streamed(client))
        seen = b""
        while seen.count(b": keep-alive\n\n") < 3:
            seen += await wire.reader.read(65536)
        assert b"data:" not in seen
        await wire.leave()
        await client.until(lambda: p.stats()["n_cancelled_by_client"] == 1)
        assert p.bill()["total"]["output_tokens"] == 0

    _play(client, scene)


def test_role_only_says_who_speaks_and_nothing_more(client: Any) -> None:
    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="role_only"))
        wire = await client.open(p.url, PATH, _streamed(client))
        seen = b""
        while b"\n\n" not in seen:
            seen += await wire.reader.read(65536)
        assert b'"delta":{"role":"assistant","content":""' in seen
        assert seen.count(b"data: ") == 1
        await wire.leave()
        await client.until(lambda: p.stats()["n_cancelled_by_client"] == 1)

    _play(client, scene)


def test_a_header_orders_a_fault_for_one_request_or_spares_it(client: Any) -> None:
    async def scene(p: Provider) -> None:
        order = "torn_stream;after_events=2"
        got = await client.ask(p.url, PATH, _streamed(client), x_rehearsal_fault=order)
        assert got.raw.count(b"data: ") == 2
        assert (await client.ask(p.url, PATH, client.chat)).parsed()[0] == 200
        p.add_fault(Fault(fault="status_500"))
        got = await client.ask(p.url, PATH, client.chat, x_rehearsal_fault="none")
        assert got.parsed()[0] == 200
        got = await client.ask(p.url, PATH, client.chat, x_rehearsal_fault="nonsense")
        assert got.parsed()[0] == 400

    _play(client, scene)


def test_rules_fall_by_count_share_model_path_and_key(client: Any) -> None:
    async def statuses(p: Provider, n: int, path: str = PATH, **headers: str) -> list[int]:
        body = client.message if path == "/v1/messages" else client.chat
        return [(await client.ask(p.url, path, body, **headers)).parsed()[0] for _ in range(n)]

    async def scene(p: Provider) -> None:
        p.add_fault(Fault(fault="status_500", count=2))
        assert await statuses(p, 3) == [500, 500, 200]
        p.clear_faults()
        p.add_fault(Fault(fault="status_503", path="/v1/messages"))
        assert await statuses(p, 1) + await statuses(p, 1, "/v1/messages") == [200, 503]
        p.clear_faults()
        p.add_fault(Fault(fault="status_503", key="mine"))
        assert await statuses(p, 1, authorization="Bearer mine") == [503]
        assert await statuses(p, 1, authorization="Bearer yours") == [200]
        p.clear_faults()
        p.add_fault(Fault(fault="status_500", share=0.5))
        assert 5 < (await statuses(p, 40)).count(500) < 35

    _play(client, scene)


def test_faults_are_ordered_and_taken_back_by_the_admin_path(client: Any) -> None:
    async def scene(p: Provider) -> None:
        order = {"fault": "status_429", "share": 1, "count": 1}
        got = await client.ask(p.url, "/rehearsal/faults", order)
        assert got.json()[0]["fault"] == "status_429"
        assert (await client.ask(p.url, PATH, client.chat)).parsed()[0] == 429
        assert (await client.ask(p.url, PATH, client.chat)).parsed()[0] == 200
        assert (await client.ask(p.url, "/rehearsal/faults", method="DELETE")).json() == []
        got = await client.ask(p.url, "/rehearsal/faults", {"fault": "nonsense"})
        assert got.parsed()[0] == 400
        assert (await client.ask(p.url, "/rehearsal/stats", method="GET")).json()["by_fault"] == {
            "status_429": 1
        }

    _play(client, scene)


def test_every_fault_leaves_nothing_in_flight_once_the_client_has_left(client: Any) -> None:
    async def scene(p: Provider) -> None:
        for name in FAULT_NAMES:
            for stream in (True, False):
                order = f"{name};after_events=2"
                body = _streamed(client, stream=stream)
                wire = await client.open(p.url, PATH, body, x_rehearsal_fault=order)
                n_seen = p.stats()["n_requests"]
                await client.until(lambda n=n_seen: p.stats()["n_requests"] > n)
                await wire.leave()
        await client.until(lambda: p.stats()["n_in_flight"] == 0)
        assert len(p.bill()["lines"]) == 2 * len(FAULT_NAMES)

    _play(client, scene)
