"""Upstreams that are down, slow, lying or broken: what clients get, and what is written down."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest

from weighbridge.gateway.wire.dial import Dialer
from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Fault, Settings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
N_REQUESTS = 40
# What each fault of the first target comes to, asked 40 times at once with a second one behind it.
FAULTS = {
    "reset": Fault(fault="reset"),
    "hang": Fault(fault="hang"),
    "slow": Fault(fault="slow", delay_s=30.0),
    "lying_length": Fault(fault="lying_length"),
    "malformed_chunk": Fault(fault="malformed_chunk"),
    "torn_at_once": Fault(fault="torn_stream"),
    "status_500": Fault(fault="status_500"),
    "status_503": Fault(fault="status_503"),
    "status_429": Fault(fault="status_429"),
}
GARBAGE = {
    "no HTTP": b"\x00\xff\x16\x03\x01 what is this\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "closed at once": b"",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "bad length": b"HTTP/1.1 200 OK\r\ncontent-length: -7\r\n\r\n{}",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
    b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "bad chunk size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"y" * 300_000,
    "head without end": b"HTTP/1.1 200 OK\r\ncontent-type: app",
    "short body": b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{}",
    "interim only": b"HTTP/1.1 100 Continue\r\n\r\n",
}


def impatient(document) -> None:
    for target in document["targets"].values():
        target["timeouts"] = {"connect_s": 0.5, "first_byte_s": 0.3, "stall_s": 0.3}
    document["retry"].update(max_attempts=2)


async def ask_at_once(h, n, body):
    answers = await asyncio.gather(*(h.ask(body) for _ in range(n)))
    await h.until(lambda: not h.worker.gateway.active, "no open request")
    return answers


def check_records(h, answers) -> list:
    """One record a request, and the ids that the clients were told."""
    records = h.records()
    told = sorted(answer.headers["x-weighbridge-request-id"] for answer in answers)
    assert sorted(record.request_id for record in records) == told
    return records


# A stream that came to its last event is whole, whatever its head promised.
@pytest.mark.parametrize(
    ("name", "stream"),
    [
        (name, stream)
        for name in FAULTS
        for stream in (False, True)
        if not (stream and name == "lying_length")
    ],
)
def test_requests_move_on_from_a_target_that_fails_before_the_first_token(
    house, run, name, stream
) -> None:
    async def main() -> None:
        async with house(impatient, n_providers=2) as h:
            h.providers[0].add_fault(FAULTS[name])
            answers = await ask_at_once(h, N_REQUESTS, {**CHAT, "stream": stream})
            assert [one.status for one in answers] == [200] * N_REQUESTS
            assert all(one.is_whole for one in answers)
            records = check_records(h, answers)
            assert {record.status for record in records} == {"ok"}
            assert {record.target for record in records} == {"up1"}
            n_first = h.providers[0].stats()["n_requests"]
            assert sum(record.attempts for record in records) == N_REQUESTS + n_first
            assert h.providers[1].stats()["n_requests"] == N_REQUESTS

    run(main)


@pytest.mark.parametrize("name", ["torn_stream", "malformed_chunk", "stall", "reset"])
def test_stream_that_breaks_after_tokens_ends_with_an_error_and_is_not_repeated(
    house, run, name
) -> None:
    async def main() -> None:
        async with house(impatient, n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault=name, after_events=3))
            body = {**CHAT, "stream": True, "max_tokens": 30}
            answers = await ask_at_once(h, N_REQUESTS, body)
            cut = [one for one in answers if b"incomplete" in one.body]
            assert all(b"[DONE]" not in one.body for one in cut)
            records = check_records(h, answers)
            n_by_status = {"interrupted": 0, "ok": 0}
            for record in records:
                n_by_status[record.status] += 1
                assert record.attempts == 1
                assert record.output_tokens > 0
            assert n_by_status["interrupted"] == len(cut)
            assert len(cut) == h.providers[0].stats()["n_requests"]
            assert len(cut) >= 5  # then the breaker spares the others

    run(main)


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("reset", False),
        ("reset", True),
        ("hang", False),
        ("hang", True),
        ("lying_length", False),
        ("malformed_chunk", False),
        ("malformed_chunk", True),
    ],
)
def test_nothing_of_a_broken_answer_looks_like_success_where_there_is_no_other_target(
    house, run, name, stream
) -> None:
    async def main() -> None:
        async with house(impatient) as h:
            h.providers[0].add_fault(Fault(fault=name))
            answers = await ask_at_once(h, N_REQUESTS, {**CHAT, "stream": stream})
            assert {one.status for one in answers} <= {502, 503, 504}
            assert all(one.json["error"]["message"] for one in answers)
            records = check_records(h, answers)
            assert {record.status for record in records} == {"error"}

    run(main)


@asynccontextmanager
async def speaking(said: bytes, closes: bool = True):
    """An upstream that says the same to everyone."""

    async def answer(reader, writer) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            await writer.drain()
            if not closes:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("closes", [True, False], ids=["closing", "staying"])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_an_upstream_is_an_error_of_the_upstream(
    house_before, run, name, closes
) -> None:
    async def main() -> None:
        async with (
            speaking(GARBAGE[name], closes) as url,
            house_before([url], impatient) as h,
        ):
            answers = await ask_at_once(h, 8, CHAT)
            assert {one.status for one in answers} <= {502, 503, 504}
            records = check_records(h, answers)
            assert {record.status for record in records} == {"error"}
            assert {record.output_tokens for record in records} == {0}

    run(main)


def test_upstream_that_takes_connections_and_never_answers_is_given_up(house_before, run) -> None:
    async def main() -> None:
        async with speaking(b"", closes=False) as url, house_before([url], impatient) as h:
            answers = await ask_at_once(h, N_REQUESTS, CHAT)
            assert {one.status for one in answers} <= {502, 503, 504}
            records = check_records(h, answers)
            assert "first_byte_timeout" in {record.error_type for record in records}
            live = h.worker.gateway.setup.live["up0"]
            await h.until(lambda: live.pool.n_open == 0, "no connection is left")

    run(main)


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_name_that_does_not_resolve_moves_on_and_alone_is_told(
    house_before, run, monkeypatch, how
) -> None:
    async def look_up(self, host, port):
        if not host.endswith(".invalid"):
            return [host]
        if how == "hangs":
            await asyncio.Event().wait()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(Dialer, "_getaddrinfo", look_up)

    async def main() -> None:
        async with Provider(Settings(speed=0)) as provider:
            nowhere = "http://nobody.invalid:9"
            async with house_before([nowhere, provider.url], impatient) as h:
                answers = await ask_at_once(h, N_REQUESTS, CHAT)
                assert {one.status for one in answers} == {200}
                records = check_records(h, answers)
                assert {record.target for record in records} == {"up1"}
                failed = [one.attempt_log[0] for one in records if one.attempts == 2]
                kind = "dns_error" if how == "fails" else "connect_timeout"
                assert {one.error_type for one in failed} == {kind}
                assert not any(one.list_cost_pico_usd for one in failed)  # nobody was asked
                h.rewrite(lambda document: document["models"].update({"gpt-4o-mini": "up0"}))
                alone = await ask_at_once(h, 4, CHAT)
                assert {one.status for one in alone} <= {502, 503}
                assert {record.status for record in h.records()[N_REQUESTS:]} == {"error"}

    run(main)


def test_all_targets_down_is_503_with_retry_after_until_they_return(house, run) -> None:
    async def main() -> None:
        async with house(impatient, n_providers=2) as h:
            ports = [int(one.url.rsplit(":", 1)[1]) for one in h.providers]
            for one in h.providers:
                await one.stop()
            answers = [await h.ask() for _ in range(N_REQUESTS)]
            assert {one.status for one in answers} == {502, 503}
            last = answers[-1]
            assert last.status == 503
            assert int(last.headers["retry-after"]) >= 1
            assert last.json["error"]["code"] == "no_target_available"
            assert sum(record.attempts for record in h.records()) <= 2 * 10  # breakers are open
            for one, port in zip(h.providers, ports, strict=True):
                one.settings = Settings(speed=0, port=port)
                await one.start()
            skip_s = int(last.headers["retry-after"])
            now = h.worker.gateway.now
            h.worker.gateway.now = lambda: now() + skip_s
            back = [await h.ask() for _ in range(N_REQUESTS)]
            assert [one.status for one in back] == [200] * N_REQUESTS
            check_records(h, answers + back)

    run(main)


@pytest.mark.parametrize("retry_after_s", [None, 30.0])
@pytest.mark.parametrize("n_providers", [1, 2])
def test_storm_of_429_is_not_answered_by_a_storm_of_retries(
    house, run, n_providers, retry_after_s
) -> None:
    n_requests = 200

    async def client(h, n):
        return [await h.ask() for _ in range(n)]

    async def main() -> None:
        async with house(n_providers=n_providers) as h:
            for one in h.providers:
                one.add_fault(Fault(fault="status_429", retry_after_s=retry_after_s))
            some = await asyncio.gather(*(client(h, n_requests // 20) for _ in range(20)))
            answers = [one for each in some for one in each]
            assert {one.status for one in answers} == {429}
            told = [one for one in answers if "retry-after" in one.headers]
            assert retry_after_s is None or len(told) == n_requests
            n_attempts = sum(one.stats()["n_requests"] for one in h.providers)
            print("attempts_per_request", n_attempts / n_requests)
            assert n_attempts <= 1.2 * n_requests
            records = check_records(h, answers)
            assert sum(record.attempts for record in records) == n_attempts

    run(main)


def test_no_error_of_ours_names_an_upstreams_address_or_key(house_before, run) -> None:
    async def main() -> None:
        async with speaking(b"") as url, house_before([url], impatient) as h:
            answer = await h.ask()
            shown = json.dumps(answer.json) + str(answer.headers)
            assert url.removeprefix("http://") not in shown
            assert "sk-upstream" not in shown

    run(main)
