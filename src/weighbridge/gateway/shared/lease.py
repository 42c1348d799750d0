"""What a process holds of a shared limit or budget."""

from __future__ import annotations

from weighbridge.gateway.admission import Budget, Limit, Refusal
from weighbridge.gateway.budgets import NEVER_PICO_USD, over_budget, period_of, pico_usd
from weighbridge.gateway.limits import (
    SECONDS_PER_MINUTE,
    out_of_requests,
    out_of_slots,
    out_of_tokens,
)
from weighbridge.gateway.shared.bank import (
    LEASE_PARTS,
    MONEY,
    PICO_PER_NANO,
    RATE,
    SLOTS,
    Answer,
    Draw,
)

# For so long a process believes a bank that said "empty", instead of asking for every request.
DRY_S = 0.05
_N_OTHER_PERIODS = 4


class Lease:
    """A part of a count; `left` is what may be taken without asking."""

    __slots__ = (
        "batch", "capacity", "cell", "dry_until_s", "is_active", "least", "left", "level", "mark",
        "stamp_s", "want",
    )  # fmt: skip

    def __init__(self, cell: str, capacity: int) -> None:
        self.cell = cell
        self.capacity = capacity
        self.left = 0
        self.mark = 0  # `left` as it would be had nothing been taken since the last tick
        self.batch = 0
        self.want = 0
        self.least = 0
        self.level = float(capacity)  # what the bank last said it has
        self.stamp_s = 0.0
        self.dry_until_s = 0.0
        self.is_active = False

    def ask(self, need: int, least: int) -> None:
        """Want what is missing of `need`, and twice the last batch, since that ran out.

        `least` is the smallest claim that it is for.
        """
        self.least = max(least - self.left, 0)
        self.batch = min(max(2 * self.batch, need), self.capacity // LEASE_PARTS)
        self.want = max(need - self.left, self.batch)

    def ebb(self) -> int:
        """Fit the batch to the last tick's use; what goes back."""
        used = self.mark - self.left
        self.batch = min(max(used, self.batch // 4), self.capacity // LEASE_PARTS)
        if used <= 0 and self.batch < self.capacity // 1024:
            self.batch = 0
        self.mark = self.left
        return max(self.left - self.batch, 0)

    def receive(self, draw: Draw, answer: Answer, now: float) -> None:
        """Take in what the bank gave."""
        self.left += answer.granted
        self.mark += answer.granted
        self.level, self.stamp_s = answer.level, now
        self.dry_until_s = now + DRY_S if answer.granted < draw.want else 0.0
        self.want = 0

    def draw(self, give: int = 0) -> Draw:
        """What to send to the bank; what is given back or owed is gone from here."""
        raise NotImplementedError

    def undo(self, draw: Draw) -> None:
        """The bank did not hear of that."""
        self.want = self.least = 0
        self.left += draw.give
        self.mark += draw.give

    def is_done(self) -> bool:
        """Whether the bank need not hear of it any more."""
        raise NotImplementedError

    def is_dry(self, need: int, now: float) -> bool:  # noqa: ARG002  # one more never fits
        """Whether asking the bank is known to be vain."""
        return now < self.dry_until_s

    def refusal(self, need: int, now: float, at: float) -> Refusal:
        """Why `need` is not to be had now."""
        raise NotImplementedError

    def go_away(self, need: int, share_frac: float, now: float) -> None:
        """Without the bank: take from this process's share."""
        raise NotImplementedError

    def come_back(self) -> None:
        """With the bank again."""


class RateLease(Lease):
    """Leased requests or tokens. `left` may be negative: a debt."""

    __slots__ = ("away_left", "away_stamp_s", "limit", "rate_per_s", "what")

    def __init__(self, cell: str, limit: Limit, what: str, per_minute: int) -> None:
        super().__init__(cell, per_minute)
        self.limit = limit
        self.what = what
        self.rate_per_s = per_minute / SECONDS_PER_MINUTE
        self.away_left = -1.0
        self.away_stamp_s = 0.0

    def draw(self, give: int = 0) -> Draw:
        """What to send to the bank; what is given back or owed is gone from here."""
        debt = min(self.left - give, 0)
        give += debt
        self.want = max(self.want + debt, 0)
        self.least = max(self.least + debt, 0)
        self.left -= give
        self.mark -= give
        return Draw(self.cell, RATE, self.capacity, self.rate_per_s, self.want, self.least, give)

    def ebb(self) -> int:
        """Fit the batch to the last tick's use; what was not used at all goes back whole."""
        is_used = self.mark > self.left
        surplus = super().ebb()
        return surplus if is_used else max(self.left, 0)

    def is_done(self) -> bool:
        """Whether the bank need not hear of it any more."""
        return self.left == 0

    def wait_s(self, need: int, now: float) -> float:
        """Until the bank could lend what is missing."""
        missing = need - self.left - self.level
        return missing / self.rate_per_s - max(now - self.stamp_s, 0.0)

    def is_dry(self, need: int, now: float) -> bool:
        """Whether asking the bank is known to be vain."""
        return now < self.dry_until_s and self.wait_s(need, now) > 0.0

    def refusal(self, need: int, now: float, at: float) -> Refusal:  # noqa: ARG002
        """Why `need` is not to be had now."""
        wait_s = max(self.wait_s(need, now), 0.0)
        if self.what == "requests":
            return out_of_requests(self.limit, wait_s)
        return out_of_tokens(self.limit, need, wait_s)

    def go_away(self, need: int, share_frac: float, now: float) -> None:
        """Without the bank: a bucket of this process's share, which outages do not refill."""
        cap = max(self.capacity * share_frac, 1.0)
        if self.away_left < 0.0:
            self.away_left, self.away_stamp_s = cap, now
        elapsed_s = max(now - self.away_stamp_s, 0.0)
        self.away_left = min(cap, self.away_left + elapsed_s * self.rate_per_s * share_frac)
        self.away_stamp_s = now
        taken = min(need - self.left, int(self.away_left))
        self.left += taken
        self.away_left -= taken
        self.level, self.stamp_s = self.away_left, now

    def come_back(self) -> None:
        """With the bank again: the share's rest is none of its."""
        self.left = min(self.left, 0)
        self.mark = self.left


class SlotLease(Lease):
    """Leased concurrency; `held - left` requests are running."""

    __slots__ = ("held", "limit")

    def __init__(self, cell: str, limit: Limit, n_slots: int) -> None:
        super().__init__(cell, n_slots)
        self.limit = limit
        self.held = 0

    def free(self, n_slots: int) -> None:
        """Hold so many less."""
        self.left -= n_slots
        self.held -= n_slots
        self.mark -= n_slots

    def draw(self, give: int = 0) -> Draw:
        """What to send to the bank."""
        self.free(give)
        return Draw(self.cell, SLOTS, self.capacity, 0.0, self.want, self.least, 0, self.held)

    def receive(self, draw: Draw, answer: Answer, now: float) -> None:
        """Take in what the bank gave."""
        super().receive(draw, answer, now)
        self.held += answer.granted

    def is_done(self) -> bool:
        """Whether the bank need not hear of it any more."""
        return self.held == 0

    def refusal(self, need: int, now: float, at: float) -> Refusal:  # noqa: ARG002
        """Why one more is not to be had now."""
        return out_of_slots(self.limit)

    def go_away(self, need: int, share_frac: float, now: float) -> None:  # noqa: ARG002
        """Without the bank: this process's share, at least one."""
        more = max(int(self.capacity * share_frac), 1) - self.held
        if more > 0:
            self.held += more
            self.left += more


class MoneyLease(Lease):
    """Leased part of a budget; `held - left` is reserved. A soft budget holds without asking."""

    __slots__ = (
        "_others",
        "away_left",
        "bank_held",
        "budget",
        "ends_at",
        "floor",
        "held",
        "is_hard",
        "sent",
        "spent",
        "starts_at",
        "total",
    )  # fmt: skip

    def __init__(self, budget: Budget, at: float, restored: dict[int, int]) -> None:
        super().__init__("", pico_usd(budget.usd))
        self.budget = budget
        self.is_hard = budget.kind == "hard"
        self._others = {start: (amount, 0) for start, amount in restored.items()}
        self.held = 0
        self._start(at, 0)

    def _start(self, at: float, reserved: int) -> None:
        budget = self.budget
        self.starts_at, self.ends_at = period_of(at, budget.period)
        # Spent by all as restored, and by this process: both are told to the bank as they stand.
        self.floor, self.spent = self._others.pop(self.starts_at, (0, 0))
        while len(self._others) > _N_OTHER_PERIODS:
            del self._others[min(self._others)]
        words = (budget.scope, budget.name, budget.period, budget.kind, str(self.starts_at))
        self.cell = "|".join(("usd", *words))
        self.total, self.sent = max(self.floor, self.spent), self.spent
        self.held = 0 if self.is_hard else NEVER_PICO_USD
        self.left = self.mark = self.held - reserved
        self.bank_held = 0
        self.level = float(max(self.capacity - self.total, 0))
        self.away_left = -1
        self.dry_until_s = 0.0

    def ebb(self) -> int:
        """Fit the batch to the last tick's use; what goes back, in units that any bank knows."""
        surplus = super().ebb()
        return surplus - surplus % PICO_PER_NANO

    def turn(self, at: float) -> Draw:
        """Go to the period of `at`; the last word on the one that is left."""
        last = self._draw(keep=0)._replace(want=0)
        self._others[self.starts_at] = (self.floor, self.spent)
        self._start(at, self.held - self.left)
        return last

    def _draw(self, keep: int) -> Draw:
        want, least = (self.want, self.least) if self.is_hard else (0, 0)
        return Draw(
            self.cell, MONEY, self.capacity, 0.0, want, least, 0, keep, self.spent, self.floor,
            self.ends_at,
        )  # fmt: skip

    def draw(self, give: int = 0) -> Draw:
        """What to send to the bank."""
        if self.is_hard:
            self.left -= give
            self.held -= give
            self.mark -= give
        return self._draw(self.held if self.is_hard else 0)

    def receive(self, draw: Draw, answer: Answer, now: float) -> None:
        """Take in what the bank gave."""
        if self.is_hard:
            super().receive(draw, answer, now)
            self.held += answer.granted
        else:
            self.want = 0
        self.total, self.bank_held = answer.total, answer.held
        self.sent = draw.spent
        self.floor = 0

    def settle(self, reserved: int, spent: int) -> None:
        """Spend instead of a reservation."""
        self.spent += spent
        self.held -= spent
        self.left += reserved - spent
        if self.held < 0:  # spent beyond all that was held: the bank counts it as spent, once
            self.left -= self.held
            self.held = 0

    def is_done(self) -> bool:
        """Whether the bank need not hear of it any more."""
        return (self.held == 0 or not self.is_hard) and self.spent == self.sent

    def refusal(self, need: int, now: float, at: float) -> Refusal:  # noqa: ARG002
        """Why `need` is not to be had now."""
        others = max(int(self.capacity - self.level) - self.total, 0)
        return over_budget(self.budget, (self.total, others, need), self.ends_at, at)

    def go_away(self, need: int, share_frac: float, now: float) -> None:  # noqa: ARG002
        """Without the bank: this process's share of what was left when it was last heard."""
        if self.away_left < 0:
            self.away_left = max(int(self.level * share_frac), 0)
        taken = min(need - self.left, self.away_left)
        self.away_left -= taken
        self.held += taken
        self.left += taken

    def come_back(self) -> None:
        """With the bank again: it hears of all that is held and spent."""
        self.away_left = -1

    def spent_by_period(self) -> dict[int, int]:
        """Spend of all processes as far as known here, by the period's start."""
        found = {start: max(floor, spent) for start, (floor, spent) in self._others.items()}
        found[self.starts_at] = max(self.total + self.spent - self.sent, self.floor)
        return {start: amount for start, amount in found.items() if amount}

    def reconfigure(self, budget: Budget) -> None:
        """Take another amount; the kind and the period are part of the name."""
        self.budget = budget
        self.capacity = pico_usd(budget.usd)
        self.dry_until_s = 0.0

    def is_idle(self, now: float, at: float) -> bool:  # noqa: ARG002
        """Whether it could be forgotten: the bank has it all."""
        is_past = not self.starts_at <= at < self.ends_at
        return not self.is_active and self.is_done() and (is_past or self.spent == 0)


class LeasedAllowance:
    """The leases of one limit."""

    __slots__ = ("limit", "requests", "slots", "tokens")

    def __init__(self, limit: Limit, now: float = 0.0) -> None:
        self.requests: RateLease | None = None
        self.tokens: RateLease | None = None
        self.slots: SlotLease | None = None
        self.reconfigure(limit, now)

    def reconfigure(self, limit: Limit, now: float) -> None:  # noqa: ARG002
        """Take another limit; leases that are held stay."""
        self.limit = limit
        self.requests = self._rate(self.requests, "requests", limit.requests_per_minute)
        self.tokens = self._rate(self.tokens, "tokens", limit.tokens_per_minute)
        if limit.concurrency is None:
            self.slots = None
        elif self.slots is None:
            self.slots = SlotLease(f"slots|{limit.scope}|{limit.name}", limit, limit.concurrency)
        else:
            self.slots.limit, self.slots.capacity = limit, limit.concurrency

    def _rate(self, lease: RateLease | None, what: str, per_minute: int | None) -> RateLease | None:
        if per_minute is None:
            return None
        limit = self.limit
        if lease is None:
            return RateLease(f"{what}|{limit.scope}|{limit.name}", limit, what, per_minute)
        lease.limit, lease.capacity = limit, per_minute
        lease.rate_per_s = per_minute / SECONDS_PER_MINUTE
        return lease

    def leases(self) -> list[Lease]:
        """Those that there are."""
        return [one for one in (self.requests, self.tokens, self.slots) if one is not None]

    def is_idle(self, now: float, at: float) -> bool:  # noqa: ARG002
        """Whether it could be forgotten: the bank has it all."""
        slots = self.slots
        is_running = slots is not None and slots.held > 0
        return not is_running and not any(lease.is_active for lease in self.leases())
