"""What passes through untouched: bodies, headers, paths of the operator's choice, models."""

import asyncio
import json

import pytest

from weighbridge.rehearsal.provider_settings import Fault

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def json_answer(body: bytes, extra: bytes = b"", status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
    return head % (status, extra, len(body)) + body


def upstream(url, **more):
    def change(document) -> None:
        document["targets"]["up0"].update(url=url, **more)

    return change


ODD = (
    '{"messages":[{"role":"user","content":"h\\u00e9llo \\ud83d\\ude00 ☃ \\/"}],'
    '"model":"gpt-4o-mini" ,"seed": 123456789012345678901234567890,"x_new":{"b":1.0,"a":1e400,'
    '"nested":[[],{},null]},"temperature":0.10000000000000000001,\n\t"logit_bias":{"50256":-100}}'
).encode()


def test_a_body_goes_upstream_byte_for_byte(house, run) -> None:
    async def main() -> None:
        compact = ODD.replace(b" ,", b",").replace(b": 1234", b":1234").replace(b"\n\t", b"")
        async with house() as h:
            for body in (compact, json.dumps(CHAT).encode()):
                await h.ask(body)
                assert h.providers[0].requests[-1].body == body

    run(main)


def test_a_body_of_odd_spacing_goes_upstream_with_every_value_as_it_was(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            await h.ask(b" " + ODD + b"\n")
            sent = h.providers[0].requests[-1].body
            told = [json.loads(b, parse_float=str, parse_int=str) for b in (ODD, sent)]
            assert told[0] == told[1]

    run(main)


def test_a_renamed_model_changes_nothing_else(house, run) -> None:
    async def main() -> None:
        async with house(
            upstream_model := lambda d: d["targets"]["up0"].update(model="other")
        ) as h:
            assert upstream_model
            await h.ask(ODD)
            sent = h.providers[0].requests[-1].body.decode()
            assert '"model":"other"' in sent
            for kept in (
                "123456789012345678901234567890",
                "1e400",
                "0.10000000000000000001",
                "h\\u00e9llo \\ud83d\\ude00 ☃ \\/",
            ):
                assert kept in sent
            record = await h.one_record()
            assert record.model_requested == "gpt-4o-mini"

    run(main)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "x", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}',
        b'\xef\xbb\xbf{"broken": ',
        b"",
        b'{"model":"m","n":123456789012345678901234567890,"usage":{"prompt_tokens":5,'
        b'"completion_tokens":7},"text":"' + b"x" * 700_000 + b'"}',
        b"\x00\xff\xfe not json at all",
    ],
)
def test_an_answer_comes_back_byte_for_byte_whatever_it_is(house, run, scripted, body) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(json_answer(body, b"x-own: kept\r\nx-request-id: theirs\r\n"))

        async with scripted(script) as up, house(upstream(up.url)) as h:
            answer = await h.ask()
            assert (answer.status, answer.body, answer.is_whole) == (200, body, True)
            assert (answer.headers["x-own"], answer.headers["x-request-id"]) == ("kept", "theirs")
            assert answer.headers["x-weighbridge-request-id"]
            record = await h.one_record()
            if b"completion_tokens" in body:
                assert (record.uncached_input_tokens, record.output_tokens) == (5, 7)
                assert record.estimated == ()
            else:
                assert record.estimated

    run(main)


