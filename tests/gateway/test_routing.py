"""Where requests go through the whole gateway: rules, data classes, failover, weights, overflow."""

import asyncio
import json
import time
from collections import Counter

import pytest

from weighbridge.rehearsal.provider_settings import Fault

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True, "max_tokens": 9}


def classes(**given):
    def change(document) -> None:
        document["data_classes"] = given

    return change


def n_requests(h) -> list[int]:
    return [provider.stats()["n_requests"] for provider in h.providers]


def test_an_unclassified_request_is_refused_where_any_class_is_restricted(house, run) -> None:
    async def main() -> None:
        async with house(classes(secret=["up1"]), n_providers=2) as h:
            answer = await h.ask()
            assert (answer.status, answer.json["error"]["code"]) == (403, "data_class_missing")
            other = await h.ask(x_weighbridge_data_class="secret")  # the key reaches nothing
            assert other.status == 403
            assert n_requests(h) == [0, 0]
            assert {record.attempts for record in h.records()} == {0}

    run(main)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["status_500", "status_429", "reset", "hang", "torn_stream"])
def test_a_restricted_request_never_leaks_when_its_only_target_fails(
    house, run, fault, stream
) -> None:
    def change(document) -> None:
        classes(secret=["up0"], public=["up0", "up1", "claude"])(document)
        for target in document["targets"].values():
            target["timeouts"] = {"first_byte_s": 0.2}

    async def main() -> None:
        async with house(change, n_providers=2, data_class="secret") as h:
            h.providers[0].add_fault(Fault(fault=fault))
            answer = await h.ask(STREAM if stream else CHAT)
            assert answer.status >= 429
            assert n_requests(h)[1] == 0
            record = await h.one_record()
            assert record.data_class == "secret"

    run(main)


def test_a_header_tightens_a_class_and_never_loosens_it(house, run) -> None:
    public = ["up0", "up1", "claude"]

    async def main() -> None:
        async with house(
            classes(secret=["up1"], public=public), n_providers=2, data_class="public"
        ) as h:
            assert (await h.ask()).status == 200
            assert n_requests(h) == [1, 0]
            tight = await h.ask(x_weighbridge_data_class="secret")
            assert tight.status == 200
            assert n_requests(h) == [1, 1]
            assert (await h.ask(x_weighbridge_data_class="unheard")).status == 403
            assert [record.data_class for record in h.records()[:2]] == ["public", "secret"]

    run(main)


def test_a_header_cannot_loosen_a_class(house, run) -> None:
    public = ["up0", "up1", "claude"]

    async def main() -> None:
        async with house(
            classes(secret=["up1"], public=public), n_providers=2, data_class="secret"
        ) as h:
            loose = await h.ask(x_weighbridge_data_class="public")
            assert (loose.status, loose.json["error"]["code"]) == (403, "data_class")
            assert n_requests(h) == [0, 0]

    run(main)


def test_rules_see_tools_schema_feature_and_size(house, run) -> None:
    def change(document) -> None:
        document["rules"] = [
            {"name": "tools", "match": {"tools": True}, "targets": ["up1"]},
            {"name": "schema", "match": {"json_schema": True}, "targets": ["up1"]},
            {"name": "feature", "match": {"feature": "bulk*"}, "targets": ["up1"]},
            {"name": "long", "match": {"input_tokens": {"min": 1000}}, "targets": ["up1"]},
        ]

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
            tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            await h.ask({**CHAT, "tools": tools})
            await h.ask({**CHAT, "response_format": schema})
            await h.ask(CHAT, x_weighbridge_feature="bulk-mail")
            await h.ask({**CHAT, "messages": [{"role": "user", "content": "w " * 4000}]})
            await h.ask(CHAT)
            await h.until(lambda: len(h.records()) == 5)
            told = [(record.rule, record.target) for record in h.records()]
            assert told == [
                ("tools", "up1"), ("schema", "up1"), ("feature", "up1"), ("long", "up1"),
                ("models.gpt-4o-mini", "up0"),
            ]  # fmt: skip

    run(main)


def test_weights_divide_and_conversations_stick(house, run) -> None:
    def change(document) -> None:
        document["models"]["gpt-4o-mini"] = {
            "targets": [{"target": "up0", "weight": 3}, {"target": "up1", "weight": 1}],
            "sticky": "conversation",
        }

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            draws = iter([index / 40 for index in range(40)])
            h.worker.gateway.random = lambda: next(draws)
            for _ in range(40):
                await h.ask()
            assert n_requests(h) == [30, 10]
            h.worker.gateway.random = lambda: 0.99
            await h.until(lambda: len(h.records()) == 40)
            for name in [f"c{n}" for n in range(12)] * 3:
                await h.ask(x_weighbridge_conversation=name)
            await h.until(lambda: len(h.records()) == 76)
            later = [record.target for record in h.records()[40:]]
            assert later[:12] == later[12:24] == later[24:]
            assert len(set(later)) == 2

    run(main)


