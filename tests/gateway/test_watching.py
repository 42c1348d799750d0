"""What is asked of targets beside requests, what that does to routing, and what fleets cost."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from weighbridge.gateway import watching
from weighbridge.gateway.watching import Watcher
from weighbridge.ledger.lines import EngineLine, FleetLine
from weighbridge.rehearsal.provider_engine import EngineSays
from weighbridge.rehearsal.provider_settings import Settings as ProviderSettings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
REAL_TIME = ProviderSettings(speed=1)


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch) -> None:
    monkeypatch.setattr(watching, "ENGINE_EVERY_S", 0.02)


def self_hosted(saturation=None, **more):
    """A change that makes the first target a fleet of two GPUs."""

    def change(document) -> None:
        fleet = {"gpu": "H100", "n_gpus": 2, "usd_per_gpu_hour": 2.5, **more}
        if saturation is not None:
            url = document["targets"]["up0"]["url"].removesuffix("/v1") + "/metrics"
            fleet |= {"engine": "vllm", "metrics_url": url, "saturation": saturation}
        document["targets"]["up0"]["self_hosted"] = fleet

    return change


def fleet_lines(h) -> list[FleetLine]:
    return [line for line in h.lines() if isinstance(line, FleetLine)]


def engine_lines(h) -> list[EngineLine]:
    return [line for line in h.lines() if isinstance(line, EngineLine)]


def is_full(h) -> bool:
    gateway = h.worker.gateway
    return gateway.setup.live["up0"].health.saturated(gateway.now())


def set_clock(h, at: float) -> None:
    h.worker.gateway.wall = lambda: at


def watch_of(h):
    return h.worker.watcher._watches["up0"]


def test_a_full_fleet_overflows_to_the_fallback_and_comes_back_with_hysteresis(house, run) -> None:
    async def main() -> None:
        async with house(self_hosted({"waiting_requests": 10}), n_providers=2) as h:
            fleet = h.providers[0]

            async def served_by() -> str:
                assert (await h.ask()).status == 200
                return h.records()[-1].target

            assert await served_by() == "up0"
            fleet.says = EngineSays(waiting=10)
            await h.until(lambda: is_full(h), "saturation")
            assert await served_by() == "up1"
            assert (
                b'weighbridge_target_saturated{target="up0"} 1' in (await h.admin("/metrics")).body
            )
            sample = watch_of(h).sample
            fleet.says = EngineSays(waiting=9.5)  # below the limit, not 10 % below it
            await h.until(lambda: watch_of(h).sample.waiting_requests == 9.5, "another sample")
            assert is_full(h)
            assert await served_by() == "up1"
            fleet.says = EngineSays(waiting=8)
            await h.until(lambda: not is_full(h), "room")
            assert await served_by() == "up0"
            assert sample is not watch_of(h).sample

    run(main)


def test_a_full_fleet_without_a_fallback_still_serves(house, run) -> None:
    async def main() -> None:
        async with house(self_hosted({"kv_usage_frac": 0.9})) as h:
            h.providers[0].says = EngineSays(kv_usage_frac=0.95)
            await h.until(lambda: is_full(h), "saturation")
            assert (await h.ask()).status == 200

    run(main)


def test_an_engine_that_no_longer_answers_is_not_held_to_be_full_for_ever(house, run) -> None:
    async def main() -> None:
        async with house(self_hosted({"running_requests": 4})) as h:
            h.providers[0].says = EngineSays(running=4)
            await h.until(lambda: is_full(h), "saturation")
            h.providers[0].says = EngineSays(running=4, healthy=False)
            await h.until(lambda: watch_of(h).sample is None, "silence")
            now = h.worker.gateway.now()
            assert not h.worker.gateway.setup.live["up0"].health.saturated(now + 60)
            text = (await h.admin("/metrics")).body.decode()
            assert "weighbridge_engine_running_requests" not in text

    run(main)


def test_active_health_takes_a_target_out_and_back(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["health"] = {"path": "/health", "interval_s": 0.02}

    async def main() -> None:
        async with house(change, n_providers=2) as h:

            def state() -> str:
                gateway = h.worker.gateway
                return gateway.setup.live["up0"].health.state(gateway.now())

            assert (await h.ask()).status == 200
            h.providers[0].says = EngineSays(healthy=False)
            await h.until(lambda: state() == "down", "down")
            assert (await h.ask()).status == 200
            h.providers[0].says = EngineSays()
            await h.until(lambda: state() == "closed", "up")
            assert (await h.ask()).status == 200
            assert [record.target for record in h.records()] == ["up0", "up1", "up0"]
            assert [record.attempts for record in h.records()] == [1, 1, 1]

    run(main)


def test_probes_do_not_count_as_requests_and_carry_the_targets_credential(house, run) -> None:
    def change(document) -> None:
        document["targets"]["up0"]["health"] = {"path": "/v1/models", "interval_s": 0.02}

    async def main() -> None:
        async with house(change) as h:
            await h.until(lambda: len(h.providers[0].requests) >= 3, "three checks")
            seen = h.providers[0].requests[0]
            assert seen.headers["authorization"] == "Bearer sk-upstream"
            assert h.records() == []

    run(main)


def test_fleet_hours_are_written_each_minute_and_at_the_end_without_gap_or_overlap(
    house, run
) -> None:
    async def main() -> list[FleetLine]:
        async with house(self_hosted()) as h:
            watch, began_at = watch_of(h), 1_800_000_000.0
            watch._fleet_from_us = int(began_at * 1e6)
            for minute in (1, 2, 3):
                set_clock(h, began_at + 60 * minute)
                watch._each_minute()
            set_clock(h, began_at + 200)
            return h

    h = run(main)
    lines = fleet_lines(h)
    assert len(lines) == 4
    for before, after in pairwise(lines):
        assert before.ended_at_us == after.started_at_us
    assert lines[-1].ended_at_us - lines[0].started_at_us == 200_000_000
    assert {(one.gpu, one.n_gpus, one.target) for one in lines} == {("H100", 2, "up0")}
    assert {Decimal(one.usd_per_gpu_hour) for one in lines} == {Decimal("2.5")}


def test_a_clock_that_is_set_back_counts_no_stretch_twice(house, run) -> None:
    async def main() -> list[FleetLine]:
        async with house(self_hosted()) as h:
            watch = watch_of(h)
            watch._fleet_from_us = 1_000_000_000
            for at in (1060.0, 1030.0, 1090.0):
                set_clock(h, at)
                watch._each_minute()
            lines = fleet_lines(h)
            set_clock(h, 1000.0)
            return lines

    lines = run(main)
    assert [(one.started_at_us // 10**6, one.ended_at_us // 10**6) for one in lines] == [
        (1000, 1060),
        (1030, 1090),
    ]


def test_a_fleet_that_costs_while_its_metrics_answer_stops_costing_when_they_stop(
    house, run
) -> None:
    async def main() -> list[FleetLine]:
        change = self_hosted({"running_requests": 4}, accrue="metrics_answer")
        async with house(change) as h:
            watch = watch_of(h)
            watch._timers.pop("engine").cancel()  # from here on, the test does the polling
            for timer in (*watch._timers.values(),):
                timer.cancel()
            watch._fleet_from_us = None
            watch._timers["engine"] = watch._timers["fleet"]

            def heard(at: float, status: int) -> None:
                set_clock(h, at)
                watch._heard_engine(status, b"vllm:num_requests_running 1\n")

            heard(100, 0)
            heard(102, 200)
            heard(104, 200)
            heard(106, 500)
            heard(108, 500)
            heard(200, 200)
            heard(210, 200)
            set_clock(h, 212)
            return h

    lines = fleet_lines(run(main))
    spans = [(one.started_at_us // 10**6, one.ended_at_us // 10**6) for one in lines]
    assert spans == [(102, 104), (200, 212)]


def test_engine_samples_are_written_once_a_minute(house, run) -> None:
    async def main() -> None:
        async with house(self_hosted({"waiting_requests": 10})) as h:
            h.providers[0].says = EngineSays(running=3, waiting=1, kv_usage_frac=0.5)
            await h.until(lambda: bool(engine_lines(h)), "a sample")
            watch = watch_of(h)
            told = {watch.sample.at_us}
            for _ in range(5):
                await h.until(lambda: watch.sample.at_us not in told, "another poll")
                told.add(watch.sample.at_us)
            assert len(engine_lines(h)) == 1
            real, h.worker.gateway.now = h.worker.gateway.now, lambda: real() + 60
            await h.until(lambda: len(engine_lines(h)) == 2, "a minute later")
            line = engine_lines(h)[1]
            assert (line.target, line.engine) == ("up0", "vllm")
            assert (line.running_requests, line.waiting_requests) == (3, 1)
            assert line.kv_usage_frac == 0.5
            h.worker.gateway.now = real

    run(main)


def test_other_workers_of_a_machine_watch_and_write_nothing(house, run) -> None:
    async def main() -> None:
        async with house(self_hosted({"waiting_requests": 10})) as h:
            await h.until(lambda: len(engine_lines(h)) == 1, "a sample")
            second = Watcher(h.worker.gateway, writes=False)
            second.start()
            watch = second._watches["up0"]
            await h.until(lambda: watch.sample is not None, "its own sample")
            assert not any(name.startswith("engine") for name in second.gauges())
            second.stop()
            assert len(engine_lines(h)) == 1
            assert fleet_lines(h) == []

    run(main)


def test_a_fleet_whose_terms_change_is_charged_at_each_for_its_time(house, run) -> None:
    async def main() -> list[FleetLine]:
        async with house(self_hosted()) as h:
            watch_of(h)._fleet_from_us = 1_000_000_000
            set_clock(h, 1010.0)
            assert h.rewrite(self_hosted(n_gpus=4)) is None
            set_clock(h, 1030.0)
            assert h.rewrite(lambda d: d["targets"]["up0"].pop("self_hosted")) is None
            set_clock(h, 1090.0)
            return h

    lines = fleet_lines(run(main))
    spans = [(one.n_gpus, one.started_at_us // 10**6, one.ended_at_us // 10**6) for one in lines]
    assert spans == [(2, 1000, 1010), (4, 1010, 1030)]


def test_a_self_hosted_request_has_no_price_and_an_open_one_of_a_hosted_target_has_its_input(
    house, run
) -> None:
    def change(document) -> None:
        self_hosted()(document)
        document["models"]["gpt-4o"] = "up1"

    async def main() -> None:
        async with house(change, n_providers=2, settings=REAL_TIME) as h:
            stream = {"stream": True, "max_tokens": 400}
            pairs = [
                await h.start_stream({**CHAT, **stream, "model": model})
                for model in ("gpt-4o-mini", "gpt-4o")
            ]
            await h.until(lambda: len(h.open_lines()) == 2, "open lines")
            by_target = {line.target: line for line in h.open_lines()}
            assert by_target["up0"].price_state == "self_hosted"
            assert by_target["up0"].input_cost_pico_usd is None
            hosted = by_target["up1"]
            assert hosted.price_state == "priced"
            assert hosted.input_cost_pico_usd == hosted.input_tokens_estimate * 2_500_000
            assert len(h.worker.meter.opened) == 2
            for _, writer in pairs:
                writer.close()
            await h.until(lambda: len(h.records()) == 2, "records")
            assert h.worker.meter.opened == {}

    run(main)
