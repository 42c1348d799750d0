"""Cost export in the columns of FOCUS 1.3, the FinOps Open Cost and Usage Specification.

A row is one day's tokens of one type (input, cache read, cache write, output) at one rate, of one
tenant, feature and model, so that unit price times quantity is the list cost to the last digit. The
mandatory columns of FOCUS 1.3 come first, then conditional ones that apply to tokens, then our own,
whose names begin with `x_`. `focus_spec` holds the rules and what version they were read in.

`BilledCost` may not be empty in FOCUS, and here it is until a bill was reconciled and accepted: we
compute what requests cost at the prices of their instant; what was billed, only an invoice knows.
Our figure stands in `ListCost` (public prices), `ContractedCost` (after negotiated discounts) and
`EffectiveCost`.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Literal

from weighbridge.report.focus_spec import (
    COLUMNS_OF_FOCUS,
    FOCUS_VERSION,
    MILLION_TOKENS,
    TOKENS,
)
from weighbridge.units import InputError

if TYPE_CHECKING:
    import pyarrow as pa

SERVICE_CATEGORY = "AI and Machine Learning"
SERVICE_SUBCATEGORY = "Generative AI"
PARQUET_DIGITS, PARQUET_DECIMALS = 38, 24  # decimal128, the widest that readers share
_EXACT = Context(prec=60)

MANDATORY = tuple(column.name for column in COLUMNS_OF_FOCUS if column.mandatory)
CONDITIONAL = tuple(column.name for column in COLUMNS_OF_FOCUS if not column.mandatory)
EXTENSIONS = (
    "x_Feature",
    "x_Model",
    "x_TokenType",
    "x_ServiceTier",
    "x_RequestCount",
    "x_PriceState",
    "x_CostBasis",
)
COLUMNS = (*MANDATORY, *CONDITIONAL, *EXTENSIONS)
DECIMALS = frozenset(column.name for column in COLUMNS_OF_FOCUS if column.type == "Decimal")
INSTANTS = frozenset(column.name for column in COLUMNS_OF_FOCUS if column.type == "Date/Time")
COMPUTED = "computed from usage and prices, not reconciled with an invoice"
BILLED = "billed: a reconciled bill, shared out by list cost"
BILLED_ALONE = "billed: a line of a reconciled bill that no request stands behind"

Category = Literal["Usage", "Tax", "Credit"]


@dataclass(frozen=True, slots=True)
class FocusUsage:
    """Tokens of one type and rate, of one day, tenant, feature and model, summed by the caller.

    A cost of None means that no price is known, and becomes an empty cell, never zero. Where your
    discount is not known either, leave `contracted_cost_usd` and `effective_cost_usd` None: list
    cost is not repeated for them. `list_usd_per_mtok` is None where no one rate gives the cost.
    """

    on: dt.date
    provider: str
    model: str
    token_type: str
    n_tokens: int
    n_requests: int
    list_cost_usd: Decimal | None
    list_usd_per_mtok: Decimal | None = None
    above_input_tokens: int = 0  # of the long-context band that priced it
    tenant: str | None = None
    feature: str | None = None
    service_tier: str | None = None
    contracted_cost_usd: Decimal | None = None
    effective_cost_usd: Decimal | None = None
    billed_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class FocusCharge:
    """A line of a reconciled bill that no request of the ledger stands behind."""

    on: dt.date
    provider: str
    description: str
    category: Category
    billed_cost_usd: Decimal
    model: str = ""


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """Whose account the usage is on: FOCUS wants it in every row."""

    id: str
    name: str


def focus_rows(
    usage: Iterable[FocusUsage | FocusCharge], account: BillingAccount
) -> Iterator[dict[str, str]]:
    """One FOCUS row for each sum, every value as it is written; empty means null."""
    for index, item in enumerate(usage, start=1):
        empty = dict.fromkeys(COLUMNS, "")
        if isinstance(item, FocusCharge):
            yield {**empty, **_frame(item.on, item.provider, account), **_charge(item)}
            continue
        _check(item, f"usage row {index}")
        yield {**empty, **_frame(item.on, item.provider, account), **_costs(item), **_tokens(item)}


def focus_csv(usage: Iterable[FocusUsage | FocusCharge], account: BillingAccount) -> str:
    """The export as CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(focus_rows(usage, account))
    return text.getvalue()


