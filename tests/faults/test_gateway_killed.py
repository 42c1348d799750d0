"""A gateway that dies by kill -9 under load: what clients had whole is recorded, once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time

import pytest

SEEN_OPEN_S = 0.5  # a stream open for so long has its line: 0.1 s, a tick, and a busy machine


async def killed_under_load(drive, gateway, pid, n_whole, n_long):
    """Outcomes up to the death of `pid`, and the ids of streams that were open for a while."""
    async with drive(gateway, 6, drive.chat) as load:
        load.add(gateway.port, gateway.key, drive.stream, 4)
        load.add(gateway.port, gateway.key, drive.long, n_long)
        began_s = time.monotonic()
        await load.until(n_whole)
        left_s = began_s + SEEN_OPEN_S + 0.2 - time.monotonic()
        await asyncio.sleep(max(left_s, 0.0))
        at_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.1)  # what was on its way to the clients arrives
        seen = [
            one.request_id
            for one in load.outcomes
            if one.body is drive.long and one.request_id and at_s - one.began_s > SEEN_OPEN_S
        ]
        return load, seen


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_that_came_whole_is_in_the_ledger_once_after_kill_9(
    serving, provider, drive, run, seed
) -> None:
    n_whole = random.Random(seed).randint(1, 600)
    with serving([provider.url]) as gateway:

        async def main():
            return await killed_under_load(drive, gateway, gateway.pid, n_whole, 10)

        load, seen_open = run(main)
        gateway.process.wait()
        whole = [one.request_id for one in load.whole]
        records = gateway.records()
        assert len(whole) >= n_whole
        assert [name for name in whole if records[name] != 1] == []
        assert max(records.values()) == 1
        assert len(seen_open) == 10
        gateway.start()  # a new process adopts what the dead one left
        assert gateway.stop() == 0
        rows = {}
        for row in gateway.compacted():
            assert row["request_id"] not in rows
            rows[row["request_id"]] = row
        assert {rows[name]["status"] for name in whole} == {"ok"}
        assert {rows[name]["status"] for name in seen_open} == {"interrupted"}
        assert {rows[name]["error_type"] for name in seen_open} == {"gateway_died"}


def test_one_of_three_workers_is_killed_and_the_service_goes_on(
    serving, provider, drive, run
) -> None:
    with serving([provider.url], n_workers=3) as gateway:
        victim = random.Random(0).choice(gateway.workers())

        async def main():
            load, seen_open = await killed_under_load(drive, gateway, victim, 100, 24)
            n_before = len(load.whole)
            async with drive(gateway, 6, drive.chat) as after:
                await after.until(300)
                await after.stop()
            return load, after, seen_open, n_before

        load, after, seen_open, n_before = run(main)
        assert after.statuses == {200: len(after.outcomes)}  # the dead one's port is closed
        assert gateway.stop() == 0
        records = gateway.records()
        whole = [one.request_id for one in (*load.whole, *after.whole)]
        assert n_before >= 100
        assert [name for name in whole if records[name] != 1] == []
        assert max(records.values()) == 1
        rows = {row["request_id"]: row for row in gateway.compacted()}
        ends = [(rows[name]["status"], rows[name]["error_type"]) for name in seen_open]
        assert set(ends) == {("interrupted", "gateway_died"), ("interrupted", "client_left")}
        assert set(rows) >= set(whole)


def test_budget_after_kill_9_knows_of_all_that_was_spent_open_streams_included(
    serving, provider, drive, run
) -> None:
    def change(document) -> None:
        document["budgets"] = [{"scope": "tenant", "usd": 5, "period": "month"}]

    with serving([provider.url], change) as gateway:

        async def main():
            async with drive(gateway, 4, drive.chat) as load:
                load.add(gateway.port, gateway.key, drive.long, 10)
                await load.until(200)
                await asyncio.sleep(2.2)  # a snapshot of spend lies after the streams' beginnings
                os.kill(gateway.pid, signal.SIGKILL)

        run(main)
        gateway.process.wait()
        spent_pico_usd = []
        for _ in range(2):  # once only: a second restart finds the same
            gateway.start()
            assert gateway.stop() == 0
            saved = json.loads((gateway.folder / "state" / "spend.json").read_text())
            spent_pico_usd += [int(amount) for *_, amount in saved["spent"]]
        rows = gateway.compacted()
        assert sum(row["status"] == "interrupted" for row in rows) == 10
        recorded_usd = sum(row["list_cost_usd"] for row in rows)
        assert spent_pico_usd == [int(recorded_usd * 10**12)] * 2
