"""One request to the stand-in that costs money: from its body to its line on the bill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NoReturn

import msgspec

from weighbridge.rehearsal import provider_anthropic as anthropic
from weighbridge.rehearsal import provider_openai as openai
from weighbridge.rehearsal import provider_responses as responses
from weighbridge.rehearsal.provider_bill import BillLine
from weighbridge.rehearsal.provider_openai import Event
from weighbridge.rehearsal.provider_plan import Plan
from weighbridge.rehearsal.provider_settings import Fault, Settings
from weighbridge.rehearsal.provider_wire import Connection, Headers

JSON = ("content-type", "application/json")
EVENTS = ("content-type", "text/event-stream; charset=utf-8")
HTML = ("content-type", "text/html")

WHOLE: Mapping[str, Callable[[Plan], dict[str, Any]]] = {
    "chat": openai.chat,
    "completions": openai.completion,
    "embeddings": openai.embeddings,
    "responses": responses.response,
    "messages": anthropic.message,
    "count_tokens": anthropic.count_tokens,
}
STREAMED: Mapping[str, Callable[[Plan], Iterator[Event]]] = {
    "chat": openai.chat_events,
    "completions": openai.completion_events,
    "responses": responses.response_events,
    "messages": anthropic.message_events,
}

NEVER_ANSWERED = ("hang",)
SILENT_WHEN_WHOLE = ("hang", "comments_only", "role_only")
WITHIN_A_STREAM = (
    "torn_stream",
    "reset",
    "malformed_chunk",
    "malformed_event",
    "stall",
    "comments_only",
    "role_only",
)
SLOW_S = 5.0
BETWEEN_COMMENTS_S = 0.5
LIE_BYTES = 100  # how much longer than the body its length is said to be
LONG_STREAM_BYTES = 10_000_000
EVENTS_PER_BREATH = 32  # events sent before others get a turn
LEAST_SLEEP_S = 0.001


class _BrokenOffError(Exception):
    """A fault has ended the exchange."""


@dataclass(slots=True)
class Exchange:
    """A plan being carried out on a connection, with the fault that falls on it."""

    connection: Connection
    settings: Settings
    plan: Plan
    line: BillLine
    fault: Fault | None
    headers: Headers
    started_s: float
    made_tokens: int = 0  # output generated so far
    is_working: bool = False  # the prompt has been taken up, and will be billed

    async def run(self) -> None:
        """Answer, and leave on the bill's line what was done."""
        try:
            await self._answer()
        except _BrokenOffError:
            pass
        finally:
            self._settle()

    async def _answer(self) -> None:
        name = self.fault.fault if self.fault is not None else None
        if name in NEVER_ANSWERED or (name in SILENT_WHEN_WHOLE and not self.plan.stream):
            await _for_ever()
        if name in ("missing_usage", "zero_usage"):
            self.plan.usage = "missing" if name == "missing_usage" else "zero"
        if name == "reset" and self._breaks_at_once():
            await self._reset()
        self.is_working = name not in ("comments_only", "role_only")
        if name == "slow":
            await self._dawdle()
        if self.plan.stream:
            await self._stream(name)
        else:
            await self._whole(name)
        self.line.complete = True

    def _breaks_at_once(self) -> bool:
        return self.fault is not None and not (self.plan.stream and self.fault.after_events)

    async def _dawdle(self) -> None:
        assert self.fault is not None
        delay_s = SLOW_S if self.fault.delay_s is None else self.fault.delay_s
        self.started_s += delay_s
        await asyncio.sleep(delay_s)

    def _settle(self) -> None:
        """What is billed: the prompt once work on it began, and the output made so far."""
        if not self.is_working:
            return
        plan, line = self.plan, self.line
        line.uncached_input_tokens = plan.uncached_input_tokens
        line.cache_read_tokens = plan.cache_read_tokens
        line.cache_write_tokens = plan.cache_write_tokens
        line.output_tokens = self.made_tokens
        line.reasoning_tokens = min(plan.reasoning_tokens, self.made_tokens)

    # Whole answers.

    async def _whole(self, name: str | None) -> None:
        wait_s = self.started_s + self.plan.due_s(self.plan.output_tokens) - monotonic()
        try:
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            self.made_tokens = self.plan.made_by(monotonic() - self.started_s)
            raise
        self.made_tokens = self.plan.output_tokens
        body = msgspec.json.encode(WHOLE[self.plan.endpoint](self.plan))
        self.line.http_status = 200
        kind = HTML if name == "wrong_content_type" else JSON
        if name in _BROKEN_WHOLE:
            await self._broken_whole(name, body)
        elif name == "malformed_event":
            self.connection.whole(200, [kind, *self.headers], body[: len(body) // 2])
        else:
            self.connection.whole(200, [kind, *self.headers], body)

    async def _broken_whole(self, name: str | None, body: bytes) -> None:
        half, wire = body[: len(body) // 2], self.connection
        if name == "malformed_chunk":
            wire.write(wire.head(200, [JSON, *self.headers, ("transfer-encoding", "chunked")]))
            wire.chunk(half)
            wire.write(b"zz\r\n")
            self._end(wire)
        longer = LIE_BYTES if name == "lying_length" else 0
        length = ("content-length", str(len(body) + longer))
        wire.write(wire.head(200, [JSON, *self.headers, length]))
        wire.write(body if name == "lying_length" else half)
        if name == "stall":
            await self._silence()
            wire.write(body[len(half) :])
        else:
            self._end(wire)

    # Streams.

    async def _stream(self, name: str | None) -> None:
        """Send events as they fall due; a fault breaks in after as many as it was told."""
        breaks = self.fault if name in WITHIN_A_STREAM else None
        events = STREAMED[self.plan.endpoint](self.plan)
        is_lying = name == "lying_length"
        sent = _Batch(self.connection, self.settings, raw=is_lying)
        is_open = False
        for n, (data, made_tokens) in enumerate(events):
            wait_s = self.started_s + self.plan.due_s(made_tokens) - monotonic()
            if breaks is not None and n == breaks.after_events:
                is_open = is_open or self._open(name)
                await self._break(breaks, sent)
                breaks = None
            if wait_s > LEAST_SLEEP_S:
                sent.flush()
                await asyncio.sleep(wait_s)
            elif n % EVENTS_PER_BREATH == EVENTS_PER_BREATH - 1:
                await asyncio.sleep(0)
                await self.connection.drain()
            is_open = is_open or self._open(name)
            self.made_tokens = made_tokens
            sent.add(data)
        if breaks is not None:
            await self._break(breaks, sent)
        sent.flush()
        if is_lying:
            self._end(self.connection)
        self.connection.last_chunk()

    def _open(self, name: str | None) -> bool:
        kind = HTML if name == "wrong_content_type" else EVENTS
        framing = ("transfer-encoding", "chunked")
        if name == "lying_length":
            framing = ("content-length", str(LONG_STREAM_BYTES))
        head = [kind, ("cache-control", "no-cache"), *self.headers, framing]
        self.connection.write(self.connection.head(200, head))
        self.line.http_status = 200
        return True

    async def _break(self, fault: Fault, sent: _Batch) -> None:
        """Do in the middle of a stream what the fault says; most end it."""
        wire = self.connection
        match fault.fault:
            case "role_only":
                sent.add(next(STREAMED[self.plan.endpoint](self.plan))[0])
                sent.flush()
                await _for_ever()
            case "comments_only":
                between_s = BETWEEN_COMMENTS_S if fault.delay_s is None else fault.delay_s
                while True:
                    wire.chunk(b": keep-alive\n\n")
                    await asyncio.sleep(between_s)
            case "malformed_event":
                sent.add(b'data: {"id":"broken","choices":[{"delta":{"cont\n\n')
                return
        sent.flush()
        match fault.fault:
            case "stall":
                await self._silence()
            case "reset":
                await self._reset()
            case "malformed_chunk":
                wire.write(b"zz\r\n")
                self._end(wire)
            case "torn_stream":
                self._end(wire)

    async def _silence(self) -> None:
        assert self.fault is not None
        if self.fault.delay_s is None:
            await _for_ever()
        else:
            await asyncio.sleep(self.fault.delay_s)

    async def _reset(self) -> NoReturn:
        await self.connection.reset()
        raise _BrokenOffError

    @staticmethod
    def _end(wire: Connection) -> NoReturn:
        wire.close()
        raise _BrokenOffError


_BROKEN_WHOLE = ("torn_stream", "malformed_chunk", "lying_length", "stall")


class _Batch:
    """Events on their way: several in a write, or one cut over several, as the settings say."""

    def __init__(self, connection: Connection, settings: Settings, raw: bool) -> None:
        self._connection = connection
        self._raw = raw
        self._per_write = settings.events_per_write
        self._bytes_per_write = settings.bytes_per_write
        self._kept: list[bytes] = []

    def add(self, event: bytes) -> None:
        """Send now, or with those that follow."""
        self._kept.append(event)
        if len(self._kept) >= self._per_write:
            self.flush()

    def flush(self) -> None:
        """Send what is kept."""
        data = b"".join(self._kept)
        self._kept.clear()
        if not data:
            return
        size = self._bytes_per_write or len(data)
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            if self._raw:
                self._connection.write(piece)
            else:
                self._connection.chunk(piece)


async def _for_ever() -> NoReturn:
    """Until the client leaves, or the provider stops: both cancel."""
    while True:
        await asyncio.sleep(3600)
