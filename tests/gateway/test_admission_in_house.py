"""Limits, budgets and the shaping of traffic to a provider's caps, through the whole gateway."""

import asyncio
import json
import time

import pytest

from weighbridge.gateway.key_store import KeyStore, KeyTerms
from weighbridge.rehearsal.provider_settings import Fault

CHAT = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 20,
}
STREAM = {**CHAT, "stream": True}


def limited(**rates):
    def change(document) -> None:
        document["limits"] = [{"scope": "tenant", "name": "*", **rates}]

    return change


def capped(**caps):
    def change(document) -> None:
        document["targets"]["up0"]["caps"] = caps

    return change


def n_running(h) -> float:
    levels = h.worker.admission.levels(h.worker.gateway.now())
    return sum(level.used for level in levels if level.what == "concurrency")


async def leave_midway(h, body=STREAM) -> None:
    """A client that asks and goes before any answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", h.port)
    content = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {h.key}\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content)
    n = h.providers[0].stats()["n_requests"]
    await h.until(lambda: h.providers[0].stats()["n_requests"] >= n)
    await asyncio.sleep(0.05)
    writer.close()


def test_requests_above_a_rate_get_429_with_the_time_to_wait(house, run) -> None:
    async def main() -> None:
        async with house(limited(requests_per_minute=3)) as h:
            answers = [await h.ask() for _ in range(5)]
            assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
            refused = answers[3]
            assert refused.json["error"]["type"] == "rate_limit_error"
            assert refused.json["error"]["code"] == "rate_limit_requests"
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            await h.until(lambda: len(h.records()) == 5)
            assert [record.attempts for record in h.records()] == [1, 1, 1, 0, 0]
            assert h.records()[3].list_cost_pico_usd == 0

    run(main)


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("feature", "bulk"),
        ("feature", "*"),
        ("model", "gpt-4o-mini"),
        ("model", "*"),
        ("key", "k1"),
    ],
)
def test_each_scope_has_its_own_allowance(house, run, scope, name) -> None:
    def change(document) -> None:
        document["limits"] = [{"scope": scope, "name": name, "requests_per_minute": 2}]

    async def main() -> None:
        async with house(change) as h:
            answers = [await h.ask(x_weighbridge_feature="bulk") for _ in range(3)]
            assert [answer.status for answer in answers] == [200, 200, 429]
            body = {"model": "text-embedding-3-small", "input": "x"}
            other = await h.ask(body, "/v1/embeddings", x_weighbridge_feature="other")
            assert other.status == (429 if scope == "key" else 200)

    run(main)


def test_tokens_are_reserved_at_most_and_settled_at_what_was_used(house, run) -> None:
    async def main() -> None:
        async with house(limited(tokens_per_minute=10_000)) as h:
            answer = await h.ask({**CHAT, "max_tokens": 9000})
            assert answer.status == 200
            used = answer.json["usage"]["total_tokens"]
            await h.one_record()
            (level,) = h.worker.admission.levels(h.worker.gateway.now())
            assert level.used == pytest.approx(used, abs=200)
            too_large = await h.ask({**CHAT, "max_tokens": 20_000})
            assert too_large.status == 400  # it could never pass: waiting would not help
            assert too_large.json["error"]["code"] == "request_too_large_for_limit"

    run(main)


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_a_place_is_free_again_when_a_client_leaves(house, run, fault) -> None:
    async def main() -> None:
        async with house(limited(concurrency=1)) as h:
            h.providers[0].add_fault(Fault(fault=fault, after_events=3, count=1))
            leaver = asyncio.create_task(leave_midway(h))
            await h.until(lambda: n_running(h) == 1)
            refused = await h.ask()
            assert (refused.status, refused.json["error"]["code"]) == (429, "concurrency_limit")
            assert "retry-after" in refused.headers
            await leaver
            await h.until(lambda: n_running(h) == 0, "the place to be free")
            assert (await h.ask()).status == 200

    run(main)


@pytest.mark.parametrize(
    "fault", [None, "status_500", "status_429", "torn_stream", "reset", "malformed_chunk", "hang"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_however_a_request_ends_its_place_is_free_and_its_cost_counted_once(
    house, run, fault, stream
) -> None:
    def change(document) -> None:
        limited(concurrency=50)(document)
        document["budgets"] = [{"scope": "tenant", "name": "search", "usd": 9, "period": "day"}]
        document["targets"]["up0"]["timeouts"] = {"first_byte_s": 0.15}

    async def main() -> None:
        async with house(change) as h:
            if fault:
                h.providers[0].add_fault(Fault(fault=fault, after_events=4))
            await asyncio.gather(*(h.ask(STREAM if stream else CHAT) for _ in range(5)))
            await h.until(lambda: len(h.records()) == 5)
            assert n_running(h) == 0
            spent = [
                level.used
                for level in h.worker.admission.levels(h.worker.gateway.now())
                if level.what == "usd_day"
            ]
            recorded = sum(record.list_cost_pico_usd or 0 for record in h.records())
            assert spent == [pytest.approx(recorded / 1e12)]
            assert h.worker.admission.n_settled_twice == 0
            assert not h.worker.gateway.active

    run(main)


def test_a_spent_budget_refuses_with_the_reason_and_a_soft_one_only_tells(house, run) -> None:
    def change(document) -> None:
        document["budgets"] = [
            {"scope": "tenant", "name": "search", "usd": "0.0001", "period": "day"},
            {
                "scope": "tenant",
                "name": "search",
                "usd": "0.00005",
                "period": "day",
                "kind": "soft",
            },
        ]

    async def main() -> None:
        async with house(change) as h:
            answers = [await h.ask(CHAT) for _ in range(30)]
            assert answers[0].status == 200, answers[0].body
            refused = [answer for answer in answers if answer.status == 429]
            assert refused
            assert answers[0].status == 200
            assert "budget" in refused[0].json["error"]["code"]
            assert "retry-after" in refused[0].headers
            await h.until(lambda: len(h.records()) == 30)
            spent = sum(record.list_cost_pico_usd for record in h.records())
            assert spent <= 100_000_000
            assert any("budget_threshold" in event for event in h.events)

    run(main)


def test_traffic_is_shaped_to_a_providers_caps_in_a_queue(house, run) -> None:
    async def main() -> None:
        async with house(capped(concurrency=2, queue_size=50, queue_wait_s=10)) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.03))
            answers = await asyncio.gather(*(h.ask() for _ in range(20)))
            assert {answer.status for answer in answers} == {200}
            assert h.providers[0].stats()["n_in_flight_most"] == 2
            await h.until(lambda: len(h.records()) == 20)
            assert sum(record.queue_s > 0 for record in h.records()) == 18

    run(main)


def test_past_a_full_queue_comes_a_fast_429(house, run) -> None:
    async def main() -> None:
        async with house(capped(concurrency=1, queue_size=2, queue_wait_s=10)) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.3))
            began_s = time.monotonic()
            tasks = [asyncio.create_task(h.ask()) for _ in range(8)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert time.monotonic() - began_s < 0.3
            refused = done.pop().result()
            assert (refused.status, refused.json["error"]["code"]) == (429, "queue_full")
            assert int(refused.headers["retry-after"]) >= 1
            answers = await asyncio.gather(*tasks)
            assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 5
            await h.until(lambda: len(h.records()) == 8)
            refusals = [record for record in h.records() if record.http_status == 429]
            assert {(r.attempts, r.list_cost_pico_usd) for r in refusals} == {(0, 0)}

    run(main)


def test_who_waits_too_long_in_the_queue_is_told_so(house, run) -> None:
    async def main() -> None:
        async with house(capped(concurrency=1, queue_wait_s=0.15)) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.6, count=1))
            first = asyncio.create_task(h.ask())
            await h.until(lambda: h.providers[0].stats()["n_requests"] == 1)
            second = await asyncio.wait_for(h.ask(), 0.5)
            assert second.status == 429
            assert (await first).status == 200

    run(main)


def test_a_full_queue_overflows_to_the_next_target(house, run) -> None:
    async def main() -> None:
        async with house(capped(concurrency=1, queue_size=0), n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.3))
            answers = await asyncio.gather(*(h.ask() for _ in range(5)))
            assert {answer.status for answer in answers} == {200}
            assert [p.stats()["n_requests"] for p in h.providers] == [1, 4]
            await h.until(lambda: len(h.records()) == 5)
            assert {record.attempts for record in h.records()} == {1}

    run(main)


def test_a_client_that_leaves_the_queue_costs_nothing_and_frees_its_place(house, run) -> None:
    async def main() -> None:
        async with house(capped(concurrency=1, queue_size=1, queue_wait_s=10)) as h:
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.4, count=1))
            first = asyncio.create_task(h.ask())
            await h.until(lambda: h.providers[0].stats()["n_requests"] == 1)
            await leave_midway(h)
            gate = h.worker.gateway.setup.live["up0"].gate
            await h.until(lambda: len(h.records()) == 1)
            (gone,) = h.records()
            assert (gone.status, gone.error_type) == ("interrupted", "client_left")
            assert (gone.attempts, gone.list_cost_pico_usd, gone.uncached_input_tokens) == (0, 0, 0)
            assert gate.n_waiting == 0
            second = asyncio.create_task(h.ask())
            assert (await first).status == 200
            assert (await second).status == 200
            assert h.providers[0].stats()["n_requests"] == 2
            await h.until(lambda: gate.n_running == 0)

    run(main)


def test_tenants_share_a_queue_fairly_and_priority_goes_first(house, run) -> None:
    async def main() -> None:
        async with house(capped(concurrency=1, queue_size=100, queue_wait_s=20)) as h:
            store = KeyStore(h.folder / "keys.json")
            _, quiet = store.create(KeyTerms(tenant="quiet"), 0.0, "k2")
            _, urgent = store.create(KeyTerms(tenant="urgent", priority=10), 0.0, "k3")
            h.worker.reloader.reload()
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.02))
            tasks = [asyncio.create_task(h.ask()) for _ in range(20)]
            gate = h.worker.gateway.setup.live["up0"].gate
            await h.until(lambda: gate.n_waiting == 19)
            tasks += [asyncio.create_task(h.ask(key=quiet)) for _ in range(3)]
            await h.until(lambda: gate.n_waiting >= 20)
            tasks.append(asyncio.create_task(h.ask(key=urgent)))
            answers = await asyncio.gather(*tasks)
            assert {answer.status for answer in answers} == {200}
            await h.until(lambda: len(h.records()) == 24)
            order = [record.tenant for record in h.records()]
            assert order.index("urgent") <= 8
            last_quiet = max(i for i, name in enumerate(order) if name == "quiet")
            assert last_quiet <= 16  # long before the busy tenant's twentieth

    run(main)


def test_a_providers_word_on_its_own_limits_slows_us_down(house, run, scripted) -> None:
    async def main() -> None:
        body = b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}'

        async def script(up, reader, writer) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 0\r\n"
                b"x-ratelimit-reset-requests: 60s\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )

        def change(document) -> None:
            capped(requests_per_minute=6000, queue_wait_s=0.2)(document)
            document["targets"]["up0"]["url"] = up.url

        async with scripted(script) as up, house(change) as h:
            assert (await h.ask()).status == 200
            assert (await h.ask()).status == 429  # its turn would come too late
            assert len(up.heads) == 1

    run(main)
