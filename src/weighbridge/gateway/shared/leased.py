"""Admission by leases: limits and budgets that hold over all processes of one bank."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any

from weighbridge.gateway.admission import Budget, Claim, Grant, Limit, Refusal, VirtualKey
from weighbridge.gateway.admission.local import Level, no_event, worst
from weighbridge.gateway.admission.rules import Rulebook
from weighbridge.gateway.admission.spent import SpentBook
from weighbridge.gateway.admission.standing import Standing, Standings
from weighbridge.gateway.budgets import Events, over_budget
from weighbridge.gateway.limits import too_large
from weighbridge.gateway.shared.bank import Bank
from weighbridge.gateway.shared.courier import Courier
from weighbridge.gateway.shared.lease import (
    Lease,
    LeasedAllowance,
    MoneyLease,
    RateLease,
    SlotLease,
)

MAX_FREE = 5_000
_MAX_TRIES = 3
# The bank may be back long before a day's budget ends.
AWAY_RETRY_S = 5.0
Then = Callable[[Grant | Refusal], None]


class Holding:
    """All leases that one kind of claim takes from."""

    __slots__ = ("key", "leases", "ones", "purses", "slots", "tokens")

    def __init__(self, standing: Standing[LeasedAllowance, MoneyLease]) -> None:
        every = [one for allowance in standing.allowances for one in allowance.leases()]
        rates = [one for one in every if isinstance(one, RateLease)]
        requests = [one for one in rates if one.what == "requests"]
        self.tokens = tuple(one for one in rates if one.what == "tokens")
        self.slots = tuple(one for one in every if isinstance(one, SlotLease))
        self.ones: tuple[Lease, ...] = (*requests, *self.slots)  # of which a claim takes one
        self.purses = standing.purses
        self.leases: tuple[Lease, ...] = (*every, *standing.purses)
        self.key: VirtualKey | None = standing.key  # keeps its id() from another's use

    def take(self, tokens: int, pico_usd: int) -> bool:
        """Take all of a claim, or nothing."""
        for one in self.ones:
            if one.left < 1:
                return False
        for lease in self.tokens:
            if lease.left < tokens:
                return False
        for purse in self.purses:
            if purse.left < pico_usd:
                return False
        for one in self.ones:
            one.left -= 1
        for lease in self.tokens:
            lease.left -= tokens
        for purse in self.purses:
            purse.left -= pico_usd
        return True

    def needs(self, claim: Claim) -> Iterator[tuple[Lease, int]]:
        """What a claim takes from each lease."""
        yield from ((lease, 1) for lease in self.ones)
        yield from ((lease, claim.tokens) for lease in self.tokens)
        yield from ((lease, claim.pico_usd) for lease in self.purses)

    def missing(self, claim: Claim) -> list[tuple[Lease, int]]:
        """The leases that cannot serve a claim now."""
        return [(lease, need) for lease, need in self.needs(claim) if lease.left < need]


class LeasedGrant:
    """An admitted claim."""

    __slots__ = ("_holding", "_is_open", "_owner", "_pico_usd", "_tokens")

    def __init__(
        self, owner: LeasedAdmission, holding: Holding, tokens: int, pico_usd: int
    ) -> None:
        self._owner = owner
        self._holding = holding
        self._tokens = tokens
        self._pico_usd = pico_usd
        self._is_open = True

    def settle(self, tokens: int, pico_usd: int, now: float, at: float) -> None:  # noqa: ARG002
        """Give back or take what differs from the claim; a second call counts as a fault only."""
        owner = self._owner
        if not self._is_open:
            owner.n_settled_twice += 1
            return
        self._is_open = False
        holding = self._holding
        back_tokens = self._tokens - tokens
        for lease in holding.tokens:
            lease.left += back_tokens
            if not lease.is_active:
                owner.courier.note(lease)
        for slot in holding.slots:
            slot.left += 1
            if slot.left > slot.batch and owner.bank.is_immediate:
                slot.free(1)  # at once: another worker may be waiting for the last one
                owner.bank.release(slot.cell, 1)
        if holding.purses:
            owner.spend(holding.purses, self._pico_usd, pico_usd, at)


class Waiting:
    """A claim that waits for the bank."""

    __slots__ = ("at", "claim", "holding", "n_tries", "now", "then")

    def __init__(self, holding: Holding, claim: Claim, now: float, at: float, then: Then) -> None:
        self.holding, self.claim, self.now, self.at, self.then = holding, claim, now, at, then
        self.n_tries = 0


class LeasedAdmission:
    """Limits and budgets of all processes that share a bank; see `bank` for how far they hold.

    `tick` is to be called every `TICK_S`. A claim that waits calls `then` later, maybe when its
    client has left: a grant must be settled then too. While the bank cannot be reached, this
    process goes by `share_frac` of each limit, and of what was left of each budget. Spend is kept
    by the bank: restore a snapshot, which never counts twice, and replay nothing.
    """

    keeps_spend = True

    def __init__(  # what it stands on, and two settings by name
        self,
        limits: Iterable[Limit],
        budgets: Iterable[Budget],
        bank: Bank,
        *,
        share_frac: float = 0.25,
        on_event: Events = no_event,
    ) -> None:
        self.bank = bank
        self.courier = Courier(bank, on_event)
        self.share_frac = share_frac
        self.n_settled_twice = 0
        self._book = SpentBook()
        self._standings: Standings[LeasedAllowance, MoneyLease] = Standings(
            Rulebook(limits, budgets), LeasedAllowance, self._new_purse, MAX_FREE
        )
        self._holdings: dict[tuple[int, str | None, str | None, str], Holding] = {}
        self._n_cleared = 0
        self._queue: deque[Waiting] = deque()

    def admit(
        self, claim: Claim, now: float, at: float, then: Then | None = None
    ) -> LeasedGrant | Refusal | None:
        """Decide at once where leases suffice or the bank is at hand, else call `then` later."""
        at += self.bank.offset_s
        name = (id(claim.key), claim.tenant, claim.feature, claim.model)
        holding = self._holdings.get(name)
        if holding is None:
            holding = self._find(claim, now, at)
        for purse in holding.purses:
            if not purse.starts_at <= at < purse.ends_at:
                self._turn(purse, at)
        if not holding.take(claim.tokens, claim.pico_usd):
            return self._short(holding, claim, now, at, then)
        if not self.bank.is_immediate:
            self._top_up(holding, now, at)
        return LeasedGrant(self, holding, claim.tokens, claim.pico_usd)

    def warm(self, now: float, at: float) -> None:
        """Reach for the bank before the first claim, so that none waits for connections."""
        if not self.courier.is_busy:
            self.courier.fetch([], now, at, self._serve)

    def tick(self, now: float, at: float) -> None:
        """Settle accounts with the bank; to be called every `TICK_S`."""
        self.courier.tick(now, at + self.bank.offset_s, self._serve)

    def close(self, now: float, at: float) -> None:
        """Give everything back that is not in use."""
        self.courier.tick(now, at + self.bank.offset_s, self._serve, is_last=True)

    def spend(self, purses: Iterable[MoneyLease], reserved: int, spent: int, at: float) -> None:
        """Spend instead of a reservation, in the period of `at`."""
        at += self.bank.offset_s
        for purse in purses:
            if not purse.starts_at <= at < purse.ends_at:
                self._turn(purse, at)
            purse.settle(reserved, spent)
            self.bank.spend(purse, spent)
            if not purse.is_active:
                self.courier.note(purse)

    def charge(self, spent: Claim, at: float) -> None:
        """Count spend that no grant settles, e.g. of requests that a killed process left.

        Not for rebuilding after a restart: the bank has what was spent.
        """
        standing = self._standings.find(spent, 0.0, at)
        self.spend(standing.purses, 0, spent.pico_usd, at)

    def reconfigure(self, limits: Iterable[Limit], budgets: Iterable[Budget]) -> None:
        """Other limits and budgets from now on; what was taken and spent stays."""
        self._standings.reconfigure(Rulebook(limits, budgets))
        self._holdings.clear()

    def snapshot(self, at: float, mark: object = None) -> dict[str, Any]:
        """Spend of all processes as known here, as plain JSON values."""
        return self._book.snapshot(self._standings.purses.values(), at, mark)

    def restore(self, snapshot: Mapping[str, Any]) -> object:
        """What is known to be spent: a bank that knows less takes it over; its mark."""
        self._book.restore(snapshot)
        return snapshot.get("mark")

    def levels(self, now: float, max_names: int = 200) -> list[Level]:  # noqa: ARG002
        """How much of all is used as the bank last said, of at most so many names."""
        found: list[Level] = []
        for allowance in islice(self._standings.allowances.values(), max_names):
            limit = allowance.limit
            for what in ("requests", "tokens", "slots"):
                lease: Lease | None = getattr(allowance, what)
                if lease is not None:
                    said = "concurrency" if what == "slots" else what
                    used = lease.capacity - lease.level
                    found.append(Level(limit.scope, limit.name, said, used, lease.capacity))
        for purse in islice(self._standings.purses.values(), max_names):
            budget = purse.budget
            used = (purse.total + purse.spent - purse.sent) / 1e12
            what = f"usd_{budget.period}"
            found.append(Level(budget.scope, budget.name, what, used, float(budget.usd)))
        return found

    def counters(self) -> dict[str, int]:
        """What happened since the start, for metrics."""
        return {
            "settled_twice": self.n_settled_twice,
            "crowded": self.n_crowded,
            "exchanges": self.courier.n_exchanges,
            "failed_exchanges": self.courier.n_failed,
            "outages": self.courier.n_outages,
        }

    @property
    def is_degraded(self) -> bool:
        """Whether the bank cannot be reached, so that the local share holds."""
        return self.courier.is_away

    @property
    def n_crowded(self) -> int:
        """Claims that had to share an allowance because too many names are in use."""
        return self._standings.n_crowded

    def _new_purse(self, budget: Budget, at: float) -> MoneyLease:
        return MoneyLease(budget, at, self._book.of(budget, self._standings.purses))

    def _find(self, claim: Claim, now: float, at: float) -> Holding:
        holding = Holding(self._standings.find(claim, now, at))
        if self._standings.n_cleared != self._n_cleared:
            self._n_cleared = self._standings.n_cleared
            self._holdings.clear()
        name = (id(claim.key), claim.tenant, claim.feature, claim.model)
        if name in self._standings.cached:
            self._holdings[name] = holding
        return holding

    def _turn(self, purse: MoneyLease, at: float) -> None:
        self.courier.close_period(purse.turn(at))

    def _short(
        self, holding: Holding, claim: Claim, now: float, at: float, then: Then | None
    ) -> LeasedGrant | Refusal | None:
        never = _never(holding, claim, at)
        if never is not None:
            return never
        if self.courier.is_away:
            return self._decide(holding, claim, now, at)
        missing = holding.missing(claim)
        if self.bank.is_immediate:
            for lease, need in missing:
                lease.ask(need, need)
            self.courier.fetch([lease for lease, _ in missing], now, at, _nothing)
            return self._decide(holding, claim, now, at)
        dry = [one.refusal(need, now, at) for one, need in missing if one.is_dry(need, now)]
        if dry:
            return worst(dry)
        if then is None:
            raise TypeError("with shared state, admit needs `then`")
        self._queue.append(Waiting(holding, claim, now, at, then))
        if not self.courier.is_busy:
            self._send(now, at)
        return None

    def _decide(
        self, holding: Holding, claim: Claim, now: float, at: float
    ) -> LeasedGrant | Refusal:
        if self.courier.is_away:
            for lease, need in holding.missing(claim):
                lease.go_away(need, self.share_frac, now)
                self.courier.note(lease)
        if holding.take(claim.tokens, claim.pico_usd):
            return LeasedGrant(self, holding, claim.tokens, claim.pico_usd)
        refusal = worst([one.refusal(need, now, at) for one, need in holding.missing(claim)])
        if self.courier.is_away and (refusal.retry_after_s or inf) > AWAY_RETRY_S:
            return replace(refusal, retry_after_s=AWAY_RETRY_S)
        return refusal

    def _top_up(self, holding: Holding, now: float, at: float) -> None:
        """Lease more before a lease is empty, so that few claims ever wait."""
        if self.courier.is_busy or self.courier.is_away:
            return
        low = [
            lease
            for lease in holding.leases
            if lease.left < lease.batch >> 2 and now >= lease.dry_until_s
        ]
        if low:
            for lease in low:
                lease.ask(0, 0)
            self.courier.fetch(low, now, at, self._serve)

    def _send(self, now: float, at: float) -> None:
        """One exchange for all that wait."""
        needs: dict[Lease, tuple[int, int]] = {}  # of all together, and of the smallest
        for waiting in self._queue:
            for lease, need in waiting.holding.needs(waiting.claim):
                together, least = needs.get(lease, (0, need))
                needs[lease] = (together + need, min(least, need))
        short = [lease for lease, (together, _) in needs.items() if lease.left < together]
        for lease in short:
            lease.ask(*needs[lease])
        self.courier.fetch(short, now, at, self._serve)

    def _serve(self) -> None:
        """Decide what waits, in the order of its coming; a fault with one is told after all."""
        fault: Exception | None = None
        for _ in range(len(self._queue)):
            waiting = self._queue.popleft()
            answer = self._retry(waiting)
            if answer is None:
                self._queue.append(waiting)
                continue
            try:
                waiting.then(answer)
            except Exception as error:
                fault = error
        if self._queue and not self.courier.is_busy:
            last = self._queue[-1]
            self._send(last.now, last.at)
        if fault is not None:
            raise fault

    def _retry(self, waiting: Waiting) -> LeasedGrant | Refusal | None:
        holding, claim, now, at = waiting.holding, waiting.claim, waiting.now, waiting.at
        waiting.n_tries += 1
        missing = holding.missing(claim)
        is_vain = self.courier.is_away or any(one.is_dry(need, now) for one, need in missing)
        if missing and not is_vain and waiting.n_tries < _MAX_TRIES:
            return None  # others took it while this one waited
        return self._decide(holding, claim, now, at)


def _nothing() -> None:
    """The answer is in the leases already."""


def _never(holding: Holding, claim: Claim, at: float) -> Refusal | None:
    """The refusal of a claim that no waiting makes fit."""
    for lease in holding.tokens:
        if claim.tokens > lease.capacity:
            return too_large(lease.limit, claim.tokens)
    for purse in holding.purses:
        if purse.is_hard and claim.pico_usd > purse.capacity:
            return over_budget(purse.budget, (purse.total, 0, claim.pico_usd), purse.ends_at, at)
    return None
