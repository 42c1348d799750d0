"""Admission in one process: every count is here, every decision is made at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from weighbridge.gateway.admission import Budget, Claim, Grant, Limit, Refusal
from weighbridge.gateway.admission.rules import Rulebook
from weighbridge.gateway.admission.spent import SpentBook
from weighbridge.gateway.admission.standing import DEFAULT_MAX_FREE, Standing, Standings
from weighbridge.gateway.budgets import (
    THRESHOLD_FRACS,
    Events,
    Purse,
    threshold_words,
)
from weighbridge.gateway.limits import UNLIMITED_CONCURRENCY, Allowance

LocalStanding = Standing[Allowance, Purse]


class Level(NamedTuple):
    """How much of one limit or budget is used, for metrics."""

    scope: str
    name: str
    what: str  # requests, tokens, concurrency, usd_day, usd_month
    used: float
    limit: float


def no_event(name: str, detail: str) -> None:
    """Listen to nothing."""


class LocalGrant:
    """An admitted claim."""

    __slots__ = ("_is_open", "_owner", "_pico_usd", "_standing", "_tokens")

    def __init__(
        self, owner: LocalAdmission, standing: LocalStanding, tokens: int, pico_usd: int
    ) -> None:
        self._owner = owner
        self._standing = standing
        self._tokens = tokens
        self._pico_usd = pico_usd
        self._is_open = True

    def settle(self, tokens: int, pico_usd: int, now: float, at: float) -> None:  # noqa: ARG002
        """Give back or take what differs from the claim; a second call counts as a fault only."""
        if not self._is_open:
            self._owner.n_settled_twice += 1
            return
        self._is_open = False
        standing = self._standing
        back_tokens = self._tokens - tokens
        for allowance in standing.allowances:
            allowance.running -= 1
            level = allowance.tokens + back_tokens
            allowance.tokens = level if level < allowance.tokens_cap else allowance.tokens_cap
        for purse in standing.purses:
            if not purse.starts_at <= at < purse.ends_at:
                purse.turn(at)
            purse.reserved_pico_usd -= self._pico_usd
            purse.spent_pico_usd += pico_usd
            if purse.spent_pico_usd >= purse.next_pico_usd:
                self._owner.tell(purse)


class LocalAdmission:
    """Limits and budgets of one process.

    Nothing is taken unless all of a claim fits. `on_event` hears once a period of each threshold
    that a budget passes. Spend is gone with the process: restore a snapshot, and replay what came
    after it.
    """

    keeps_spend = False
    is_degraded = False

    def __init__(
        self,
        limits: Iterable[Limit] = (),
        budgets: Iterable[Budget] = (),
        *,
        on_event: Events = no_event,
        threshold_fracs: tuple[float, ...] = THRESHOLD_FRACS,
        max_free: int = DEFAULT_MAX_FREE,
    ) -> None:
        self.on_event = on_event
        self.threshold_fracs = threshold_fracs
        self.n_settled_twice = 0
        self._book = SpentBook()
        self._standings: Standings[Allowance, Purse] = Standings(
            Rulebook(limits, budgets), Allowance, self._new_purse, max_free
        )
        self._cached = self._standings.cached

    def admit(
        self,
        claim: Claim,
        now: float,
        at: float,
        then: Callable[[Grant | Refusal], None] | None = None,  # noqa: ARG002  # never later
    ) -> LocalGrant | Refusal:
        """Decide at once."""
        standing = self._cached.get((id(claim.key), claim.tenant, claim.feature, claim.model))
        if standing is None:
            standing = self._standings.find(claim, now, at)
        tokens, pico_usd = claim.tokens, claim.pico_usd
        allowances, purses, _ = standing
        for allowance in allowances:
            elapsed_s = now - allowance.stamp_s
            if elapsed_s > 0.0:
                allowance.stamp_s = now
                level = allowance.requests + elapsed_s * allowance.requests_per_s
                cap = allowance.requests_cap
                allowance.requests = level if level < cap else cap
                level = allowance.tokens + elapsed_s * allowance.tokens_per_s
                cap = allowance.tokens_cap
                allowance.tokens = level if level < cap else cap
            if (
                allowance.requests < 1.0
                or allowance.tokens < tokens
                or allowance.running >= allowance.concurrency
            ):
                return _refusal(standing, tokens, pico_usd, now, at)
        for purse in purses:
            if not purse.starts_at <= at < purse.ends_at:
                purse.turn(at)
            held = purse.spent_pico_usd + purse.reserved_pico_usd
            if held + pico_usd > purse.ceiling_pico_usd:
                return _refusal(standing, tokens, pico_usd, now, at)
        for allowance in allowances:
            allowance.requests -= 1.0
            allowance.tokens -= tokens
            allowance.running += 1
        for purse in purses:
            purse.reserved_pico_usd += pico_usd
        return LocalGrant(self, standing, tokens, pico_usd)

    def reconfigure(self, limits: Iterable[Limit], budgets: Iterable[Budget]) -> None:
        """Other limits and budgets from now on; what was taken and spent stays."""
        self._standings.reconfigure(Rulebook(limits, budgets))

    def charge(self, spent: Claim, at: float) -> None:
        """Count spend that no grant settles: of before a restart, or of interrupted requests."""
        for purse in self._standings.find(spent, 0.0, at).purses:
            purse.charge(spent.pico_usd, at)

    def snapshot(self, at: float, mark: object = None) -> dict[str, Any]:
        """All spend as plain JSON values; `mark` comes back from `restore`."""
        return self._book.snapshot(self._standings.purses.values(), at, mark)

    def restore(self, snapshot: Mapping[str, Any]) -> object:
        """Start from a snapshot, before the first claim; its mark."""
        self._book.restore(snapshot)
        return snapshot.get("mark")

    def warm(self, now: float, at: float) -> None:
        """Nobody to reach for; as of shared state."""

    def tick(self, now: float, at: float) -> None:
        """Nothing to settle with anyone; as of shared state."""

    def close(self, now: float, at: float) -> None:
        """Nothing to give back; as of shared state."""

    def levels(self, now: float, max_names: int = 200) -> list[Level]:
        """How much is used, of named limits first and of at most so many names."""
        found: list[Level] = []
        for allowance in islice(self._standings.allowances.values(), max_names):
            allowance.refill(now)
            found.extend(_levels(allowance))
        for purse in islice(self._standings.purses.values(), max_names):
            used = (purse.spent_pico_usd + purse.reserved_pico_usd) / 1e12
            budget = purse.budget
            what = f"usd_{budget.period}"
            found.append(Level(budget.scope, budget.name, what, used, float(budget.usd)))
        return found

    def counters(self) -> dict[str, int]:
        """What happened since the start, for metrics."""
        return {"settled_twice": self.n_settled_twice, "crowded": self.n_crowded}

    @property
    def n_crowded(self) -> int:
        """Claims that had to share an allowance because too many names are in use."""
        return self._standings.n_crowded

    def tell(self, purse: Purse) -> None:
        """Report the thresholds that a purse has passed."""
        for frac in purse.passed():
            words = threshold_words(purse.budget, frac, purse.spent_pico_usd)
            self.on_event("budget_threshold", words)

    def _new_purse(self, budget: Budget, at: float) -> Purse:
        return Purse(
            budget, at, self._book.of(budget, self._standings.purses), self.threshold_fracs
        )


def _refusal(standing: LocalStanding, tokens: int, pico_usd: int, now: float, at: float) -> Refusal:
    """The refusal that matters most: what can never pass, else what takes longest to pass."""
    found: list[Refusal] = []
    for allowance in standing.allowances:
        allowance.refill(now)
        refusal = allowance.refusal(tokens)
        if refusal is not None:
            found.append(refusal)
    for purse in standing.purses:
        if not purse.starts_at <= at < purse.ends_at:
            purse.turn(at)
        refusal = purse.refusal(pico_usd, at)
        if refusal is not None:
            found.append(refusal)
    return worst(found)


def worst(refusals: list[Refusal]) -> Refusal:
    """What can never pass before what can, and then what takes longest."""
    return max(refusals, key=lambda one: inf if one.retry_after_s is None else one.retry_after_s)


def _levels(allowance: Allowance) -> Iterable[Level]:
    limit = allowance.limit
    if allowance.requests_cap < inf:
        used, cap = allowance.requests_cap - allowance.requests, allowance.requests_cap
        yield Level(limit.scope, limit.name, "requests", used, cap)
    if allowance.tokens_cap < inf:
        used, cap = allowance.tokens_cap - allowance.tokens, allowance.tokens_cap
        yield Level(limit.scope, limit.name, "tokens", used, cap)
    if allowance.concurrency < UNLIMITED_CONCURRENCY:
        running, most = float(allowance.running), float(allowance.concurrency)
        yield Level(limit.scope, limit.name, "concurrency", running, most)
