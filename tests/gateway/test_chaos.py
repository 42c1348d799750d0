"""Everything at once: faults, limits, queues, failover and clients that leave; nothing leaks."""

import asyncio
import json
import random

import pytest

from weighbridge.rehearsal.provider_settings import Fault

WORDS = [{"role": "user", "content": "hello"}]
FAULTS = (
    "status_429", "status_500", "status_503", "torn_stream", "reset", "malformed_chunk",
    "malformed_event", "missing_usage", "lying_length", "stall", "comments_only", "role_only",
    "hang", "wrong_content_type",
)  # fmt: skip


def crowded(document) -> None:
    document["limits"] = [
        {"scope": "tenant", "name": "*", "concurrency": 60, "tokens_per_minute": 900_000},
        {"scope": "feature", "name": "*", "concurrency": 40},
    ]
    document["budgets"] = [{"scope": "tenant", "name": "search", "usd": 50, "period": "day"}]
    times = {"first_byte_s": 0.15, "first_token_s": 0.25, "stall_s": 0.15}
    for name, target in document["targets"].items():
        target["timeouts"] = times
        target["on_client_leave"] = "drain" if name == "up1" else "cancel"
    document["targets"]["up0"]["caps"] = {"concurrency": 8, "queue_size": 20, "queue_wait_s": 0.5}
    document["retry"] = {"base_s": 0.01, "cap_s": 0.05, "max_attempts": 3}


async def one_client(h, rng: random.Random, index: int) -> int | None:
    """Ask; sometimes leave after a while. The status, where the answer was waited for."""
    stream = rng.random() < 0.6
    path, model = "/v1/chat/completions", "gpt-4o-mini"
    if rng.random() < 0.2:
        path, model = "/v1/messages", "claude-sonnet-4-5"
    body = {"model": model, "messages": WORDS, "stream": stream, "max_tokens": 15}
    reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {h.key}\r\n"
        f"x-weighbridge-feature: f{index % 3}\r\nconnection: close\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    leaves_s = rng.choice([None, None, None, 0.0, 0.01, 0.1, 0.3])
    try:
        answer = await asyncio.wait_for(reader.read(), leaves_s if leaves_s is not None else 15)
    except TimeoutError:
        assert leaves_s is not None, "an answer never came"
        return None
    finally:
        writer.transport.abort()
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_leaks_and_everything_is_on_record(house, run, caplog, seed) -> None:
    async def main() -> None:
        async with house(crowded, n_providers=3) as h:
            rng = random.Random(seed)
            for provider in h.providers[:2]:
                for name in FAULTS:
                    fault = Fault(fault=name, share=0.06, after_events=rng.randrange(8))
                    provider.add_fault(fault)
            statuses = []
            for start in range(0, 300, 60):
                clients = [one_client(h, rng, n) for n in range(start, start + 60)]
                statuses += await asyncio.gather(*clients)
            gateway = h.worker.gateway
            await h.until(lambda: not gateway.active, "every exchange to be over", 10)
            await asyncio.sleep(0.1)
            records = h.records()
            answered = [status for status in statuses if status is not None]
            assert len(answered) <= len(records) <= 300
            assert len({record.request_id for record in records}) == len(records)
            assert 200 in answered
            levels = h.worker.admission.levels(gateway.now())
            assert [level.used for level in levels if level.what == "concurrency"] == [0] * 4
            (spent,) = [level.used for level in levels if level.what == "usd_day"]
            recorded = sum(record.list_cost_pico_usd or 0 for record in records)
            assert spent == pytest.approx(recorded / 1e12, abs=1e-12)
            assert h.worker.admission.n_settled_twice == 0
            for live in gateway.setup.live.values():
                assert live.gate is None or (live.gate.n_running, live.gate.n_waiting) == (0, 0)
            for provider in h.providers:
                in_flight = provider.stats
                await h.until(lambda seen=in_flight: seen()["n_in_flight"] == 0, "no orphan")
            for record in records:
                assert record.status in ("ok", "error", "interrupted")
                assert record.error_type or record.status == "ok"
                assert len(record.attempt_log) in (0, record.attempts), record
            n_sent = sum(provider.stats()["n_requests"] for provider in h.providers)
            assert n_sent <= sum(record.attempts for record in records) <= n_sent + 5
            assert not [entry for entry in caplog.records if entry.levelname == "ERROR"]

    run(main)


def test_clients_that_leave_at_once_leave_nothing_behind(house, run, caplog) -> None:
    async def main() -> None:
        async with house(crowded) as h:
            content = json.dumps({"model": "gpt-4o-mini", "messages": WORDS}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {h.key}"
            for _ in range(60):
                _, writer = await asyncio.open_connection("127.0.0.1", h.port)
                length = f"\r\ncontent-length: {len(content)}\r\n\r\n"
                writer.write((head + length).encode() + content)
                writer.close()
            await h.until(lambda: not h.worker.gateway.active and not h.worker.server.n_connections)
            levels = h.worker.admission.levels(h.worker.gateway.now())
            assert not any(level.used for level in levels if level.what == "concurrency")
            await h.until(lambda: h.providers[0].stats()["n_in_flight"] == 0)
            assert len(h.records()) >= h.providers[0].stats()["n_requests"]
            assert not [entry for entry in caplog.records if entry.levelname == "ERROR"]

    run(main)
