"""One connection to an upstream, and one request on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weighbridge.gateway.wire.messages import Fault, UpstreamEvents
from weighbridge.gateway.wire.responses import BadAnswerError, ResponseReader

if TYPE_CHECKING:
    from weighbridge.gateway.wire.pool import UpstreamPool

_JOIN_BELOW_BYTES = 64 * 1024


class UpstreamAttempt:
    """One request on its way upstream; over once it ended, failed or was cancelled."""

    __slots__ = (
        "body",
        "connection",
        "events",
        "head",
        "is_head_request",
        "is_paused",
        "pool",
        "read",
        "write",
    )

    def __init__(
        self, pool: UpstreamPool, head: bytes, body: bytes, events: UpstreamEvents
    ) -> None:
        self.pool = pool
        self.head = head
        self.body = body
        self.events: UpstreamEvents | None = events
        self.connection: UpstreamConnection | None = None
        self.is_head_request = False
        self.is_paused = False
        self.read: Callable[[bytes], bytes | None] | None = None
        self.write: Callable[[bytes], object] | None = None

    @property
    def is_sent(self) -> bool:
        """Whether it has a connection."""
        return self.connection is not None

    @property
    def length(self) -> int | None:
        """Content-Length of the answer, once its head is here."""
        connection = self.connection
        return None if connection is None else connection.reader.length

    def pipe(self, read: Callable[[bytes], bytes | None], write: Callable[[bytes], object]) -> None:
        """Hand chunks from one side to the other, past the events; see `messages.Attempt`."""
        if self.events is not None:
            self.write = write
            self.read = read

    def over(self) -> None:
        """No more events, and nothing refers to who took them."""
        self.events = self.read = self.write = None

    def cancel(self) -> None:
        """Give it up: its connection is closed at once; no more events come."""
        if self.events is None:
            return
        self.over()
        connection = self.connection
        if connection is None:
            self.pool.forget(self)
        else:
            self.connection = None
            connection.abort()

    def pause(self) -> None:
        """Read no more for now."""
        if self.events is not None and not self.is_paused:
            self.is_paused = True
            if self.connection is not None:
                self.connection.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.is_paused:
            self.is_paused = False
            if self.connection is not None:
                self.connection.resume_reading()

    def fail(self, fault: Fault, detail: str) -> None:
        """Tell the pipeline, once."""
        events = self.events
        if events is not None:
            self.over()
            self.connection = None
            try:
                events.on_fault(fault, detail)
            except Exception as error:
                self.pool.report(error)


class UpstreamConnection(asyncio.Protocol):
    """One connection, idle (no attempt) or answering one attempt."""

    __slots__ = (
        "_attempt",
        "_is_large",
        "_pool",
        "_transport",
        "_write",
        "idle_since_s",
        "is_open",
        "n_sent",
        "reader",
    )

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool
        self._attempt: UpstreamAttempt | None = None
        self._transport: Any = None
        self._is_large = False
        self.reader = ResponseReader()
        self.idle_since_s = 0.0
        self.n_sent = 0
        self.is_open = False

    def attach(self, transport: Any) -> None:
        """Take a transport that was opened through a tunnel."""
        self.connection_made(transport)
        transport.set_protocol(self)

    def send(self, attempt: UpstreamAttempt) -> None:
        """Write a request; the connection is idle and open."""
        self._attempt = attempt
        attempt.connection = self
        self.n_sent += 1
        if self.n_sent > 1 or attempt.is_head_request:
            self.reader.begin(attempt.is_head_request)
        head, body = attempt.head, attempt.body
        if len(body) < _JOIN_BELOW_BYTES:
            self._write(head + body)
        else:
            self._is_large = True
            self._write(head)
            self._write(body)
        attempt.body = b""
        if attempt.is_paused:
            self.pause_reading()

    def _flush(self) -> None:
        outbox = self._pool.outbox
        if outbox is not None:
            outbox.flush()

    def abort(self) -> None:
        """Close at once."""
        self._attempt = None
        if self.is_open:
            self.is_open = False
            self._pool.on_closed(self)
            self._flush()
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        if self.is_open:
            self.is_open = False
            self._pool.on_closed(self)
            self._flush()
            self._transport.close()

    def pause_reading(self) -> None:
        """Leave further bytes to the kernel."""
        if self.is_open and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self.is_open and not self._transport.is_closing():
            self._transport.resume_reading()

    # What the transport calls.

    def connection_made(self, transport: Any) -> None:
        """The connection is open."""
        self._transport = transport
        outbox = self._pool.outbox
        self._write = transport.write if outbox is None else outbox.writer(transport.write)
        self.is_open = True
        self._pool.on_opened()

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        attempt = self._attempt
        if attempt is None:
            self.abort()  # nobody asked
            return
        reader = self.reader
        events = attempt.events
        if events is None:
            return
        try:
            if reader.is_between and attempt.read is not None:
                chunk = attempt.read(data)
                if chunk is not None:
                    attempt.write(chunk)  # type: ignore[misc]  # they are set together
                    return
            self._feed(attempt, events, data)
        except Exception as error:
            self._broken(error)
            return
        if attempt.events is not None:
            if reader.is_complete:
                self._complete(attempt)
            elif reader.bad is not None:
                self._bad(reader.bad)

    def eof_received(self) -> bool:
        """The upstream sends no more."""
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The connection is gone."""
        self._gone()
        self.reader.close()

    # Within.

    def _feed(self, attempt: UpstreamAttempt, events: UpstreamEvents, data: bytes) -> None:
        reader = self.reader
        reader.feed(data)
        if reader.has_head:
            reader.has_head = False
            events.on_head(reader.status, reader.headers)
        if reader.data is not None:
            body = reader.data
            reader.data = None
            if attempt.events is not None:
                events.on_body(body)

    def _complete(self, attempt: UpstreamAttempt) -> None:
        events = attempt.events
        attempt.over()
        attempt.connection = None
        self._attempt = None
        if attempt.is_paused:
            self.resume_reading()
        if self.reader.can_keep and not (
            self._is_large and self._transport.get_write_buffer_size()
        ):
            self._is_large = False
            self._pool.release(self)
        else:
            self.close()
        if events is not None:
            try:
                events.on_end()
            except Exception as error:
                self._pool.report(error)

    def _bad(self, bad: BadAnswerError) -> None:
        attempt = self._attempt
        self.abort()
        if attempt is not None:
            attempt.fail(bad.fault, bad.detail)

    def _broken(self, error: Exception) -> None:
        """A fault of the pipeline ends the attempt, so that it is not left waiting."""
        attempt = self._attempt
        self._pool.report(error)
        self.abort()
        if attempt is not None:
            attempt.fail(Fault.RESET, "the gateway failed to take the answer")

    def _gone(self) -> None:
        attempt = self._attempt
        if not self.is_open:
            return
        if attempt is None:
            self.close()
            return
        reader = self.reader
        if reader.until_eof and not reader.is_complete:
            reader.is_complete = True
            self._complete(attempt)
            return
        self.abort()
        if self.n_sent > 1 and not reader.is_started:
            attempt.fail(Fault.RESET_UNSENT, "a kept connection closed before its answer")
        else:
            attempt.fail(Fault.RESET, "the connection closed before the answer was complete")
