"""Reconciled bills shared out over the ledger's rows: sums are the bill's to the last digit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Literal

from weighbridge.study.bill_matching import Key, canonical
from weighbridge.usage.price_classes import TokenCost
from weighbridge.usage.reconciled import Acceptance, BilledDay

DIGITS = 60
STEP_EXPONENT = -12  # shares are cut here, or at the bill's own last digit where that is finer


@dataclass(frozen=True, slots=True)
class BilledAlone:
    """A billed amount that no request stands behind."""

    on: dt.date
    provider: str | None
    description: str
    category: Literal["Usage", "Tax", "Credit"]
    usd: Decimal
    model: str = ""


@dataclass
class Billed:
    """Which part of which bill falls on each row, by the row's position; what falls on none."""

    by_row: dict[int, Decimal] = field(default_factory=dict)
    alone: list[BilledAlone] = field(default_factory=list)
    changed: list[BilledDay] = field(default_factory=list)  # since acceptance: not billed any more


def share_out(rows: Sequence[TokenCost], acceptances: Iterable[Acceptance]) -> Billed:
    """Allocate accepted bills over rows by list cost (by tokens where none has a price)."""
    places: dict[tuple[dt.date, Key], list[int]] = {}
    for i, row in enumerate(rows):
        if row.price_state != "self_hosted":
            key = canonical(row.provider, row.model or "(no model named)")
            places.setdefault((row.on, key), []).append(i)
    billed = Billed()
    with localcontext() as context:
        context.prec = DIGITS
        for acceptance in acceptances:
            for day in acceptance.days:
                here = places.get((day.on, (day.provider, day.model)), [])
                _place(day, here, rows, billed)
            billed.alone += [
                BilledAlone(
                    line.on, line.provider, line.line_item, _category(line.kind), line.billed_usd
                )
                for line in acceptance.others
            ]
    return billed


def _category(kind: str) -> Literal["Usage", "Tax", "Credit"]:
    return {"taxes": "Tax", "credits": "Credit"}.get(kind, "Usage")  # type: ignore[return-value]


def _place(day: BilledDay, here: list[int], rows: Sequence[TokenCost], billed: Billed) -> None:
    listed = sum((rows[i].list_cost_usd for i in here), Decimal(0))
    n_requests = sum(rows[i].n_requests for i in here)
    if listed != day.list_cost_usd or n_requests != day.n_requests:
        billed.changed.append(day)
        return
    if not here:
        what = f"Tokens of {day.model} that no request stands behind"
        alone = BilledAlone(day.on, day.provider, what, "Usage", day.billed_usd, day.model)
        billed.alone.append(alone)
        return
    weights = [rows[i].list_cost_usd for i in here]
    if not any(weights):
        weights = [Decimal(rows[i].n_tokens or 1) for i in here]
    for i, usd in zip(here, shares(day.billed_usd, weights), strict=True):
        billed.by_row[i] = usd


def shares(usd: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """An amount in proportion to weights, cut to steps; what is left goes to the largest."""
    exponent = min(int(usd.as_tuple().exponent), STEP_EXPONENT)
    step, whole = Decimal(1).scaleb(exponent), sum(weights, Decimal(0))
    cut = [(usd * w / whole).quantize(step, ROUND_FLOOR) for w in weights]
    cut[max(range(len(weights)), key=weights.__getitem__)] += usd - sum(cut, Decimal(0))
    return cut
