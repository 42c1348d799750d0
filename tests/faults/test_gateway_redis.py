"""Shared state that stops, restarts, forgets or stalls: requests go on, budgets and limits hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

redis = pytest.importorskip("redis", reason="redis-py is an optional extra")

N_REPLICAS = 4
CHEAP = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 20,
}


class Server:
    """A Redis without persistence: what is stopped has forgotten everything."""

    def __init__(self, program: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        self._process = subprocess.Popen(
            [self._program, *settings, "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        for _ in range(500):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
                return
            time.sleep(0.01)
        pytest.fail("the server does not listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def stall(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def told_usd(self) -> float:
        """Spend as the server knows it, of all budgets."""
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            purses = [name for name in client.scan_iter("*") if "usd|" in name]
            spent = [client.hgetall(name) for name in purses if client.type(name) == "hash"]
        return sum(
            int(amount) / 1e9
            for one in spent
            for name, amount in one.items()
            if name.startswith("s:")
        )


@pytest.fixture
def server():
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    one = Server(program)
    yield one
    one.stop()


def sharing(server, **more):
    def change(document) -> None:
        document["state"] = server.url
        document["shared"] = {"expected_replicas": N_REPLICAS, "timeout_ms": 500}
        document.update(more)

    return change


def budget(usd):
    return [{"scope": "tenant", "usd": usd, "period": "day"}]


def recorded_usd(gateway) -> float:
    return sum(
        (line.list_cost_pico_usd or 0) / 1e12
        for line in gateway.lines()
        if hasattr(line, "list_cost_pico_usd")
    )


@pytest.mark.parametrize("fault", ["stopped", "stalled"])
def test_requests_go_on_while_the_server_is_away_and_spend_is_told_when_it_is_back(  # noqa: PLR0917
    serving, provider, drive, run, server, fault
) -> None:
    server.start()
    with serving([provider.url], sharing(server, budgets=budget("5"))) as gateway:

        async def main():
            async with drive(gateway, 8, CHEAP) as load:
                await load.until(100)
                server.stop() if fault == "stopped" else server.stall()
                await drive.until(lambda: gateway.metric("shared_state_degraded") == 1, "away")
                await load.until(len(load.whole) + 200)
                server.start() if fault == "stopped" else server.go_on()
                await drive.until(lambda: gateway.metric("shared_state_degraded") == 0, "back")
                await load.until(len(load.whole) + 100)
                await load.stop()
                return load

        load = run(main)
        assert load.statuses == {200: len(load.outcomes)}
        told = [name for name in gateway.events() if name.startswith("state_")]
        assert (told[0], told[-1]) == ("state_away", "state_back")
        assert gateway.stop() == 0
        records = gateway.records()
        assert {records[one.request_id] for one in load.whole} == {1}
        assert server.told_usd() == pytest.approx(recorded_usd(gateway), abs=2e-9)


def test_budget_holds_over_a_server_that_is_killed_and_comes_back_empty(
    serving, provider, drive, run, server
) -> None:
    server.start()
    with serving([provider.url], sharing(server, budgets=budget("0.006"))) as gateway:

        async def main():
            async with drive(gateway, 8, CHEAP) as load:
                await load.until(100)
                server.stop()
                await load.until(len(load.whole) + 100)
                server.start()
                await drive.until(lambda: load.statuses[429] > 200, "the budget's end", 20.0)
                await drive.until(lambda: gateway.metric("shared_state_degraded") == 0, "back")
                await load.stop()
                return load

        load = run(main)
        assert set(load.statuses) == {200, 429}
        assert gateway.stop() == 0
        spent_usd = recorded_usd(gateway)
        assert 0.004 < spent_usd <= 0.006
        assert server.told_usd() == pytest.approx(spent_usd, abs=2e-9)


def test_limits_are_a_replicas_share_while_the_server_was_never_there(
    serving, provider, drive, run, server
) -> None:
    limits = [{"scope": "tenant", "requests_per_minute": 400}]
    with serving([provider.url], sharing(server, limits=limits)) as gateway:
        began_s = time.monotonic()

        async def main():
            async with drive(gateway, 8, CHEAP) as load:
                await drive.until(lambda: load.statuses[429] > 100, "refusals")
                await load.stop()
                return load

        load = run(main)
        took_s = time.monotonic() - began_s
        assert set(load.statuses) == {200, 429}
        share = 400 / N_REPLICAS
        assert share - 1 <= load.statuses[200] <= share * (1 + took_s / 60) + 1
        assert gateway.metric("shared_state_degraded") == 1
        waits = {int(one.headers["retry-after"]) for one in load.whole if one.status == 429}
        assert max(waits) <= 60
        assert gateway.stop() == 0
