"""A small HTTP client for load: kept connections, one request at a time on each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec

from weighbridge.rehearsal.replay_answer import Outcome, StreamReading, counts
from weighbridge.rehearsal.replay_prompt import Call
from weighbridge.units import InputError

STALE = "stale"  # a kept connection that died before a byte of the answer: tried once more


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send to."""

    host: str
    port: int
    is_tls: bool
    prefix: str

    @property
    def authority(self) -> str:
        """As the Host header names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def endpoint_of(url: str) -> Endpoint:
    """The endpoint of a URL; a `/v1` at its end is taken as said already."""
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise InputError("--to", "", f"is no URL of a server ({url})", "write http://HOST:PORT")
    is_tls = place.scheme == "https"
    prefix = place.path.rstrip("/").removesuffix("/v1")
    return Endpoint(place.hostname, place.port or (443 if is_tls else 80), is_tls, prefix)


class _Connection(asyncio.Protocol):
    """One connection; `send` begins a request, the future ends with it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[str | None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.is_open = False
        self.outcome: Outcome | None = None
        self.sent_s = 0.0
        self.answered = False  # a byte of the answer has come
        self._status = 0
        self._is_stream = False
        self._reading = StreamReading()
        self._body: list[bytes] = []
        self._is_whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.is_open = True

    def send(self, head: bytes, outcome: Outcome) -> asyncio.Future[str | None]:
        """Send; the future gives the kind of error, or None."""
        assert self._transport is not None
        self._done = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self.outcome, self.answered, self._is_whole = outcome, False, False
        self._status, self._is_stream, self._body = 0, False, []
        self._reading = StreamReading()
        self.sent_s = monotonic()
        self._transport.write(head)
        return self._done

    def close(self) -> None:
        """Close now."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish("malformed")
        except httptools.HttpParserError:
            self._finish("malformed")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._done is None or self._done.done():
            return
        if not self.answered:
            self._finish(STALE if exc is None or isinstance(exc, ConnectionError) else "reset")
        elif exc is None and not self._is_framed:
            self.on_message_complete()  # without a length, the end of the connection is the end
        else:
            self._finish("reset" if exc is not None else "cut")

    def on_message_begin(self) -> None:
        self._is_framed = False

    _is_framed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        assert self.outcome is not None
        if lower == b"content-type":
            self._is_stream = value.lower().startswith(b"text/event-stream")
        elif lower in (b"content-length", b"transfer-encoding"):
            self._is_framed = True
        elif lower in (b"x-request-id", b"request-id", b"x-weighbridge-request-id"):
            self.outcome.request_id = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self._is_stream:
            self._body.append(body)
            return
        reading = self._reading
        had_token = reading.has_token
        reading.feed(body)
        if reading.has_token and not had_token and self.outcome is not None:
            self.outcome.ttft_s = monotonic() - self.sent_s

    def on_message_complete(self) -> None:
        if self._status < 200:
            return
        self._is_whole = True
        if self._transport is not None and not self._parser.should_keep_alive():
            self.is_open = False
            self._transport.close()
        self._finish(self._kind())

    def _kind(self) -> str | None:
        if self._status >= 400:
            return f"http_{self._status}"
        if self._is_stream:
            if self._reading.told_error:
                return "error_event"
            return None if self._reading.has_ended else "stream_without_end"
        try:
            told = msgspec.json.decode(b"".join(self._body))
            self._reading.usage = told.get("usage") or {}
        except (msgspec.DecodeError, AttributeError):
            return "not_json"
        return None

    def _finish(self, error: str | None) -> None:
        if self._done is None or self._done.done():
            return
        outcome = self.outcome
        assert outcome is not None
        outcome.status = self._status
        outcome.latency_s = monotonic() - self.sent_s
        told = counts(self._reading.usage)
        outcome.input_tokens, outcome.output_tokens, outcome.cached_tokens = told
        if error is not None and not self._is_whole:
            self.close()
        self._done.set_result(error)


class Client:
    """Sends requests to one endpoint over as many connections as it takes."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []
        self._tls = ssl.create_default_context() if endpoint.is_tls else None
        self.n_connects = 0

    async def send(self, call: Call, outcome: Outcome, on_sent: Callable[[float], None]) -> None:
        """Send, and fill in how it went; `on_sent` hears the instant of it."""
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                error: str | None = STALE
                while error == STALE:
                    connection, is_kept = await self._connection()
                    done = connection.send(self._bytes(call), outcome)
                    on_sent(connection.sent_s)
                    error = await done
                    if error == STALE and not is_kept:
                        error = "reset"
            outcome.error = error
            if connection is not None and connection.is_open:
                self._idle.append(connection)
        except TimeoutError:
            outcome.error = "timeout"
            _drop(connection)
        except OSError:
            outcome.error = "connect_error"
        except asyncio.CancelledError:
            _drop(connection)
            raise

    async def _connection(self) -> tuple[_Connection, bool]:
        while self._idle:
            kept = self._idle.pop()
            if kept.is_open:
                return kept, True
        loop = asyncio.get_running_loop()
        self.n_connects += 1
        place = self._endpoint
        _, made = await loop.create_connection(
            lambda: _Connection(loop), place.host, place.port, ssl=self._tls
        )
        return made, False

    def _bytes(self, call: Call) -> bytes:
        lines = [f"POST {self._endpoint.prefix}{call.path} HTTP/1.1"]
        lines.append(f"host: {self._endpoint.authority}")
        lines += [f"{name}: {value}" for name, value in call.headers]
        lines.append(f"content-length: {len(call.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + call.body

    async def close(self) -> None:
        """Close what is kept."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)


def _drop(connection: _Connection | None) -> None:
    if connection is not None:
        connection.close()
