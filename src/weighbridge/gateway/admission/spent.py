"""Spend as it outlives a restart: a plain dict for JSON, and what was read of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from weighbridge.gateway.admission import Budget, Claim, VirtualKey
from weighbridge.gateway.admission.roster import Count, Roster
from weighbridge.gateway.budgets import SECONDS_PER_DAY
from weighbridge.ledger.lines import RequestLine
from weighbridge.units import InputError

FORMAT = 1
# A period that began longer ago than this is left out: no stepped clock goes back so far.
_KEPT_DAYS = 70
Account = tuple[str, str, str]  # scope, name, period


class Spender(Count, Protocol):
    """Anything that counts spend."""

    budget: Budget

    def spent_by_period(self) -> dict[int, int]:
        """Spend of every period that is still kept, by its start."""


S = TypeVar("S", bound=Spender)


class SpentBook:
    """Spend by scope, name and period that was restored and that no purse has taken up yet."""

    def __init__(self) -> None:
        self._waiting: dict[Account, dict[int, int]] = {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot in; amounts are text, since JSON numbers lose digits."""
        if snapshot.get("format") != FORMAT:
            problem = f"is {snapshot.get('format')!r}; this version reads {FORMAT}"
            raise InputError("budget snapshot", "format", problem, "remove it to start from zero")
        try:
            for scope, name, period, start_at, amount in snapshot["spent"]:
                account = self._waiting.setdefault((scope, name, period), {})
                account[int(start_at)] = account.get(int(start_at), 0) + int(amount)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "budget snapshot", "spent", f"cannot be read: {error}", "remove it to rebuild it"
            ) from None

    def of(self, budget: Budget, purses: Roster[S]) -> dict[int, int]:
        """What is known of a new budget: what was restored, and what its other kind has counted."""
        spent = dict(self._waiting.get((budget.scope, budget.name, budget.period), {}))
        kind = "soft" if budget.kind == "hard" else "hard"
        other = purses.get((budget.scope, budget.name, budget.period, kind))
        if other is not None:
            for start_at, amount in other.spent_by_period().items():
                spent[start_at] = max(amount, spent.get(start_at, 0))
        return spent

    def snapshot(self, purses: Iterable[Spender], at: float, mark: object = None) -> dict[str, Any]:
        """All spend, restored and new; `mark` is the caller's, e.g. a position in the spool."""
        accounts = {account: dict(spent) for account, spent in self._waiting.items()}
        for purse in purses:
            budget = purse.budget
            account = accounts.setdefault((budget.scope, budget.name, budget.period), {})
            for start_at, amount in purse.spent_by_period().items():
                account[start_at] = max(amount, account.get(start_at, 0))
        oldest_at = at - _KEPT_DAYS * SECONDS_PER_DAY
        return {
            "format": FORMAT,
            "mark": mark,
            "spent": [
                [*account, start_at, str(amount)]
                for account, spent in accounts.items()
                for start_at, amount in spent.items()
                if start_at >= oldest_at
            ],
        }


def replay(
    lines: Iterable[RequestLine],
    key_by_id: Callable[[str], VirtualKey | None],
    charge: Callable[[Claim, float], None],
) -> int:
    """Charge what spool lines say was spent since a snapshot; the number of lines charged.

    The caller gives each request once: the last line of its id.
    """
    n_charged = 0
    for line in lines:
        if line.list_cost_pico_usd:
            key = None if line.key_id is None else key_by_id(line.key_id)
            model = line.model_requested or ""
            spent = Claim(key, line.tenant, line.feature, model, 0, line.list_cost_pico_usd)
            charge(spent, line.started_at_us / 1e6 + (line.latency_s or 0.0))
            n_charged += 1
    return n_charged
