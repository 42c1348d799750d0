"""One client's connection: requests in, answers out in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from weighbridge.gateway.wire.answer import Answer
from weighbridge.gateway.wire.heads import STATUS_LINES, join_head
from weighbridge.gateway.wire.messages import Request
from weighbridge.gateway.wire.requests import BODY, HEAD, IDLE, Refusal, RequestReader

if TYPE_CHECKING:
    from weighbridge.gateway.wire.server import Server

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(asyncio.Protocol):
    """One client's connection; `Server.sweep` watches its times."""

    __slots__ = (
        "_answer",
        "_closing",
        "_dispatching",
        "_lingering",
        "_n_behind",
        "_phase",
        "_reader",
        "_reading",
        "_since_s",
        "_stall_mark",
        "_transport",
        "is_congested",
        "peer",
        "server",
        "write",
        "write_now",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.peer = ""
        self.is_congested = False
        self._reader = RequestReader(server.limits)
        self._transport: Any = None
        self._answer: Answer | None = None
        self._phase = IDLE
        self._since_s = server.now_s
        self._stall_mark = 0
        self._n_behind = 0
        self._reading = True
        self._dispatching = False
        self._closing = False
        self._lingering = False

    # What the transport calls.

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        self._transport = transport
        outbox = self.server.outbox
        self.write_now = transport.write
        self.write = transport.write if outbox is None else outbox.writer(transport.write)
        server = self.server
        if len(server.connections) >= server.limits.max_connections or server.is_draining:
            transport.abort()
            return
        server.connections.add(self)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        limits = server.limits
        transport.set_write_buffer_limits(limits.write_high_bytes, limits.write_low_bytes)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._closing:
            return
        reader = self._reader
        reader.feed(data)
        if self._answer is None:
            if reader.ready:
                self._dispatch()
        else:
            self._n_behind += len(data)
        phase = reader.phase
        if phase != self._phase:
            self._phase = phase
            if not self.is_congested:
                self._since_s = self.server.now_s
        if phase != IDLE or self._answer is not None:
            self._after_packet()

    def eof_received(self) -> bool:
        """The client sends no more; nobody here waits for a half-closed one."""
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The client is gone."""
        self.server.connections.discard(self)
        self._leave()
        self._reader.close()
        self.server.on_lost()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self.is_congested = True
        self._since_s = self.server.now_s
        self._stall_mark = self._transport.get_write_buffer_size()
        answer = self._answer
        if answer is not None and answer.handler is not None:
            self._guarded(answer.handler.client_paused)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_congested = False
        self._since_s = self.server.now_s
        answer = self._answer
        if answer is None:
            self._go_on()
        elif answer.handler is not None:
            self._guarded(answer.handler.client_resumed)

    # What an answer calls.

    def manners(self, request: Request) -> list[bytes]:
        """The `connection` line of an answer, where one is needed."""
        if self.server.is_draining or self._reader.refusal is not None:
            request.keep_alive = False
        if not request.keep_alive:
            return [b"connection: close"]
        return [] if request.http_minor else [b"connection: keep-alive"]

    def answered(self, keep_alive: bool) -> None:
        """The answer is complete: close, or go on with the next request."""
        self._answer = None
        if not keep_alive or (self.server.is_draining and not self._reader.ready):
            self._close()
            return
        self._since_s = self.server.now_s
        reader = self._reader
        if reader.ready or self._n_behind or reader.phase != IDLE:
            self._n_behind = 0
            self._go_on()

    def abort(self) -> None:
        """Cut the connection."""
        self._closing = True
        self._answer = None
        self._flush()
        self._transport.abort()

    # Within.

    def _flush(self) -> None:
        outbox = self.server.outbox
        if outbox is not None:
            outbox.flush()

    def _dispatch(self) -> None:
        if self._dispatching:
            return
        self._dispatching = True
        ready = self._reader.ready
        while ready and self._answer is None and not self._closing and not self.is_congested:
            request = ready.popleft()
            request.peer = self.peer
            answer = self._answer = Answer(self, request)
            try:
                self.server.handler.on_request(answer)
            except Exception as error:
                self._fail(answer, error)
        self._dispatching = False

    def _fail(self, answer: Answer, error: Exception) -> None:
        self.server.report(error)
        if answer.is_started:
            answer.abort()
        else:
            answer.request.keep_alive = False
            answer.respond(500, [(b"content-type", b"text/plain")], b"internal error\n")

    def _after_packet(self) -> None:
        """What only some packets need: a refusal, an interim answer, a pause in reading."""
        reader = self._reader
        if self._answer is not None or reader.ready:
            limits = self.server.limits
            if self._reading and (
                self._n_behind > limits.max_behind_bytes or len(reader.ready) > limits.max_pipelined
            ):
                self._reading = False
                self._transport.pause_reading()
        elif self._closing:
            return
        elif reader.refusal is not None:
            self._refuse(reader.refusal)
        elif reader.wants_continue and reader.phase == BODY:
            reader.wants_continue = False
            self.write(_CONTINUE)

    def _go_on(self) -> None:
        """Requests or parts of one came while we answered."""
        self._dispatch()
        if not self._reading and not self._reader.ready and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()
        self._after_packet()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, close our side, and listen a little so that the answer is not reset away."""
        body = refusal.reason.encode() + b"\n"
        headers = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = join_head(STATUS_LINES[refusal.status], headers, self.server.date, b"", b"")
        self.write(head + body)
        self._closing = self._lingering = True
        self._since_s = self.server.now_s
        if self._transport.can_write_eof():
            self._flush()
            self._transport.write_eof()
        self.server.on_refused(refusal.status)

    def _close(self) -> None:
        self._closing = True
        self._flush()
        self._since_s = self.server.now_s
        self._stall_mark = self._transport.get_write_buffer_size()
        self._transport.close()

    def _leave(self, is_cut: bool = False) -> None:
        self._closing = True
        self._reader.ready.clear()
        answer = self._answer
        if answer is not None:
            self._answer = None
            handler = answer.handler
            answer.forget()
            if handler is not None:
                self._guarded(handler.cut_off if is_cut else handler.client_left)

    def _guarded(self, call: Any) -> None:
        try:
            call()
        except Exception as error:
            self.server.report(error)

    # What the server's sweep asks.

    def is_idle(self) -> bool:
        """Between two requests."""
        return self._answer is None and not self._reader.ready and self._reader.phase == IDLE

    def drain(self) -> None:
        """Close between requests; an open answer closes when it ends."""
        if self.is_idle() and not self._closing:
            self._close()

    def cut(self) -> None:
        """The server's patience has ended: the pipeline hears that it was not the client's."""
        self._flush()
        self._transport.abort()
        self._leave(is_cut=True)

    def sweep(self, now_s: float) -> None:
        """Enforce the limits of time."""
        limits = self.server.limits
        waited_s = now_s - self._since_s
        if self._closing:
            self._sweep_closing(now_s, waited_s)
        elif self.is_congested:
            self._sweep_stalled(now_s, waited_s)
        elif self._answer is not None:
            return
        elif self._phase == IDLE:
            if waited_s > limits.idle_s:
                self._close()
        elif self._phase == HEAD:
            if waited_s > limits.head_s:
                self._refuse(Refusal(408, "the request's head took too long"))
        elif waited_s > limits.body_s + self._reader.n_body / limits.min_body_bytes_per_s:
            self._refuse(Refusal(408, "the request's body took too long"))

    def _sweep_closing(self, now_s: float, waited_s: float) -> None:
        if self._lingering:
            if waited_s > self.server.limits.linger_s:
                self._flush()
                self._transport.abort()
        else:
            self._sweep_stalled(now_s, waited_s)

    def _sweep_stalled(self, now_s: float, waited_s: float) -> None:
        size = self._transport.get_write_buffer_size()
        limits = self.server.limits
        if self._stall_mark - size >= limits.stall_bytes:
            self._stall_mark = size
            self._since_s = now_s
        elif waited_s > limits.write_stall_s:
            self._flush()
            self._transport.abort()
