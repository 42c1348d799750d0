"""Every request is settled and written down once, however it ends."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from weighbridge.gateway import exchange, gateway
from weighbridge.gateway.admission import Claim, Limit
from weighbridge.gateway.breaker import TargetHealth
from weighbridge.gateway.shared.leased import LeasedAdmission
from weighbridge.ledger.lines import RequestLine

from .conftest import CHAT

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
TOKEN = {"id": "c", "model": "gpt-4o-mini", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
USAGE = {"id": "c", "model": "gpt-4o-mini", "choices": [],
         "usage": {"prompt_tokens": 1000, "completion_tokens": 1}}  # fmt: skip


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(content: Any) -> bytes:
    return chunk(b"data: " + json.dumps(content).encode() + b"\n\n")


DONE = chunk(b"data: [DONE]\n\n")


def at(up, **more: Any):
    """A change of the configuration that sends all to a scripted upstream."""

    def change(document: dict[str, Any]) -> None:
        given = dict(more)
        document["targets"]["up0"] |= {"url": up.url, **given.pop("target", {})}
        document |= given

    return change


def test_a_stream_recorded_before_its_connection_ends_gets_no_open_line(
    house, run, scripted
) -> None:
    async def main() -> None:
        may_end = asyncio.Event()

        async def script(up, reader, writer) -> None:
            writer.write(STREAM_HEAD + event(TOKEN) + event(USAGE) + DONE)
            await may_end.wait()
            writer.write(chunk(b""))

        async with scripted(script) as up, house(at(up)) as h:
            asking = asyncio.ensure_future(h.ask({**CHAT, "stream": True}))
            await h.one_record()
            (x,) = h.worker.gateway.active
            x.tick(x.sent_s + 1)
            may_end.set()
            assert (await asking).is_whole
            assert [type(line) for line in h.lines() if hasattr(line, "request_id")] == [
                RequestLine
            ]
            assert not h.worker.meter.opened

    run(main)


def test_what_is_drained_for_a_client_that_left_is_recorded_and_settled_at_shutdown(
    house, run, scripted
) -> None:
    async def endless(up, reader, writer) -> None:
        writer.write(STREAM_HEAD + event(TOKEN))
        await reader.read()

    async def main() -> None:
        async with scripted(endless) as up:
            change = at(up, drain_s=0.2, target={"on_client_leave": "drain"})
            async with house(change, budgets=("100/month",)) as h:
                reader, writer = await h.start_stream()
                await reader.readuntil(b"data:")
                (x,) = h.worker.gateway.active
                writer.transport.abort()
                await h.until(lambda: x.client_gone, "the client's leaving")
                assert not h.records()
            (record,) = h.records()
            assert (record.status, record.error_type) == ("interrupted", "gateway_draining")
            assert record.output_tokens == 1
            assert (h.worker.gateway.active, x.grant) == (set(), None)

    run(main)


def test_what_is_drained_for_a_client_that_left_may_end_within_the_drain(
    house, run, scripted
) -> None:
    may_end = asyncio.Event()

    async def script(up, reader, writer) -> None:
        writer.write(STREAM_HEAD + event(TOKEN))
        await may_end.wait()
        writer.write(event(USAGE) + DONE + chunk(b""))

    async def main() -> None:
        async with scripted(script) as up:
            change = at(up, drain_s=5, target={"on_client_leave": "drain"})
            async with house(change) as h:
                reader, writer = await h.start_stream()
                await reader.readuntil(b"data:")
                (x,) = h.worker.gateway.active
                writer.transport.abort()
                await h.until(lambda: x.client_gone, "the client's leaving")
                asyncio.get_running_loop().call_later(0.05, may_end.set)
            (record,) = h.records()
            assert (record.status, record.uncached_input_tokens) == ("ok", 1000)

    run(main)


def raising(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("a fault of ours")


def listen() -> list[BaseException]:
    """What the loop is told of."""
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: told.append(said["exception"]))
    return told


async def refuse(up, reader, writer) -> None:
    writer.write(b"HTTP/1.1 503 X\r\ncontent-length: 2\r\n\r\n{}")


async def hang_up(up, reader, writer) -> None:
    writer.transport.abort()


async def say_nothing(up, reader, writer) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("script", "where", "what"),
    [
        (refuse, exchange, "retry_after_s"),
        (refuse, exchange.Exchange, "resume"),
        (refuse, gateway.Gateway, "later"),
        (hang_up, exchange.Calls, "on_fault"),
        (say_nothing, exchange.Exchange, "tick"),
    ],
)
def test_a_fault_of_ours_is_told_to_the_client_recorded_and_settled(  # noqa: PLR0917
    house, run, scripted, monkeypatch, script, where, what
) -> None:
    async def main() -> None:
        async with scripted(script) as up:
            change = at(up, limits=[{"scope": "tenant", "name": "search", "concurrency": 1}])
            async with house(change) as h:
                told = listen()
                with monkeypatch.context() as patched:
                    patched.setattr(where, what, raising)
                    for _ in range(2):  # the only slot has been given back for the second one
                        answer = await asyncio.wait_for(h.ask(), 5)
                        assert (answer.status, answer.body) == (500, b"internal error\n")
                assert {type(one) for one in told} == {ZeroDivisionError}
                assert not h.worker.gateway.active
                assert [r.error_type for r in h.records()] == ["internal_error"] * 2

    run(main)


def test_a_fault_of_ours_with_one_that_waited_at_a_gate_leaves_the_others_to_go(
    house, run, scripted, monkeypatch
) -> None:
    may_answer = asyncio.Event()

    async def script(up, reader, writer) -> None:
        await may_answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    real = exchange.Exchange.let_through
    seen: list[exchange.Exchange] = []

    def once(x: exchange.Exchange) -> None:
        seen.append(x)
        if len(seen) == 1:
            raising()
        real(x)

    async def main() -> None:
        async with scripted(script) as up:
            change = at(up, target={"caps": {"concurrency": 1}})
            async with house(change) as h:
                told = listen()
                monkeypatch.setattr(exchange.Exchange, "let_through", once)
                asking = [asyncio.ensure_future(h.ask()) for _ in range(3)]
                gate = h.worker.gateway.setup.live["up0"].gate
                await h.until(lambda: gate.n_waiting == 2, "two that wait")
                may_answer.set()
                answers = await asyncio.wait_for(asyncio.gather(*asking), 5)
                assert sorted(one.status for one in answers) == [200, 200, 500]
                assert [type(one) for one in told] == [ZeroDivisionError]
                assert gate.n_running == 0

    run(main)


def test_a_fault_in_writing_records_down_leaves_no_client_without_an_answer(
    house, run, monkeypatch
) -> None:
    async def main() -> None:
        async with house() as h:
            told = listen()
            with monkeypatch.context() as patched:
                patched.setattr(type(h.worker.meter), "flush", raising)
                assert (await asyncio.wait_for(h.ask(), 5)).status == 200
            assert {type(one) for one in told} == {ZeroDivisionError}

    run(main)


def test_a_fault_while_a_fault_is_dealt_with_cuts_the_client_off(
    house, run, scripted, monkeypatch
) -> None:
    async def main() -> None:
        async with scripted(refuse) as up, house(at(up)) as h:
            told = listen()
            with monkeypatch.context() as patched:
                patched.setattr(exchange.Exchange, "end_of_error", raising)
                patched.setattr(exchange.Exchange, "break_off", raising)
                with pytest.raises(asyncio.IncompleteReadError):
                    await asyncio.wait_for(h.ask(), 5)
            assert len(told) == 2
            assert not h.worker.gateway.active

    run(main)


def test_a_fault_after_shared_state_has_decided_is_told_to_the_client(
    house, run, monkeypatch
) -> None:
    async def main() -> None:
        async with house() as h:
            told, settled = listen(), []

            class Granted:
                def settle(self, *said: float) -> None:
                    settled.append(said)

            class Slow:
                def admit(self, claim, now, at, then):
                    asyncio.get_running_loop().call_soon(then, Granted())

            monkeypatch.setattr(h.worker.gateway.setup, "admission", Slow())
            monkeypatch.setattr(exchange.Exchange, "go_on", raising)
            assert (await asyncio.wait_for(h.ask(), 5)).status == 500
            assert [type(one) for one in told] == [ZeroDivisionError]
            assert len(settled) == 1

    run(main)


class SlowBank:
    """A bank that answers when it is told to."""

    is_immediate = False
    offset_s = 0.0

    def exchange(self, draws, now, at, done) -> None:
        self.done = done


def test_a_fault_with_one_that_waits_for_shared_state_leaves_the_others_served() -> None:
    bank = SlowBank()
    leased = LeasedAdmission((Limit("tenant", "search", concurrency=5),), (), bank)
    served: list[object] = []
    for then in (raising, served.append):
        assert leased.admit(Claim(None, "search", None, "m", 1, 0), 0.0, 0.0, then) is None
    with pytest.raises(ZeroDivisionError):
        bank.done(None)  # away: the local share holds
    assert len(served) == 1


async def stop_short(writer) -> None:
    await writer.drain()
    await asyncio.sleep(0)
    writer.transport.abort()


def erring(status: int, how: str):
    """An upstream whose error answers are not whole: torn, stalled, or too long to be kept."""

    async def script(up, reader, writer) -> None:
        head = "HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: 400000\r\n\r\n"
        writer.write((head % status).encode() + b'{"error": ')
        if how == "torn":
            await stop_short(writer)
        elif how == "too long":
            writer.write(b"x" * 300_000)
        await reader.read()

    return script


@pytest.mark.parametrize("how", ["torn", "stalled", "too long"])
@pytest.mark.parametrize(("status", "n_calls"), [(401, 1), (502, 3)])
def test_an_error_answer_that_is_not_whole_counts_by_its_status(  # noqa: PLR0917
    house, run, scripted, how, status, n_calls
) -> None:
    async def main() -> None:
        async with scripted(erring(status, how)) as up:
            change = at(up, target={"timeouts": {"stall_s": 0.1}})
            async with house(change, budgets=("100/month",)) as h:
                answer = await asyncio.wait_for(h.ask(), 5)
                assert (answer.status, answer.body[:9]) == (status, b'{"error":')
                assert len(up.bodies) == n_calls
                (record,) = h.records()
                assert (record.status, record.error_type) == ("error", str(status))
                assert record.list_cost_pico_usd == 0
                told = [(one.http_status, one.error_type) for one in record.attempt_log]
                assert told == [(status, str(status))] * n_calls

    run(main)


def test_a_client_that_leaves_while_an_error_answer_comes_has_used_nothing(
    house, run, scripted
) -> None:
    async def main() -> None:
        async with scripted(erring(401, "stalled")) as up, house(at(up)) as h:
            asking = asyncio.ensure_future(h.ask())
            await h.until(
                lambda: any(x.phase == exchange.ERROR for x in h.worker.gateway.active), "an error"
            )
            asking.cancel()
            record = await h.one_record()
            assert (record.status, record.error_type) == ("interrupted", "client_left")
            assert (record.uncached_input_tokens, record.list_cost_pico_usd) == (0, 0)
            assert [one.http_status for one in record.attempt_log] == [401]

    run(main)


ERROR_EVENT = event({"error": {"message": "overloaded", "type": "overloaded"}})


def noted(heard: list[str], name: str, *_: object) -> None:
    heard.append(name)


def beginning_with_an_error(ending: str):
    async def script(up, reader, writer) -> None:
        writer.write(STREAM_HEAD + ERROR_EVENT)
        if ending == "torn":
            await writer.drain()
            await asyncio.sleep(0.05)  # so that the error comes on its own, before the end
            writer.transport.abort()
        elif ending == "stalled":
            await reader.read()
        else:
            writer.write(DONE + chunk(b""))

    return script


@pytest.mark.parametrize("ending", ["torn", "stalled", "whole"])
def test_a_stream_that_begins_with_an_error_is_charged_nothing_and_fails_once(
    house, run, scripted, monkeypatch, ending
) -> None:
    async def main() -> None:
        async with scripted(beginning_with_an_error(ending)) as up:
            change = at(up, retry={"max_attempts": 1}, target={"timeouts": {"first_token_s": 0.2}})
            async with house(change, budgets=("100/month",)) as h:
                heard: list[str] = []
                for name in ("on_failure", "on_success"):
                    note = partial(noted, heard, name)
                    monkeypatch.setattr(TargetHealth, name, note)
                answer = await asyncio.wait_for(h.ask({**CHAT, "stream": True}), 5)
                assert answer.body.count(b'"error"') == 1
                record = await h.one_record()
                assert (record.status, record.error_type) == ("error", "stream_error_event")
                assert (record.uncached_input_tokens, record.list_cost_pico_usd) == (0, 0)
                assert [one.error_type for one in record.attempt_log] == ["stream_error_event"]
                assert not record.estimated
                assert heard == ["on_failure"]

    run(main)


def test_a_client_that_leaves_a_stream_that_began_with_an_error_has_used_nothing(
    house, run, scripted
) -> None:
    async def main() -> None:
        async with scripted(beginning_with_an_error("stalled")) as up:
            change = at(up, retry={"max_attempts": 1})
            async with house(change) as h:
                reader, writer = await h.start_stream()
                await reader.readuntil(b"error")
                writer.transport.abort()
                record = await h.one_record()
                assert (record.uncached_input_tokens, record.list_cost_pico_usd) == (0, 0)

    run(main)


async def fail(up, reader, writer) -> None:
    writer.write(b"HTTP/1.1 502 X\r\ncontent-length: 2\r\n\r\n{}")


@pytest.mark.parametrize("script", [fail, hang_up])
@pytest.mark.parametrize(
    ("said", "n_calls"),
    [
        ({"conversation": "conv_1"}, 1),
        ({"conversation": {"id": "conv_1"}}, 1),
        ({"background": True}, 1),
        ({"background": True, "input": "x" * 20_000}, 1),
        ({"previous_response_id": "resp_1", "conversation": None, "background": False}, 3),
        ({"prompt_cache_key": "c", "background": None}, 3),
    ],
)
def test_what_adds_to_a_conversation_or_goes_on_by_itself_is_asked_once(  # noqa: PLR0917
    house, run, scripted, script, said, n_calls
) -> None:
    async def main() -> None:
        async with scripted(script) as up, house(at(up)) as h:
            asked = {"model": "gpt-4o-mini", "input": "hello", **said}
            assert (await h.ask(asked, "/v1/responses")).status == 502
            assert len(up.bodies) == n_calls

    run(main)
