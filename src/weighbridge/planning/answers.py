"""What a verdict says, as plain data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

Replaceable = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence with its number, the rule that spoke, and what would flip it."""

    rule: str
    text: str
    flips_when: str


@dataclass(frozen=True, slots=True)
class TypeVerdict:
    """Verdict for one query type."""

    label: str
    replaceable: Replaceable
    evidence: str
    verdict: Literal["stay", "move", "test-first", "must-move"]
    api_usd_per_month: float
    saving_usd_per_month: float  # steady state, if moved with the others; 0 where it stays
    tokens_share_frac: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Rerun:
    """When to run the study again."""

    on: dt.date
    triggers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer."""

    headline: str  # one sentence
    decision: Literal["stay", "self-host", "managed", "committed", "split", "not-enough-evidence"]
    option_id: str  # the option that the decision names; "api" for stay
    confidence_probability: float  # that it is cheaper than the API; for the API, than all others
    reasons: tuple[Reason, ...]
    by_type: tuple[TypeVerdict, ...]
    measure_next: tuple[str, ...]
    rerun: Rerun
    engines: tuple[str, ...]  # serving engines fit for production, with why
    engine_warnings: tuple[str, ...]
    left_out: tuple[str, ...]
