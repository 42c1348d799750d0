"""A whole gateway beside stand-in providers, in one event loop, asked over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
import yaml

from weighbridge.gateway.config import Config, read_config
from weighbridge.gateway.key_store import KeyStore, KeyTerms, parse_budget
from weighbridge.gateway.worker import ServeOptions, Worker
from weighbridge.ledger.lines import OpenLine, RequestLine
from weighbridge.ledger.spool_reader import SpoolReader
from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Settings

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class House:
    """A gateway and its providers, and a client's hands."""

    folder: Path
    worker: Worker
    providers: list[Provider]
    key: str
    events: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.worker.address[1]

    @property
    def admin_port(self) -> int:
        return self.worker.admin_address[1]

    async def admin(
        self, path: str, method: str = "GET", body: Any = b"", key: str | None = "admin-secret"
    ) -> Answer:
        """One request to the admin port."""
        return await self.ask(body, path, method=method, key=key, port=self.admin_port)

    async def ask(
        self,
        body: Any = CHAT,
        path: str = "/v1/chat/completions",
        *,
        method: str = "POST",
        key: str | None = "",
        port: int | None = None,
        **headers: str,
    ) -> Answer:
        """One request on a connection of its own; underscores in header names are dashes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if method in ("GET", "DELETE"):
            content = b""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            said["authorization"] = f"Bearer {key or self.key}"
        lines = [f"{method} {path} HTTP/1.1", "host: gateway", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in said.items()]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + content)
        try:
            return await read_answer(reader)
        finally:
            writer.close()

    async def start_stream(
        self, body: Any = None, **headers: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A streamed request whose head has come; the test reads on, or leaves."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = json.dumps(body or {**CHAT, "stream": True, "max_tokens": 50}).encode()
        said = "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in headers.items())
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: {len(content)}\r\n"
            f"authorization: Bearer {self.key}\r\n{said}\r\n"
        )
        writer.write(head.encode() + content)
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    def lines(self) -> list[Any]:
        """Every line of the spool so far."""
        return list(SpoolReader(self.worker.spool.folder).lines())

    def records(self) -> list[RequestLine]:
        """Every finished request so far."""
        return [line for line in self.lines() if isinstance(line, RequestLine)]

    def open_lines(self) -> list[OpenLine]:
        """Every request that was seen open."""
        return [line for line in self.lines() if isinstance(line, OpenLine)]

    async def until(
        self, holds: Callable[[], bool], what: str = "it", timeout_s: float = 5.0
    ) -> None:
        """Wait until something holds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while not holds():
            if loop.time() > end:
                raise AssertionError(f"{what} did not come to hold in {timeout_s:g} s")
            await asyncio.sleep(0.01)

    async def one_record(self) -> RequestLine:
        """The only record, once it is there."""
        await self.until(lambda: bool(self.records()), "a record")
        (record,) = self.records()
        return record

    def rewrite(self, change: Callable[[dict[str, Any]], None]) -> str | None:
        """Change the configuration and reload; what the gateway says of it."""
        document = yaml.safe_load(self.worker.config.path.read_text())
        change(document)
        self.worker.config.path.write_text(yaml.safe_dump(document))
        return self.worker.reloader.reload()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """A whole answer; a body that breaks off is given as far as it came."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in rest if line)
    }
    body, is_whole = b"", True
    if headers.get("transfer-encoding") == "chunked":
        while is_whole:
            try:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                body += (await reader.readexactly(size + 2))[:-2]
            except asyncio.IncompleteReadError:
                is_whole = False
            else:
                if size == 0:
                    break
    elif "content-length" in headers:
        length = int(headers["content-length"])
        body = await reader.read(length)
        while len(body) < length and (more := await reader.read(length - len(body))):
            body += more
        is_whole = len(body) == length
    return Answer(int(first.split()[1]), headers, body, is_whole)


def plain_config(providers: list[Provider]) -> dict[str, Any]:
    """One target a provider, all for gpt-4o-mini, in order; claude at the first."""
    targets: dict[str, Any] = {
        f"up{index}": {
            "url": f"{one.url}/v1",
            "provider": "openai",
            "credential": {"kind": "bearer", "env": "UPSTREAM_KEY"},
        }
        for index, one in enumerate(providers)
    }
    targets["claude"] = {
        "url": f"{providers[0].url}/v1",
        "dialect": "anthropic",
        "provider": "anthropic",
        "credential": {"kind": "anthropic", "env": "UPSTREAM_KEY"},
    }
    names = [name for name in targets if name != "claude"]
    first: dict[str, Any] = {"targets": names[:1]}
    if names[1:]:
        first["fallback"] = names[1:]
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0", "key": "env:ADMIN_KEY"},
        "ledger": None,
        "drain_s": 2,
        "retry": {"base_s": 0.01, "cap_s": 0.02},
        "targets": targets,
        "models": {
            "gpt-4o-mini": first,
            "text-embedding-3-small": first,
            "claude-sonnet-4-5": "claude",
        },
    }


@asynccontextmanager
async def open_house(
    folder: Path,
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    n_providers: int = 1,
    settings: Settings | None = None,
    observe: bool = False,
    **terms: Any,
) -> AsyncIterator[House]:
    """Start providers and a gateway, and stop both."""
    settings = settings or Settings(speed=0, n_requests_kept=1000)
    async with AsyncExitStack() as stack:
        providers = [
            await stack.enter_async_context(Provider(settings)) for _ in range(n_providers)
        ]
        yield await stack.enter_async_context(
            open_gateway(folder, change, providers, observe=observe, **terms)
        )


@asynccontextmanager
async def open_gateway(
    folder: Path,
    change: Callable[[dict[str, Any]], None] | None,
    providers: list[Provider],
    *,
    observe: bool = False,
    **terms: Any,
) -> AsyncIterator[House]:
    """A gateway in front of providers that run already; a second one in a folder goes on there."""
    document = plain_config(providers)
    if change is not None:
        change(document)
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(document))
    terms.setdefault("tenant", "search")
    budgets = tuple(parse_budget(text) for text in terms.pop("budgets", ()))
    store = KeyStore(folder / "keys.json")
    if store.path.exists():
        _, key = store.rotate("k1", 0.0, 0.0)
    else:
        _, key = store.create(KeyTerms(budgets=budgets, **terms), 0.0, "k1")
    environ = {"UPSTREAM_KEY": "sk-upstream", "ADMIN_KEY": "admin-secret"}
    events: list[str] = []

    def read() -> Config:
        return read_config(path)

    worker = Worker(read, ServeOptions(observe=observe), environ, events.append)
    await worker.start()
    house = House(folder, worker, providers, key, events)
    try:
        yield house
    finally:
        await worker.stop()


@pytest.fixture
def house(tmp_path: Path) -> Callable[..., Any]:
    """`async with house(change, n_providers=2) as h`: see `open_house`."""
    return lambda change=None, **given: open_house(tmp_path, change, **given)


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run a coroutine function on the loop that the gateway uses."""

    def go(main: Callable[[], Any]) -> Any:
        return uvloop.run(main())

    return go


class Scripted:
    """An upstream that answers each request with bytes of the test's own, whatever they are."""

    def __init__(self, script: Callable[..., Any]) -> None:
        self._script = script
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.n_left = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found = [line for line in head.lower().split(b"\r\n") if b"content-length:" in line]
                length = int(found[0].split(b":")[1]) if found else 0
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                await self._script(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.n_left += 1
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture
def scripted() -> Callable[..., Any]:
    """`async with scripted(script) as up`: script(up, reader, writer) writes the raw answer."""
    return Scripted
