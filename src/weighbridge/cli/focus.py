"""The FOCUS export of a ledger, with the scenario's contract over the list prices."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.report.focus import FocusUsage
    from weighbridge.study.scenario import Scenario

NOT_NAMED = "not recorded"


def focus_files(path: Path, usage: Path, scenario: Scenario) -> list[tuple[Path, bytes]]:
    """The export as CSV, and its metadata (FOCUS version, departures) beside it."""
    from weighbridge.report.focus import BillingAccount, focus_csv, focus_metadata

    if scenario.assume_model is not None:
        raise InputError(
            "--focus",
            "",
            "exports what the log itself says, and its model was assumed",
            "leave out --assume-model, or import the log with --constant model=…",
        )
    account = BillingAccount(id=str(usage), name=scenario.name)
    text = focus_csv(_usage_rows(usage, _discount(scenario)), account)
    told = json.dumps(focus_metadata(dt.datetime.now(dt.UTC)), indent=1) + "\n"
    beside = path.with_name(f"{path.name}.metadata.json")
    return [(path, text.encode()), (beside, told.encode())]


def _discount(scenario: Scenario) -> Decimal | None:
    """The negotiated discount, where the scenario states it as one number."""
    stated = scenario.assumptions.get("api_discount_frac")
    if stated is None:
        return None
    if not isinstance(stated, int | float):
        raise InputError(
            "--focus",
            "assumptions.api_discount_frac",
            "is a distribution, and a cost export needs the contract's figure",
            "state it as one number",
        )
    return Decimal(str(stated))


def _usage_rows(usage: Path, discount: Decimal | None) -> Iterator[FocusUsage]:
    from weighbridge.report.focus import FocusUsage
    from weighbridge.usage.daily import daily_use
    from weighbridge.usage.store import open_ledger

    for row in daily_use(open_ledger(usage)):
        contracted: Decimal | None = None
        if row.list_cost_usd is not None and discount is not None:
            contracted = row.list_cost_usd * (1 - discount)
        yield FocusUsage(
            on=row.on,
            provider=row.provider or NOT_NAMED,
            model=row.model or NOT_NAMED,
            tokens=row.tokens,
            n_requests=row.n_requests,
            list_cost_usd=row.list_cost_usd,
            tenant=row.tenant,
            feature=row.feature,
            contracted_cost_usd=contracted,
            effective_cost_usd=contracted,
        )
