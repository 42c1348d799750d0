"""Replicas that come and go: timetable, reactive scaling, losses, and the time paid for."""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation.layout import (
    ACTIVE,
    DRAINING,
    INF,
    LOST,
    N_PENDING,
    N_RANKS,
    N_REPLICAS,
    OFF,
    ON,
    ON_SINCE,
    OUTSTANDING,
    RANK_WORDS,
    RANKS0,
    REAL,
    REPLICA0,
    REPLICA_WORDS,
    STARTING,
    STATUS,
    TIME,
    Reals,
    Words,
)
from weighbridge.capacity.simulation.losses import (
    empty_rank,
    release_pending,
    start_over,
    stop_replica,
)

# Events of one instant happen in this order.
RETURNS, READY, TIMETABLE, LOOK, LOSES = range(5)


class Control:
    """What happens to a fleet between the kernel's stretches of work."""

    def __init__(self, m: Words, f: Reals, fleet: FleetPlan) -> None:
        self.m, self.f, self.fleet = m, f, fleet
        self.scaling = fleet.autoscaling
        self.wanted = fleet.n_replicas
        self.events: list[tuple[float, int, int]] = []
        self.ready_s: dict[int, float] = {}
        self.drained_s: dict[int, float] = {}
        self.n_losses = [0] * m[N_REPLICAS]
        self.below_since_s = INF
        self.most_wanted = 0
        for number in range(fleet.n_replicas):
            self._activate(number, 0.0)
        for loss in fleet.losses:
            heappush(self.events, (loss.from_s, LOSES, loss.replica))
            heappush(self.events, (loss.to_s, RETURNS, loss.replica))
        if self.scaling is not None and self.scaling.schedule:
            for from_s, n_replicas in self.scaling.schedule:
                heappush(self.events, (from_s, TIMETABLE, n_replicas))
        elif self.scaling is not None:
            heappush(self.events, (self.scaling.period_s, LOOK, 1))

    @property
    def next_s(self) -> float:
        """When the next event is [s]."""
        return self.events[0][0] if self.events else INF

    def act(self) -> None:
        """Let the next event happen; the replicas have worked until then."""
        at_s, kind, number = heappop(self.events)
        self._settle_drained()
        if kind == LOSES:
            self._lose(number, at_s)
        elif kind == RETURNS:
            self._return(number, at_s)
        elif kind == READY:
            self._get_ready(number, at_s)
        elif kind == TIMETABLE:
            self.wanted = number
            self._reach_wanted(at_s)
        else:
            self._look(number, at_s)

    def close(self, end_s: float) -> None:
        """Book what is still paid for when everything has ended."""
        self._settle_drained()
        for number in range(self.m[N_REPLICAS]):
            if self._status(number) in (ACTIVE, STARTING, DRAINING):
                self._book(number, max(end_s, self.f[self._real(number) + ON_SINCE]))

    def _record(self, number: int) -> int:
        return int(self.m[REPLICA0]) + number * REPLICA_WORDS

    def _real(self, number: int) -> int:
        return int(self.m[self._record(number) + REAL])

    def _status(self, number: int) -> int:
        return int(self.m[self._record(number) + STATUS])

    def _numbers(self, *statuses: int) -> list[int]:
        return [k for k in range(self.m[N_REPLICAS]) if self._status(k) in statuses]

    def _book(self, number: int, until_s: float) -> None:
        x = self._real(number)
        self.f[x + ON] += until_s - self.f[x + ON_SINCE]
        self.f[x + ON_SINCE] = until_s

    def _activate(self, number: int, at_s: float) -> None:
        if self._status(number) in (OFF, LOST):
            self.f[self._real(number) + ON_SINCE] = at_s
        self.m[self._record(number) + STATUS] = ACTIVE
        if self.m[N_PENDING] > 0:
            release_pending(self.m, self.f, at_s)

    def _switch_off(self, number: int, at_s: float) -> None:
        """The replica is no longer paid for, and forgets what it cached."""
        self._book(number, at_s)
        r = self._record(number)
        self.m[r + STATUS] = OFF
        for k in range(self.m[N_RANKS]):
            empty_rank(self.m, self.m[r + RANKS0] + k * RANK_WORDS)

    def _settle_drained(self) -> None:
        for number in self._numbers(DRAINING):
            if self.m[self._record(number) + OUTSTANDING] == 0:
                last_s = float(self.f[self._real(number) + TIME])
                self._switch_off(number, max(last_s, self.drained_s[number]))

    def _lose(self, number: int, at_s: float) -> None:
        self.n_losses[number] += 1
        status = self._status(number)
        if status == LOST:
            return
        r = self._record(number)
        if status != OFF:
            self._book(number, at_s)
        self.m[r + STATUS] = LOST
        for i in stop_replica(self.m, self.f, r, at_s):
            start_over(self.m, self.f, i, at_s)
        if self.scaling is not None:
            self._reach_wanted(at_s)

    def _return(self, number: int, at_s: float) -> None:
        self.n_losses[number] -= 1
        if self.n_losses[number] > 0:
            return
        if self.scaling is None:
            self._activate(number, at_s)
            return
        self.m[self._record(number) + STATUS] = OFF
        self._reach_wanted(at_s)

    def _get_ready(self, number: int, at_s: float) -> None:
        if self._status(number) == STARTING and self.ready_s[number] == at_s:
            self._activate(number, at_s)

    def _look(self, n_looks: int, at_s: float) -> None:
        """Scale up at once, down when less was enough for long."""
        scaling = self.scaling
        assert scaling is not None
        heappush(self.events, ((n_looks + 1) * scaling.period_s, LOOK, n_looks + 1))
        n_requests = self.m[N_PENDING]
        for number in range(self.m[N_REPLICAS]):
            n_requests += self.m[self._record(number) + OUTSTANDING]
        needed = ceil(n_requests / scaling.target_requests)
        needed = min(max(needed, scaling.n_min_replicas), scaling.n_max_replicas)
        if needed >= self.wanted:
            self.wanted = needed
            self.below_since_s = INF
        else:
            if self.below_since_s == INF:
                self.below_since_s = at_s
                self.most_wanted = needed
            self.most_wanted = max(self.most_wanted, needed)
            if at_s - self.below_since_s >= scaling.scale_down_after_s:
                self.wanted = self.most_wanted
                self.below_since_s = INF
        self._reach_wanted(at_s)

    def _reach_wanted(self, at_s: float) -> None:
        """Start or drain replicas until as many are on, or starting, as are wanted."""
        n_more = self.wanted - len(self._numbers(ACTIVE, STARTING))
        if n_more > 0:
            for number in self._numbers(DRAINING)[:n_more]:
                self._activate(number, at_s)
                n_more -= 1
            for number in self._numbers(OFF)[:n_more]:
                self._start(number, at_s)
        elif n_more < 0:
            dropped = [*reversed(self._numbers(STARTING)), *reversed(self._numbers(ACTIVE))]
            for number in dropped[:-n_more]:
                self._drop(number, at_s)

    def _start(self, number: int, at_s: float) -> None:
        assert self.scaling is not None
        self.f[self._real(number) + ON_SINCE] = at_s
        self.m[self._record(number) + STATUS] = STARTING
        self.ready_s[number] = at_s + self.scaling.start_up_s
        heappush(self.events, (self.ready_s[number], READY, number))

    def _drop(self, number: int, at_s: float) -> None:
        if self._status(number) == STARTING:
            self._switch_off(number, at_s)
        else:
            self.m[self._record(number) + STATUS] = DRAINING
            self.drained_s[number] = at_s
            self._settle_drained()
