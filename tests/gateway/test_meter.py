"""What a record says of cost where there are no tokens to go by."""

import pytest

from weighbridge.gateway import meter
from weighbridge.ledger.lines import EventLine


def json_answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def record_of(house, scripted, answer: bytes, method: str, body: object, **target):
    async def script(up, reader, writer) -> None:
        writer.write(json_answer(answer))

    async with scripted(script) as up:

        def change(document) -> None:
            document["targets"]["up0"] |= {"url": up.url, **target}
            document["other_paths"] = {"/v1/*": "up0"}

        async with house(change) as h:
            assert (await h.ask(body, "/v1/files", method=method)).status == 200
            return await h.one_record()


@pytest.mark.parametrize(
    "case",
    [
        ("GET", b"", b'{"data": []}', {}, "priced"),
        ("POST", b"no json", b'{"id": "f1"}', {}, "priced"),
        ("DELETE", b"", b'{"deleted": true}', {"model": "unheard-of"}, "priced"),
        ("POST", b"{}", b'{"text": "hi"}', {"model": "unheard-of"}, "unpriced"),
        ("POST", b"{}", b'{"usage": {"prompt_tokens": 7, "completion_tokens": 5}}', {}, "unpriced"),
    ],
)
def test_a_path_that_tells_neither_tokens_nor_a_model_costs_nothing_and_is_priced(
    house, run, scripted, case
) -> None:
    method, body, answer, target, state = case

    async def main() -> None:
        record = await record_of(house, scripted, answer, method, body, **target)
        assert record.price_state == state
        assert record.list_cost_pico_usd == (0 if state == "priced" else None)

    run(main)


@pytest.mark.parametrize("is_too_much", [False, True])
def test_a_cost_that_no_row_can_hold_is_unpriced_and_charges_nobody(
    house, run, scripted, monkeypatch, is_too_much
) -> None:
    billed = 10**9 * (150_000 + 600_000)
    monkeypatch.setattr(meter, "MOST_PICO_USD", billed - is_too_much)
    counts = b'{"usage": {"prompt_tokens": 1000000000, "completion_tokens": 1000000000}}'

    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(json_answer(counts))

        async with scripted(script) as up:

            def change(document) -> None:
                document["targets"]["up0"]["url"] = up.url

            async with house(change, budgets=("100/month",)) as h:
                assert (await h.ask()).status == 200
                record = await h.one_record()
                assert record.price_state == ("unpriced" if is_too_much else "priced")
                assert record.list_cost_pico_usd == (None if is_too_much else billed)
                assert (await h.ask()).status == (200 if is_too_much else 429)

    run(main)


@pytest.mark.parametrize("streams", [False, True])
def test_counts_that_contradict_each_other_are_marked_counted_and_told_once_a_minute(
    house, run, scripted, streams
) -> None:
    counts = b'"usage":{"prompt_tokens":10,"completion_tokens":-5,%b}'
    counts %= b'"prompt_tokens_details":{"cached_tokens":1000}'
    whole = b'{"id":"c","model":"gpt-4o-mini",%b}' % counts
    events = b'data: {"id":"c","choices":[],%b}\n\ndata: [DONE]\n\n' % counts
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b"

    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(stream % (len(events), events) if streams else json_answer(whole))

        async with scripted(script) as up:

            def change(document) -> None:
                document["targets"]["up0"]["url"] = up.url

            async with house(change) as h:
                for _ in range(3):
                    body = {"model": "gpt-4o-mini", "messages": [], "stream": streams}
                    assert (await h.ask(body)).status == 200
                await h.until(lambda: len(h.records()) == 3)
                for record in h.records():
                    assert record.cache_read_tokens == 1000
                    assert sorted(record.estimated) == [
                        "cache_read_tokens",
                        "cache_write_tokens",
                        "output_tokens",
                        "uncached_input_tokens",
                    ]
                page = (await h.admin("/metrics", "GET")).body.decode()
                assert 'weighbridge_usage_contradictions_total{target="up0"} 3' in page
                told = [line.detail for line in h.lines() if isinstance(line, EventLine)]
                assert told == [
                    "up0 reports completion_tokens is -5; "
                    "1000 cached and 0 cache-written of 10 input tokens"
                ]

    run(main)
