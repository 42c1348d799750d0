"""The listening side: accepts clients, watches their times, drains."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate

from weighbridge.gateway.wire.client import ClientConnection
from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.messages import RequestHandler
from weighbridge.gateway.wire.outbox import Outbox

_SWEEP_EVERY_S = 1.0
_BACKLOG = 4096


class Server:
    """An HTTP/1.1 server whose every request goes to one handler."""

    def __init__(  # noqa: PLR0913  # settings, all by name
        self,
        handler: RequestHandler,
        limits: WireLimits | None = None,
        tls: ssl.SSLContext | None = None,
        *,
        outbox: Outbox | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.handler = handler
        self.limits = limits or WireLimits()
        self.connections: set[ClientConnection] = set()
        self.is_draining = False
        self.n_refused_by_status: dict[int, int] = {}
        self.outbox = outbox
        self._tls = tls
        self._clock = clock
        self._wall_clock = wall_clock
        self._servers: list[asyncio.AbstractServer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None
        self.now_s = 0.0  # as of the last sweep: good enough for limits of seconds
        self.date = b""
        self.sweep()

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Listen on an address; port 0 takes a free one (see `sockets`). May be called again."""
        loop = self._begin()
        self._servers.append(
            await loop.create_server(
                lambda: ClientConnection(self),
                host,
                port,
                ssl=self._tls,
                backlog=_BACKLOG,
                reuse_port=reuse_port or None,
            )
        )

    async def start_on(self, listening: socket.socket) -> None:
        """Listen on a socket that is already bound."""
        loop = self._begin()
        self._servers.append(
            await loop.create_server(
                lambda: ClientConnection(self), sock=listening, ssl=self._tls, backlog=_BACKLOG
            )
        )

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets that are listened on."""
        return [sock for server in self._servers for sock in getattr(server, "sockets", ())]

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def n_connections(self) -> int:
        """Clients that are connected now."""
        return len(self.connections)

    def sweep(self) -> None:
        """Renew the date, and enforce every connection's limits of time."""
        now_s = self.now_s = self._clock()
        stamp = formatdate(self._wall_clock(), usegmt=True)
        self.date = b"date: " + stamp.encode("ascii")
        for connection in tuple(self.connections):
            connection.sweep(now_s)

    async def drain(self, deadline_s: float) -> int:
        """Accept no more, let open answers end, cut what is left; returns how many were cut."""
        self.is_draining = True
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.drain()
        if self.connections:
            self._empty = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), deadline_s)
        cut = tuple(self.connections)
        for connection in cut:
            connection.cut()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return len(cut)

    # What connections call.

    def on_lost(self) -> None:
        """A connection is gone."""
        if self._empty is not None and not self.connections:
            self._empty.set()

    def on_refused(self, status: int) -> None:
        """A request was refused below the pipeline."""
        self.n_refused_by_status[status] = self.n_refused_by_status.get(status, 0) + 1

    def report(self, error: Exception) -> None:
        """Tell the loop of a fault in the handler; it never holds content of a request."""
        loop = self._loop
        if loop is not None:
            loop.call_exception_handler({"message": "gateway handler failed", "exception": error})

    # Within.

    def _begin(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.get_running_loop()
        if self._timer is None:
            self._tick()
        return loop

    def _tick(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(_SWEEP_EVERY_S, self._tick)
        self.sweep()
