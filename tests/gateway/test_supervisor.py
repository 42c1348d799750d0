"""Several processes on one port: one that dies is replaced, and all end when told."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from weighbridge.gateway import supervisor
from weighbridge.gateway.key_store import KeyStore, KeyTerms
from weighbridge.gateway.supervisor import Supervisor
from weighbridge.ledger.lines import FleetLine, RequestLine
from weighbridge.ledger.spool_reader import SpoolReader
from weighbridge.rehearsal.provider_process import ProviderProcess
from weighbridge.rehearsal.provider_settings import Latency, Model
from weighbridge.rehearsal.provider_settings import Settings as ProviderSettings
from weighbridge.units import InputError

FAST = [sys.executable, "-I", "-S", "-c"]  # a Python that starts in hundredths of a second
WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))
open({path!r}, "a").write("up\\n")
while True: time.sleep(10)
"""


@pytest.fixture(autouse=True)
def _quick_restarts(monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.01)


def waits(path: Path, code: int = 0) -> list[str]:
    """A child that stays, and ends with a code on SIGTERM."""
    return [*FAST, WAITS.format(code=code, path=str(path))]


def n_starts(path: Path) -> int:
    return path.read_text().count("up") if path.exists() else 0


async def until(holds: Callable[[], object], timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come to hold"
        await asyncio.sleep(0.01)


async def ended(commands, when: Callable[[], object], said: list[str] | None = None) -> int:
    """Run until something holds, then SIGTERM; the exit code."""
    task = asyncio.create_task(
        Supervisor(commands, 0.2, (said if said is not None else []).append).run()
    )
    await until(when)
    os.kill(os.getpid(), signal.SIGTERM)
    return await asyncio.wait_for(task, 20.0)


def test_all_end_when_told_and_the_worst_code_is_theirs(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    commands = [waits(path, code) for path, code in zip(paths, (0, 3, 0), strict=True)]
    assert asyncio.run(ended(commands, lambda: all(map(n_starts, paths)))) == 3


def test_one_that_dies_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    paths, said = [tmp_path / "a", tmp_path / "b"], []

    async def main() -> int:
        one = Supervisor([waits(path) for path in paths], 5.0, said.append)
        task = asyncio.create_task(one.run())
        await until(lambda: all(map(n_starts, paths)))
        one._children[0].kill()
        await until(lambda: n_starts(paths[0]) == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        return await task

    assert asyncio.run(main()) == 0
    assert n_starts(paths[1]) == 1
    assert said == ["weighbridge: worker 0 ended with -9; again in 0.01 s"]


def test_waits_between_starts_grow(tmp_path: Path) -> None:
    path, said = tmp_path / "a", []
    dies = [*FAST, f"open({str(path)!r}, 'a').write('up\\n'); raise SystemExit(1)"]
    asyncio.run(ended([dies], lambda: n_starts(path) >= 4, said))
    assert [one.rpartition("again in ")[2] for one in said[:3]] == ["0.01 s", "0.02 s", "0.04 s"]


def test_a_configuration_at_fault_ends_all_with_2_at_once(tmp_path: Path) -> None:
    path, said = tmp_path / "a", []
    commands = [waits(path, 5), [*FAST, "raise SystemExit(2)"], waits(path)]
    code = asyncio.run(asyncio.wait_for(Supervisor(commands, 5.0, said.append).run(), 20.0))
    assert code == 2
    assert said == []


def test_one_that_does_not_end_is_killed_after_its_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "KILL_AFTER_S", 0.1)
    path = tmp_path / "a"
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    deaf += f"open({str(path)!r}, 'a').write('up\\n')\nwhile True: time.sleep(10)"
    assert asyncio.run(ended([[*FAST, deaf]], lambda: n_starts(path))) == signal.SIGKILL


def test_sighup_goes_to_every_child(tmp_path: Path) -> None:
    code = "import signal, time\n"
    code += "signal.signal(signal.SIGHUP, lambda *_: open({0!r}, 'a').write('hup'))\n"
    code += "open({0!r}, 'a').write('up')\nwhile True: time.sleep(10)"
    paths = [tmp_path / "a", tmp_path / "b"]

    async def main() -> int:
        commands = [[*FAST, code.format(str(path))] for path in paths]
        task = asyncio.create_task(Supervisor(commands, 5.0, print).run())
        await until(lambda: all(map(n_starts, paths)))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: all(path.read_text() == "uphup" for path in paths))
        os.kill(os.getpid(), signal.SIGTERM)
        return await task

    assert asyncio.run(main()) == 0


# real workers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """`weighbridge serve --workers 2`."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.folder = folder
        self.port, self.admin_port = free_port(), free_port()
        self.path = folder / "gateway.yaml"
        fleet = {"gpu": "L4", "n_gpus": 1, "usd_per_gpu_hour": 1}
        self.document = {
            "listen": f"127.0.0.1:{self.port}",
            "admin": {"listen": f"127.0.0.1:{self.admin_port}", "key": "env:ADMIN_KEY"},
            "ledger": None,
            "drain_s": 5,
            "limits": [{"scope": "tenant", "concurrency": 4}],
            "targets": {"up": {"url": f"{upstream}/v1", "self_hosted": fleet}},
            "models": {"slow": "up", "quick": "up"},
        }
        self.write()
        _, self.key = KeyStore(folder / "keys.json").create(KeyTerms(tenant="t"), 0.0, "k1")
        self.process: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.document))

    def start(self) -> None:
        command = [sys.executable, "-m", "weighbridge", "serve", str(self.path), "--workers", "2"]
        with (self.folder / "said").open("ab") as said:
            environ = {**os.environ, "ADMIN_KEY": "admin-secret"}
            self.process = subprocess.Popen(command, stderr=said, stdout=said, env=environ)

    @property
    def workers(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(one) for one in text.split()]

    def all_wrote_since(self, at: float) -> bool:
        """Whether every worker has written its counters since: those that live now."""
        paths = [self.folder / "state" / f"metrics-{index}.json" for index in range(2)]
        return all(path.stat().st_mtime > at for path in paths)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def admin(self, path: str, method: str = "GET") -> tuple[int, str]:
        wire = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        with contextlib.closing(wire):
            wire.request(method, path, headers={"authorization": "Bearer admin-secret"})
            answer = wire.getresponse()
            return answer.status, answer.read().decode()

    def metric(self, name: str) -> float:
        try:
            rows = self.admin("/metrics")[1].splitlines()
        except OSError:
            return -1.0
        found = (row.rpartition(" ") for row in rows)
        return sum(float(value) for row, _, value in found if row.partition("{")[0] == name)

    async def status(self, model: str = "quick") -> int:
        reader, writer = await self.stream(model)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1])

    async def stream(self, model: str = "slow"):
        """A streamed request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps(
            {
                "model": model,
                "stream": model == "slow",
                "max_tokens": 4000,
                "messages": [{"role": "user", "content": "hello"}],
            }
        )
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {self.key}"
        writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        return reader, writer


MODELS = (
    Model("quick", output_median_tokens=5, latency=Latency(0.001, 0.0, 0.0001, 0.0)),
    Model("slow", output_median_tokens=4000, output_log_sd=0.0, latency=Latency(0.001, 0, 0.05, 0)),
)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with ProviderProcess(ProviderSettings(models=MODELS)) as provider:
        one = Serving(tmp_path, provider.url)
        try:
            yield one
        finally:
            if one.process is not None and one.process.poll() is None:
                pids = one.workers
                one.process.kill()
                one.process.wait()
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def test_a_worker_killed_gives_back_its_slots_and_is_replaced_and_all_drain_on_sigterm(
    serving: Serving,
) -> None:
    async def main() -> None:
        serving.start()
        await until(lambda: serving.metric("weighbridge_workers") == 2)
        assert await serving.status() == 200
        held = [await serving.stream() for _ in range(4)]
        for reader, _ in held:
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert await serving.status() == 429  # over both workers
        n_before = serving.metric("weighbridge_requests_total")
        counted_at = time.time()
        await until(lambda: serving.all_wrote_since(counted_at))  # a kill takes what came later
        for pid in serving.workers:  # both, one after the other: one of them holds streams
            others = [one for one in serving.workers if one != pid]
            killed_at = time.time()
            os.kill(pid, signal.SIGKILL)
            await until(lambda before=(pid, *others): set(serving.workers) - set(before))
            await until(lambda at=killed_at: serving.all_wrote_since(at))
            await until(lambda: serving.metric("weighbridge_workers") == 2)
            assert set(others) <= set(serving.workers)
        for _, writer in held:
            writer.close()
        again = [await serving.stream() for _ in range(4)]
        for reader, writer in again:
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            writer.close()
        assert serving.metric("weighbridge_requests_total") >= n_before
        await reload_reaches_all(serving)
        serving.process.send_signal(signal.SIGTERM)
        await until(lambda: serving.process.poll() is not None)

    asyncio.run(main())
    assert serving.process.returncode == 0
    lines = list(SpoolReader(serving.folder / "spool").lines())
    spans = sorted(
        (one.started_at_us, one.ended_at_us) for one in lines if isinstance(one, FleetLine)
    )
    assert spans  # worker 0 alone: no stretch is counted twice
    assert all(after[0] >= before[1] for before, after in pairwise(spans))
    assert sum(isinstance(one, RequestLine) and one.status == "ok" for one in lines) >= 1


async def reload_reaches_all(serving: Serving) -> None:
    """By the admin port, which only the first worker has; no file has changed."""
    n_before = serving.metric("weighbridge_events_total")
    assert serving.admin("/reload", "POST") == (200, "reloaded\n")
    await until(lambda: serving.metric("weighbridge_events_total") >= n_before + 2)
    serving.document["models"]["new"] = "up"
    serving.write()
    await until(lambda: serving.metric("weighbridge_events_total") >= n_before + 4)
    assert {await serving.status("new") for _ in range(8)} == {200}


def test_a_configuration_error_ends_the_whole_with_2(serving: Serving) -> None:
    serving.document["targets"]["up"]["credential"] = {"kind": "bearer", "env": "NOT_SET_HERE"}
    serving.write()
    serving.start()
    assert serving.process.wait(20.0) == 2
    assert "NOT_SET_HERE" in serving.said
    assert "again in" not in serving.said


def test_workers_whose_supervisor_is_killed_drain_and_end(serving: Serving) -> None:
    async def main() -> None:
        serving.start()
        await until(lambda: serving.metric("weighbridge_workers") == 2)
        pids = serving.workers
        serving.process.kill()
        serving.process.wait()

        def is_gone(pid: int) -> bool:
            stat = Path(f"/proc/{pid}/stat")
            return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

        await until(lambda: all(map(is_gone, pids)))

    asyncio.run(main())


@pytest.mark.parametrize("field", ["listen", "admin.listen"])
def test_an_address_that_is_taken_is_told_by_its_key(house, run, field) -> None:
    async def main() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"

            def change(document) -> None:
                if field == "listen":
                    document["listen"] = address
                else:
                    document["admin"] = {"listen": address}

            with pytest.raises(InputError) as caught:
                async with house(change):
                    pass
            assert caught.value.field == field
            assert address.rpartition(":")[2] in str(caught.value)

    run(main)
