"""The pipeline as the server sees it: each request becomes an exchange under the current setup."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from weighbridge.gateway.admission import Refusal
from weighbridge.gateway.calls import Fail
from weighbridge.gateway.dialects.errors import error_body
from weighbridge.gateway.exchange import OVER, Exchange
from weighbridge.gateway.headers import REQUEST_ID
from weighbridge.gateway.live import Live
from weighbridge.gateway.meter import Meter
from weighbridge.gateway.pipeline import PIPELINE, Step
from weighbridge.gateway.setup import Setup
from weighbridge.gateway.wire.messages import Headers, Responder
from weighbridge.gateway.wire.outbox import Outbox

if TYPE_CHECKING:
    from weighbridge.gateway.metrics import Metrics

TICK_S = 0.05
WIND_UP_S = 0.02  # how often it is looked whether all is over
STAGES = (Exchange.read_whole, Exchange.finish_whole, Exchange.pass_on)
JSON = (b"content-type", b"application/json")


class Gateway:
    """Holds the current setup and the open exchanges; its clocks and randomness can be replaced."""

    def __init__(  # noqa: PLR0913
        self,
        setup: Setup,
        meter: Meter,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        *,
        random: Callable[[], float],
        boot: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.setup = setup
        self.meter = meter
        self.metrics = metrics
        self.loop = loop
        self.random = random
        self.now = time.monotonic  # loop.time has a grain of a millisecond
        self.wall = wall
        self.active: set[Exchange] = set()
        self._prefix = f"wb-{boot}-"
        self._numbers = count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._outbox = outbox
        outbox.before = self.turn
        self._arrived: list[Exchange] = []
        self._answered: list[Exchange] = []

    def on_request(self, responder: Responder) -> None:
        """A whole request has arrived; it is looked at when this turn of the loop ends."""
        if not self._arrived:
            self._outbox.wake()
        self._arrived.append(Exchange(self, self.setup, responder))

    def answered(self, x: Exchange) -> None:
        """A whole answer of an upstream has arrived."""
        if not self._answered:
            self._outbox.wake()
        self._answered.append(x)

    def turn(self) -> None:
        """Deal with all that has arrived, step by step: each step's code is warm for the next one.

        Whatever is finished is on record before any of its bytes leave.
        """
        arrived, self._arrived = self._arrived, []
        for step in PIPELINE:
            if not arrived:
                break
            arrived = self._take(step, arrived)
        answered, self._answered = self._answered, []
        if answered:
            for stage in STAGES:
                answered = self._do(stage, answered)
        try:
            self.meter.flush()
        except Exception as error:  # what else waits to be sent must not wait for ever
            self._outbox.report(error)

    def _take(self, step: Step, exchanges: list[Exchange]) -> list[Exchange]:
        """Those for which the next step follows at once."""
        going = []
        for x in exchanges:
            try:
                if x.phase != OVER:
                    outcome = step(x)
                    if outcome is None:
                        going.append(x)
                    else:
                        x.heed(outcome, step)
            except Exception as error:
                self.broken(x, error)
        return going

    def _do(self, stage: Callable[[Exchange], None], exchanges: list[Exchange]) -> list[Exchange]:
        done = []
        for x in exchanges:
            try:
                stage(x)
                done.append(x)
            except Exception as error:
                self.broken(x, error)
        return done

    def broken(self, x: Exchange, error: Exception) -> None:
        """A fault of ours with one request must not touch the others, nor leave it hanging."""
        self._outbox.report(error)
        try:
            x.break_off()
        except Exception as second:
            self._outbox.report(second)
            x.close()
            x.responder.abort()
            x.give_back()

    def next_id(self) -> bytes:
        """A request id: unique over processes and restarts, by its boot part."""
        return f"{self._prefix}{next(self._numbers):x}".encode()

    # open exchanges

    def start(self) -> None:
        """Begin to look after open exchanges' limits of time."""
        if self._timer is None:
            self._timer = self.loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Look after them no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wind_up(self, left_s: float) -> None:
        """Let what is drained for clients that left end in so long; cut off the rest."""
        end_s = self.now() + left_s
        self._outbox.flush()
        while self.active and self.now() < end_s:
            await asyncio.sleep(WIND_UP_S)
        self._outbox.flush()  # what is whole by now is written down as such
        for x in tuple(self.active):
            try:
                x.cut_off()
            except Exception as error:
                self.broken(x, error)
        self._outbox.flush()

    def open(self, x: Exchange) -> None:
        """An exchange goes upstream."""
        self.active.add(x)

    def done(self, x: Exchange) -> None:
        """An exchange is over."""
        self.active.discard(x)

    def _tick(self) -> None:
        self._timer = self.loop.call_later(TICK_S, self._tick)
        now = self.now()
        for x in tuple(self.active):
            try:
                x.tick(now)
            except Exception as error:
                self.broken(x, error)

    def later(self, wait_s: float, x: Exchange) -> None:
        """Come back after a while."""
        self.loop.call_later(wait_s, self._resume, x)

    def _resume(self, x: Exchange) -> None:
        try:
            x.resume()
        except Exception as error:
            self.broken(x, error)

    # gates

    def watch_gate(self, live: Live) -> None:
        """Come back when the gate can let the next one through; replaces an earlier request."""
        gate = live.gate
        if gate is None:
            return
        if live.gate_timer is not None:
            live.gate_timer.cancel()
            live.gate_timer = None
        wake_s = gate.next_wake(self.now())
        if wake_s is not None:
            wait_s = max(0.0, wake_s - self.now())
            live.gate_timer = self.loop.call_later(wait_s, self._pump, live)

    def pump_soon(self, live: Live) -> None:
        """A place has become free: let the next one through, once this event is dealt with."""
        gate = live.gate
        if gate is not None and gate.n_waiting:
            if live.gate_timer is not None:
                live.gate_timer.cancel()
            live.gate_timer = self.loop.call_soon(self._pump, live)

    def _pump(self, live: Live) -> None:
        live.gate_timer = None
        gate = live.gate
        assert gate is not None
        for ticket, verdict in gate.pump(self.now()):
            x: Any = ticket.payload
            try:
                if verdict == "go":
                    x.let_through()
                else:
                    x.turned_away(None)
            except Exception as error:
                self.broken(x, error)
        self.watch_gate(live)

    # our own answers

    def refusal(self, x: Exchange, refusal: Refusal) -> tuple[Headers, bytes]:
        """Headers and body that say no, in the client's dialect."""
        headers = [JSON, (REQUEST_ID, x.request_id)]
        if refusal.retry_after_s is not None:
            seconds = max(1, -int(-refusal.retry_after_s // 1))
            headers.append((b"retry-after", str(seconds).encode()))
        request_id = x.request_id.decode()
        body = error_body(x.dialect, refusal.status, refusal.code, refusal.message, request_id)
        return headers, body

    def failure(self, x: Exchange, action: Fail) -> tuple[Headers, bytes]:
        """Headers and body that say that no target answered."""
        return self.refusal(
            x, Refusal(action.http_status, action.error_type, action.message, action.retry_after_s)
        )
