"""Open-loop replay: requests leave when the trace says, whether or not answers have come.

A closed loop would wait for a slow server and so hide how slow it is. Here a request that cannot
be sent, because too many are open already, is reported as dropped, and how late sends were is
measured, so that a generator that was too slow itself is seen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from time import monotonic
from typing import Protocol

import numpy as np

from weighbridge.rehearsal.replay_answer import Outcome
from weighbridge.rehearsal.replay_rows import Row

BREATH_EVERY = 64  # rows sent without a pause before answers are looked at
DROPPED = "dropped"
INTERRUPTED = "interrupted"

Send = Callable[[Row, Outcome, float], Awaitable[None]]  # the instant at which the replay began


class Clock(Protocol):
    """Time, as the replay knows it."""

    def now_s(self) -> float:
        """Seconds from some instant on."""

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long."""


class RealClock:
    """Real time; not the loop's own, which stands still while callbacks run."""

    def now_s(self) -> float:
        """Seconds from some instant on."""
        return monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class Tally:
    """What a summary needs of each request."""

    n_scheduled: int = 0
    n_sent: int = 0
    n_ok: int = 0
    last_scheduled_s: float = 0.0
    last_sent_s: float = 0.0
    elapsed_s: float = 0.0
    lateness_s: list[float] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)  # of answers that were whole and good
    ttft_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a request that has ended, one way or the other."""
        if outcome.sent_s is not None:
            self.lateness_s.append(outcome.sent_s - outcome.scheduled_s)
            self.last_sent_s = max(self.last_sent_s, outcome.sent_s)
        self.input_tokens += outcome.input_tokens or 0
        self.output_tokens += outcome.output_tokens or 0
        if outcome.error is not None:
            self.errors[outcome.error] += 1
            return
        self.n_ok += 1
        if outcome.latency_s is not None:
            self.latency_s.append(outcome.latency_s)
        if outcome.ttft_s is not None:
            self.ttft_s.append(outcome.ttft_s)

    @property
    def n_ended(self) -> int:
        """Requests of which the end is known."""
        return self.n_ok + self.errors.total()

    @property
    def offered_requests_per_s(self) -> float:
        """The rate that the trace asked for."""
        return self.n_scheduled / self.last_scheduled_s if self.last_scheduled_s else 0.0

    @property
    def achieved_requests_per_s(self) -> float:
        """The rate at which requests left."""
        return self.n_sent / self.last_sent_s if self.last_sent_s else 0.0


def quantiles(values_s: list[float], *wanted: float) -> tuple[float, ...] | None:
    """Quantiles of durations [s], or None where there are none."""
    if not values_s:
        return None
    return tuple(float(q) for q in np.quantile(np.array(values_s), wanted))


@dataclass(slots=True)
class Replay:
    """Sends rows at their times, `speed` times as fast as they were, and hears of every end."""

    send: Send
    on_end: Callable[[Outcome], None]
    clock: Clock
    speed: float = 1.0
    n_open_most: int = 10_000
    tally: Tally = field(default_factory=Tally)
    _open: dict[asyncio.Task[None], Outcome] = field(default_factory=dict)

    async def run(self, rows: Iterable[Row]) -> Tally:
        """Send all rows and wait for their ends; cancelled, it keeps what there is."""
        source = iter(rows)
        first = list(islice(source, 1))  # drawn or read before the clock starts
        start_s = self.clock.now_s()
        try:
            for number, row in enumerate(chain(first, source)):
                due_s = row.offset_s / self.speed
                wait_s = start_s + due_s - self.clock.now_s()
                if wait_s > 0:
                    await self.clock.sleep(wait_s)
                elif number % BREATH_EVERY == 0:
                    await self.clock.sleep(0)
                self._dispatch(number, row, start_s, due_s)
            if self._open:
                await asyncio.wait(list(self._open))
        finally:
            await self._abandon()
            self.tally.elapsed_s = self.clock.now_s() - start_s
        return self.tally

    def _dispatch(self, number: int, row: Row, start_s: float, due_s: float) -> None:
        outcome = Outcome(
            number=number,
            scheduled_s=due_s,
            model=row.model,
            feature=row.feature,
            template=row.template,
        )
        self.tally.n_scheduled += 1
        self.tally.last_scheduled_s = due_s
        if len(self._open) >= self.n_open_most:
            outcome.error = DROPPED
            self._end(outcome)
            return
        self.tally.n_sent += 1
        task = asyncio.get_running_loop().create_task(self._carry(row, outcome, start_s))
        self._open[task] = outcome
        task.add_done_callback(self._forget)

    async def _carry(self, row: Row, outcome: Outcome, start_s: float) -> None:
        await self.send(row, outcome, start_s)

    def _forget(self, task: asyncio.Task[None]) -> None:
        outcome = self._open.pop(task)
        if task.cancelled():
            outcome.error = INTERRUPTED
        elif (fault := task.exception()) is not None:
            outcome.error = f"generator: {type(fault).__name__}"
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        self.on_end(outcome)

    async def _abandon(self) -> None:
        """Cancel what is still open; each is reported as interrupted."""
        left = list(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        while self._open:
            await asyncio.sleep(0)  # callbacks of the cancelled run
