"""A client that shows bytes as they came, with h11 to say whether they were HTTP."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
import pytest


@dataclass
class Got:
    """What came back until the connection ended, and how it ended."""

    raw: bytes = b""
    was_reset: bool = False

    def parsed(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; raises `h11.RemoteProtocolError` where this is not HTTP."""
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="POST", target="/", headers=[("host", "x")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(self.raw)
        reader.receive_data(b"")
        status, headers, body = 0, {}, b""
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
                headers = {k.decode(): v.decode() for k, v in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, headers, body

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.parsed()[2])

    def events(self) -> list[str]:
        """Events of a stream, without their blank lines."""
        return self.parsed()[2].decode().split("\n\n")[:-1]


class Wire:
    """One connection to a stand-in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def read_to_end(self) -> Got:
        """Everything until the other side ends it."""
        got = Got()
        try:
            while data := await self.reader.read(65536):
                got.raw += data
        except ConnectionResetError:
            got.was_reset = True
        self.writer.close()
        return got

    async def leave(self) -> None:
        """Close, as a client does that has lost patience."""
        self.writer.close()
        await self.writer.wait_closed()


CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me a story."}]}
MESSAGE = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 50}


class Client:
    """Asks a stand-in with nothing between."""

    chat = CHAT
    message = MESSAGE

    async def open(
        self, url: str, path: str, body: Any = None, method: str = "POST", **headers: str
    ) -> Wire:
        """Send a request on a new connection."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        content = json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close"]
        lines += [f"content-length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        return Wire(reader, writer)

    async def ask(
        self, url: str, path: str, body: Any = None, method: str = "POST", **headers: str
    ) -> Got:
        """Send a request and read until the connection ends."""
        wire = await self.open(url, path, body, method, **headers)
        return await wire.read_to_end()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.001)

    def run(self, play: Callable[[], Awaitable[None]]) -> None:
        """Play a scene on a loop of its own."""
        asyncio.run(play())  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def client() -> Client:
    """Asks a stand-in with nothing between."""
    return Client()
