"""A gateway in processes of its own under load, and what it leaves behind; another in this one."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import uvloop
import yaml
from click.testing import CliRunner

from weighbridge.cli import weighbridge
from weighbridge.gateway.key_store import KeyStore, KeyTerms
from weighbridge.ledger.lines import EventLine, Line, RequestLine
from weighbridge.ledger.spool_reader import SpoolReader
from weighbridge.rehearsal.provider_process import ProviderProcess
from weighbridge.rehearsal.provider_settings import Latency, Model, Settings
from weighbridge.usage.store import open_ledger

GATEWAY_HOUSE = Path(__file__).resolve().parents[1] / "gateway" / "conftest.py"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True}
LONG_STREAM = {**CHAT, "model": "gpt-4o", "stream": True, "max_tokens": 4000}
MODELS = (
    Model("gpt-4o-mini", output_median_tokens=10, latency=Latency(0.002, 0.0, 0.0005, 0.5)),
    Model(
        "gpt-4o", output_median_tokens=4000, output_log_sd=0.0, latency=Latency(0.01, 0, 0.05, 0)
    ),
)
READY_S = 20.0


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Outcome:
    """What a client saw of one request."""

    body: Any
    request_id: str | None = None
    status: int = 0  # 0: no head came
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    is_whole: bool = False
    began_s: float = 0.0


class Client:
    """A keep-alive connection, made anew when it is lost."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: Any, outcome: Outcome | None = None, **headers: str) -> Outcome:
        """One request; whatever happens, what was seen of it."""
        outcome = outcome or Outcome(body)
        outcome.began_s = time.monotonic()
        content = json.dumps(body).encode()
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            "host: gateway",
            f"authorization: Bearer {self._key}",
            f"content-length: {len(content)}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        try:
            if self._pair is None:
                self._pair = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._pair
            writer.write("\r\n".join([*lines, "", ""]).encode() + content)
            await self._read(reader, outcome)
        except (OSError, asyncio.IncompleteReadError):
            self.leave()
        if outcome.headers.get("connection") == "close":
            self.leave()
        return outcome

    async def _read(self, reader: asyncio.StreamReader, outcome: Outcome) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.split("\r\n")
        pairs = (line.partition(":") for line in rest if line)
        outcome.headers = {name.lower(): value.strip() for name, _, value in pairs}
        outcome.status = int(first.split()[1])
        outcome.request_id = outcome.headers.get("x-weighbridge-request-id")
        if outcome.headers.get("transfer-encoding") == "chunked":
            size = -1
            while size:
                size = int(await reader.readuntil(b"\r\n"), 16)
                outcome.answer += (await reader.readexactly(size + 2))[:-2]
        else:
            outcome.answer = await reader.readexactly(int(outcome.headers["content-length"]))
        outcome.is_whole = True

    def leave(self) -> None:
        """Close the connection at once."""
        if self._pair is not None:
            self._pair[1].transport.abort()
            self._pair = None


class Load:
    """Clients that ask without a pause until told to stop."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._is_stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, port: int, key: str, body: Any, n_clients: int) -> None:
        """So many clients more."""
        for _ in range(n_clients):
            self._tasks.append(asyncio.create_task(self._go_on(Client(port, key), body)))

    async def _go_on(self, client: Client, body: Any) -> None:
        try:
            while not self._is_stopped:
                outcome = Outcome(body)
                self.outcomes.append(outcome)
                await client.ask(body, outcome)
                if not outcome.status:
                    await asyncio.sleep(0.02)
        finally:
            client.leave()

    async def until(self, n_whole: int) -> None:
        """Wait for so many whole answers."""
        await until(lambda: len(self.whole) >= n_whole, f"{n_whole} whole answers")

    async def stop(self) -> None:
        """Let the requests under way end, and ask no more."""
        self._is_stopped = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), 20.0)

    async def stop_at_refusal(self) -> None:
        """Go on until no connection is taken any more."""
        await until(lambda: self.statuses[0] > 0, "a refusal")
        await self.stop()

    async def cut(self) -> None:
        """Leave in the middle of whatever is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def whole(self) -> list[Outcome]:
        """Requests whose answer has come to its end."""
        return [one for one in self.outcomes if one.is_whole]

    @property
    def statuses(self) -> Counter[int]:
        """How many answers of each status; 0 for none."""
        return Counter(one.status for one in self.outcomes)


