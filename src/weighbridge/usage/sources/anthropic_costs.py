"""Anthropic's cost report: pages of daily buckets of `GET /v1/organizations/cost_report`.

Names of fields: "Get Cost Report" in the API reference of platform.claude.com, and
`anthropic.types.beta.organization.beta_analytics_cost_bucketed_result` of the package anthropic
2.12 for the report of the analytics API, which is shaped alike. `amount` is a decimal string in
*cents*: "123.45" is $1.2345. `description` and `model` are there only where the request asked for
`group_by[]=description`; costs of the priority tier are in no such report.
"""

from __future__ import annotations

from weighbridge.usage.sources.bill import Bill
from weighbridge.usage.sources.source import Envelope, Signature

ANTHROPIC_COSTS = Bill(
    name="anthropic-costs",
    title="Anthropic cost report (JSON pages)",
    formats=("json",),
    signature=Signature(
        ("data.starting_at", "data.ending_at", "data.results.amount", "data.results.currency"),
        telling=("data.results.cost_type", "data.results.token_type", "data.results.description"),
    ),
    day=("bucket.starting_at",),
    until=("bucket.ending_at",),
    amount=("result.amount",),
    model=("result.model",),
    line_item=("result.description",),
    project=("result.workspace_id",),
    token_type=("result.token_type",),
    currency=("result.currency",),
    only_provider="anthropic",
    units_per_usd=100,
    envelope=Envelope("data", "results", "has_more"),
)