def test_headers_for_us_and_keys_of_the_client_stay_here(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            await h.ask(
                x_weighbridge_feature="f",
                x_weighbridge_user="u",
                helicone_auth="Bearer sk-helicone-secret",
                x_litellm_api_key="sk-litellm-secret",
                x_api_key="sk-other-secret",
                openai_beta="assistants=v2",
                x_custom="kept",
            )
            seen = h.providers[0].requests[-1].headers
            assert not any(name.startswith("x-weighbridge") for name in seen)
            assert "secret" not in str(seen)
            assert (seen["openai-beta"], seen["x-custom"]) == ("assistants=v2", "kept")
            assert seen["authorization"] == "Bearer sk-upstream"

    run(main)


@pytest.mark.parametrize("size", [10, 300_000])
def test_an_upstream_that_repeats_our_key_is_not_passed_on_as_it_is(
    house, run, scripted, size
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            text = b'{"error":{"message":"Incorrect API key provided: sk-upstream"}}'
            if size < 1000:
                writer.write(json_answer(text, status=b"401 Unauthorized"))
            else:
                writer.write(json_answer(text + b" " * size, status=b"401 Unauthorized"))

        async with scripted(script) as up, house(upstream(up.url)) as h:
            answer = await h.ask()
            assert answer.status >= 400
            assert b"sk-upstream" not in answer.body

    run(main)


def test_a_refusal_of_our_key_upstream_does_not_tell_clients_that_theirs_is_wrong(
    house, run, scripted
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(json_answer(b'{"error":{"message":"no"}}', status=b"401 Unauthorized"))

        async with scripted(script) as up, house(upstream(up.url)) as h:
            answer = await h.ask()
            assert answer.status == 401
            record = await h.one_record()
            assert (record.error_type, record.target) == ("401", "up0")

    run(main)


def test_other_paths_pass_where_the_operator_allows_them_and_else_not(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            usage = b'{"usage":{"input_tokens":3,"output_tokens":4},"model":"gpt-4o-mini"}'
            writer.write(json_answer(usage))

        def change(document) -> None:
            document["other_paths"] = {"/v1/audio/*": "up0"}
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change) as h:
            body = b"--x\r\nnot json\r\n"
            answer = await h.ask(body, "/v1/audio/transcriptions?language=de", x_form="multi")
            assert answer.status == 200
            assert up.heads[0].startswith(b"POST /v1/audio/transcriptions?language=de HTTP/1.1")
            assert up.bodies == [body]
            record = await h.one_record()
            assert (record.endpoint, record.target, record.tenant) == ("other", "up0", "search")
            assert (record.uncached_input_tokens, record.output_tokens) == (3, 4)
            assert record.list_cost_pico_usd == 3 * 150_000 + 4 * 600_000
            for path in ("/v1/files", "/v1/audio", "/v1/audio/../files", "/v1/audio/%2e%2e/files"):
                refused = await h.ask(b"", path)
                assert refused.status == 404
            assert len(up.heads) == 1

    run(main)


def test_head_with_a_body_waits_for_no_body_and_leaves_the_target_in_service(
    house, run, scripted
) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\n"
            )

        def change(document) -> None:
            document["other_paths"] = {"/v1/x*": "up0"}
            document["targets"]["up0"] |= {"url": up.url, "timeouts": {"stall_s": 0.3}}

        async with scripted(script) as up, house(change) as h:
            reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
            head = "HEAD /v1/xx HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\n"
            for _ in range(6):  # the same head again may go another way
                writer.write(f"{head}authorization: Bearer {h.key}\r\n\r\n{{}}".encode())
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                assert answer.startswith(b"HTTP/1.1 200")
            writer.close()
            await h.until(lambda: len(h.records()) == 6)
            assert {record.status for record in h.records()} == {"ok"}
            assert len(up.heads) == 6

    run(main)


def test_other_paths_keep_to_data_classes_budgets_and_limits(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            usage = b'{"usage":{"input_tokens":3,"output_tokens":4000000},"model":"gpt-4o-mini"}'
            writer.write(json_answer(usage))

        def change(document) -> None:
            document["other_paths"] = {"/v1/audio/*": "up0"}
            document["targets"]["up0"]["url"] = up.url
            document["data_classes"] = {"public": ["up0", "claude"], "secret": ["claude"]}
            document["budgets"] = [{"scope": "tenant", "usd": 1, "period": "day"}]

        async with scripted(script) as up, house(change, data_class="public") as h:
            refused = await h.ask({}, "/v1/audio/speech", x_weighbridge_data_class="secret")
            assert (refused.status, refused.json["error"]["code"]) == (403, "data_class")
            assert not up.heads
            assert (await h.ask({}, "/v1/audio/speech")).status == 200  # $2.40: over the budget
            over = await h.ask({}, "/v1/audio/speech")
            assert over.status == 429
            assert len(up.heads) == 1
            await h.until(lambda: len(h.records()) == 3)

    run(main)


def test_an_event_stream_of_another_path_passes_as_it_comes(house, run, scripted) -> None:
    async def main() -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        events = b'data: {"type":"speech.audio.delta"}\n\ndata: {"type":"speech.audio.done"}\n\n'

        async def script(up, reader, writer) -> None:
            writer.write(head + events)
            writer.close()

        def change(document) -> None:
            document["other_paths"] = {"/v1/audio/*": "up0"}
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change) as h:
            answer = await h.ask({}, "/v1/audio/speech")
            assert answer.body == events
            record = await h.one_record()
            assert (record.status, record.attempts) == ("ok", 1)

    run(main)


def test_models_are_listed_for_a_key_in_its_dialect(house, run) -> None:
    async def main() -> None:
        async with house(models=["gpt-*", "claude*"]) as h:
            told = (await h.ask(path="/v1/models", method="GET")).json
            assert told["object"] == "list"
            assert [row["id"] for row in told["data"]] == ["gpt-4o-mini"]
            one = await h.ask(path="/v1/models/gpt-4o-mini", method="GET")
            assert one.json["object"] == "model"
            for name in ("text-embedding-3-small", "nothing"):
                assert (await h.ask(path=f"/v1/models/{name}", method="GET")).status == 404
            theirs = await h.ask(path="/v1/models", method="GET", anthropic_version="2023-06-01")
            assert [row["id"] for row in theirs.json["data"]] == ["claude-sonnet-4-5"]
            assert theirs.json["has_more"] is False
            assert not h.providers[0].requests

    run(main)


def test_counting_tokens_is_recorded_and_costs_nothing(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            body = {**CHAT, "model": "claude-sonnet-4-5"}
            answer = await h.ask(body, "/v1/messages/count_tokens")
            assert answer.json["input_tokens"] > 0
            record = await h.one_record()
            assert (record.endpoint, record.target) == ("count_tokens", "claude")
            assert (record.uncached_input_tokens, record.estimated) == (0, ())
            assert (record.list_cost_pico_usd, record.price_state) == (0, "priced")

    run(main)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"]}),
        ("/v1/completions", {"model": "gpt-4o-mini", "prompt": "once", "max_tokens": 5}),
        ("/v1/responses", {"model": "gpt-4o-mini", "input": "once"}),
        ("/v1/messages", {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 5}),
    ],
)
def test_every_endpoint_is_billed_as_the_provider_bills_it(house, run, path, body) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask(body, path)
            assert answer.status == 200
            record = await h.one_record()
            (billed,) = h.providers[0].bill()["lines"]
            assert record.endpoint == path.split("/")[-1]
            assert record.list_cost_pico_usd == billed["cost_pico_usd"] > 0

    run(main)


def test_a_model_of_the_other_dialect_is_refused(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask({**CHAT, "model": "claude-sonnet-4-5"})
            assert (answer.status, answer.json["error"]["code"]) == (400, "dialect")
            theirs = await h.ask({**CHAT, "max_tokens": 5}, "/v1/messages")
            assert (theirs.status, theirs.json["type"]) == (400, "error")
            assert not h.providers[0].requests

    run(main)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{", b'{"model":1}', b'{"model":""}', b'{"messages":[]}',
        b'{"model":"gpt-4o-mini","\xff":1}', b'{"model":"gpt-4o-mini","stream":"yes"}',
        b'{"model":"gpt-4o-mini","stream":true,"stream_options":7}',
        b'{"model":"gpt-4o-mini","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"model":"gpt-4o-mini","x":"\\ud800"}{"model":"b"}',
        b'{"model":"gpt-4o-mini","x":"\xc3\x28"}',
        b'{"model":"gpt-4o-mini","stream":true,"\\ud800":1}',
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_understood_is_refused_or_passed_never_an_error_of_ours(
    house, run, body
) -> None:
    async def main() -> None:
        def change(document) -> None:
            document["targets"]["up0"]["model"] = "other"

        async with house(change) as h:
            answer = await asyncio.wait_for(h.ask(body), 3)
            assert answer.status in (200, 400), answer.body
            record = await h.one_record()
            assert record.status in ("ok", "error")
            assert not h.worker.gateway.active

    run(main)


def test_a_redirect_upstream_is_no_success(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            writer.write(
                b"HTTP/1.1 307 Temporary Redirect\r\nlocation: https://elsewhere/\r\n"
                b"content-length: 0\r\n\r\n"
            )

        async with scripted(script) as up, house(upstream(up.url)) as h:
            answer = await h.ask()
            assert (answer.status, answer.headers["location"]) == (307, "https://elsewhere/")
            record = await h.one_record()
            assert (record.status, record.error_type) == ("error", "307")
            assert record.list_cost_pico_usd == 0

    run(main)


def test_an_answer_of_another_content_type_is_passed_on_and_read_all_the_same(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="wrong_content_type"))
            for stream in (False, True):
                answer = await h.ask({**CHAT, "stream": stream})
                assert answer.status == 200
                assert answer.headers["content-type"].startswith("text/html")
                assert (b"usage" in answer.body) is not stream
            await h.until(lambda: len(h.records()) == 2)
            bill = h.providers[0].bill()["lines"]
            costs = [record.list_cost_pico_usd for record in h.records()]
            assert costs == [line["cost_pico_usd"] for line in bill]

    run(main)


def test_a_page_where_a_stream_was_asked_for_is_no_answer(house, run, scripted) -> None:
    async def main() -> None:
        async def script(up, reader, writer) -> None:
            page = b"<html>Sign in to the network</html>"
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%b"
                % (len(page), page)
            )

        async with scripted(script) as up, house(upstream(up.url), n_providers=2) as h:
            answer = await h.ask({**CHAT, "stream": True})
            assert b"[DONE]" in answer.body
            record = await h.one_record()
            assert (record.target, record.attempts) == ("up1", 2)

    run(main)


def test_a_name_too_long_to_keep_is_refused(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            assert (await h.ask({**CHAT, "model": "x" * 257})).status == 400
            record = await h.one_record()
            assert record.model_requested is None

    run(main)
