"""Requests and tokens per minute, and concurrency: buckets that refill continuously."""

from __future__ import annotations

from math import inf

from weighbridge.gateway.admission import Limit, Refusal

SECONDS_PER_MINUTE = 60.0
UNLIMITED_CONCURRENCY = 1 << 60
# Nobody knows when a running request ends; this is a courtesy to clients that would loop at once.
CONCURRENCY_RETRY_S = 1.0
# Added to exact waits, so that rounding never leaves a client a hair's breadth too early.
ROUNDING_S = 1e-6

_WHO = {"key": "Key", "tenant": "Tenant", "feature": "Feature", "model": "Model"}


class Allowance:
    """What one name may take: two buckets, each holding one minute's worth, and a count.

    A full bucket that refills lets at most twice a minute's worth pass in the minute after a rest,
    and the stated rate from then on. Tokens may go below zero: a request that took more than it
    reserved leaves a debt that the refill pays first.
    """

    __slots__ = (
        "concurrency",
        "limit",
        "requests",
        "requests_cap",
        "requests_per_s",
        "running",
        "stamp_s",
        "tokens",
        "tokens_cap",
        "tokens_per_s",
    )

    def __init__(self, limit: Limit, now: float) -> None:
        self.limit = limit
        self.requests_cap = self.requests = _cap(limit.requests_per_minute)
        self.tokens_cap = self.tokens = _cap(limit.tokens_per_minute)
        self.running = 0
        self.stamp_s = now
        self._set_rates()

    def _set_rates(self) -> None:
        limit = self.limit
        self.requests_per_s = (limit.requests_per_minute or 0) / SECONDS_PER_MINUTE
        self.tokens_per_s = (limit.tokens_per_minute or 0) / SECONDS_PER_MINUTE
        self.concurrency = UNLIMITED_CONCURRENCY if limit.concurrency is None else limit.concurrency

    def reconfigure(self, limit: Limit, now: float) -> None:
        """Take another limit; what was taken stays taken."""
        self.refill(now)
        n_taken = self.requests_cap - self.requests if self.requests_cap < inf else 0.0
        taken_tokens = self.tokens_cap - self.tokens if self.tokens_cap < inf else 0.0
        self.limit = limit
        self.requests_cap = _cap(limit.requests_per_minute)
        self.requests = self.requests_cap - n_taken
        self.tokens_cap = _cap(limit.tokens_per_minute)
        self.tokens = self.tokens_cap - taken_tokens
        self._set_rates()

    def refill(self, now: float) -> None:
        """Bring both buckets up to `now`; a clock that went back refills nothing."""
        elapsed_s = now - self.stamp_s
        if elapsed_s > 0.0:
            self.stamp_s = now
            self.requests = min(self.requests_cap, self.requests + elapsed_s * self.requests_per_s)
            self.tokens = min(self.tokens_cap, self.tokens + elapsed_s * self.tokens_per_s)

    def is_idle(self, now: float, at: float) -> bool:  # noqa: ARG002  # as of a purse
        """Whether it could be forgotten and made anew without anyone noticing."""
        self.refill(now)
        is_full = self.requests >= self.requests_cap and self.tokens >= self.tokens_cap
        return is_full and self.running == 0

    def refusal(self, n_tokens: int) -> Refusal | None:
        """Why a request of `n_tokens` does not fit now; call after `refill`."""
        if n_tokens > self.tokens_cap:
            return too_large(self.limit, n_tokens)
        requests_wait_s = (1.0 - self.requests) / (self.requests_per_s or 1.0)
        tokens_wait_s = (n_tokens - self.tokens) / (self.tokens_per_s or 1.0)
        if max(requests_wait_s, tokens_wait_s) > 0.0:
            if requests_wait_s >= tokens_wait_s:
                return out_of_requests(self.limit, requests_wait_s)
            return out_of_tokens(self.limit, n_tokens, tokens_wait_s)
        if self.running >= self.concurrency:
            return out_of_slots(self.limit)
        return None


def _cap(per_minute: int | None) -> float:
    return inf if per_minute is None else float(per_minute)


def who(scope: str, name: str) -> str:
    """A scope and a name in words, for messages.

    >>> who("tenant", "acme"), who("feature", "")
    ('Tenant acme', 'Feature (none)')
    """
    return f"{_WHO[scope]} {name or '(none)'}"


def too_large(limit: Limit, n_tokens: int) -> Refusal:
    """A request that no waiting makes fit."""
    return Refusal(
        400,
        "request_too_large_for_limit",
        f"{who(limit.scope, limit.name)} may use {limit.tokens_per_minute:,} tokens a minute and "
        f"this request may take {n_tokens:,} (prompt and max output): it can never pass. "
        "Shorten the prompt or lower max_tokens.",
    )


def out_of_requests(limit: Limit, wait_s: float) -> Refusal:
    """Too many requests in the last minute."""
    return Refusal(
        429,
        "rate_limit_requests",
        f"{who(limit.scope, limit.name)} may send {limit.requests_per_minute:,} requests a "
        f"minute; the next fits in {_seconds(wait_s)}.",
        wait_s + ROUNDING_S,
    )


def out_of_tokens(limit: Limit, n_tokens: int, wait_s: float) -> Refusal:
    """Too many tokens in the last minute."""
    return Refusal(
        429,
        "rate_limit_tokens",
        f"{who(limit.scope, limit.name)} may use {limit.tokens_per_minute:,} tokens a minute; "
        f"this request may take {n_tokens:,} and fits in {_seconds(wait_s)}.",
        wait_s + ROUNDING_S,
    )


def out_of_slots(limit: Limit) -> Refusal:
    """Too many requests at one time."""
    return Refusal(
        429,
        "concurrency_limit",
        f"{who(limit.scope, limit.name)} may have {limit.concurrency:,} requests open at one "
        "time, and has.",
        CONCURRENCY_RETRY_S,
    )


def _seconds(wait_s: float) -> str:
    return f"{wait_s:.3g} s" if wait_s < 1000 else f"{wait_s:.0f} s"
