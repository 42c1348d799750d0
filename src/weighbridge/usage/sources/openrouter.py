"""OpenRouter's activity export: one CSV row a generation.

Columns as in exports of 2026-09 (`generation_id,created_at,cost_total,...,app_name`); what they
mean is told by "Activity Export" and "Logs" in the guides of openrouter.ai: reasoning tokens are
inside the completion tokens, credits are dollars. `created_at` names no time zone.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Signature, Source, take

OPENROUTER = Source(
    name="openrouter",
    title="OpenRouter activity export (CSV)",
    formats=("csv",),
    takes=(
        take("request_id", "generation_id", required=True),
        take("started_at", "created_at", required=True),
        take("model", "model_permaslug", "model"),
        take("tenant", "api_key_name", "user"),
        take("feature", "app_name"),
        take("input_tokens", "tokens_prompt", required=True),
        take("cache_read_tokens", "tokens_cached"),
        take("output_tokens", "tokens_completion", required=True),
        take("reasoning_tokens", "tokens_reasoning"),
        take("status", "cancelled"),
        take("latency_s", "generation_time_ms", unit="ms"),
        take("ttft_s", "time_to_first_token_ms", unit="ms"),
        take("reported_cost_usd", "cost_total"),
    ),
    constants={"provider": "openrouter"},
    cannot_tell={
        "template": "template: the export names none",
        "tenant": "tenant: the API key's name, or the user that the client named",
        "feature": "feature: the app that the client named, where it named one",
        "status": "status: cancelled or not; requests that failed are not exported",
        "cache_write_tokens": "tokens written to a cache: inside the uncached input",
        "fees": "fees for web search and files: inside the reported cost, not in the tokens",
        "byok": "requests with a provider's key of your own: byok_usage_inference is not read",
        "upstream": "which provider served it: provider_name is not read, for OpenRouter's prices "
        "go by model",
    },
    assumptions=(
        "tokens_prompt includes cached tokens, tokens_completion those of reasoning",
        "generation_time_ms is the whole latency",
    ),
    naive_timezone="UTC",
    naive_timezone_reason="OpenRouter counts days in UTC",
    words={"status": {"false": "ok", "true": "interrupted"}},
    signature=Signature(
        ("generation_id", "created_at", "tokens_prompt", "tokens_completion"),
        telling=("cost_total", "model_permaslug", "provider_name", "tokens_reasoning", "app_name"),
    ),
)
