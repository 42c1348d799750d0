"""The columns of FOCUS that the export writes, and a check of rows against their rules.

Read in FOCUS 1.3 (published December 2025; its repository FinOps-Open-Cost-and-Usage-Spec, folder
`specification/datasets/cost_and_usage/columns`), in our own words. All that 1.2 makes mandatory is
mandatory in 1.3, which adds ServiceProviderName and HostProviderName and marks ProviderName and
PublisherName as deprecated; so a reader of either version finds its columns here.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

FOCUS_VERSION = "1.3"
TOKENS, MILLION_TOKENS = "Tokens", "1000000 Tokens"

DataType = Literal["Decimal", "String", "Date/Time", "JSON"]
Nulls = Literal["never", "allowed", "not on usage", "only on usage"]


@dataclass(frozen=True, slots=True)
class FocusColumn:
    """One column: its type, whether it must be there, when it may be empty, what it may say.

    "not on usage": filled on every usage row. "only on usage": filled there and empty elsewhere.
    """

    name: str
    type: DataType
    mandatory: bool
    nulls: Nulls
    values: tuple[str, ...] = ()
    number: Literal["any", "not negative"] = "any"


def _must(name: str, kind: DataType, nulls: Nulls = "never", **more: object) -> FocusColumn:
    return FocusColumn(name, kind, True, nulls, **more)  # type: ignore[arg-type]


def _may(name: str, kind: DataType, nulls: Nulls = "allowed", **more: object) -> FocusColumn:
    return FocusColumn(name, kind, False, nulls, **more)  # type: ignore[arg-type]


CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
COLUMNS_OF_FOCUS: tuple[FocusColumn, ...] = (
    _must("BilledCost", "Decimal"),
    _must("BillingAccountId", "String"),
    _must("BillingAccountName", "String", "allowed"),
    _must("BillingCurrency", "String"),
    _must("BillingPeriodEnd", "Date/Time"),
    _must("BillingPeriodStart", "Date/Time"),
    _must("ChargeCategory", "String", values=CATEGORIES),
    _must("ChargeClass", "String", "allowed", values=("Correction",)),
    _must("ChargeDescription", "String", "allowed"),
    _must("ChargePeriodEnd", "Date/Time"),
    _must("ChargePeriodStart", "Date/Time"),
    _must("ContractedCost", "Decimal"),
    _must("EffectiveCost", "Decimal"),
    _must("HostProviderName", "String"),
    _must("InvoiceIssuerName", "String"),
    _must("ListCost", "Decimal"),
    _must("PricingQuantity", "Decimal", "not on usage"),
    _must("PricingUnit", "String", "not on usage"),
    _must("ProviderName", "String"),
    _must("PublisherName", "String"),
    _must("ServiceCategory", "String", values=("AI and Machine Learning",)),
    _must("ServiceName", "String"),
    _must("ServiceProviderName", "String"),
    _may("ConsumedQuantity", "Decimal", "only on usage"),
    _may("ConsumedUnit", "String", "only on usage"),
    _may("ListUnitPrice", "Decimal", "not on usage", number="not negative"),
    _may("PricingCategory", "String", "not on usage", values=("Standard",)),
    _may("ServiceSubcategory", "String", "allowed", values=("Generative AI",)),
    _may("SkuId", "String", "not on usage"),
    _may("SkuMeter", "String", "allowed"),
    _may("SkuPriceId", "String", "not on usage"),
    _may("SubAccountId", "String"),
    _may("SubAccountName", "String"),
    _may("Tags", "JSON"),
)


def faults_of(row: Mapping[str, str]) -> Iterator[str]:
    """What in a row, as it is written, breaks a rule: nothing where all is well."""
    given = {name for name in row if not name.startswith("x_")}
    known = {column.name for column in COLUMNS_OF_FOCUS}
    yield from (f"{name}: is no column of FOCUS and no x_ column" for name in sorted(given - known))
    for column in COLUMNS_OF_FOCUS:
        if column.name not in row:
            if column.mandatory:
                yield f"{column.name}: is missing"
            continue
        yield from _faults_of_value(column, row[column.name], row.get("ChargeCategory", ""))
    yield from _faults_between(row)


def _faults_of_value(column: FocusColumn, value: str, category: str) -> Iterator[str]:
    usage = category == "Usage"
    if not value:
        if column.nulls == "never" or (usage and column.nulls != "allowed"):
            yield f"{column.name}: is empty"
        return
    if column.nulls == "only on usage" and not usage:
        yield f"{column.name}: is filled on a row of {category}"
    if column.values and value not in column.values:
        yield f"{column.name}: {value!r} is not among the values allowed"
    if not _fits(column, value):
        yield f"{column.name}: {value!r} is no {column.type}"


def _fits(column: FocusColumn, value: str) -> bool:
    try:
        if column.type == "Decimal":
            number = _number(value)
            return number is not None and (column.number == "any" or number >= 0)
        if column.type == "Date/Time":
            return value.endswith("Z") and dt.datetime.fromisoformat(value).tzinfo is not None
        if column.type == "JSON":
            return isinstance(json.loads(value), dict)
    except ValueError:
        return False
    return value == value.strip()


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _faults_between(row: Mapping[str, str]) -> Iterator[str]:
    """Rules that tie columns to each other."""
    for quantity, unit in (
        ("PricingQuantity", "PricingUnit"),
        ("ConsumedQuantity", "ConsumedUnit"),
    ):
        if bool(row.get(quantity)) != bool(row.get(unit)):
            yield f"{unit}: a quantity and its unit go together"
    for start, end in (
        ("BillingPeriodStart", "BillingPeriodEnd"),
        ("ChargePeriodStart", "ChargePeriodEnd"),
    ):
        if row.get(start, "") >= row.get(end, "~"):
            yield f"{end}: is not after {start}"
    numbers = [row.get(name, "") for name in ("ListUnitPrice", "PricingQuantity", "ListCost")]
    if all(_number(text) is not None for text in numbers):
        price, count, cost = (Decimal(text) for text in numbers)
        if price * count != cost:
            yield "ListCost: is not ListUnitPrice times PricingQuantity"
    if row.get("ChargeCategory") == "Credit" and row.get("ContractedCost") != row.get("BilledCost"):
        yield "ContractedCost: differs from BilledCost on a credit"
