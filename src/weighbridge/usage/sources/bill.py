"""What a bill is, as data: where a line's day, money and names stand."""

from __future__ import annotations

from dataclasses import dataclass, field

from weighbridge.usage.sources.source import Envelope, Format, Signature

Paths = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bill:
    """One kind of bill. Paths are written with dots; the first that holds a value is taken.

    `units_per_usd` says what the amount counts: 100 where it is in cents.
    """

    name: str
    title: str
    formats: tuple[Format, ...]
    signature: Signature
    day: Paths
    amount: Paths
    until: Paths = ()  # the end of the line's period, where it states one
    provider: Paths = ()
    model: Paths = ()
    line_item: Paths = ()
    project: Paths = ()
    token_type: Paths = ()
    currency: Paths = ()
    only_provider: str | None = None
    units_per_usd: int = 1
    envelope: Envelope | None = None
    model_before: str | None = None  # what parts the model from the rest of a line item
    empty_amount: str = field(default="is missing")


FOCUS = Bill(
    name="focus",
    title="cost and usage in FOCUS columns (CSV or Parquet)",
    formats=("csv", "parquet"),
    signature=Signature(
        ("BilledCost", "BillingCurrency", "ChargePeriodStart"),
        telling=("ChargePeriodEnd", "ServiceName", "ChargeCategory", "BillingPeriodStart"),
    ),
    day=("ChargePeriodStart",),
    until=("ChargePeriodEnd",),
    amount=("BilledCost",),
    # FOCUS 1.3 puts ServiceProviderName in the place of ProviderName.
    provider=("ServiceProviderName", "ProviderName", "PublisherName"),
    model=("x_Model", "x_model", "SkuMeter"),
    line_item=("ChargeDescription", "SkuId"),
    project=("SubAccountName", "SubAccountId"),
    currency=("BillingCurrency",),
    empty_amount="is empty: this is a computed cost, which nobody has billed",
)

PLAIN = Bill(
    name="bill-csv",
    title="any bill as CSV with the columns date, model, usd",
    formats=("csv",),
    signature=Signature(("date", "model", "usd"), telling=("provider", "line_item", "currency")),
    day=("date",),
    amount=("usd",),
    provider=("provider",),
    model=("model",),
    line_item=("line_item",),
    project=("project",),
    currency=("currency",),
)
