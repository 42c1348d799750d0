"""Requests through the whole gateway: what goes upstream, what comes back, what is written down."""

import json
from decimal import Decimal

import pytest

from weighbridge.rehearsal.provider_settings import Fault

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def test_an_answer_comes_back_byte_for_byte_and_is_recorded_with_its_exact_cost(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            direct = await h.ask(port=int(h.providers[0].url.rsplit(":", 1)[1]))
            answer = await h.ask(x_weighbridge_feature="support", x_weighbridge_template="greet")
            assert answer.status == 200
            ours, theirs = answer.json, direct.json
            assert ours["choices"] == theirs["choices"]
            record = await h.one_record()
            usage = ours["usage"]
            assert record.status == "ok"
            assert record.request_id == answer.headers["x-weighbridge-request-id"]
            assert (record.tenant, record.feature, record.template) == (
                "search",
                "support",
                "greet",
            )
            assert record.uncached_input_tokens == usage["prompt_tokens"]
            assert record.output_tokens == usage["completion_tokens"]
            expected = (
                Decimal("0.15") * usage["prompt_tokens"]
                + Decimal("0.6") * usage["completion_tokens"]
            ) * 10**6
            assert record.list_cost_pico_usd == expected

    run(main)


def test_the_clients_key_never_goes_upstream_and_ours_never_comes_back(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask()
            (seen,) = h.providers[0].requests
            assert seen.headers["authorization"] == "Bearer sk-upstream"
            assert h.key not in str(seen.headers)
            assert b"sk-upstream" not in answer.body
            assert "sk-upstream" not in str(answer.headers)

    run(main)


def test_a_stream_is_relayed_with_usage_asked_for_and_hidden(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask({**CHAT, "stream": True, "max_tokens": 9})
            assert b"data: [DONE]" in answer.body
            assert b'"usage"' not in answer.body
            record = await h.one_record()
            assert record.streamed
            assert record.output_tokens > 0
            assert not record.estimated
            assert record.ttft_s is not None

    run(main)


def test_a_client_that_asked_for_usage_gets_it(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask(
                {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
            )
            events = [e for e in answer.body.split(b"\n\n") if e and b"[DONE]" not in e]
            last = json.loads(events[-1].removeprefix(b"data: "))
            record = await h.one_record()
            assert last["usage"]["completion_tokens"] == record.output_tokens

    run(main)


def test_an_unknown_key_is_refused_before_anything_goes_upstream(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask(key="wb-k1-wrong")
            assert answer.status == 401
            assert answer.json["error"]["code"] == "key_unknown"
            assert not h.providers[0].requests

    run(main)


def test_a_model_that_no_rule_serves_is_refused(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask({**CHAT, "model": "gpt-9"})
            assert answer.status == 404
            record = await h.one_record()
            assert (record.status, record.error_type, record.attempts) == ("error", "no_rule", 0)
            assert record.list_cost_pico_usd == 0

    run(main)


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_call_is_repeated_at_the_next_target_with_streaming_and_without(
    house, run, stream
) -> None:
    async def main() -> None:
        async with house(n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="status_500"))
            answer = await h.ask({**CHAT, "stream": stream})
            assert answer.status == 200
            record = await h.one_record()
            assert (record.target, record.attempts) == ("up1", 2)
            assert [a.target for a in record.attempt_log] == ["up0", "up1"]
            assert record.attempt_log[0].http_status == 500

    run(main)
