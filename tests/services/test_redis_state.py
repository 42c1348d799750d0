"""Limits and budgets in a real Redis or Valkey: shared, stopped, slow, wiped and back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from weighbridge.gateway.admission import Budget, Claim, Grant, Limit, Refusal
from weighbridge.gateway.admission.build import State, build_admission
from weighbridge.gateway.shared.bank import Answer, Done, Draw
from weighbridge.gateway.shared.leased import LeasedAdmission
from weighbridge.gateway.shared.redis_bank import RedisBank
from weighbridge.units import InputError

pytest.importorskip("redis", reason="redis-py is an optional extra")

CLAIM = Claim(None, "acme", "chat", "gpt", 10, 10**10)
DAY = Budget("tenant", "acme", "1", "day")
PATIENT_S = 5.0  # of a machine under load; the tests of slowness say their own


class Server:
    """One server without persistence on a port of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._program, self._folder = program, folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        self.process = subprocess.Popen(
            [self._program, *settings, "--appendonly", "no", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(500):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
                return
            time.sleep(0.01)
        pytest.fail("the server does not listen")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self, *, on: bool) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP if on else signal.SIGCONT)


# Every one of the two that is here; Redis alone, to say so, where neither is.
HERE = [name for name in ("redis-server", "valkey-server") if shutil.which(name)]