def focus_parquet(usage: Iterable[FocusUsage | FocusCharge], account: BillingAccount) -> bytes:
    """The export as Parquet: exact decimals, instants in UTC, empty cells as null."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = list(focus_rows(usage, account))
    columns = {name: _column(name, [row[name] for row in rows]) for name in COLUMNS}
    told = {"FocusVersion": FOCUS_VERSION, "DataGenerator": "Weighbridge"}
    stream = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(told), stream, compression="zstd")
    return stream.getvalue()


def _column(name: str, values: list[str]) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415

    if name in DECIMALS:
        numbers = [Decimal(value) if value else None for value in values]
        kind = pa.decimal128(PARQUET_DIGITS, PARQUET_DECIMALS)
        try:
            return pa.array([None if n is None else _EXACT.plus(n) for n in numbers], kind)
        except pa.ArrowInvalid as fault:
            raise InputError(
                "--focus", name, "has more digits than Parquet's decimals hold", "write CSV instead"
            ) from fault
    if name in INSTANTS:
        moments = [dt.datetime.fromisoformat(value) if value else None for value in values]
        return pa.array(moments, pa.timestamp("us", tz="UTC"))
    if name == "x_RequestCount":
        return pa.array([int(value) if value else None for value in values], pa.int64())
    return pa.array([value or None for value in values], pa.string())


def focus_metadata(created_at: dt.datetime, notes: tuple[str, ...] = ()) -> dict[str, object]:
    """What FOCUS wants said beside the data: version, maker, columns, and where it departs."""
    types = {column.name: column.type for column in COLUMNS_OF_FOCUS}
    return {
        "DataGenerator": "Weighbridge",
        "FocusVersion": FOCUS_VERSION,
        "CreationDate": created_at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ColumnDefinition": [
            {"ColumnName": name, "DataType": types.get(name, "String")} for name in COLUMNS
        ],
        "x_Departure": (
            "BilledCost is null unless a bill was reconciled and accepted, and other costs where "
            "no price or no contract is known: costs are computed from usage and prices. Lines of "
            "a bill that no request stands behind have no list cost and no quantity."
        ),
        **({"x_Notes": list(notes)} if notes else {}),
    }


def _check(item: FocusUsage, where: str) -> None:
    for field in ("n_tokens", "n_requests"):
        count = getattr(item, field)
        if count < 0:
            raise InputError(where, field, f"is {count}, below zero", "give a count, zero or more")
    for field in (
        "list_cost_usd",
        "contracted_cost_usd",
        "effective_cost_usd",
        "billed_cost_usd",
        "list_usd_per_mtok",
    ):
        cost = getattr(item, field)
        if cost is not None and (not isinstance(cost, Decimal) or not cost.is_finite()):
            problem = f"is {cost!r}, which is not an exact decimal"
            raise InputError(where, field, problem, "sum costs as decimals")
    if item.list_cost_usd is None and item.contracted_cost_usd is not None:
        problem = "is given for usage whose list cost is unknown"
        raise InputError(where, "contracted_cost_usd", problem, "give both or neither")
    rate = item.list_usd_per_mtok
    if rate is not None and _EXACT.multiply(rate, _mtok(item.n_tokens)) != item.list_cost_usd:
        problem = f"is {rate}, which times the tokens is not the list cost"
        raise InputError(where, "list_usd_per_mtok", problem, "leave it None where rates differ")


def _mtok(n_tokens: int) -> Decimal:
    return _EXACT.scaleb(Decimal(n_tokens), -6)


def _frame(on: dt.date, provider: str, account: BillingAccount) -> dict[str, str]:
    month = on.replace(day=1)
    return {
        "BillingAccountId": account.id,
        "BillingAccountName": account.name,
        "BillingCurrency": "USD",
        "BillingPeriodStart": _instant(month),
        "BillingPeriodEnd": _instant((month + dt.timedelta(days=32)).replace(day=1)),
        "ChargePeriodStart": _instant(on),
        "ChargePeriodEnd": _instant(on + dt.timedelta(days=1)),
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceProviderName": provider,
        "ServiceCategory": SERVICE_CATEGORY,
        "ServiceSubcategory": SERVICE_SUBCATEGORY,
    }


def _charge(item: FocusCharge) -> dict[str, str]:
    billed = _exact(item.billed_cost_usd)
    return {
        "BilledCost": billed,
        "ContractedCost": billed,
        "EffectiveCost": billed,
        "ChargeCategory": item.category,
        "ChargeDescription": item.description,
        "ServiceName": item.model or item.description,
        "x_Model": item.model,
        "x_CostBasis": BILLED_ALONE,
    }


def _costs(item: FocusUsage) -> dict[str, str]:
    return {
        "BilledCost": _exact(item.billed_cost_usd),
        "ListCost": _exact(item.list_cost_usd),
        "ListUnitPrice": _exact(item.list_usd_per_mtok),
        "ContractedCost": _exact(item.contracted_cost_usd),
        "EffectiveCost": _exact(item.effective_cost_usd),
        "x_PriceState": "unpriced" if item.list_cost_usd is None else "priced",
        "x_CostBasis": COMPUTED if item.billed_cost_usd is None else BILLED,
    }


def _tokens(item: FocusUsage) -> dict[str, str]:
    tags = {"tenant": item.tenant, "feature": item.feature}
    known = {key: value for key, value in tags.items() if value is not None}
    tier = item.service_tier or "standard"
    sku = f"{item.provider}/{item.model}/{item.token_type.replace(' ', '-')}"
    band = f"/above-{item.above_input_tokens}" if item.above_input_tokens else ""
    return {
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{item.token_type.capitalize()} tokens of {item.model}",
        "PricingCategory": "Standard",
        "PricingQuantity": _exact(_mtok(item.n_tokens)),
        "PricingUnit": MILLION_TOKENS,
        "ConsumedQuantity": str(item.n_tokens),
        "ConsumedUnit": TOKENS,
        "ServiceName": item.model,
        "SkuId": sku,
        "SkuMeter": f"{item.token_type.capitalize()} tokens",
        "SkuPriceId": f"{sku}/{tier}{band}",
        "SubAccountId": item.tenant or "",
        "SubAccountName": item.tenant or "",
        "Tags": json.dumps(known, ensure_ascii=False, sort_keys=True) if known else "",
        "x_Feature": item.feature or "",
        "x_Model": item.model,
        "x_TokenType": item.token_type,
        "x_ServiceTier": tier,
        "x_RequestCount": str(item.n_requests),
    }


def _exact(cost: Decimal | None) -> str:
    return "" if cost is None else format(cost, "f")


def _instant(on: dt.date) -> str:
    return f"{on.isoformat()}T00:00:00Z"
