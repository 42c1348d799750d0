"""Cost export in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification.

All 21 mandatory columns of FOCUS 1.2 are there, in the specification's order, then the conditional
ones that apply to tokens, then our own, whose names begin with `x_`. FOCUS 1.3 and 1.4 exist and
deprecate `ProviderName` and `PublisherName`; 1.2 is what providers' exports and tools read today.

One requirement is not met, on purpose: `BilledCost` may not be empty in FOCUS, and here it always
is. We compute what requests cost at the prices of their instant; what was billed, only an invoice
knows, and a figure of ours in that column would be read as reconciled. Our figure stands in
`ListCost` (public prices), `ContractedCost` (after negotiated discounts) and `EffectiveCost`.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from weighbridge.units import InputError
from weighbridge.usage.results import Tokens

FOCUS_VERSION = "1.2"
SERVICE_CATEGORY = "AI and Machine Learning"
SERVICE_SUBCATEGORY = "Generative AI"
UNIT = "Tokens"

MANDATORY = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
)
CONDITIONAL = (
    "ConsumedQuantity",
    "ConsumedUnit",
    "ServiceSubcategory",
    "SkuId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
)
TOKEN_COLUMNS = (
    "x_UncachedInputTokens",
    "x_CacheReadTokens",
    "x_CacheWriteTokens",
    "x_OutputTokens",
)
EXTENSIONS = (
    "x_Feature",
    "x_Model",
    "x_RequestCount",
    *TOKEN_COLUMNS,
    "x_PriceState",
    "x_CostBasis",
)
COLUMNS = (*MANDATORY, *CONDITIONAL, *EXTENSIONS)


@dataclass(frozen=True, slots=True)
class FocusUsage:
    """One day of one tenant, feature and model at one provider, as the caller summed it.

    Requests with a known price and without one belong in two sums: a cost of None means that no
    price is known, and becomes an empty cell, never zero. Where your discount is not known either,
    leave `contracted_cost_usd` and `effective_cost_usd` None: list cost is not repeated for them.
    """

    on: dt.date
    provider: str
    model: str
    tokens: Tokens
    n_requests: int
    list_cost_usd: Decimal | None
    tenant: str | None = None
    feature: str | None = None
    contracted_cost_usd: Decimal | None = None
    effective_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """Whose account the usage is on: FOCUS wants it in every row."""

    id: str
    name: str


def focus_rows(usage: Iterable[FocusUsage], account: BillingAccount) -> Iterator[dict[str, str]]:
    """One FOCUS row for each sum, every value as it is written; empty means null."""
    for index, item in enumerate(usage, start=1):
        _check(item, f"usage row {index}")
        yield {**dict.fromkeys(COLUMNS, ""), **_mandatory(item, account), **_others(item)}


def focus_csv(usage: Iterable[FocusUsage], account: BillingAccount) -> str:
    """The export as CSV text with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(focus_rows(usage, account))
    return text.getvalue()


def focus_metadata(created_at: dt.datetime) -> dict[str, str]:
    """What FOCUS wants said beside the data: version, maker, and where it departs."""
    return {
        "DataGenerator": "Weighbridge",
        "FocusVersion": FOCUS_VERSION,
        "CreationDate": created_at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x_Departure": (
            "BilledCost is null in every row, and other costs where no price is known: "
            "costs are computed from usage and prices, not taken from an invoice."
        ),
    }


def _check(item: FocusUsage, where: str) -> None:
    buckets = {slot: getattr(item.tokens, slot) for slot in item.tokens.__slots__}
    for field, count in {**buckets, "n_requests": item.n_requests}.items():
        if count < 0:
            raise InputError(where, field, f"is {count}, below zero", "give a count, zero or more")
    for field in ("list_cost_usd", "contracted_cost_usd", "effective_cost_usd"):
        cost = getattr(item, field)
        if cost is not None and (not isinstance(cost, Decimal) or not cost.is_finite()):
            problem = f"is {cost!r}, which is not an exact decimal"
            raise InputError(where, field, problem, "sum costs as decimals")
    if item.list_cost_usd is None and item.contracted_cost_usd is not None:
        problem = "is given for usage whose list cost is unknown"
        raise InputError(where, "contracted_cost_usd", problem, "give both or neither")


def _mandatory(item: FocusUsage, account: BillingAccount) -> dict[str, str]:
    month = item.on.replace(day=1)
    return {
        "BillingAccountId": account.id,
        "BillingAccountName": account.name,
        "BillingCurrency": "USD",
        "BillingPeriodStart": _instant(month),
        "BillingPeriodEnd": _instant((month + dt.timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"Input and output tokens of {item.model}",
        "ChargePeriodStart": _instant(item.on),
        "ChargePeriodEnd": _instant(item.on + dt.timedelta(days=1)),
        "ListCost": _exact(item.list_cost_usd),
        "ContractedCost": _exact(item.contracted_cost_usd),
        "EffectiveCost": _exact(item.effective_cost_usd),
        "InvoiceIssuerName": item.provider,
        "ProviderName": item.provider,
        "PublisherName": item.provider,
        "PricingQuantity": str(item.tokens.total_tokens),
        "PricingUnit": UNIT,
        "ServiceCategory": SERVICE_CATEGORY,
        "ServiceName": item.model,
    }


def _others(item: FocusUsage) -> dict[str, str]:
    tags = {"tenant": item.tenant, "feature": item.feature}
    known = {key: value for key, value in tags.items() if value is not None}
    return {
        "ConsumedQuantity": str(item.tokens.total_tokens),
        "ConsumedUnit": UNIT,
        "ServiceSubcategory": SERVICE_SUBCATEGORY,
        "SkuId": f"{item.provider}/{item.model}",
        "SubAccountId": item.tenant or "",
        "SubAccountName": item.tenant or "",
        "Tags": json.dumps(known, ensure_ascii=False, sort_keys=True) if known else "",
        "x_Feature": item.feature or "",
        "x_Model": item.model,
        "x_RequestCount": str(item.n_requests),
        "x_UncachedInputTokens": str(item.tokens.uncached_input_tokens),
        "x_CacheReadTokens": str(item.tokens.cache_read_tokens),
        "x_CacheWriteTokens": str(item.tokens.cache_write_tokens),
        "x_OutputTokens": str(item.tokens.output_tokens),
        "x_PriceState": "unpriced" if item.list_cost_usd is None else "priced",
        "x_CostBasis": "computed from usage and prices, not reconciled with an invoice",
    }


def _exact(cost: Decimal | None) -> str:
    return "" if cost is None else format(cost, "f")


def _instant(on: dt.date) -> str:
    return f"{on.isoformat()}T00:00:00Z"
