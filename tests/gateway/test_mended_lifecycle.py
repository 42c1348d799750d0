"""Every request is settled and written down once, however it ends."""

import asyncio
import json
from typing import Any

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