@asynccontextmanager
async def load(gateway: Any, n_clients: int = 8, body: Any = CHAT) -> AsyncIterator[Load]:
    """Load on a gateway; in the end, requests that are under way are cut off."""
    one = Load()
    one.add(gateway.port, gateway.key, body, n_clients)
    try:
        yield one
    finally:
        await one.cut()


async def until(holds: Callable[[], Any], what: str = "it", timeout_s: float = 10.0) -> None:
    """Wait until something holds."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            raise AssertionError(f"{what} did not come to hold in {timeout_s:g} s")
        await asyncio.sleep(0.01)


class Gateway:
    """`weighbridge serve` in a folder, in processes of its own."""

    def __init__(self, folder: Path, document: dict[str, Any], n_workers: int) -> None:
        self.folder, self.n_workers = folder, n_workers
        self.port, self.admin_port = free_port(), free_port()
        document["listen"] = f"127.0.0.1:{self.port}"
        document["admin"] = {"listen": f"127.0.0.1:{self.admin_port}"}
        self.document = document
        self.config = folder / "gateway.yaml"
        self.write()
        _, self.key = KeyStore(folder / "keys.json").create(KeyTerms(tenant="search"), 0.0, "k1")
        self.process: subprocess.Popen[bytes] | None = None
        self.said = folder / "stderr"

    def write(self, text: str | None = None) -> None:
        """Write the configuration, or something else in its place."""
        fresh = self.folder / "fresh.yaml"
        fresh.write_text(yaml.safe_dump(self.document) if text is None else text)
        fresh.replace(self.config)  # whole, lest the gateway look at half of it

    def start(self) -> None:
        """Start, and wait until every worker serves."""
        for index in range(self.n_workers):
            (self.folder / "state" / f"metrics-{index}.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "weighbridge", "serve", str(self.config)]
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, "--workers", str(self.n_workers)],
                stdout=said,
                stderr=said,
                env={**os.environ, "UPSTREAM_KEY": "sk-upstream"},
            )
        end_s = time.monotonic() + READY_S
        while not self._is_ready():
            if time.monotonic() > end_s or self.process.poll() is not None:
                raise AssertionError(f"the gateway is not ready: {self.said.read_text()}")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            is_ready = self.ask_admin("/readyz")[0] == 200
        except OSError:
            return False
        told = [self.folder / "state" / f"metrics-{i}.json" for i in range(self.n_workers)]
        return is_ready and (self.n_workers == 1 or all(path.exists() for path in told))

    def ask_admin(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of the admin port."""
        wire = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10.0)
        try:
            wire.request(method, path)
            answer = wire.getresponse()
            return answer.status, answer.read().decode()
        finally:
            wire.close()

    def metric(self, name: str) -> float:
        """Sum over the labels of one metric; 0 where there is none."""
        rows = (row.rpartition(" ") for row in self.ask_admin("/metrics")[1].splitlines())
        full = f"weighbridge_{name}"
        return sum(float(value) for row, _, value in rows if row.partition("{")[0] == full)

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[int]:
        """Pids of the processes that serve, in the order of their start."""
        if self.n_workers == 1:
            return [self.pid]
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def kill(self) -> None:
        """kill -9 of the only process."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Whatever has happened: leave no process behind."""
        if self.process is None or self.process.poll() is not None:
            return
        pids = self.workers() if self.n_workers > 1 else []
        try:
            self.stop(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # what it leaves behind

    @property
    def spool(self) -> Path:
        """Its spool."""
        return self.folder / str(self.document.get("spool", {}).get("path", "spool"))

    def lines(self) -> list[Line]:
        """Every line of the spool, repeated ones included."""
        return list(SpoolReader(self.spool).lines())

    def records(self) -> Counter[str]:
        """How many lines of finished requests there are of each id."""
        return Counter(one.request_id for one in self.lines() if isinstance(one, RequestLine))

    def events(self) -> list[str]:
        """Names of the events in the spool."""
        return [one.name for one in self.lines() if isinstance(one, EventLine)]

    def compacted(self) -> list[dict[str, Any]]:
        """Rows of the ledger after `weighbridge compact`."""
        ledger = self.folder / "ledger"
        done = CliRunner().invoke(weighbridge, ["compact", str(self.spool), str(ledger)])
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = []
        for name in open_ledger(ledger).parquet_files:
            found += pq.ParquetFile(name).read().to_pylist()
        return found


def plain_document(urls: Sequence[str]) -> dict[str, Any]:
    """Targets in order, all for any model."""
    targets = {
        f"up{index}": {
            "url": f"{url}/v1",
            "provider": "openai",
            "credential": {"kind": "bearer", "env": "UPSTREAM_KEY"},
        }
        for index, url in enumerate(urls)
    }
    names = list(targets)
    first = {"targets": names[:1], **({"fallback": names[1:]} if names[1:] else {})}
    return {
        "ledger": None,
        "drain_s": 5,
        "retry": {"base_s": 0.01, "cap_s": 0.05},
        "targets": targets,
        "models": {"gpt-4o-mini": first, "gpt-4o": first},
    }


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., Any]:
    """`with serving(urls, change, n_workers=3, starts=False) as gateway`."""

    @contextmanager
    def go(
        urls: Sequence[str],
        change: Callable[[dict[str, Any]], None] | None = None,
        *,
        n_workers: int = 1,
        starts: bool = True,
    ) -> Iterator[Gateway]:
        document = plain_document(urls)
        if change is not None:
            change(document)
        gateway = Gateway(tmp_path, document, n_workers)
        try:
            if starts:
                gateway.start()
            yield gateway
        finally:
            gateway.end()

    return go


