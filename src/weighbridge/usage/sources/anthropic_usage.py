"""Anthropic's usage report: pages of buckets of `GET /v1/organizations/usage_report/messages`.

Names of fields: "Get Messages Usage Report" in the API reference of platform.claude.com, and
`anthropic.types.beta.organization.beta_analytics_usage_bucketed_result` of the package anthropic
2.12, whose analytics report is shaped alike and counts `requests`; the messages report counts none.
Input is told in disjoint parts: uncached, read from the cache, written to it for five minutes or an
hour. `workspace_id` null is the default workspace, or a report that was not grouped by it.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Envelope, Signature, Source, take

ANTHROPIC_USAGE = Source(
    name="anthropic-usage",
    title="Anthropic usage report of messages (JSON pages)",
    formats=("json",),
    takes=(
        take("started_at", "bucket.starting_at", required=True),
        take("bucket_ended_at", "bucket.ending_at", required=True),
        take("n_requests", "result.requests"),
        take("uncached_input_tokens", "result.uncached_input_tokens", required=True),
        take("cache_read_tokens", "result.cache_read_input_tokens"),
        take("cache_write_tokens", "result.cache_creation.ephemeral_5m_input_tokens"),
        take("cache_write_1h_tokens", "result.cache_creation.ephemeral_1h_input_tokens"),
        take("output_tokens", "result.output_tokens", required=True),
        take("model", "result.model"),
        take("service_tier", "result.service_tier"),
        take("tenant", "result.workspace_id", "result.api_key_id", "result.account_id"),
    ),
    constants={"provider": "anthropic"},
    input_includes_cache=False,
    cannot_tell={
        "request_id": "request_id: made from the bucket and the request's number in it",
        "requests": "number of requests: the messages report counts none (--tokens-per-request)",
        "tenant": "tenant: the workspace, key or account, where the report was grouped by one",
        "feature": "feature: the report names none",
        "template": "template: the report names none",
        "model": "model: only known where the report was grouped by model",
        "status": "status: requests that failed are not told from those that were answered",
        "latency_s": "latency and time to first token: not recorded",
        "reasoning_tokens": "reasoning tokens: inside the output tokens, not told apart",
        "fees": "hour-long cache writes are priced as five-minute ones; server tools are not in "
        "the tokens",
        "tiers": "prices of the batch, flex and priority tiers, where the price list has none: "
        "standard prices stand in",
        "long context": "prices above a length of prompt: the mean prompt's length decides",
    },
    assumptions=("uncached_input_tokens excludes tokens read from and written to the cache",),
    words={
        "service_tier": {
            "standard": "standard",
            "batch": "batch",
            "priority": "priority",
            "priority_on_demand": "priority",
            "flex": "flex",
            "flex_discount": "flex",
        },
    },
    signature=Signature(
        (
            "data.starting_at",
            "data.ending_at",
            "data.results.uncached_input_tokens",
            "data.results.output_tokens",
        ),
        telling=(
            "data.results.cache_creation.ephemeral_5m_input_tokens",
            "data.results.cache_read_input_tokens",
            "has_more",
        ),
    ),
    envelope=Envelope("data", "results", "has_more"),
    options=("--tokens-per-request 3000",),
)
