"""Which counts a claim draws on, found once for each (key, tenant, feature, model)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from weighbridge.gateway.admission import Budget, Claim, Limit, VirtualKey
from weighbridge.gateway.admission.roster import Count, Roster
from weighbridge.gateway.admission.rules import OTHERS, Rulebook

DEFAULT_MAX_FREE = 20_000
_MAX_CACHED = 20_000


class LimitCount(Count, Protocol):
    """What was taken of a limit."""

    limit: Limit

    def reconfigure(self, limit: Limit, now: float) -> None:
        """Take another limit; what was taken stays taken."""


class BudgetCount(Count, Protocol):
    """What was spent of a budget."""

    budget: Budget

    def reconfigure(self, budget: Budget) -> None:
        """Take another amount; what was spent stays spent."""


A = TypeVar("A", bound=LimitCount)
P = TypeVar("P", bound=BudgetCount)


class Standing(NamedTuple, Generic[A, P]):
    """All that one kind of claim draws on; holding the key keeps its `id()` from another's use."""

    allowances: tuple[A, ...]
    purses: tuple[P, ...]
    key: VirtualKey | None


class Standings(Generic[A, P]):
    """Counts of an admission, and the standings found so far (`cached`, by `id(key)` and names)."""

    def __init__(
        self,
        rules: Rulebook,
        new_allowance: Callable[[Limit, float], A],
        new_purse: Callable[[Budget, float], P],
        max_free: int = DEFAULT_MAX_FREE,
    ) -> None:
        self.rules = rules
        self.cached: dict[tuple[int, str | None, str | None, str], Standing[A, P]] = {}
        self.allowances: Roster[A] = Roster(max_free)
        self.purses: Roster[P] = Roster(max_free)
        self.n_cleared = 0
        self.n_crowded = 0  # claims that had to share a count for want of room
        self._new_allowance = new_allowance
        self._new_purse = new_purse

    def reconfigure(self, rules: Rulebook) -> None:
        """Other rules from now on; counts stay."""
        self.rules = rules
        self._clear()

    def _clear(self) -> None:
        self.n_cleared += 1
        self.cached.clear()

    def find(self, claim: Claim, now: float, at: float) -> Standing[A, P]:
        """What a claim draws on; made and kept where it is new."""
        n_before = self.allowances.n_forgotten + self.purses.n_forgotten
        n_crowded = self.n_crowded
        allowances = tuple(
            self._allowance(rule, is_free, now, at) for rule, is_free in self.rules.limits_on(claim)
        )
        purses = tuple(
            self._purse(rule, is_free, now, at) for rule, is_free in self.rules.budgets_on(claim)
        )
        standing = Standing(allowances, purses, claim.key)
        n_forgotten = self.allowances.n_forgotten + self.purses.n_forgotten
        if n_forgotten != n_before or len(self.cached) >= _MAX_CACHED:
            self._clear()  # some may hold counts that were forgotten
        if self.n_crowded == n_crowded:  # else a later claim may find room
            self.cached[id(claim.key), claim.tenant, claim.feature, claim.model] = standing
        return standing

    def _allowance(self, limit: Limit, is_free: bool, now: float, at: float) -> A:
        roster = self.allowances
        name: tuple[str, ...] = (limit.scope, limit.name)
        count = roster.get(name)
        if count is None and is_free and not roster.has_room(now, at):
            self.n_crowded += 1
            limit = Limit(
                limit.scope,
                OTHERS,
                limit.requests_per_minute,
                limit.tokens_per_minute,
                limit.concurrency,
            )
            name, is_free = (limit.scope, OTHERS), False
            count = roster.get(name)
        if count is None:
            count = self._new_allowance(limit, now)
            roster.add(name, count, is_free)
        elif count.limit != limit:
            count.reconfigure(limit, now)
        return count

    def _purse(self, budget: Budget, is_free: bool, now: float, at: float) -> P:
        roster = self.purses
        name: tuple[str, ...] = (budget.scope, budget.name, budget.period, budget.kind)
        count = roster.get(name)
        if count is None and is_free and not roster.has_room(now, at):
            self.n_crowded += 1
            budget = Budget(budget.scope, OTHERS, budget.usd, budget.period, budget.kind)
            name, is_free = (budget.scope, OTHERS, budget.period, budget.kind), False
            count = roster.get(name)
        if count is None:
            count = self._new_purse(budget, at)
            roster.add(name, count, is_free)
        elif count.budget != budget:
            count.reconfigure(budget)
        return count