def test_users_stick_by_what_their_requests_say(house, run) -> None:
    def change(document) -> None:
        document["models"]["gpt-4o-mini"] = {"targets": ["up0", "up1"], "sticky": "user"}

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            for n in range(24):
                await h.ask({**CHAT, "user": f"u{n % 8}"})
            await h.until(lambda: len(h.records()) == 24)
            targets = [record.target for record in h.records()]
            assert targets[:8] == targets[8:16] == targets[16:]
            assert len(set(targets)) == 2

    run(main)


def test_a_saturated_fleet_overflows_to_the_api_and_back(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["self_hosted"] = {
            "gpu": "h100-sxm", "n_gpus": 1, "usd_per_gpu_hour": 2, "engine": "vllm",
        }  # fmt: skip

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            health = h.worker.gateway.setup.live["up0"].health
            health.on_engine(True, h.worker.gateway.now())
            assert (await h.ask()).status == 200
            health.on_engine(False, h.worker.gateway.now())
            assert (await h.ask()).status == 200
            await h.until(lambda: len(h.records()) == 2)
            over, back = h.records()
            assert (over.target, over.price_state, over.attempts) == ("up1", "priced", 1)
            assert (back.target, back.price_state) == ("up0", "self_hosted")
            assert back.list_cost_pico_usd is None  # not $0, and no invented price
            assert over.list_cost_pico_usd > 0

    run(main)


def test_retry_after_of_a_limit_is_preserved_for_the_client(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="status_429", retry_after_s=30))
            answer = await h.ask()
            assert (answer.status, answer.headers["retry-after"]) == (429, "30")
            assert n_requests(h) == [1]  # a longer wait than we make is left to the client
            again = await h.ask()
            assert again.status == 429
            assert 1 <= int(again.headers["retry-after"]) <= 30
            assert n_requests(h) == [1]  # honoured for others too

    run(main)


def test_a_short_retry_after_is_waited_for(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            h.providers[0].add_fault(Fault(fault="status_429", retry_after_s=1, count=1))
            began_s = time.monotonic()
            answer = await h.ask()
            assert answer.status == 200
            assert time.monotonic() - began_s >= 0.9
            record = await h.one_record()
            assert [a.http_status for a in record.attempt_log] == [429, 200]

    run(main)


@pytest.mark.parametrize("stream", [False, True])
def test_when_every_target_is_out_the_client_is_told_when_to_come_back(house, run, stream) -> None:
    async def main() -> None:
        async with house(n_providers=2) as h:
            for provider in h.providers:
                provider.add_fault(Fault(fault="status_503"))
            last = None
            for _ in range(20):
                last = await h.ask(STREAM if stream else CHAT)
            assert last.status == 503
            assert int(last.headers["retry-after"]) >= 1
            assert last.json["error"]["code"] == "no_target_available"
            n = sum(n_requests(h))
            assert n < 20 * 3
            await h.until(lambda: len(h.records()) == 20)
            assert sum(record.attempts for record in h.records()) == n

    run(main)


def test_a_storm_of_limits_makes_no_storm_of_retries(house, run) -> None:
    def change(document) -> None:
        document["models"]["gpt-4o-mini"] = "up0"

    async def main() -> None:
        async with house(change) as h:
            h.providers[0].add_fault(Fault(fault="status_429"))
            n = 200
            answers = await asyncio.gather(*(h.ask() for _ in range(n)))
            assert {answer.status for answer in answers} == {429}
            assert n_requests(h)[0] <= 1.2 * n
            await h.until(lambda: len(h.records()) == n)
            assert sum(record.attempts for record in h.records()) == n_requests(h)[0]

    run(main)


def test_the_share_of_retries_is_the_configured_one(house, run) -> None:
    def change(document) -> None:
        document["retry"]["budget_frac"] = 0.0

    async def main() -> None:
        async with house(change) as h:
            budget = h.worker.gateway.setup.call_context.budget
            for _ in range(1000):
                budget.deposit()
            assert sum(budget.withdraw(0.0) for _ in range(1000)) == 10  # the floor alone
            assert h.rewrite(lambda d: d["retry"].update(budget_frac=0.5)) is None
            assert h.worker.gateway.setup.call_context.budget is not budget

    run(main)


def test_an_answer_at_fault_itself_is_not_repeated(house, run, scripted) -> None:
    async def main() -> None:
        said = b'{"error":{"message":"bad temperature","type":"invalid_request_error"}}'

        async def script(up, reader, writer) -> None:
            writer.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(said), said)
            )

        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change, n_providers=2) as h:
            answer = await h.ask()
            assert (answer.status, answer.body) == (400, said)
            assert n_requests(h)[1] == 0
            record = await h.one_record()
            assert (record.status, record.error_type, record.attempts) == ("error", "400", 1)
            assert record.list_cost_pico_usd == 0

    run(main)


