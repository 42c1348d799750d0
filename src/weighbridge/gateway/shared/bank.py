"""The words between a process and the bank that keeps the counts of all.

A process leases batches and serves most requests from them. Of a rate (requests, tokens) it takes
what it leases; what it does not use within a tick goes back. Of a pool (concurrency, money) it
holds what it leases until it says otherwise. A process always states the whole of what it holds
and has spent, never a difference, so that a message that is lost or repeated changes nothing.

Bounds. A hard budget: spend, and what processes hold for requests in flight and for the next
ones, never exceed it together; so it is passed only by what requests cost beyond their
reservations, and, where a process of a Redis bank dies, by what it had spent of its lease and not
yet told. A rate: at most what it allows to one process, and one tick's refill more, since a batch
may be used up to a tick after it was leased.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

RATE, SLOTS, MONEY = 0, 1, 2
TICK_S = 0.25
# No lease takes more of a limit than this, lest one process starve the others.
LEASE_PARTS = 16
# Amounts are 64-bit integers of 10^-12 dollars in a file, exact doubles of 10^-9 in Redis.
MAX_USD = 9_000_000
PICO_PER_NANO = 1000


class Draw(NamedTuple):
    """What a process asks of one count, and what it states of itself."""

    cell: str
    kind: int
    capacity: int  # a minute's worth, slots, or 10^-12 dollars
    rate_per_s: float
    want: int
    least: int = 0  # less than this is of no use and stays with the bank
    give: int = 0  # of a rate: goes back, or a debt where negative
    keep: int = 0  # of a pool: what this process holds before it gets more
    spent: int = 0  # of money: all that this process spent in the period
    floor: int = 0  # of money: what is known to be spent by all, from before a restart
    ends_at: float = 0.0  # of money: when the count may be forgotten


class Answer(NamedTuple):
    """What one draw got and how the count stands after it."""

    granted: int
    level: float  # still there for anyone
    total: int = 0  # of money: spent by all
    held: int = 0  # of a pool: held by all
    told_from: int = 0  # of money: thresholds that this process must report, by index
    told_to: int = 0


Done = Callable[[list[Answer] | None], None]


class Purse(Protocol):
    """A lease of money, as far as a bank looks at it."""

    cell: str
    capacity: int
    ends_at: int


class Bank(Protocol):
    """Counts of all processes."""

    is_immediate: bool  # `done` is called before `exchange` returns
    offset_s: float  # the bank's clock less ours

    def exchange(self, draws: list[Draw], now: float, at: float, done: Done) -> None:
        """Serve draws, each on its own; `done(None)` where the bank cannot be reached."""

    def spend(self, purse: Purse, amount: int) -> None:
        """Note spend at once, where that costs nothing; else it goes with the next draw."""

    def release(self, cell: str, n_slots: int) -> None:
        """Free slots at once, where that costs nothing; else with the next draw."""

    def close(self) -> None:
        """Let go of files and connections."""
