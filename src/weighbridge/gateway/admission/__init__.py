"""The contract of admission: who pays, what a request may take, and what it took in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Scope = Literal["key", "tenant", "feature", "model", "target"]


@dataclass(frozen=True, slots=True)
class Limit:
    """What one scope may take; `name` may be `*`: one allowance for each name of its own.

    `tokens_per_minute` counts input and output together.
    """

    scope: Scope
    name: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What one scope may spend in a UTC day or month; `soft` only tells, `hard` refuses."""

    scope: Scope
    name: str
    usd: str  # decimal text
    period: Literal["day", "month"]
    kind: Literal["soft", "hard"] = "hard"


@dataclass(frozen=True, slots=True)
class VirtualKey:
    """A client's key as the gateway keeps it: the digest, never the key."""

    id: str
    digest: bytes  # SHA-256 of the key's text
    tenant: str
    models: tuple[str, ...] = ()  # allowed names, `*` endings; empty: all
    data_class: str | None = None
    expires_at: float | None = None  # seconds since 1970-01-01T00:00Z
    revoked: bool = False
    tags: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()  # scope "key", name = id
    budgets: tuple[Budget, ...] = ()
    priority: int = 0  # higher goes first where a provider's cap makes requests wait


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in. `code` is what clients branch on."""

    status: int
    code: str
    message: str
    retry_after_s: float | None = None


@dataclass(slots=True)
class Claim:
    """Who asks, for how much; `pico_usd` is the most that the request can cost at list price."""

    key: VirtualKey | None
    tenant: str | None
    feature: str | None
    model: str
    tokens: int
    pico_usd: int


class Grant(Protocol):
    """An admitted claim. Exactly one `settle` gives back what was not used."""

    def settle(self, tokens: int, pico_usd: int, now: float, at: float) -> None:
        """What the request really took, retries and failed attempts included; ends concurrency."""


class Admission(Protocol):
    """Limits and budgets together. `now` is monotonic, `at` wall-clock seconds."""

    def admit(
        self, claim: Claim, now: float, at: float, then: Callable[[Grant | Refusal], None]
    ) -> Grant | Refusal | None:
        """Decide at once, or answer None and call `then` later (only with shared state)."""
