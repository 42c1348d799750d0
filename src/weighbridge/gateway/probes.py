"""Small requests of the gateway's own: health paths and engine metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from weighbridge.gateway.wire.messages import Attempt, Fault, Headers, Upstream

MOST_BYTES = 4 * 1024 * 1024


class Probe:
    """One GET; calls back once, with status and body, or status 0 where nothing came."""

    def __init__(self, then: Callable[[int, bytes], None]) -> None:
        self._then: Callable[[int, bytes], None] | None = then
        self._attempt: Attempt | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._status = 0
        self._parts: list[bytes] = []
        self._n_bytes = 0

    def send(
        self,
        pool: Upstream,
        path: bytes,
        headers: Headers,
        timeout_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Ask."""
        self._attempt = pool.send(b"GET", path, [(b"accept", b"*/*"), *headers], b"", self)
        self._timer = loop.call_later(timeout_s, self._give_up)

    def on_head(self, status: int, headers: Headers) -> None:  # noqa: ARG002  # the wire's words
        """The head of an answer."""
        self._status = status

    def on_body(self, data: bytes) -> None:
        """Part of the answer."""
        self._n_bytes += len(data)
        if self._n_bytes > MOST_BYTES:
            self._give_up()
        else:
            self._parts.append(data)

    def on_end(self) -> None:
        """The answer is complete."""
        self._finish(self._status, b"".join(self._parts))

    def on_fault(self, fault: Fault, detail: str) -> None:  # noqa: ARG002  # the wire's words
        """No answer."""
        self._finish(0, b"")

    def _give_up(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
        self._finish(0, b"")

    def _finish(self, status: int, body: bytes) -> None:
        if self._timer is not None:
            self._timer.cancel()
        then, self._then = self._then, None
        if then is not None:
            then(status, body)
