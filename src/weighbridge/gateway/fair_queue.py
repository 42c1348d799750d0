"""Requests that wait for a target, in the order in which they should be served."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

TicketState = Literal["new", "waiting", "running", "gone"]


@dataclass(slots=True, eq=False)
class Ticket:
    """One request at a target's gate."""

    tenant: str | None
    priority: int  # higher goes first
    deadline_s: float  # of the request itself
    input_tokens: int  # estimates, as reserved
    output_tokens: int
    payload: object = None  # the caller's
    state: TicketState = "new"
    expires_s: float = 0.0  # when it has waited too long; the gate sets it


@dataclass(slots=True, eq=False)
class Backlog:
    """How much waits."""

    n: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, ticket: Ticket, sign: int) -> None:
        """Count a ticket in (1) or out (-1)."""
        self.n += sign
        self.input_tokens += sign * ticket.input_tokens
        self.output_tokens += sign * ticket.output_tokens


@dataclass(slots=True, eq=False)
class _Line:
    """One tenant's tickets of one priority, first come first served."""

    tickets: deque[Ticket] = field(default_factory=deque)
    backlog: Backlog = field(default_factory=Backlog)

    def push(self, ticket: Ticket) -> None:
        if len(self.tickets) > 2 * self.backlog.n + 64:
            self.tickets = deque(one for one in self.tickets if one.state == "waiting")
        self.tickets.append(ticket)
        self.backlog.add(ticket, 1)

    def first(self) -> Ticket:
        while self.tickets[0].state != "waiting":
            self.tickets.popleft()
        return self.tickets[0]

    def last(self) -> Ticket:
        return next(one for one in reversed(self.tickets) if one.state == "waiting")


class _Band:
    """All that wait with one priority, fairly shared between tenants.

    Start-time fair queueing: each tenant has a place in virtual time, which moves on by the cost of
    what it was served; the tenant that is furthest behind is served next, and one that comes back
    begins where the band is now, so that absence saves nothing up.
    """

    __slots__ = ("_n_entries", "_now", "_order", "_places", "lines", "served_s")

    def __init__(self, served_s: float) -> None:
        self.lines: dict[str | None, _Line] = {}
        self.served_s = served_s
        self._places: dict[str | None, float] = {}
        self._order: list[tuple[float, int, _Line]] = []
        self._n_entries = 0
        self._now = 0.0

    def push(self, ticket: Ticket) -> None:
        line = self.lines.get(ticket.tenant)
        if line is None:
            line = self.lines[ticket.tenant] = _Line()
            place = self._places.get(ticket.tenant, 0.0)
            self._enter(line, max(place, self._now))
        line.push(ticket)

    def first(self) -> Ticket:
        while not self._order[0][2].backlog.n:
            heapq.heappop(self._order)
        return self._order[0][2].first()

    def serve(self, ticket: Ticket, cost: float) -> None:
        self._now, _, line = heapq.heappop(self._order)
        place = self._places[ticket.tenant] = self._now + cost
        if line.backlog.n > 1:
            self._enter(line, place)

    def remove(self, ticket: Ticket) -> None:
        line = self.lines[ticket.tenant]
        line.backlog.add(ticket, -1)
        if not line.backlog.n:
            del self.lines[ticket.tenant]

    def _enter(self, line: _Line, place: float) -> None:
        if len(self._order) > 2 * len(self.lines) + 64:
            self._order = [entry for entry in self._order if entry[2].backlog.n]
            heapq.heapify(self._order)
        self._n_entries += 1
        heapq.heappush(self._order, (place, self._n_entries, line))


_EMPTY = Backlog()


class FairQueue:
    """Higher priorities first, tenants in turn by what they cost, and nobody passed over for ever.

    A priority that is not served rises by one rank with every `ageing_s`.
    """

    __slots__ = ("_ageing_s", "_bands", "_expiries", "_n_pushed", "total")

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._bands: dict[int, _Band] = {}
        self._expiries: list[tuple[float, int, Ticket]] = []
        self._n_pushed = 0
        self.total = Backlog()

    def push(self, ticket: Ticket, now: float) -> None:
        """Let a ticket wait."""
        if len(self._expiries) > 2 * self.total.n + 64:
            self._expiries = [entry for entry in self._expiries if entry[2].state == "waiting"]
            heapq.heapify(self._expiries)
        ticket.state = "waiting"
        band = self._bands.get(ticket.priority)
        if band is None:
            band = self._bands[ticket.priority] = _Band(now)
        band.push(ticket)
        self.total.add(ticket, 1)
        self._n_pushed += 1
        heapq.heappush(self._expiries, (ticket.expires_s, self._n_pushed, ticket))

    def first(self, now: float) -> Ticket | None:
        """Who is next."""
        best: _Band | None = None
        best_rank = float("-inf")
        for n_below, priority in enumerate(sorted(self._bands)):
            band = self._bands[priority]
            rank = n_below + (now - band.served_s) / self._ageing_s
            if rank >= best_rank:
                best, best_rank = band, rank
        return None if best is None else best.first()

    def serve(self, ticket: Ticket, cost: float, now: float) -> None:
        """The next ticket of its priority goes; `cost` is what that takes from other tenants."""
        band = self._bands[ticket.priority]
        band.serve(ticket, cost)
        band.served_s = now
        self.remove(ticket, "running")

    def remove(self, ticket: Ticket, state: TicketState) -> None:
        """A ticket waits no more."""
        ticket.state = state
        self.total.add(ticket, -1)
        band = self._bands[ticket.priority]
        band.remove(ticket)
        if not band.lines:
            del self._bands[ticket.priority]

    def next_expiry(self) -> tuple[float, Ticket] | None:
        """Whose time is over next, and when."""
        while self._expiries and self._expiries[0][2].state != "waiting":
            heapq.heappop(self._expiries)
        return (self._expiries[0][0], self._expiries[0][2]) if self._expiries else None

    def ahead_of(self, ticket: Ticket) -> Backlog:
        """What is sure to be served before it: its own tenant's of the same priority."""
        band = self._bands.get(ticket.priority)
        line = None if band is None else band.lines.get(ticket.tenant)
        return _EMPTY if line is None else line.backlog

    def displaced_by(self, ticket: Ticket) -> Ticket | None:
        """Who should make room for a newcomer: the last of the greediest in the lowest priority."""
        lowest = min(self._bands, default=None)
        if lowest is None or lowest > ticket.priority:
            return None
        line = max(self._bands[lowest].lines.values(), key=lambda one: one.backlog.n)
        if lowest == ticket.priority and line.backlog.n < self.ahead_of(ticket).n + 2:
            return None
        return line.last()
