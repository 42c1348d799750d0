"""OpenAI organization costs: pages of daily buckets, as `GET /v1/organization/costs` sends them.

Names of fields: `openai.types.admin.organization.usage_costs_response` of the package openai
3.54.0. `amount.value` is dollars, `start_time` seconds since 1970. A line item is `MODEL, KIND`
(`gpt-4o-2024-08-06, cached input`) where it is of tokens; it is there only where the request asked
for `group_by=line_item`.
"""

from __future__ import annotations

from weighbridge.usage.sources.bill import Bill
from weighbridge.usage.sources.source import Envelope, Signature

OPENAI_COSTS = Bill(
    name="openai-costs",
    title="OpenAI organization costs (JSON pages)",
    formats=("json",),
    signature=Signature(
        ("data.start_time", "data.end_time", "data.results.amount.value"),
        telling=("data.results.amount.currency", "data.results.line_item", "has_more"),
    ),
    day=("bucket.start_time",),
    until=("bucket.end_time",),
    amount=("result.amount.value",),
    line_item=("result.line_item",),
    project=("result.project_id",),
    currency=("result.amount.currency",),
    only_provider="openai",
    envelope=Envelope("data", "results", "has_more"),
    model_before=", ",
)