def test_a_reload_under_load_lets_requests_in_flight_finish(house, run) -> None:
    def drop(document) -> None:
        document["targets"]["fresh"] = document["targets"].pop("up0")
        document["targets"]["fresh"]["url"] = document["targets"]["up1"]["url"]
        document["models"]["gpt-4o-mini"] = "fresh"
        document["models"]["text-embedding-3-small"] = "fresh"

    async def main() -> None:
        async with house(n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.4))
            before = [asyncio.create_task(h.ask(STREAM)) for _ in range(10)]
            await h.until(lambda: n_requests(h)[0] == 10)
            assert h.rewrite(drop) is None
            after = await asyncio.gather(*(h.ask() for _ in range(10)))
            assert {answer.status for answer in after} == {200}
            done = await asyncio.gather(*before)
            assert all(b"[DONE]" in answer.body for answer in done)
            await h.until(lambda: len(h.records()) == 20)
            assert Counter(record.target for record in h.records()) == {"fresh": 10, "up0": 10}
            assert len({record.policy_version for record in h.records()}) == 2

    run(main)


def test_a_request_in_flight_still_fails_over_after_a_reload_took_its_targets_away(
    house, run
) -> None:
    def drop(document) -> None:
        del document["targets"]["up0"], document["targets"]["up1"]
        document["models"] = {"claude-sonnet-4-5": "claude"}

    async def main() -> None:
        async with house(n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.2))
            asked = asyncio.create_task(h.ask({**CHAT, "max_tokens": 5}))
            await h.until(lambda: n_requests(h)[0] == 1)
            h.providers[0].add_fault(Fault(fault="reset"))
            assert h.rewrite(drop) is None
            for connection in tuple(h.providers[0]._connections):
                connection.abort()
            answer = await asyncio.wait_for(asked, 5)
            assert answer.status == 200
            record = await h.one_record()
            assert (record.target, record.attempts) == ("up1", 2)

    run(main)


def test_a_bad_file_changes_nothing(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            said = h.rewrite(lambda d: d["models"].update({"gpt-4o-mini": "nowhere"}))
            assert "nowhere" in said
            assert (await h.ask()).status == 200

    run(main)


def test_an_azure_target_gets_its_header_path_and_version(house, run) -> None:
    def change(document) -> None:
        up = document["targets"]["up0"]
        base = up["url"].removesuffix("/v1")
        up.update(
            url=f"{base}/openai/deployments/my-mini",
            provider="azure",
            credential={"kind": "azure", "env": "UPSTREAM_KEY"},
            query={"api-version": "2026-01-01"},
            price_model="gpt-4o-mini",
        )

    async def main() -> None:
        async with house(change) as h:
            answer = await h.ask(CHAT, "/v1/chat/completions?x=1")
            assert answer.status == 200
            (seen,) = h.providers[0].requests
            assert seen.path == "/openai/deployments/my-mini/chat/completions"
            assert seen.query == "x=1&api-version=2026-01-01"
            assert seen.headers["api-key"] == "sk-upstream"
            assert "authorization" not in seen.headers
            record = await h.one_record()
            assert record.price_state == "priced"
            assert record.list_cost_pico_usd > 0

    run(main)


def test_a_model_without_a_price_is_unpriced_and_a_version_has_its_models_price(
    house, run, scripted
) -> None:
    async def main() -> None:
        usage = {"prompt_tokens": 1000, "completion_tokens": 0}

        async def script(up, reader, writer) -> None:
            asked = json.loads(up.bodies[-1])["model"]
            body = json.dumps({"model": f"{asked}-2024-07-18", "usage": usage}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )

        def change(document) -> None:
            document["targets"]["up0"]["url"] = up.url
            document["models"]["house-blend"] = "up0"

        async with scripted(script) as up, house(change) as h:
            await h.ask()
            await h.ask({**CHAT, "model": "house-blend"})
            await h.until(lambda: len(h.records()) == 2)
            priced, unpriced = h.records()
            assert (priced.model, priced.price_state) == ("gpt-4o-mini-2024-07-18", "priced")
            assert priced.list_cost_pico_usd == 150_000 * 1000
            assert (unpriced.price_state, unpriced.list_cost_pico_usd) == ("unpriced", None)

    run(main)
