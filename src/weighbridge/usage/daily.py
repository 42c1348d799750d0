"""Use by day, tenant, feature, model and provider: what a cost export is made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from weighbridge.usage.analyses.engine import Engine, EngineLimits
from weighbridge.usage.analyses.expressions import grouped_use, hourly_use
from weighbridge.usage.profile import StoredLedger
from weighbridge.usage.results import Tokens

DIMENSIONS = ("tenant", "feature", "model", "provider", "price_state")


@dataclass(frozen=True, slots=True)
class DailyUse:
    """Sum of one day's requests that share tenant, feature, model, provider and price state."""

    on: dt.date
    tenant: str | None
    feature: str | None
    model: str | None
    provider: str | None
    n_requests: int
    tokens: Tokens
    list_cost_usd: Decimal | None  # None where no price is known


def daily_use(ledger: StoredLedger, limits: EngineLimits | None = None) -> Iterator[DailyUse]:
    """Daily sums of a ledger in order of day and name; requests without a price stand apart."""
    by = ("day", *DIMENSIONS)
    with Engine(ledger.parquet_files, limits or EngineLimits()) as engine:
        hourly = hourly_use(engine.requests, DIMENSIONS)
        rows = engine.fetch(grouped_use(hourly, by)).to_pylist()
    for row in sorted(rows, key=lambda r: [str(r[name] or "") for name in by]):
        priced = row["price_state"] == "priced"
        yield DailyUse(
            on=row["day"].date(),
            tenant=row["tenant"],
            feature=row["feature"],
            model=row["model"],
            provider=row["provider"],
            n_requests=row["n_requests"],
            tokens=Tokens(*(int(row[name]) for name in Tokens.__slots__)),
            list_cost_usd=row["list_cost_usd"] if priced else None,
        )