@pytest.fixture(params=HERE or ["redis-server"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    one = Server(program, tmp_path)
    one.start()
    yield one
    one.stop()


class Replica:
    """An admission with its own connection, driven by a clock of the test's own."""

    def __init__(self, url: str, *rules: Limit | Budget, timeout_s: float = PATIENT_S) -> None:
        limits = [rule for rule in rules if isinstance(rule, Limit)]
        budgets = [rule for rule in rules if isinstance(rule, Budget)]
        self.events: list[str] = []
        self.bank = RedisBank(url, asyncio.get_running_loop(), timeout_s=timeout_s)
        self.gate = LeasedAdmission(
            limits, budgets, self.bank, on_event=lambda name, words: self.events.append(name)
        )
        self.now = 0.0

    async def admit(self, claim: Claim = CLAIM) -> Grant | Refusal:
        later: asyncio.Future[Grant | Refusal] = asyncio.get_running_loop().create_future()
        answer = self.gate.admit(claim, self.now, time.time(), later.set_result)
        return await later if answer is None else answer

    async def tick(self) -> None:
        await self.quiet()
        self.now += 0.25
        self.gate.tick(self.now, time.time())
        await self.quiet()

    async def quiet(self) -> None:
        while self.gate.courier.is_busy:
            await asyncio.wait(self.bank._tasks)
            await asyncio.sleep(0)

    async def spend(self, n: int, pico_usd: int = 10**10) -> int:
        n_passed = 0
        for _ in range(n):
            answer = await self.admit()
            if not isinstance(answer, Refusal):
                n_passed += 1
                answer.settle(10, pico_usd, self.now, time.time())
        return n_passed

    def spent(self) -> int:
        return sum(int(amount) for *_, amount in self.gate.snapshot(time.time())["spent"])


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()
        await asyncio.sleep(0)

    asyncio.run(whole())


def test_replicas_share_requests_concurrency_and_money(server: Server) -> None:
    async def test() -> None:
        for rule, n_allowed in (
            (Limit("tenant", "acme", 48), 48),
            (Limit("tenant", "acme", concurrency=20), 20),
            (DAY, 100),
        ):
            replicas = [Replica(server.url, rule) for _ in range(3)]
            started_s = time.monotonic()
            claims = [replicas[i % 3].admit() for i in range(200)]
            answers = await asyncio.gather(*claims)
            n_passed = sum(not isinstance(one, Refusal) for one in answers)
            elapsed_s = time.monotonic() - started_s
            refilled = elapsed_s * 48 / 60 + 1 if n_allowed == 48 else 0
            assert n_allowed * 0.8 <= n_passed <= n_allowed + refilled, rule
            for replica in replicas:
                await replica.bank.aclose()

    run(test)


def test_most_requests_need_no_round_trip(server: Server) -> None:
    async def test() -> None:
        rules = (Limit("tenant", "*", 1_000_000, 100_000_000, 1000), Budget("key", "*", "9", "day"))
        replica = Replica(server.url, *rules)
        for _ in range(20):
            assert await replica.spend(100, 10**6) == 100
            await replica.tick()
        assert replica.gate.courier.n_exchanges < 200
        assert replica.spent() == 2000 * 10**6
        await replica.bank.aclose()

    run(test)


def test_a_stopped_server_leaves_a_share_and_nothing_spent_is_lost(server: Server) -> None:
    async def test() -> None:
        one, other = Replica(server.url, DAY), Replica(server.url, DAY)
        assert await one.spend(10) == 10
        assert await other.spend(10) == 10
        await one.tick()
        await other.tick()
        server.stop()
        n_away = await one.spend(200)
        assert one.gate.is_degraded
        assert one.events[:1] == ["state_away"]
        assert 0 < n_away <= 27  # its lease, and a quarter of what was left
        refusal = await one.admit()
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.retry_after_s) == ("budget_exceeded", 5.0)
        server.start()  # and it has forgotten everything
        for _ in range(3):
            await one.tick()
            await other.spend(1, 0)
            await other.tick()
        assert not one.gate.is_degraded
        assert "state_back" in one.events
        await one.spend(1, 0)
        await one.tick()
        assert one.spent() == (20 + n_away) * 10**10
        assert other.spent() in {20 * 10**10, (20 + n_away) * 10**10}
        for replica in (one, other):
            await replica.bank.aclose()

    run(test)


def test_a_share_of_rates_and_concurrency_holds_while_the_server_is_away(server: Server) -> None:
    async def test() -> None:
        server.stop()
        rates = Replica(server.url, Limit("tenant", "acme", 40))
        assert await rates.spend(100) == 10
        rates.now += 6.0  # a quarter of 40 a minute: one more each 6 s
        assert await rates.spend(100) == 1
        slots = Replica(server.url, Limit("tenant", "acme", concurrency=8))
        answers = [await slots.admit() for _ in range(10)]
        assert sum(not isinstance(one, Refusal) for one in answers) == 2
        refusal = answers[-1]
        assert isinstance(refusal, Refusal)
        assert refusal.code == "concurrency_limit"
        for replica in (rates, slots):
            await replica.bank.aclose()

    run(test)


def test_a_server_that_hangs_is_not_waited_for(server: Server) -> None:
    async def test() -> None:
        replica = Replica(server.url, DAY)
        replica.gate.warm(0.0, time.time())
        await replica.quiet()
        assert replica.gate.counters()["failed_exchanges"] == 0
        replica.bank._timeout_s = 0.05
        server.pause(on=True)
        answer = await replica.admit(Claim(None, "acme", "chat", "gpt", 10, 2 * 10**11))
        assert replica.gate.is_degraded
        assert not isinstance(answer, Refusal)
        server.pause(on=False)
        replica.bank._timeout_s = PATIENT_S
        await replica.tick()
        assert not replica.gate.is_degraded
        answer.settle(10, 10**11, 0.0, time.time())
        await replica.tick()
        await replica.tick()
        assert replica.spent() == 10**11
        assert await replica.spend(100) == 90
        await replica.bank.aclose()

    run(test)


class LostAnswers(RedisBank):
    """The server hears everything; every other answer is lost on its way."""

    def exchange(self, draws: list[Draw], now: float, at: float, done: Done) -> None:
        self.n_lost = getattr(self, "n_lost", 0) + 1

        def lose(answers: list[Answer] | None) -> None:
            done(None if self.n_lost % 2 else answers)

        super().exchange(draws, now, at, lose)


def test_answers_that_are_lost_count_nothing_twice(server: Server) -> None:
    async def test() -> None:
        replica = Replica(server.url, DAY)
        bank = LostAnswers(server.url, asyncio.get_running_loop(), timeout_s=PATIENT_S)
        replica.gate.bank = replica.gate.courier.bank = replica.bank = bank
        n_passed = 0
        for _ in range(30):
            n_passed += await replica.spend(2)
            await replica.tick()
        for _ in range(12):
            await replica.tick()
        other = Replica(server.url, DAY)
        n_other = await other.spend(200)
        assert n_passed + n_other == 100
        assert other.spent() == n_passed * 10**10 or n_other > 0
        for one in (replica, other):
            await one.bank.aclose()

    run(test)


def test_amounts_below_the_servers_unit_add_up_exactly(server: Server) -> None:
    async def test() -> None:
        replica = Replica(server.url, DAY)
        for _ in range(25):
            await replica.spend(1, 333)
            await replica.tick()
        assert replica.spent() // 1000 == 25 * 333 // 1000
        await replica.bank.aclose()

    run(test)


def test_a_hold_that_was_not_renewed_comes_back(server: Server) -> None:
    async def test() -> None:
        replica = Replica(server.url, Limit("tenant", "acme", concurrency=5))
        client = replica.bank._client
        key = "{weighbridge}:slots|tenant|acme"
        await client.hset(key, "h:gone", f"4 {time.time() - 1:.3f}")
        await client.hset(key, "h:living", f"3 {time.time() + 100:.3f}")
        answers = [await replica.admit() for _ in range(5)]
        assert sum(not isinstance(one, Refusal) for one in answers) == 2
        assert 0 < await client.ttl(key) <= 60
        await replica.bank.aclose()

    run(test)


def test_a_threshold_is_told_by_one_replica_once(server: Server) -> None:
    async def test() -> None:
        replicas = [Replica(server.url, DAY) for _ in range(3)]
        for _ in range(20):
            for replica in replicas:
                await replica.spend(1)
                await replica.tick()
        told = [name for replica in replicas for name in replica.events]
        assert told == ["budget_threshold"]  # half of it; 60 of 100 are spent
        for replica in replicas:
            await replica.bank.aclose()

    run(test)


def test_a_script_that_the_server_forgot_is_sent_again(server: Server) -> None:
    async def test() -> None:
        replica = Replica(server.url, Limit("tenant", "acme", 16))
        assert await replica.spend(1) == 1
        await replica.bank._client.script_flush()
        assert await replica.spend(1) == 1
        assert not replica.gate.is_degraded
        await replica.bank.aclose()

    run(test)


def test_claims_that_wait_together_share_a_round_trip_and_keep_their_order(
    server: Server,
) -> None:
    async def test() -> None:
        replica = Replica(server.url, Limit("tenant", "acme", concurrency=30))
        served: list[int] = []
        for n in range(40):

            def then(answer: Grant | Refusal, n: int = n) -> None:
                served.append(-1 if isinstance(answer, Refusal) else n)

            assert replica.gate.admit(CLAIM, 0.0, time.time(), then) is None
        while len(served) < 40:
            await replica.quiet()
            await asyncio.sleep(0)
        assert served == [*range(30), *[-1] * 10]
        assert replica.gate.courier.n_exchanges <= 4
        await replica.bank.aclose()

    run(test)


def test_an_address_that_is_none_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(InputError, match="is no address of Redis"):
            build_admission([], [], State("redis://host:port/x"), asyncio.get_running_loop())

    run(test)


WORKER = """
import asyncio, sys, time
from weighbridge.gateway.admission import Budget, Claim, Limit, Refusal
from weighbridge.gateway.admission.build import State, build_admission

async def main():
    loop = asyncio.get_running_loop()
    rules = [Limit("tenant", "acme", concurrency=200)], [Budget("tenant", "acme", "1", "day")]
    gate = build_admission(*rules, State(sys.argv[1], timeout_s=5.0), loop)
    claim, n_passed = Claim(None, "acme", "chat", "gpt", 10, 10**10), 0
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for _ in range(20):
        waits = []
        for _ in range(10):
            later = loop.create_future()
            answer = gate.admit(claim, loop.time(), time.time(), later.set_result)
            waits.append(later)
            if answer is not None:
                later.set_result(answer)
        for answer in await asyncio.gather(*waits):
            if not isinstance(answer, Refusal):
                n_passed += 1
                answer.settle(10, 10**10, loop.time(), time.time())
        gate.tick(loop.time(), time.time())
    while gate.courier.is_busy:
        await asyncio.sleep(0.001)
    gate.close(loop.time(), time.time())
    await gate.bank.aclose()
    print(n_passed, flush=True)

asyncio.run(main())
"""


def test_a_dollar_over_three_real_processes_is_never_passed(server: Server) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    n_passed = sum(int(process.communicate()[0]) for process in processes)
    assert 80 <= n_passed <= 100
