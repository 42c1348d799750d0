"""Where other gateways hurt; each a test here, by what their users report."""

import asyncio
import json
import random
from collections import Counter

import pytest

from weighbridge.gateway.wire.messages import Fault as WireFault
from weighbridge.rehearsal.provider_settings import Fault, Settings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True, "max_tokens": 20}


def many_models(document) -> None:
    for name in ("gpt-4o", "o4-mini"):
        document["models"][name] = "up0"


def one_of(rng: random.Random) -> tuple[str, dict]:
    """Any request that a provider bills, with prompts that repeat (cached) and reasoning models."""
    prefix = "You are a careful assistant. " * rng.choice([1, 1, 400])
    words = f"{prefix} question {rng.randrange(5)}"
    n = rng.randrange(1, 60)
    stream = rng.random() < 0.5
    kind = rng.randrange(6)
    if kind <= 2:
        model = rng.choice(["gpt-4o-mini", "gpt-4o", "o4-mini"])
        body = {"model": model, "messages": [{"role": "user", "content": words}]}
        body["max_completion_tokens"] = n
        return "/v1/chat/completions", {**body, "stream": stream, "n": rng.choice([1, 1, 3])}
    if kind == 3:
        messages = [{"role": "user", "content": words}]
        body = {"model": "claude-sonnet-4-5", "messages": messages, "max_tokens": n}
        if rng.random() < 0.5:
            body["system"] = [
                {"type": "text", "text": prefix, "cache_control": {"type": "ephemeral"}}
            ]
        return "/v1/messages", {**body, "stream": stream}
    if kind == 4:
        body = {"model": "gpt-4o", "input": words, "max_output_tokens": n}
        return "/v1/responses", {**body, "stream": stream}
    return "/v1/embeddings", {"model": "text-embedding-3-small", "input": [words, "x"]}


def test_the_ledger_equals_the_bill_over_hundreds_of_mixed_requests(house, run) -> None:
    async def main() -> None:
        settings = Settings(speed=0, seed=3, events_per_write=2, bytes_per_write=900)
        async with house(many_models, settings=settings) as h:
            rng = random.Random(11)
            asks = [one_of(rng) for _ in range(300)]
            for start in range(0, 300, 50):
                answers = await asyncio.gather(
                    *(h.ask(body, path) for path, body in asks[start : start + 50])
                )
                assert {answer.status for answer in answers} == {200}
            await h.until(lambda: len(h.records()) == 300)
            records, bill = h.records(), h.providers[0].bill()
            total = bill["total"]
            assert total["n_requests"] == 300
            assert total["cache_read_tokens"] > 0
            assert total["reasoning_tokens"] > 0
            assert not any(record.estimated for record in records)
            for name in (
                "uncached_input_tokens", "cache_read_tokens", "cache_write_tokens",
                "output_tokens", "reasoning_tokens",
            ):  # fmt: skip
                assert sum(getattr(record, name) for record in records) == total[name], name
            ours: Counter = Counter()
            for record in records:
                ours[record.model_requested] += record.list_cost_pico_usd
            theirs = {name: sums["cost_pico_usd"] for name, sums in bill["by_model"].items()}
            assert ours == theirs

    run(main)


def test_a_disconnected_stream_is_not_billed_as_nothing(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="stall", after_events=8))
            reader, writer = await h.start_stream(STREAM)
            for _ in range(6):
                await asyncio.wait_for(reader.readuntil(b"\n\n"), 3)
            writer.close()
            record = await h.one_record()
            assert record.list_cost_pico_usd > 0
            assert record.uncached_input_tokens > 0
            assert record.output_tokens >= 4
            assert record.estimated

    run(main)


