"""A wall clock that is stepped, under requests and budgets: durations and money stay sane."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from weighbridge.rehearsal.provider_settings import Fault, Settings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
DAY_S = 86_400.0


class Wall:
    """The time of day, as far off as a test wants it."""

    def __init__(self, h, at: float) -> None:
        self.off_s = at - time.time()
        h.worker.wall = h.worker.gateway.wall = self

    def __call__(self) -> float:
        return time.time() + self.off_s


def capped(document) -> None:
    document["budgets"] = [{"scope": "tenant", "usd": "0.0003", "period": "day"}]


def noon(at: float) -> float:
    return at - at % DAY_S + DAY_S / 2


async def spend_all(h) -> int:
    """Requests that were served before the budget's end."""
    n_served = 0
    while (answer := await h.ask(CHAT)).status == 200:
        n_served += 1
    assert answer.status == 429
    assert "budget" in answer.json["error"]["message"]
    assert 0 < int(answer.headers["retry-after"]) <= DAY_S
    return n_served


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0, -400 * DAY_S, 400 * DAY_S])
def test_step_of_the_clock_under_open_requests_leaves_their_durations_true(
    house, run, step_s
) -> None:
    async def main() -> None:
        async with house(settings=Settings(speed=0, n_requests_kept=100)) as h:
            wall = Wall(h, time.time())
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.3))
            began_at = time.time()
            asked = [asyncio.create_task(h.ask({**CHAT, "stream": n % 2 == 0})) for n in range(20)]
            await h.until(lambda: h.providers[0].stats()["n_in_flight"] == 20, "20 in flight")
            wall.off_s += step_s
            answers = await asyncio.gather(*asked)
            after = await h.ask(CHAT)
            assert [one.status for one in (*answers, after)] == [200] * 21
            records = h.records()
            *during, last = sorted(records, key=lambda one: one.started_at_us != 0)
            assert len(records) == 21
            assert all(0.25 < one.latency_s < 10.0 for one in records)
            assert all(0.0 <= one.queue_s < 1.0 for one in records)
            stepped = [one for one in records if abs(one.started_at_us / 1e6 - began_at) > 1800]
            assert len(stepped) == 1
            assert stepped[0].started_at_us / 1e6 == pytest.approx(began_at + step_s, abs=10.0)
            assert len(during) == 20
            assert last.list_cost_pico_usd

    run(main)


def test_budget_of_a_day_is_neither_lost_nor_given_twice_by_a_clock_that_steps(house, run) -> None:
    async def main() -> None:
        async with house(capped) as h:
            today_at = noon(time.time())
            wall = Wall(h, today_at)
            n_today = await spend_all(h)
            assert n_today > 5
            wall.off_s += DAY_S
            n_tomorrow = await spend_all(h)
            assert n_tomorrow > 5
            for step_s in (-DAY_S, DAY_S, 3600.0, -7200.0):  # days whose money is spent already
                wall.off_s += step_s
                assert await spend_all(h) == 0
            served = [one for one in h.records() if one.status == "ok"]
            assert len(served) == n_today + n_tomorrow
            h.worker._snapshot()
            saved = json.loads((h.worker.state / "spend.json").read_text())
            spent = {int(start): int(amount) for *_, start, amount in saved["spent"]}
            by_day: dict[int, int] = {}
            for one in served:
                day = int(one.started_at_us / 1e6 // DAY_S * DAY_S)
                by_day[day] = by_day.get(day, 0) + one.list_cost_pico_usd
            assert {start: amount for start, amount in spent.items() if amount} == by_day
            assert max(by_day.values()) <= 3 * 10**8

    run(main)


def test_request_that_spans_midnight_is_charged_once(house, run) -> None:
    async def main() -> None:
        async with house(capped) as h:
            wall = Wall(h, noon(time.time()))
            h.providers[0].add_fault(Fault(fault="slow", delay_s=0.2))
            asked = [asyncio.create_task(h.ask(CHAT)) for _ in range(5)]
            await h.until(lambda: h.providers[0].stats()["n_in_flight"] == 5, "in flight")
            wall.off_s += DAY_S
            answers = await asyncio.gather(*asked)
            assert {one.status for one in answers} == {200}
            cost = sum(one.list_cost_pico_usd for one in h.records())
            (level,) = h.worker.admission.levels(h.worker.gateway.now())
            assert round(level.used * 1e12) == cost
            h.worker._snapshot()
            saved = json.loads((h.worker.state / "spend.json").read_text())
            assert sum(int(amount) for *_, amount in saved["spent"]) == cost

    run(main)
