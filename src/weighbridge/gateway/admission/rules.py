"""Which limits and budgets bear on a claim: the most specific statement of each wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from weighbridge.gateway.admission import Budget, Claim, Limit, Scope
from weighbridge.units import InputError

ANY = "*"
OTHERS = "(others)"
SCOPES: tuple[Scope, ...] = ("key", "tenant", "feature", "model")
_RATES = ("requests_per_minute", "tokens_per_minute", "concurrency")


class BoundLimit(NamedTuple):
    """A limit on one name; `is_free` where only `*` speaks of that name."""

    rule: Limit
    is_free: bool


class BoundBudget(NamedTuple):
    """A budget of one name; `is_free` where only `*` speaks of that name."""

    rule: Budget
    is_free: bool


class Rulebook:
    """Limits and budgets, checked.

    For each of a limit's three numbers: what is said of the name (by the configuration or by the
    key itself; the strictest where several speak), else what is said of `*`. Budgets of `*` hold
    for a name unless it has one of the same period and kind. Requests without a key, tenant or
    feature share the allowance of the empty name, so that leaving a name out opens nothing.
    """

    def __init__(self, limits: Iterable[Limit] = (), budgets: Iterable[Budget] = ()) -> None:
        self._limits: dict[tuple[str, str], list[Limit]] = {}
        self._budgets: dict[tuple[str, str], list[Budget]] = {}
        for limit in limits:
            check_limit(limit)
            self._limits.setdefault((limit.scope, limit.name), []).append(limit)
        for budget in budgets:
            check_budget(budget)
            self._budgets.setdefault((budget.scope, budget.name), []).append(budget)

    def limits_on(self, claim: Claim) -> Iterator[BoundLimit]:
        """One limit for each scope that has any."""
        for scope, name in names_of(claim):
            own = claim.key.limits if scope == "key" and claim.key is not None else ()
            said = [*self._limits.get((scope, name), ()), *own]
            merged = _merged(scope, name, said, self._limits.get((scope, ANY), []))
            if merged is not None:
                yield BoundLimit(merged, is_free=not said)

    def budgets_on(self, claim: Claim) -> Iterator[BoundBudget]:
        """Budgets of each scope, several where a name has a day's and a month's, soft and hard."""
        for scope, name in names_of(claim):
            own = claim.key.budgets if scope == "key" and claim.key is not None else ()
            said = [*self._budgets.get((scope, name), ()), *own]
            tightest: dict[tuple[str, str], Budget] = {}
            for budget in said:
                sort = (budget.period, budget.kind)
                if sort not in tightest or Decimal(budget.usd) < Decimal(tightest[sort].usd):
                    tightest[sort] = replace(budget, name=name)
            yield from (BoundBudget(budget, is_free=False) for budget in tightest.values())
            for budget in self._budgets.get((scope, ANY), ()):
                if (budget.period, budget.kind) not in tightest:
                    yield BoundBudget(replace(budget, name=name), is_free=True)


def names_of(claim: Claim) -> tuple[tuple[Scope, str], ...]:
    """The claim's name in each scope; empty where it has none."""
    return (
        ("key", claim.key.id if claim.key is not None else ""),
        ("tenant", claim.tenant or ""),
        ("feature", claim.feature or ""),
        ("model", claim.model),
    )


def _merged(scope: Scope, name: str, said: list[Limit], of_any: list[Limit]) -> Limit | None:
    rates: dict[str, int | None] = {}
    for rate in _RATES:
        for speakers in (said, of_any):
            values = [value for one in speakers if (value := getattr(one, rate)) is not None]
            if values:
                rates[rate] = min(values)
                break
    return Limit(scope, name, **rates) if rates else None


def check_limit(limit: Limit) -> None:
    """Refuse a limit that cannot hold or that belongs elsewhere."""
    where = f"limit of {limit.scope} {limit.name}"
    _check_scope(where, limit.scope, limit.name)
    values = [getattr(limit, rate) for rate in _RATES]
    if all(value is None for value in values):
        mend = f"give at least one of {', '.join(_RATES)}"
        raise InputError(where, "", "limits nothing", mend)
    for rate, value in zip(_RATES, values, strict=True):
        if value is not None and value < 1:
            mend = "give 1 or more, or leave it out for no limit"
            raise InputError(where, rate, f"is {value}", mend)


def check_budget(budget: Budget) -> None:
    """Refuse a budget whose amount or period cannot be read."""
    where = f"budget of {budget.scope} {budget.name}"
    _check_scope(where, budget.scope, budget.name)
    try:
        amount = Decimal(budget.usd)
        is_amount = amount.is_finite() and amount >= 0
    except InvalidOperation:
        is_amount = False
    if not is_amount:
        mend = "give dollars as a decimal, 0 or more, e.g. 12.50"
        raise InputError(where, "usd", f"{budget.usd!r} is no amount", mend)
    if budget.period not in {"day", "month"}:
        raise InputError(where, "period", f"is {budget.period!r}", "write day or month")
    if budget.kind not in {"soft", "hard"}:
        raise InputError(where, "kind", f"is {budget.kind!r}", "write soft or hard")


def _check_scope(where: str, scope: str, name: str) -> None:
    if scope == "target":
        mend = "give the target `caps`: its requests wait in a queue instead of being refused"
        raise InputError(where, "scope", "a target is not limited here", mend)
    if scope not in SCOPES:
        raise InputError(where, "scope", f"is {scope!r}", f"write one of {', '.join(SCOPES)}")
    if not name:
        raise InputError(where, "name", "is empty", "name one, or write * for each name of its own")