def test_a_hundred_mixed_requests_at_once_make_as_many_records_as_answers(house, run) -> None:
    async def main() -> None:
        async with house(many_models, n_providers=2) as h:
            for name, share in (("status_500", 0.1), ("torn_stream", 0.1), ("reset", 0.1)):
                h.providers[0].add_fault(Fault(fault=name, share=share, after_events=5))
            rng = random.Random(5)
            asks = [one_of(rng) for _ in range(100)]
            answers = await asyncio.gather(*(h.ask(body, path) for path, body in asks))
            await h.until(lambda: len(h.records()) == 100)
            told = {answer.headers["x-weighbridge-request-id"]: answer for answer in answers}
            records = {record.request_id: record for record in h.records()}
            assert told.keys() == records.keys()
            for name, answer in told.items():
                assert records[name].http_status == answer.status
            assert not h.worker.gateway.active

    run(main)


def test_pipelined_and_kept_connections_get_each_answer_in_order(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
            asks = []
            for index in range(20):
                body = json.dumps({**CHAT, "max_tokens": index + 1, "stream": index % 3 == 0})
                asks.append(
                    f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\n"
                    f"authorization: Bearer {h.key}\r\nx-weighbridge-feature: f{index}\r\n"
                    f"content-length: {len(body)}\r\n\r\n{body}"
                )
            writer.write("".join(asks).encode())
            ids = []
            for _ in range(20):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
                lines = dict(
                    line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line
                )
                ids.append(lines[b"x-weighbridge-request-id"].decode())
                if b"content-length" in lines:
                    await reader.readexactly(int(lines[b"content-length"]))
                else:
                    await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 3)
            writer.close()
            await h.until(lambda: len(h.records()) == 20)
            named = {record.request_id: record.feature for record in h.records()}
            assert [named[name] for name in ids] == [f"f{index}" for index in range(20)]

    run(main)


def test_clients_that_all_leave_cancel_every_upstream_request(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="stall", after_events=4))
            streams = await asyncio.gather(*(h.start_stream(STREAM) for _ in range(100)))
            for _, writer in streams:
                writer.close()
            await h.until(lambda: len(h.records()) == 100)
            await h.until(lambda: h.providers[0].stats()["n_cancelled_by_client"] == 100)
            assert {record.status for record in h.records()} == {"interrupted"}
            assert not h.worker.gateway.active

    run(main)


def test_a_prompt_of_a_megabyte_and_no_template_keeps_others_served(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            words = " ".join(f"word{n}" for n in range(120_000))
            messages = [{"role": "system", "content": words}, {"role": "user", "content": words}]
            large = [asyncio.create_task(h.ask({**CHAT, "messages": messages})) for _ in range(5)]
            small = await asyncio.wait_for(asyncio.gather(*(h.ask() for _ in range(20))), 5)
            assert {answer.status for answer in small} == {200}
            assert {answer.status for answer in await asyncio.gather(*large)} == {200}

    run(main)


def test_an_open_request_is_on_record_before_it_ends(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="stall", after_events=4))
            _, writer = await h.start_stream(STREAM)
            await h.until(lambda: len(h.open_lines()) == 1, "an open line", 2)
            (line,) = h.open_lines()
            assert (line.target, line.tenant, line.streamed) == ("up0", "search", True)
            assert line.input_tokens_estimate > 0
            writer.close()
            record = await h.one_record()
            assert record.request_id == line.request_id

    run(main)


def test_a_fault_of_our_own_is_told_recorded_and_gives_back_what_was_claimed(
    house, run, monkeypatch, caplog
) -> None:
    def change(document) -> None:
        document["limits"] = [{"scope": "tenant", "name": "*", "concurrency": 1}]

    async def main() -> None:
        async with house(change) as h:

            def broken(*_: object) -> None:
                raise RuntimeError("a bug")

            live = h.worker.gateway.setup.live["up0"]
            with monkeypatch.context() as patch:
                patch.setattr(type(live), "body_for", broken)
                answer = await asyncio.wait_for(h.ask(), 3)
                assert answer.status == 500
                record = await h.one_record()
                assert (record.status, record.error_type) == ("error", "internal_error")
            assert (await h.ask()).status == 200

    run(main)


@pytest.mark.parametrize("name", [fault.name for fault in WireFault])
def test_every_fault_of_the_wire_has_a_name_that_records_can_carry(name) -> None:
    assert WireFault[name].value.replace("_", "").isalpha()
