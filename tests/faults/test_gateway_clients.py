"""Clients that leave, stall and crowd in; and a process that keeps nothing of them."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from weighbridge.gateway.exchange import Exchange
from weighbridge.ledger.lines import RequestLine
from weighbridge.rehearsal.provider_process import ProviderProcess
from weighbridge.rehearsal.provider_settings import Fault, Latency, Model, Settings

N_LEAVING = 1000
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True}
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def dreamer():
    """A model that says a word every second, for a long time."""
    model = Model(
        "gpt-4o-mini",
        output_median_tokens=3000,
        output_log_sd=0,
        latency=Latency(0.01, 0, 1.0, 0.3),
    )
    with ProviderProcess(Settings(models=(model,))) as one:
        yield one


def request(key: str, body) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def test_1000_clients_leaving_mid_stream_cancel_every_upstream_and_cost_what_was_seen(
    serving, dreamer, drive, run
) -> None:
    def change(document) -> None:
        document["budgets"] = [{"scope": "tenant", "usd": 100, "period": "day"}]

    with serving([dreamer.url], change) as gateway:

        async def one_client():
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(request(gateway.key, STREAM))
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readuntil(b"content")
            return writer, head.partition("x-weighbridge-request-id: ")[2].split("\r\n")[0]

        async def main():
            found = await asyncio.gather(*(one_client() for _ in range(N_LEAVING)))
            assert dreamer.stats()["n_in_flight"] == N_LEAVING
            assert gateway.metric("open_requests") == N_LEAVING
            for writer, _ in found:
                writer.transport.abort()
            await drive.until(
                lambda: dreamer.stats()["n_cancelled_by_client"] == N_LEAVING, "all cancelled"
            )
            await drive.until(lambda: gateway.metric("open_requests") == 0, "none open")
            return [name for _, name in found]

        names = run(main)
        assert dreamer.stats()["n_in_flight"] == 0
        used_usd = gateway.metric("limit_used")
        assert gateway.stop() == 0
        lines = [line for line in gateway.lines() if isinstance(line, RequestLine)]
        assert sorted(line.request_id for line in lines) == sorted(names)
        assert {(one.status, one.error_type) for one in lines} == {("interrupted", "client_left")}
        assert all(line.output_tokens >= 1 for line in lines)
        assert all("output_tokens" in line.estimated for line in lines)
        cost = sum(line.list_cost_pico_usd for line in lines)
        assert used_usd == pytest.approx(cost / 1e12, rel=1e-9)  # nothing stays reserved


def test_idle_and_slow_clients_do_not_stop_the_service_and_the_slow_are_cut(
    serving, provider, drive, run
) -> None:
    def change(document) -> None:
        document["http"] = {"head_s": 1.0, "body_s": 1.0}

    with serving([provider.url], change) as gateway:
        address = ("127.0.0.1", gateway.port)
        idle = [socket.create_connection(address) for _ in range(2000)]
        slow = [socket.create_connection(address) for _ in range(200)]
        for n, one in enumerate(slow):
            whole = request(gateway.key, CHAT)
            one.sendall(whole[:30] if n % 2 else whole[:-5])  # in the head, in the body

        async def main():
            async with drive(gateway) as load:
                await load.until(300)
                await load.stop()
                return load

        try:
            load = run(main)
            assert load.statuses == {200: len(load.outcomes)}
            for one in slow:
                one.settimeout(10.0)
                assert one.recv(100).startswith(b"HTTP/1.1 408")
            assert gateway.metric("connections") >= 2000
        finally:
            for one in (*idle, *slow):
                one.close()
        assert gateway.stop() == 0


class Canned(asyncio.Protocol):
    """An upstream that costs nothing: an answer, an error, or a stream that never ends."""

    WHOLE = json.dumps(
        {
            "id": "a",
            "object": "chat.completion",
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 400}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 100, "total_tokens": 105},
        }
    ).encode()
    EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self.data = body[length:]
        if b'"stream"' in body:
            chunk = b"%x\r\n%b\r\n" % (len(self.EVENT), self.EVENT)
            kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked"
            self.transport.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n\r\n" + chunk)
        elif b"refuse" in body:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}")
        else:
            length_line = b"content-length: %d\r\n\r\n" % len(self.WHOLE)
            kind = b"content-type: application/json\r\n"
            self.transport.write(b"HTTP/1.1 200 OK\r\n" + kind + length_line + self.WHOLE)


@asynccontextmanager
async def canned():
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def ask_many(port: int, key: str, n_requests: int) -> None:
    """Answers, refusals of ours and of the upstream, and every tenth a stream that is left."""
    refused = {**CHAT, "messages": [{"role": "user", "content": "refuse"}]}
    unknown = {**CHAT, "model": "nothing"}
    batch = [request(key, body) for body in (CHAT, CHAT, refused, unknown, CHAT, CHAT, CHAT, CHAT)]
    for _ in range(n_requests // 10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join([*batch, request("wrong", CHAT), request(key, STREAM)]))
        await reader.readuntil(b"word")  # the last of the ten
        writer.transport.abort()


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def test_memory_stays_flat_over_20_000_requests_errors_and_left_streams_included(
    serving, drive, run
) -> None:
    async def main() -> None:
        async with canned() as url:
            with serving([url]) as gateway:

                async def ask(n_requests: int) -> int:
                    each = n_requests // 10
                    await asyncio.gather(
                        *(ask_many(gateway.port, gateway.key, each) for _ in range(10))
                    )
                    await drive.until(lambda: gateway.metric("open_requests") == 0, "none open")
                    return rss_bytes(gateway.pid)

                early = await ask(5_000)
                late = await ask(15_000)
                print("rss_mib", (early / 2**20, late / 2**20))
                assert late - early < 5 * 2**20
                assert gateway.metric("strangers_total") == 2_000
                assert gateway.stop() == 0
                assert sum(gateway.records().values()) == 18_000

    run(main)


def test_no_exchange_outlives_its_request_nor_waits_for_the_collector(house, run) -> None:
    async def main() -> None:
        async with house(n_providers=2) as h:
            faults = ["status_500", "reset", "torn_stream", "malformed_chunk"]
            for stream in (False, True):
                for name in faults:
                    h.providers[0].add_fault(Fault(fault=name, count=1, after_events=2 * stream))
                    await h.ask({**CHAT, "stream": stream})
            await h.ask({**CHAT, "model": "nothing"})
            await h.ask(key="wrong")
            h.providers[0].clear_faults()
            h.providers[1].clear_faults()
            gc.collect()
            gc.disable()
            try:
                for stream in (False, True):
                    await asyncio.gather(*(h.ask({**CHAT, "stream": stream}) for _ in range(20)))
                h.providers[0].add_fault(Fault(fault="torn_stream", count=3, after_events=2))
                for _ in range(3):
                    await h.ask({**STREAM, "max_tokens": 30})
                h.providers[0].add_fault(Fault(fault="stall", count=5, after_events=2))
                for _ in range(5):
                    _, writer = await h.start_stream()
                    assert any(type(one) is Exchange for one in gc.get_objects())
                    writer.transport.abort()
                for _ in range(3):
                    await h.ask({**CHAT, "model": "nothing"})
                    await h.ask(key="wrong")
                await h.until(lambda: not h.worker.gateway.active, "none open")
                await h.until(lambda: not h.worker.server.connections, "no client")
                await asyncio.sleep(0)
                left = [one for one in gc.get_objects() if type(one) is Exchange]
            finally:
                gc.enable()
            held = [
                [type(who).__name__ for who in gc.get_referrers(one) if who is not left]
                for one in left
            ]
            assert held == []

    run(main)