@pytest.fixture(scope="session")
def provider() -> Iterator[ProviderProcess]:
    """A stand-in without faults, quick and slow, for all tests that ask no more of it."""
    with ProviderProcess(Settings(models=MODELS)) as one:
        yield one


class Drive:
    """`async with drive(gateway, n_clients, drive.stream) as load`."""

    chat = CHAT  # answered at once
    stream = STREAM  # streamed at once
    long = LONG_STREAM  # streamed for minutes
    until = staticmethod(until)

    def __call__(self, gateway: Any, n_clients: int = 8, body: Any = CHAT) -> Any:
        return load(gateway, n_clients, body)

    async def once(self, gateway: Any, body: Any = CHAT) -> Outcome:
        """One request on a connection of its own."""
        client = Client(gateway.port, gateway.key)
        try:
            return await client.ask(body)
        finally:
            client.leave()


@pytest.fixture
def drive() -> Drive:
    """How to put load on a gateway."""
    return Drive()


@pytest.fixture(scope="session")
def gateway_house() -> Any:
    """The tests' gateway in one process, of tests/gateway."""
    name = "weighbridge_gateway_house"
    spec = importlib.util.spec_from_file_location(name, GATEWAY_HOUSE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def house(tmp_path: Path, gateway_house: Any) -> Callable[..., Any]:
    """`async with house(change, n_providers=2) as h`: see `open_house` there."""
    return lambda change=None, **given: gateway_house.open_house(tmp_path, change, **given)


@pytest.fixture
def house_before(tmp_path: Path, gateway_house: Any) -> Callable[..., Any]:
    """`async with house_before(urls, change) as h`: a gateway here before upstreams anywhere."""

    @dataclass
    class Upstream:
        url: str

    def go(urls: Sequence[str], change: Any = None, **given: Any) -> Any:
        return gateway_house.open_gateway(
            tmp_path, change, [Upstream(url) for url in urls], **given
        )

    return go


@pytest.fixture
def run() -> Callable[[Callable[[], Any]], Any]:
    """Run a coroutine function."""
    return lambda main: uvloop.run(main())
