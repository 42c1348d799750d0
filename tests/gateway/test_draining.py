"""What the end of a drain cuts is the gateway's doing, and the record says so."""

import asyncio

import pytest

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
TOKEN = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'


async def endless(up, reader, writer) -> None:
    writer.write(HEAD + TOKEN)
    await reader.read()  # until the gateway leaves


@pytest.mark.parametrize("on_client_leave", ["cancel", "drain"])
def test_a_stream_that_outlasts_the_drain_is_recorded_as_cut_by_it(
    house, run, scripted, on_client_leave
) -> None:
    async def main() -> None:
        async with scripted(endless) as up:

            def change(document) -> None:
                given = {"url": up.url, "on_client_leave": on_client_leave}
                document["targets"]["up0"] |= given

            async with house(change) as h:
                reader, writer = await h.start_stream()
                await reader.readuntil(b"data:")
                await h.worker.server.drain(0)
                record = await h.one_record()
                assert (record.status, record.error_type) == ("interrupted", "gateway_draining")
                assert (record.target, record.output_tokens) == ("up0", 1)
                rest = await asyncio.wait_for(reader.read(), 5)
                assert b"[DONE]" not in rest
                writer.close()

    run(main)


def test_a_client_that_leaves_while_others_are_drained_has_left(house, run, scripted) -> None:
    async def main() -> None:
        async with scripted(endless) as up:

            def change(document) -> None:
                document["targets"]["up0"]["url"] = up.url

            async with house(change) as h:
                reader, writer = await h.start_stream()
                await reader.readuntil(b"data:")
                draining = asyncio.ensure_future(h.worker.server.drain(5))
                await asyncio.sleep(0)
                writer.transport.abort()
                assert await draining == 0
                assert (await h.one_record()).error_type == "client_left"

    run(main)
