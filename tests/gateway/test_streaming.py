"""Streams through the whole gateway: order, timing limits, breaks, clients that leave."""

import asyncio
import gzip
import json
import zlib
from itertools import pairwise

import pytest

from weighbridge.gateway.dialects.coded import CODED_BYTES_PER_TOKEN
from weighbridge.rehearsal.provider_settings import DEFAULT_MODELS, Fault, Latency, Settings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True, "max_tokens": 20}
QUICK = Settings(speed=0, n_requests_kept=1000)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def raw_request(key, said) -> bytes:
    body = json.dumps(said).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


def delta(**said) -> bytes:
    body = {"id": "c1", "model": "gpt-4o-mini", "choices": [{"index": 0, "delta": said}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def pointed(url, **more):
    def change(document) -> None:
        document["targets"]["up0"]["url"] = url
        document["targets"]["up0"].update(more)

    return change


def timed(**limits):
    def change(document) -> None:
        for target in document["targets"].values():
            target["timeouts"] = limits

    return change


def paced(output_s_per_token: float = 0.02, **more) -> Settings:
    """A provider that takes its time with each token."""
    models = tuple(
        type(model)(
            **{
                **{name: getattr(model, name) for name in model.__struct_fields__},
                "latency": Latency(0.0, 0.0, output_s_per_token, 0.0),
                "output_median_tokens": 200.0,
                "output_log_sd": 0.0,
            }
        )
        for model in DEFAULT_MODELS
    )
    return Settings(models=models, n_requests_kept=100, **more)


@pytest.mark.parametrize(
    ("per_write", "n_bytes"), [(1, 0), (1, 1), (1, 7), (4, 0), (50, 0), (3, 100)]
)
@pytest.mark.parametrize("asks_usage", [False, True])
def test_events_arrive_alike_however_packets_cut_them(
    house, run, per_write, n_bytes, asks_usage
) -> None:
    async def main() -> None:
        settings = Settings(speed=0, events_per_write=per_write, bytes_per_write=n_bytes)
        body = {**STREAM, **({"stream_options": {"include_usage": True}} if asks_usage else {})}
        async with house(settings=settings) as h:
            port = int(h.providers[0].url.rsplit(":", 1)[1])
            direct = await h.ask(body, port=port, x_rehearsal_id="same")
            answer = await h.ask(body, x_rehearsal_id="same")
            assert answer.body == direct.body
            record = await h.one_record()
            (_, billed) = h.providers[0].bill()["lines"]
            assert record.output_tokens == billed["output_tokens"] > 0
            assert record.estimated == ()
            assert record.list_cost_pico_usd == billed["cost_pico_usd"]

    run(main)


def test_each_event_is_passed_on_before_the_next_one_comes(house, run, scripted) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(up, reader, writer) -> None:
            writer.write(HEAD)
            for word in ("one", "two", "three"):
                writer.write(chunk(delta(content=word)))
                await go_on.wait()
                go_on.clear()
            writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

        async with scripted(script) as up, house(pointed(up.url)) as h:
            reader, writer = await h.start_stream()
            for word in (b"one", b"two", b"three"):
                seen = await asyncio.wait_for(reader.readuntil(b"\n\n"), 2)
                assert word in seen
                go_on.set()
            rest = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 2)
            assert b"[DONE]" in rest
            writer.close()

    run(main)


@pytest.mark.parametrize("first", [{"role": "assistant", "content": ""}, None])
def test_what_comes_before_the_first_token_is_held_no_longer_than_a_second(
    house, run, scripted, first
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(HEAD + chunk(delta(**first) if first else b": keep-alive\n\n"))
            await reader.read()

        async with scripted(script) as up, house(pointed(up.url)) as h:
            reader, writer = await asyncio.wait_for(h.start_stream(), 3)
            seen = await asyncio.wait_for(reader.readuntil(b"\n\n"), 1)
            assert (b"assistant" if first else b"keep-alive") in seen
            writer.close()
            await h.until(lambda: up.n_left == 1, "the upstream to be cancelled")

    run(main)


@pytest.mark.parametrize("waits_for", ["nothing", "head", "tokens"])
def test_a_client_that_leaves_cancels_the_upstream_at_once_and_is_charged_once(
    house, run, waits_for
) -> None:
    def change(document) -> None:
        document["budgets"] = [{"scope": "tenant", "name": "search", "usd": 5, "period": "day"}]

    async def main() -> None:
        async with house(change, settings=paced(0.05)) as h:
            provider = h.providers[0]
            if waits_for == "nothing":
                _, writer = await asyncio.open_connection("127.0.0.1", h.port)
                writer.write(raw_request(h.key, STREAM))
                await h.until(lambda: provider.stats()["n_in_flight"] == 1, "a request upstream")
            else:
                reader, writer = await h.start_stream(STREAM)
                if waits_for == "tokens":
                    for _ in range(4):
                        await reader.readuntil(b"\n\n")
            writer.close()
            await h.until(lambda: provider.stats()["n_cancelled_by_client"] == 1, "a cancel", 1)
            record = await h.one_record()
            assert (record.status, record.error_type) == ("interrupted", "client_left")
            assert record.http_status == 499
            assert record.uncached_input_tokens > 0
            assert "output_tokens" in record.estimated
            if waits_for == "tokens":
                assert 2 <= record.output_tokens <= 8
            assert record.list_cost_pico_usd > 0
            await asyncio.sleep(0.1)
            (level,) = h.worker.admission.levels(h.worker.gateway.now())
            assert level.used == pytest.approx(record.list_cost_pico_usd / 1e12)
            assert not h.worker.gateway.active

    run(main)


def test_counts_of_a_vllm_stream_are_exact_even_when_the_client_leaves(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["self_hosted"] = {
            "gpu": "h100-sxm", "n_gpus": 1, "usd_per_gpu_hour": 2, "engine": "vllm",
        }  # fmt: skip

    async def main() -> None:
        async with house(change, settings=paced(0.02)) as h:
            reader, writer = await h.start_stream(STREAM)
            for _ in range(6):
                event = await reader.readuntil(b"\n\n")
                assert b'"usage"' not in event
            writer.close()
            record = await h.one_record()
            assert b"continuous_usage_stats" in h.providers[0].requests[0].body
            assert (record.status, record.estimated) == ("interrupted", ())
            assert 2 <= record.output_tokens < 20
            assert record.uncached_input_tokens > 0
            assert (record.price_state, record.list_cost_pico_usd) == ("self_hosted", None)

    run(main)


def test_a_target_that_drains_is_read_to_the_end_and_counted_exactly(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["on_client_leave"] = "drain"

    async def main() -> None:
        async with house(change, settings=paced(0.01)) as h:
            reader, writer = await h.start_stream(STREAM)
            await reader.readuntil(b"\n\n")
            writer.close()
            record = await h.one_record()
            billed = h.providers[0].bill()["lines"][0]
            assert record.estimated == ()
            assert record.output_tokens == billed["output_tokens"] == 20
            assert (record.http_status, h.providers[0].stats()["n_cancelled_by_client"]) == (499, 0)
            assert not h.worker.gateway.active

    run(main)


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + chunk(b": wait\n\n")])
@pytest.mark.parametrize("breaks", [True, False])
def test_nobody_asks_again_for_a_client_that_has_left(house, run, scripted, said, breaks) -> None:
    async def main() -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def script(up, reader, writer) -> None:
            writer.write(said)
            asked.set()
            await gone.wait()
            if breaks:
                writer.transport.abort()
            await reader.read()

        def change(document) -> None:
            pointed(up.url, on_client_leave="drain")(document)
            timed(first_byte_s=0.4, first_token_s=0.4)(document)

        async with scripted(script) as up, house(change, n_providers=2) as h:
            _, writer = await asyncio.open_connection("127.0.0.1", h.port)
            writer.write(raw_request(h.key, STREAM))
            await asked.wait()
            writer.close()
            await h.until(lambda: any(x.client_gone for x in h.worker.gateway.active))
            gone.set()
            record = await h.one_record()
            assert (record.status, record.attempts, record.target) == ("interrupted", 1, "up0")
            assert h.providers[1].stats()["n_requests"] == 0
            assert not h.worker.gateway.active

    run(main)


@pytest.mark.parametrize(
    "fault", ["torn_stream", "reset", "malformed_chunk", "hang", "comments_only", "role_only"]
)
def test_a_stream_that_breaks_before_its_first_token_goes_to_the_next_target(
    house, run, fault
) -> None:
    async def main() -> None:
        limits = timed(first_byte_s=0.2, first_token_s=0.3, stall_s=0.2)
        async with house(limits, n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault=fault, after_events=1))
            answer = await h.ask(STREAM)
            assert answer.status == 200
            assert b"[DONE]" in answer.body
            assert b'"error"' not in answer.body
            record = await h.one_record()
            assert (record.status, record.target, record.attempts) == ("ok", "up1", 2)
            assert record.attempt_log[0].error_type is not None
            assert answer.body.count(b'"role"') == 1

    run(main)


@pytest.mark.parametrize("path", ["chat", "completions", "responses", "messages"])
@pytest.mark.parametrize("fault", ["torn_stream", "reset", "malformed_chunk", "stall"])
def test_a_stream_that_breaks_after_its_first_token_ends_with_an_error_and_is_not_repeated(
    house, run, fault, path
) -> None:
    paths = {
        "chat": ("/v1/chat/completions", STREAM),
        "completions": (
            "/v1/completions",
            {"model": "gpt-4o-mini", "prompt": "x", "stream": True, "max_tokens": 20},
        ),
        "responses": ("/v1/responses", {"model": "gpt-4o-mini", "input": "x", "stream": True}),
        "messages": ("/v1/messages", {**STREAM, "model": "claude-sonnet-4-5"}),
    }

    async def main() -> None:
        async with house(timed(stall_s=0.2), n_providers=2, settings=paced(0.0)) as h:
            h.providers[0].add_fault(Fault(fault=fault, after_events=9))
            address, body = paths[path]
            answer = await h.ask(body, address)
            assert answer.status == 200
            assert b"[DONE]" not in answer.body
            assert b"message_stop" not in answer.body
            assert b"response.completed" not in answer.body
            last = answer.body.strip().split(b"\n\n")[-1]
            assert b'"error"' in last
            assert b"incomplete" in last
            record = await h.one_record()
            assert (record.status, record.attempts) == ("interrupted", 1)
            assert record.error_type in {
                "connection_reset", "malformed_response", "stall_timeout",
            }  # fmt: skip
            assert record.http_status == 200
            assert 0 < record.output_tokens <= 10
            assert "output_tokens" in record.estimated
            assert h.providers[1].stats()["n_requests"] == 0

    run(main)


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_stream_cut_short_without_its_last_event_is_never_presented_as_success(
    house, run, scripted, is_whole
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            if is_whole:  # a proxy in between ends the chunks as if all had come
                writer.write(HEAD + chunk(delta(content="cut")) + b"0\r\n\r\n")
            else:
                head = HEAD.replace(b"transfer-encoding: chunked", b"connection: close")
                writer.write(head + delta(content="cut"))
                writer.close()

        async with scripted(script) as up, house(pointed(up.url)) as h:
            answer = await h.ask(STREAM)
            assert b"cut" in answer.body
            assert b'"error"' in answer.body
            assert b"[DONE]" not in answer.body
            record = await h.one_record()
            assert (record.status, record.error_type) == ("interrupted", "stream_unfinished")

    run(main)


def test_a_stream_whose_choices_finished_but_that_says_no_done_is_a_success(
    house, run, scripted
) -> None:
    async def main() -> None:
        last = (
            b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
            b'"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
        )

        async def script(up, reader, writer) -> None:
            writer.write(HEAD + chunk(delta(content="all")) + chunk(last) + b"0\r\n\r\n")

        async with scripted(script) as up, house(pointed(up.url)) as h:
            answer = await h.ask(STREAM)
            assert b'"error"' not in answer.body
            record = await h.one_record()
            assert (record.status, record.output_tokens, record.estimated) == ("ok", 1, ())

    run(main)


def test_an_empty_stream_goes_to_the_next_target(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(HEAD + b"0\r\n\r\n")

        def change(document) -> None:
            pointed(up.url)(document)

        async with scripted(script) as up, house(change, n_providers=2) as h:
            answer = await h.ask(STREAM)
            assert b"[DONE]" in answer.body
            record = await h.one_record()
            assert (record.target, record.attempts, record.status) == ("up1", 2, "ok")

    run(main)


@pytest.mark.parametrize(
    ("fault", "limits", "error_type"),
    [
        ("hang", {"first_byte_s": 0.15}, "first_byte_timeout"),
        ("comments_only", {"first_token_s": 0.3}, "first_token_timeout"),
        ("comments_only", {"first_token_s": 1.6}, "first_token_timeout"),
        ("role_only", {"first_token_s": 0.3}, "first_token_timeout"),
        ("role_only", {"first_token_s": 1.6}, "first_token_timeout"),
        ("hang", {"total_s": 0.2}, "total_timeout"),
    ],
)
def test_a_silent_upstream_is_given_up_by_the_limit_that_is_meant_for_it(
    house, run, fault, limits, error_type
) -> None:
    def change(document) -> None:
        timed(**limits)(document)
        document["retry"]["max_attempts"] = 1

    async def main() -> None:
        async with house(change) as h:
            h.providers[0].add_fault(Fault(fault=fault, delay_s=0.05))
            answer = await asyncio.wait_for(h.ask(STREAM), 5)
            was_released = limits.get("first_token_s", 0) > 1
            assert answer.status == (200 if was_released else 504)
            assert b"[DONE]" not in answer.body
            assert error_type.encode() in answer.body
            record = await h.one_record()
            assert record.error_type == error_type
            assert record.status == ("interrupted" if was_released else "error")
            await h.until(
                lambda: h.providers[0].stats()["n_cancelled_by_client"] == 1, "a cancel upstream"
            )

    run(main)


def test_an_answer_that_never_comes_without_streaming_is_given_up_too(house, run) -> None:
    def change(document) -> None:
        timed(first_byte_s=0.15)(document)
        document["retry"]["max_attempts"] = 1

    async def main() -> None:
        async with house(change) as h:
            h.providers[0].add_fault(Fault(fault="hang"))
            answer = await asyncio.wait_for(h.ask(CHAT), 5)
            assert answer.status == 504
            assert answer.json["error"]["code"] == "first_byte_timeout"

    run(main)


def test_a_body_that_stalls_goes_to_the_next_target(house, run) -> None:
    async def main() -> None:
        async with house(timed(stall_s=0.15), n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="stall"))
            answer = await asyncio.wait_for(h.ask(CHAT), 5)
            assert (answer.status, answer.is_whole) == (200, True)
            record = await h.one_record()
            assert [a.error_type for a in record.attempt_log] == ["stall_timeout", None]

    run(main)


def test_the_limit_on_the_first_token_counts_from_the_attempt_not_the_request(house, run) -> None:
    async def main() -> None:
        async with house(timed(first_byte_s=0.3, first_token_s=0.5), n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="hang"))
            h.providers[1].add_fault(Fault(fault="slow", delay_s=0.25))
            answer = await asyncio.wait_for(h.ask(STREAM), 5)
            assert b"[DONE]" in answer.body

    run(main)


def test_a_slow_reader_slows_the_upstream_instead_of_filling_memory(house, run, scripted) -> None:
    async def main() -> None:
        n_written = 0

        async def script(up, reader, writer) -> None:
            nonlocal n_written
            writer.write(HEAD)
            event = chunk(delta(content="x" * 4000))
            writer.transport.set_write_buffer_limits(1 << 16)
            while n_written < 64 << 20:
                writer.write(event)
                n_written += len(event)
                await writer.drain()
            writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

        async with scripted(script) as up, house(pointed(up.url)) as h:
            reader, writer = await h.start_stream()
            writer.transport.pause_reading()
            seen = -1
            while seen != n_written:
                seen = n_written
                await asyncio.sleep(0.15)
            assert n_written < 32 << 20
            writer.transport.resume_reading()
            n_read = 0
            while n_read < seen:
                n_read += len(await asyncio.wait_for(reader.read(1 << 20), 2))
            await h.until(lambda: n_written > seen, "the upstream to go on")
            writer.close()

    run(main)


def test_an_error_event_of_the_upstream_is_passed_on_and_recorded(house, run, scripted) -> None:
    async def main() -> None:
        said = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'

        async def script(up, reader, writer) -> None:
            writer.write(HEAD + chunk(delta(content="a")) + chunk(said) + b"0\r\n\r\n")

        async with scripted(script) as up, house(pointed(up.url)) as h:
            answer = await h.ask(STREAM)
            assert answer.body.count(b'"error"') == 1
            record = await h.one_record()
            assert (record.status, record.error_type) == ("error", "stream_error_event")

    run(main)


OVERLOADED = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'


def test_a_stream_that_begins_with_an_error_goes_to_the_next_target(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(HEAD + chunk(delta(role="assistant")) + chunk(OVERLOADED) + b"0\r\n\r\n")

        async with scripted(script) as up, house(pointed(up.url), n_providers=2) as h:
            answer = await h.ask(STREAM)
            assert b"[DONE]" in answer.body
            assert b'"error"' not in answer.body
            record = await h.one_record()
            assert (record.status, record.target, record.attempts) == ("ok", "up1", 2)
            assert record.attempt_log[0].error_type == "stream_error_event"

    run(main)


def test_an_error_at_the_beginning_is_passed_on_where_nothing_else_is_left(
    house, run, scripted
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(HEAD + chunk(OVERLOADED) + b"0\r\n\r\n")

        def change(document) -> None:
            pointed(up.url)(document)
            document["retry"]["max_attempts"] = 1

        async with scripted(script) as up, house(change) as h:
            answer = await h.ask(STREAM)
            assert (answer.status, answer.body) == (200, OVERLOADED)
            record = await h.one_record()
            assert (record.status, record.error_type) == ("error", "stream_error_event")
            assert (record.attempts, len(record.attempt_log)) == (1, 1)
            assert record.uncached_input_tokens == 0
            assert not h.worker.gateway.active

    run(main)


COUNTED = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":500}}\n\n'


@pytest.mark.parametrize(
    "case",
    [
        (b"gzip", COUNTED, 500),
        (b"deflate", COUNTED, 500),
        (b"gzip", b"", 200),  # by its deltas
        (b"br", COUNTED, None),  # by its size
    ],
)
def test_a_stream_that_an_upstream_compressed_unasked_passes_as_it_is_and_is_counted(
    house, run, scripted, case
) -> None:
    coding, ending, n_output_tokens = case
    plain = b"".join(delta(content=f"{n}") for n in range(200)) + ending + b"data: [DONE]\n\n"
    packed = zlib.compress(plain) if coding == b"deflate" else gzip.compress(plain)

    async def main() -> None:
        async def script(up, reader, writer) -> None:
            head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: %b\r\n\r\n" % coding)
            writer.write(head + chunk(packed[:20]))
            await asyncio.sleep(0.05)
            writer.write(chunk(packed[20:]) + b"0\r\n\r\n")

        async with scripted(script) as up, house(pointed(up.url)) as h:
            answer = await h.ask(STREAM)
            assert answer.body == packed
            assert answer.headers["content-encoding"] == coding.decode()
            record = await h.one_record()
            assert (record.status, record.attempts) == ("ok", 1)
            if n_output_tokens == 500:
                assert not record.estimated
                assert record.uncached_input_tokens == 3
            else:
                assert "output_tokens" in record.estimated
            by_size = -(-len(packed) // CODED_BYTES_PER_TOKEN)
            assert record.output_tokens == (n_output_tokens or by_size)

    run(main)


def test_a_compressed_stream_that_breaks_is_cut_without_words_of_ours(house, run, scripted) -> None:
    machine = zlib.compressobj(wbits=31)
    packed = machine.compress(delta(content="hello") * 3) + machine.flush(zlib.Z_SYNC_FLUSH)

    async def main() -> None:
        async def script(up, reader, writer) -> None:
            head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
            writer.write(head + chunk(packed))
            await writer.drain()
            writer.close()

        async with scripted(script) as up, house(pointed(up.url)) as h:
            answer = await h.ask(STREAM)
            assert (answer.body, answer.is_whole) == (packed, False)
            record = await h.one_record()
            assert (record.status, record.output_tokens) == ("interrupted", 3)
            assert "output_tokens" in record.estimated

    run(main)


def test_a_malformed_event_passes_and_the_counts_stay_exact(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="malformed_event", after_events=3))
            answer = await h.ask(STREAM)
            assert b'"broken"' in answer.body
            assert b"[DONE]" in answer.body
            record = await h.one_record()
            assert record.output_tokens == h.providers[0].bill()["lines"][0]["output_tokens"]

    run(main)


@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_is_missing_is_estimated_and_a_zero_stays_zero(house, run, stream) -> None:
    async def main() -> None:
        async with house() as h:
            for fault in ("missing_usage", "zero_usage"):
                h.providers[0].clear_faults()
                h.providers[0].add_fault(Fault(fault=fault))
                answer = await h.ask({**CHAT, "stream": stream, "max_tokens": 40})
                assert answer.status == 200
            await h.until(lambda: len(h.records()) == 2)
            missing, zero = h.records()
            assert missing.estimated == ("uncached_input_tokens", "output_tokens")
            assert missing.output_tokens > 0
            assert missing.list_cost_pico_usd > 0
            assert zero.estimated == ()
            assert (zero.uncached_input_tokens, zero.output_tokens) == (0, 0)
            assert (zero.list_cost_pico_usd, zero.price_state) == (0, "priced")

    run(main)


def test_a_length_that_lies_makes_no_whole_answer(house, run) -> None:
    async def main() -> None:
        async with house(n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="lying_length"))
            answer = await h.ask(CHAT)
            assert (answer.status, answer.is_whole) == (200, True)
            assert answer.json["choices"]
            record = await h.one_record()
            assert (record.target, record.attempts) == ("up1", 2)
            # The first answer was made and is billed: what it surely cost is counted.
            assert record.attempt_log[0].list_cost_pico_usd > 0
            assert "list_cost_usd" in record.estimated

    run(main)


def test_a_cost_of_an_attempt_that_failed_is_counted_in_streams_too(house, run) -> None:
    async def main() -> None:
        costs = []
        async with house(timed(first_byte_s=0.2), n_providers=2) as h:
            for stream in (False, True):
                h.providers[0].clear_faults()
                h.providers[0].add_fault(Fault(fault="hang", count=1))
                await h.ask({**CHAT, "stream": stream})
            await h.until(lambda: len(h.records()) == 2)
            for record in h.records():
                first, last = record.attempt_log
                assert (first.error_type, last.error_type) == ("first_byte_timeout", None)
                assert last.list_cost_pico_usd is None
                assert "list_cost_usd" in record.estimated
                costs.append(first.list_cost_pico_usd)
            assert costs[0] > 0
            assert costs[1] > 0

    run(main)


def test_a_stream_of_many_tokens_records_what_the_upstream_counted(house, run) -> None:
    async def main() -> None:
        async with house(settings=Settings(speed=0)) as h:
            for n in (1, 2, 3, 500):
                await h.ask({**STREAM, "max_tokens": n})
            await h.until(lambda: len(h.records()) == 4)
            told = [record.output_tokens for record in h.records()]
            assert told == [line["output_tokens"] for line in h.providers[0].bill()["lines"]]
            assert all(a <= b for a, b in pairwise(told))

    run(main)


def test_deltas_that_pass_by_themselves_are_no_stall(house, run, scripted) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(up, reader, writer) -> None:
            writer.write(HEAD + chunk(delta(content="one")))
            for word in ("two", "three", "four"):
                await go_on.wait()
                go_on.clear()
                writer.write(chunk(delta(content=word)))
            await reader.read()

        async with scripted(script) as up, house(pointed(up.url, timeouts={"stall_s": 60})) as h:
            reader, writer = await h.start_stream()
            await asyncio.wait_for(reader.readuntil(b"one"), 2)
            (x,) = h.worker.gateway.active
            for word in (b"two", b"three", b"four"):
                go_on.set()
                await asyncio.wait_for(reader.readuntil(word), 2)
                x.tick(x.last_data_s + 59)  # something has come since: from here on it counts
                assert h.worker.gateway.active
            x.tick(x.last_data_s + 59)
            assert h.worker.gateway.active
            x.tick(x.last_data_s + 61)
            rest = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 2)
            assert b"incomplete" in rest
            writer.close()

    run(main)
