"""Kept connections to one origin."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from weighbridge.gateway.wire.dial import Dialer, DialError, Origin, Resolver, client_tls
from weighbridge.gateway.wire.heads import join_head
from weighbridge.gateway.wire.messages import Fault, Headers, UpstreamEvents
from weighbridge.gateway.wire.outbox import Outbox
from weighbridge.gateway.wire.upstream import UpstreamAttempt, UpstreamConnection

_SWEEP_EVERY_S = 1.0


class UpstreamPool:
    """Connections to one origin, the last used first; new ones as they are needed."""

    def __init__(  # noqa: PLR0913 - settings of one target, all by name
        self,
        origin_url: str,
        *,
        loop: asyncio.AbstractEventLoop,
        connect_timeout_s: float = 5.0,
        max_connections: int = 1000,
        max_idle: int = 256,
        idle_s: float = 30.0,
        ca_file: str | None = None,
        proxy: str | None = None,
        resolver: Resolver | None = None,
        outbox: Outbox | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        origin = Origin(origin_url)
        through = None if proxy is None else Origin(proxy, "proxy")
        secure = origin.is_tls or (through is not None and through.is_tls)
        self._dialer = Dialer(
            origin,
            loop,
            timeout_s=connect_timeout_s,
            proxy=through,
            tls=client_tls(ca_file) if secure else None,
            resolver=resolver,
        )
        self._loop = loop
        self._connect_timeout_s = connect_timeout_s
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._clock = clock
        self._now_s = clock()
        self._own_lines = [b"host: " + origin.host_field]
        self._prefix = b""
        if through is not None and not origin.is_tls:
            self._prefix = b"http://" + origin.host_field
            if through.authorization:
                self._own_lines.append(b"proxy-authorization: " + through.authorization)
        self.outbox = outbox
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[UpstreamAttempt] = deque()
        self._dialling: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.n_open = 0
        self.n_opened = 0

    @property
    def n_idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def n_waiting(self) -> int:
        """Requests that wait for a connection."""
        return len(self._waiting)

    def send(
        self, method: bytes, path: bytes, headers: Headers, body: bytes, events: UpstreamEvents
    ) -> UpstreamAttempt:
        """Send on a kept connection or a new one; events come after this has returned."""
        prepared = self.prepare(method, path, headers)
        is_head_request = method == b"HEAD"
        if not body and method != b"POST":
            return self._start(prepared + b"\r\n", b"", events, is_head_request)
        return self._start(_with_length(prepared, body), body, events, is_head_request)

    def prepare(self, method: bytes, path: bytes, headers: Headers) -> bytes:
        """A head that may be sent again and again, with bodies of other lengths."""
        if b" " in path:
            raise ValueError("a space in the path of a request")
        first = b"%b %b%b HTTP/1.1" % (method, self._prefix, path)
        return join_head(first, headers, *self._own_lines, b"")

    def send_prepared(
        self, prepared: bytes, body: bytes, events: UpstreamEvents
    ) -> UpstreamAttempt:
        """Send a body under a prepared head; never one of HEAD, whose answer has no body."""
        return self._start(_with_length(prepared, body), body, events, False)

    def _start(
        self, head: bytes, body: bytes, events: UpstreamEvents, is_head_request: bool
    ) -> UpstreamAttempt:
        attempt = UpstreamAttempt(self, head, body, events)
        attempt.is_head_request = is_head_request
        if self._idle:
            self._idle.pop().send(attempt)
        else:
            self._waiting.append(attempt)
            self._dial_for_waiting()
        return attempt

    def warm(self, n_connections: int) -> None:
        """Open connections ahead of need."""
        n_missing = n_connections - self.n_open - len(self._dialling)
        for _ in range(n_missing):
            self._dial()

    def close(self) -> None:
        """Close idle connections, and busy ones as they finish."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Taken out first: closing one flushes the outbox, and what waited there may be sent on any.
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if not self._waiting:
            for task in self._dialling:
                task.cancel()

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        now_s = self._now_s = self._clock()
        n_stale = 0
        for connection in self._idle:
            if now_s - connection.idle_since_s <= self._idle_s:
                break  # the list is ordered by when each became idle
            n_stale += 1
        stale, self._idle = self._idle[:n_stale], self._idle[n_stale:]
        for connection in stale:  # none of them may be sent on any more, see `close`
            connection.close()

    # What connections and attempts call.

    def release(self, connection: UpstreamConnection) -> None:
        """A connection has finished an answer, or has just been opened."""
        waiting = self._waiting
        if waiting:
            connection.send(waiting.popleft())
        elif self._closed or len(self._idle) >= self._max_idle:
            connection.close()
        else:
            if self._timer is None:
                self._now_s = self._clock()
                self._timer = self._loop.call_later(_SWEEP_EVERY_S, self._tick)
            connection.idle_since_s = self._now_s
            self._idle.append(connection)

    def on_opened(self) -> None:
        """A connection was made."""
        self.n_open += 1
        self.n_opened += 1

    def on_closed(self, connection: UpstreamConnection) -> None:
        """A connection is gone, idle or not."""
        self.n_open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._dial_for_waiting()

    def forget(self, attempt: UpstreamAttempt) -> None:
        """A waiting attempt was cancelled."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(attempt)

    def report(self, error: Exception) -> None:
        """Tell the loop of a fault in the pipeline."""
        self._loop.call_exception_handler(
            {"message": "gateway failed on an upstream event", "exception": error}
        )

    # Within.

    def _tick(self) -> None:
        self.sweep()
        self._timer = None
        if self._idle:
            self._timer = self._loop.call_later(_SWEEP_EVERY_S, self._tick)

    def _dial_for_waiting(self) -> None:
        if len(self._dialling) < len(self._waiting):
            self._dial()

    def _dial(self) -> None:
        if self.n_open + len(self._dialling) < self._max_connections:
            task = self._loop.create_task(self._open())
            self._dialling.add(task)
            task.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dialling.discard(task)
        self._dial_for_waiting()

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._dialer.dial(lambda: UpstreamConnection(self))
        except TimeoutError:
            self._fail_one(
                Fault.CONNECT_TIMEOUT, f"no connection within {self._connect_timeout_s:g} s"
            )
        except DialError as error:
            self._fail_one(error.fault, error.detail)
        else:
            if connection.is_open:
                self.release(connection)
            else:
                self._fail_one(Fault.RESET, "the connection closed as soon as it was open")

    def _fail_one(self, fault: Fault, detail: str) -> None:
        """The request that has waited longest bears the failure; others have their own."""
        if self._waiting:
            self._waiting.popleft().fail(fault, detail)


def _with_length(prepared: bytes, body: bytes) -> bytes:
    return b"%bcontent-length: %d\r\n\r\n" % (prepared, len(body))
