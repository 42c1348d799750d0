"""Configurations that change under load: all of it takes effect, or none, and nobody notices."""

from __future__ import annotations

import pytest

BROKEN = {
    "no YAML": "targets: [unclosed",
    "an unknown key": "tragets: {}\n",
    "empty": "",
    "no text": b"\xff\xfe\x00".decode("latin-1"),
}


def check_all_recorded(gateway, load) -> None:
    assert load.statuses == {200: len(load.outcomes)}
    assert len(load.whole) == len(load.outcomes)
    assert gateway.stop() == 0
    records = gateway.records()
    assert [one.request_id for one in load.whole if records[one.request_id] != 1] == []
    assert len(records) == len(load.whole)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_under_load_changes_nothing_and_is_told(
    serving, provider, drive, run, name
) -> None:
    with serving([provider.url]) as gateway:

        async def main():
            async with drive(gateway) as load:
                load.add(gateway.port, gateway.key, drive.stream, 4)
                await load.until(50)
                gateway.write(BROKEN[name])
                status, _ = gateway.ask_admin("/reload", "POST")
                assert status in (401, 422)  # without an admin key the port only tells
                await drive.until(lambda: "reload_refused" in gateway.events(), "an event")
                assert str(gateway.config) in gateway.ask_admin("/status")[1]
                await load.until(len(load.whole) + 50)
                gateway.write()  # mended: in force again, and nothing more is said against it
                await drive.until(
                    lambda: '"reload_error":null' in gateway.ask_admin("/status")[1], "mended"
                )
                await load.until(len(load.whole) + 50)
                await load.stop()
                return load

        check_all_recorded(gateway, run(main))


def test_fifty_reloads_under_load_drop_nothing(serving, provider, drive, run) -> None:
    def give_key(document) -> None:
        document["reserve_output_tokens"] = 1

    with serving([provider.url], give_key) as gateway:

        async def main():
            async with drive(gateway) as load:
                load.add(gateway.port, gateway.key, drive.stream, 8)
                for n in range(1, 51):
                    # Every other one replaces the target, its connections included.
                    timeouts = {"first_byte_s": 30 + n // 2}
                    gateway.document["targets"]["up0"]["timeouts"] = timeouts
                    gateway.document["reserve_output_tokens"] = n
                    gateway.write()
                    gateway.process.send_signal(1)  # SIGHUP
                    await drive.until(lambda n=n: gateway.metric("events_total") >= n, "a reload")
                    await load.until(len(load.whole) + 5)
                await load.stop()
                return load

        load = run(main)
        assert gateway.events().count("reload_refused") == 0
        assert gateway.events().count("reloaded") >= 50
        connections = gateway.metric("connections")
        assert connections <= 1  # of the one who asks, at most
        check_all_recorded(gateway, load)
        versions = {line.policy_version for line in gateway.lines() if hasattr(line, "tenant")}
        assert len(versions) >= 20


def test_sigterm_under_load_drains_whole_and_exits_0(serving, provider, drive, run) -> None:
    with serving([provider.url]) as gateway:

        async def main():
            async with drive(gateway) as load:
                load.add(gateway.port, gateway.key, drive.stream, 16)
                await load.until(200)
                gateway.process.terminate()
                await load.stop_at_refusal()
                return load

        load = run(main)
        assert gateway.process.wait(10) == 0
        assert len(load.whole) >= 200
        begun = [one for one in load.outcomes if one.status]
        assert [one for one in begun if not one.is_whole] == []
        records = gateway.records()
        assert {records[one.request_id] for one in begun} == {1}
        assert len(records) == len(begun)


def test_sigterm_of_three_workers_under_load_drains_them_all(serving, provider, drive, run) -> None:
    with serving([provider.url], n_workers=3) as gateway:

        async def main():
            async with drive(gateway) as load:
                load.add(gateway.port, gateway.key, drive.stream, 16)
                await load.until(200)
                gateway.process.terminate()
                await load.stop_at_refusal()
                return load

        load = run(main)
        assert gateway.process.wait(10) == 0
        begun = [one for one in load.outcomes if one.status]
        assert [one for one in begun if not one.is_whole] == []
        records = gateway.records()
        assert {records[one.request_id] for one in begun} == {1}
        assert len(records) == len(begun)


def test_stream_longer_than_the_drain_is_cut_told_and_recorded_as_interrupted(
    serving, provider, drive, run
) -> None:
    def change(document) -> None:
        document["drain_s"] = 0.3

    with serving([provider.url], change) as gateway:

        async def main():
            async with drive(gateway, 5, drive.long) as load:
                await drive.until(lambda: load.statuses[200] == 5, "five streams")
                gateway.process.terminate()
                await load.stop_at_refusal()
                return load

        load = run(main)
        assert gateway.process.wait(10) == 0
        ids = [one.request_id for one in load.outcomes if one.status]
        assert len(ids) == 5
        rows = {row["request_id"]: row for row in gateway.compacted()}
        assert {rows[name]["status"] for name in ids} == {"interrupted"}
        assert all(rows[name]["output_tokens"] > 0 for name in ids)
