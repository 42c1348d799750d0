"""Budgets by UTC day or month, counted in whole 10^-12 dollars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from weighbridge.gateway.admission import Budget, Refusal
from weighbridge.gateway.limits import who

Period = Literal["day", "month"]
Events = Callable[[str, str], None]

PICO_PER_USD = 10**12
SECONDS_PER_DAY = 86_400
THRESHOLD_FRACS = (0.5, 0.8, 1.0)
NEVER_PICO_USD = 1 << 100
# Earlier and later periods whose spend is kept: enough for a clock that is stepped about.
_N_OTHER_PERIODS = 4


class Purse:
    """What one name has spent in the present period and has reserved for requests in flight.

    Every period keeps a count of its own. So a clock stepped forward starts a period, and one
    stepped back finds the earlier period's spend as it was: nothing is reset or counted twice. A
    request is charged to the period in which it settles; its reservation holds in any.

    A hard budget is passed only by what requests cost beyond their reservation, since spend and
    reservations together never exceed it at admission.
    """

    __slots__ = (
        "_others",
        "budget",
        "ceiling_pico_usd",
        "ends_at",
        "limit_pico_usd",
        "n_passed",
        "next_pico_usd",
        "reserved_pico_usd",
        "spent_pico_usd",
        "starts_at",
        "threshold_fracs",
    )

    def __init__(
        self,
        budget: Budget,
        at: float,
        spent: dict[int, int] | None = None,
        threshold_fracs: tuple[float, ...] = THRESHOLD_FRACS,
    ) -> None:
        self._others = dict(spent or {})  # pico dollars by the period's start
        self.reserved_pico_usd = 0
        self.spent_pico_usd = 0
        self.threshold_fracs = threshold_fracs
        self.starts_at, self.ends_at = period_of(at, budget.period)
        self.spent_pico_usd = self._others.pop(self.starts_at, 0)
        self.reconfigure(budget)

    def reconfigure(self, budget: Budget) -> None:
        """Take another amount or kind; what was spent stays spent."""
        self.budget = budget
        self.limit_pico_usd = pico_usd(budget.usd)
        is_hard = budget.kind == "hard"
        self.ceiling_pico_usd = self.limit_pico_usd if is_hard else NEVER_PICO_USD
        self._find_threshold()

    def turn(self, at: float) -> None:
        """Go to the period of `at`."""
        self._others[self.starts_at] = self.spent_pico_usd
        self.starts_at, self.ends_at = period_of(at, self.budget.period)
        self.spent_pico_usd = self._others.pop(self.starts_at, 0)
        while len(self._others) > _N_OTHER_PERIODS:
            del self._others[min(self._others)]
        self._find_threshold()

    def charge(self, spent_pico_usd: int, at: float) -> None:
        """Count spend that was never reserved, silently: for rebuilding after a restart."""
        start_at, _ = period_of(at, self.budget.period)
        if start_at == self.starts_at:
            self.spent_pico_usd += spent_pico_usd
        else:
            self._others[start_at] = self._others.get(start_at, 0) + spent_pico_usd
        self._find_threshold()

    def spent_by_period(self) -> dict[int, int]:
        """Spend of every period that is still kept, by its start."""
        spent = {**self._others, self.starts_at: self.spent_pico_usd}
        return {start: amount for start, amount in spent.items() if amount}

    def is_idle(self, now: float, at: float) -> bool:  # noqa: ARG002  # as of an allowance
        """Whether it could be forgotten and made anew without anyone noticing."""
        if not self.starts_at <= at < self.ends_at:
            self.turn(at)
        return not self.spent_pico_usd and not self.reserved_pico_usd

    def refusal(self, claim_pico_usd: int, at: float) -> Refusal | None:
        """Why a request that may cost so much does not fit now."""
        needed = self.spent_pico_usd + self.reserved_pico_usd + claim_pico_usd
        if needed <= self.ceiling_pico_usd:
            return None
        parts = (self.spent_pico_usd, self.reserved_pico_usd, claim_pico_usd)
        return over_budget(self.budget, parts, self.ends_at, at)

    def passed(self) -> list[float]:
        """Thresholds reached since last asked, as fractions; each is told once a period."""
        found = []
        while self.spent_pico_usd >= self.next_pico_usd:
            found.append(self.threshold_fracs[self.n_passed])
            self.n_passed += 1
            self._set_next()
        return found

    def _find_threshold(self) -> None:
        """Skip the thresholds that this period's spend has reached: they were told."""
        self.n_passed = 0
        self._set_next()
        while self.next_pico_usd < NEVER_PICO_USD and self.spent_pico_usd >= self.next_pico_usd:
            self.n_passed += 1
            self._set_next()

    def _set_next(self) -> None:
        is_last = self.n_passed >= len(self.threshold_fracs)
        self.next_pico_usd = (
            NEVER_PICO_USD
            if is_last
            else max(1, round(self.threshold_fracs[self.n_passed] * self.limit_pico_usd))
        )


def period_of(at: float, period: Period) -> tuple[int, int]:
    """First second of a UTC day or month and of the next one.

    >>> period_of(86_400.5, "day"), period_of(40 * 86_400, "month")
    ((86400, 172800), (2678400, 5097600))
    """
    if period == "day":
        start_at = int(at // SECONDS_PER_DAY) * SECONDS_PER_DAY
        return start_at, start_at + SECONDS_PER_DAY
    day = dt.datetime.fromtimestamp(at, dt.UTC)
    first = dt.datetime(day.year, day.month, 1, tzinfo=dt.UTC)
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return int(first.timestamp()), int(dt.datetime(year, month, 1, tzinfo=dt.UTC).timestamp())


def pico_usd(usd: str) -> int:
    """Decimal text of dollars in whole 10^-12 dollars.

    >>> pico_usd("2.50")
    2500000000000
    """
    return int(Decimal(usd) * PICO_PER_USD)


def usd_words(amount_pico_usd: int) -> str:
    """An amount for a message: cents at least, six decimals at most.

    >>> usd_words(1_234_500_000_000_000), usd_words(1_500_000_000), usd_words(0)
    ('$1,234.50', '$0.0015', '$0.00')
    """
    text = f"{Decimal(amount_pico_usd) / PICO_PER_USD:,.6f}"
    whole, _, part = text.partition(".")
    return f"${whole}.{part.rstrip('0').ljust(2, '0')}"


def over_budget(budget: Budget, parts: tuple[int, int, int], ends_at: int, at: float) -> Refusal:
    """A hard budget that has no room; `parts`: spent, reserved by others, asked for [10^-12 $]."""
    spent, reserved, asked = (usd_words(part) for part in parts)
    end = dt.datetime.fromtimestamp(ends_at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    message = (
        f"{who(budget.scope, budget.name)} has a budget of {usd_words(pico_usd(budget.usd))} a "
        f"{budget.period}: {spent} is spent, {reserved} reserved by requests in flight, and this "
        f"one may cost {asked}. "
    )
    if parts[2] > pico_usd(budget.usd):
        return Refusal(429, "budget_exceeded", message + "It can never fit; lower max_tokens.")
    retry_after_s = max(ends_at - at, 0.0)
    return Refusal(429, "budget_exceeded", f"{message}The period ends {end}.", retry_after_s)


def threshold_words(budget: Budget, frac: float, spent_pico_usd: int) -> str:
    """What an operator reads when a budget's threshold is passed."""
    return (
        f"{who(budget.scope, budget.name)}: {frac:.0%} of the {budget.kind} budget of "
        f"{usd_words(pico_usd(budget.usd))} a {budget.period} is spent "
        f"({usd_words(spent_pico_usd)})"
    )
