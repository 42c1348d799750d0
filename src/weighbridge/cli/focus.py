"""The FOCUS export of a ledger, with the scenario's contract over the list prices."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.report.focus import FocusCharge, FocusUsage
    from weighbridge.study.billed import Billed
    from weighbridge.study.scenario import Scenario
    from weighbridge.usage.price_classes import TokenCost

NOT_NAMED = "not recorded"
NAMES = ("tenant", "feature")


def focus_files(path: Path, usage: Path, scenario: Scenario) -> list[tuple[Path, bytes]]:
    """The export as CSV or, by the file's name, Parquet; and its metadata beside it."""
    from weighbridge.catalog.prices import compile_prices
    from weighbridge.report.focus import BillingAccount, focus_csv, focus_metadata, focus_parquet
    from weighbridge.study.billed import share_out
    from weighbridge.usage.price_classes import daily_token_costs, price_classes
    from weighbridge.usage.reconciled import read_acceptances
    from weighbridge.usage.store import open_ledger

    if scenario.assume_model is not None:
        raise InputError(
            "--focus",
            "",
            "exports what the log itself says, and its model was assumed",
            "leave out --assume-model, or import the log with --constant model=…",
        )
    book = compile_prices(Path(scenario.prices_file) if scenario.prices_file else None)
    found = daily_token_costs(price_classes(open_ledger(usage), book, NAMES), book)
    rows = sorted(found, key=_order)
    billed = share_out(rows, read_acceptances(usage))
    account = BillingAccount(id=str(usage), name=scenario.name)
    items: list[FocusUsage | FocusCharge] = list(_usage_rows(rows, billed, _discount(scenario)))
    items += _alone(billed)
    packed = path.suffix.lower() in {".parquet", ".pq"}
    data = focus_parquet(items, account) if packed else focus_csv(items, account).encode()
    told = focus_metadata(dt.datetime.now(dt.UTC), _notes(billed))
    beside = path.with_name(f"{path.name}.metadata.json")
    return [(path, data), (beside, (json.dumps(told, indent=1) + "\n").encode())]


def _order(row: TokenCost) -> tuple[str, ...]:
    names = (row.provider, row.model, *row.names, row.service_tier, row.price_state)
    return (row.on.isoformat(), *(name or "" for name in names), str(row.above_input_tokens))


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


def _usage_rows(
    rows: Sequence[TokenCost], billed: Billed, discount: Decimal | None
) -> Iterator[FocusUsage]:
    from weighbridge.report.focus import FocusUsage
    from weighbridge.usage.price_classes import EXACT

    for i, row in enumerate(rows):
        listed = row.list_cost_usd if row.price_state == "priced" else None
        contracted: Decimal | None = None
        if listed is not None and discount is not None:
            contracted = EXACT.multiply(listed, 1 - discount)
        paid = billed.by_row.get(i)
        yield FocusUsage(
            on=row.on,
            provider=row.provider or NOT_NAMED,
            model=row.model or NOT_NAMED,
            token_type=row.token_type,
            n_tokens=row.n_tokens,
            n_requests=row.n_requests,
            list_cost_usd=listed,
            list_usd_per_mtok=row.usd_per_mtok if listed is not None else None,
            above_input_tokens=row.above_input_tokens,
            tenant=row.names[0],
            feature=row.names[1],
            service_tier=row.service_tier,
            contracted_cost_usd=contracted,
            effective_cost_usd=paid if paid is not None else contracted,
            billed_cost_usd=paid,
        )


def _alone(billed: Billed) -> Iterator[FocusCharge]:
    from weighbridge.report.focus import FocusCharge

    for one in billed.alone:
        provider = one.provider or NOT_NAMED
        yield FocusCharge(one.on, provider, one.description, one.category, one.usd, one.model)


def _notes(billed: Billed) -> tuple[str, ...]:
    if not billed.changed:
        return ()
    days = sorted({day.on.isoformat() for day in billed.changed})
    return (
        f"{len(billed.changed)} reconciled days and models changed in the ledger since a bill was "
        f"accepted, the first on {days[0]}: their BilledCost is null; reconcile again",
    )
