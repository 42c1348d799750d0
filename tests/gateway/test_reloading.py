"""Reloads while requests are in flight: all of a new configuration, or none, and told."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import yaml

from weighbridge.gateway import reloading
from weighbridge.gateway.reloading import FIXED
from weighbridge.gateway.settings import Settings
from weighbridge.rehearsal.provider_settings import Settings as ProviderSettings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
SLOW = ProviderSettings(speed=20, n_requests_kept=100)
RELOADABLE = {
    "version",
    "clients",
    "keys",
    "retry",
    "limits",
    "budgets",
    "reserve_output_tokens",
    "other_paths",
    "drain_s",
    "warm_connections",
}


@pytest.fixture
def _quick_look(monkeypatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_S", 0.02)


def test_every_setting_either_changes_at_run_time_or_waits_for_a_restart() -> None:
    assert set(Settings.__struct_fields__) == {*FIXED, *RELOADABLE}


@pytest.mark.usefixtures("_quick_look")
def test_a_changed_file_takes_effect_by_itself(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            assert (await h.ask({**CHAT, "model": "gpt-5"})).status == 404
            path = h.worker.config.path
            document = yaml.safe_load(path.read_text())
            document["models"]["gpt-5"] = "up0"
            path.write_text(yaml.safe_dump(document))
            await h.until(lambda: "weighbridge: reloaded" in h.events, "a reload")
            assert (await h.ask({**CHAT, "model": "gpt-5"})).status == 200

    run(main)


@pytest.mark.usefixtures("_quick_look")
def test_a_file_that_is_broken_and_then_mended_takes_effect_when_mended(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            path = h.worker.config.path
            whole = path.read_text()
            path.write_text(whole[: len(whole) // 2])
            await h.until(lambda: h.worker.reloader.error is not None, "a refusal")
            assert (await h.ask()).status == 200
            path.write_text(whole)
            await h.until(lambda: h.worker.reloader.error is None, "a reload")
            assert (await h.ask()).status == 200

    run(main)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "targets: [",
        "a: &a [*a, *a]",
        "\x00",
        "[" * 5000,
        "version: 2\n",
        "listen: 127.0.0.1:0\ntargets: {}\nmodels: {m: nowhere}\n",
        "budgets: [{scope: tenant, usd: -1, period: day}]\n",
    ],
)
def test_a_bad_file_changes_nothing_and_says_why(house, run, broken) -> None:
    async def main() -> None:
        async with house() as h:
            before = h.worker.gateway.setup
            h.worker.config.path.write_text(broken)
            answer = await h.admin("/reload", "POST")
            assert answer.status == 422
            assert answer.body.strip()
            assert h.worker.gateway.setup is before
            assert (await h.ask()).status == 200
            assert (await h.admin("/status")).json["reload_error"]
            assert any("reload_refused" in one for one in h.events)
            metrics = (await h.admin("/metrics")).body.decode()
            assert 'weighbridge_events_total{name="reload_refused"} 1' in metrics
            assert "weighbridge_reload_failing 1" in metrics

    run(main)


def test_files_that_are_not_there_or_no_text_are_refused(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            path, keys = h.worker.config.path, h.folder / "keys.json"
            whole, held = path.read_bytes(), keys.read_bytes()
            for spoil in (path.unlink, lambda: path.write_bytes(b"\xff\xfe\xff")):
                spoil()
                assert h.worker.reloader.reload() is not None
                path.write_bytes(whole)
            for spoil in (keys.unlink, lambda: keys.write_bytes(b"\xff{")):
                spoil()
                assert "keys.json" in h.worker.reloader.reload()
                keys.write_bytes(held)
            assert (await h.ask()).status == 200
            assert h.worker.reloader.reload() is None

    run(main)


def test_a_target_that_cannot_be_made_leaves_no_connection_of_the_others_behind(house, run) -> None:
    def change(document) -> None:
        document["warm_connections"] = 1

    async def main() -> None:
        async with house(change) as h:

            def add(document) -> None:
                up0 = document["targets"]["up0"]
                document["targets"] |= {"a": {**up0}, "b": {**up0, "ca_file": "missing.pem"}}
                document["targets"]["b"]["url"] = "https://127.0.0.1:1/v1"

            assert "missing.pem" in (h.rewrite(add) or "")
            assert [pool._closed for pool in h.worker.pools.fresh] == [True]
            assert (await h.ask()).status == 200

    run(main)


def test_a_request_in_flight_ends_on_the_setup_it_began_with(house, run) -> None:
    async def main() -> None:
        async with house(n_providers=2, settings=SLOW) as h:
            reader, writer = await h.start_stream()

            def remove(document) -> None:
                del document["targets"]["up0"]
                document["models"] = {"gpt-4o-mini": "up1"}
                document["targets"]["claude"] = dict(document["targets"]["up1"])

            pool = h.worker.gateway.setup.live["up0"].pool
            assert h.rewrite(remove) is None
            assert pool.n_open == 1
            assert (await h.ask()).status == 200
            body = await reader.readuntil(b"data: [DONE]")
            writer.close()
            assert b"error" not in body
            by_target = {record.target: record for record in h.records()}
            assert by_target["up0"].status == by_target["up1"].status == "ok"
            assert by_target["up0"].policy_version != by_target["up1"].policy_version
            await h.until(lambda: pool.n_open == 0, "the removed target's connections closed")

    run(main)


def test_a_target_that_did_not_change_keeps_connections_health_and_gate(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["caps"] = {"concurrency": 3}

    async def main() -> None:
        async with house(change) as h:
            await h.ask()
            before = h.worker.gateway.setup.live["up0"]
            assert h.rewrite(lambda d: d["models"].update({"gpt-5": "up0"})) is None
            after = h.worker.gateway.setup.live["up0"]
            assert (after.pool, after.health, after.gate) == (
                before.pool,
                before.health,
                before.gate,
            )
            assert (await h.ask({**CHAT, "model": "gpt-5"})).status == 200
            assert after.pool.n_opened == 1

    run(main)


def test_limits_appear_and_disappear(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            assert h.worker.gateway.setup.admission is None
            limit = {"scope": "tenant", "requests_per_minute": 1}
            assert h.rewrite(lambda d: d.update(limits=[limit])) is None
            assert [(await h.ask()).status for _ in range(3)] == [200, 429, 429]
            assert h.rewrite(lambda d: d.update(limits=[])) is None
            assert h.worker.gateway.setup.admission is None
            assert [(await h.ask()).status for _ in range(3)] == [200, 200, 200]

    run(main)


def test_a_request_that_began_under_a_limit_gives_it_back_after_the_limit_is_gone(
    house, run
) -> None:
    def change(document) -> None:
        document["limits"] = [{"scope": "tenant", "concurrency": 1}]

    async def main() -> None:
        async with house(change, settings=SLOW) as h:
            reader, writer = await h.start_stream()
            assert (await h.ask()).status == 429
            assert h.rewrite(lambda d: d.update(limits=[])) is None
            await reader.readuntil(b"data: [DONE]")
            writer.close()
            assert h.rewrite(change) is None
            assert (await h.ask()).status == 200
            assert h.worker.admission.n_settled_twice == 0

    run(main)


def test_a_budget_that_appears_counts_from_then_on(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            await h.ask()
            budget = {"scope": "tenant", "usd": "0.000001", "period": "day"}
            assert h.rewrite(lambda d: d.update(budgets=[budget])) is None
            assert (await h.ask()).status == 429
            assert h.rewrite(lambda d: d.update(budgets=[{**budget, "usd": 5}])) is None
            assert (await h.ask()).status == 200

    run(main)


def test_what_cannot_change_at_run_time_is_said_to_wait_and_stays_as_it_is(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            state = h.worker.state

            def change(document) -> None:
                document |= {"listen": "127.0.0.1:1", "state_path": "elsewhere", "drain_s": 1}
                document["spool"] = {"path": "other"}

            h.rewrite(change)
            answer = await h.admin("/reload", "POST")
            assert answer.status == 200
            assert b"wait for a restart: listen, spool, state_path" in answer.body
            assert sum("restart_needed" in one for one in h.events) == 1
            assert h.worker.state == state
            assert h.worker.config.settings.drain_s == 1
            status = (await h.admin("/status")).json
            assert status["waits_for_restart"] == ["listen", "spool", "state_path"]
            assert b"weighbridge_restart_needed 1" in (await h.admin("/metrics")).body
            assert (await h.ask()).status == 200

    run(main)


def test_a_secret_in_a_file_is_read_anew_without_any_other_change(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            secret = h.folder / "upstream.key"
            secret.write_text("sk-first")
            kind = {"kind": "bearer", "file": str(secret)}
            assert h.rewrite(lambda d: d["targets"]["up0"].update(credential=kind)) is None
            await h.ask()
            secret.write_text("sk-second")
            assert (await h.admin("/reload", "POST")).status == 200
            await h.ask()
            seen = [one.headers["authorization"] for one in h.providers[0].requests]
            assert seen == ["Bearer sk-first", "Bearer sk-second"]

    run(main)


@pytest.mark.usefixtures("_quick_look")
def test_workers_hear_of_a_reload_that_one_of_them_was_asked_for(tmp_path, run) -> None:
    asked, done = tmp_path / "reload", []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        workers = [
            reloading.Reloader(
                lambda: (), lambda n=n: done.append(n) or (), lambda *_: None, loop, asked
            )
            for n in range(3)
        ]
        for one in workers:
            one.start()
        assert workers[0].reload_all() is None
        assert done == [0]
        while len(done) < 3:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        for one in workers:
            one.stop()

    run(main)
    assert sorted(done) == [0, 1, 2]


def test_sighup_reloads(house, run) -> None:
    async def main() -> None:
        async with house() as h:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, h.worker.reloader.reload)
            os.kill(os.getpid(), signal.SIGHUP)
            await h.until(lambda: "weighbridge: reloaded" in h.events, "a reload")
            loop.remove_signal_handler(signal.SIGHUP)

    run(main)
