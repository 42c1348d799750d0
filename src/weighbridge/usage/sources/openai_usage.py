"""OpenAI organization usage: pages of buckets of `GET /v1/organization/usage/completions`.

Names of fields: `openai.types.admin.organization.usage_completions_response` of the package openai
3.54.0 (and `usage_embeddings_response`, whose rows have no output). `input_tokens` includes cached
and cache-write tokens and those of audio and images; `start_time` and `end_time` are seconds since
1970. A dimension (model, project, key, tier, batch) is there only where the request asked for it in
`group_by`. Usage of images, speech and stores counts no tokens, and its rows are rejected.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import (
    SERVICE_TIER_WORDS,
    Envelope,
    Signature,
    Source,
    take,
)

OPENAI_USAGE = Source(
    name="openai-usage",
    title="OpenAI organization usage (JSON pages)",
    formats=("json",),
    takes=(
        take("started_at", "bucket.start_time", required=True, unit="s"),
        take("bucket_ended_at", "bucket.end_time", required=True, unit="s"),
        take("n_requests", "result.num_model_requests", required=True),
        take("input_tokens", "result.input_tokens", required=True),
        take("cache_read_tokens", "result.input_cached_tokens"),
        take("cache_write_tokens", "result.input_cache_write_tokens"),
        take("output_tokens", "result.output_tokens"),
        take("model", "result.model"),
        take("service_tier", "result.service_tier"),
        take("batch", "result.batch"),
        take("tenant", "result.project_id", "result.api_key_id", "result.user_id"),
    ),
    constants={"provider": "openai"},
    cannot_tell={
        "request_id": "request_id: made from the bucket and the request's number in it",
        "tenant": "tenant: the project, key or user, where the report was grouped by one",
        "feature": "feature: the report names none",
        "template": "template: the report names none",
        "model": "model: only known where the report was grouped by model",
        "status": "status: requests that failed are not told from those that were answered",
        "latency_s": "latency and time to first token: not recorded",
        "reasoning_tokens": "reasoning tokens: inside the output tokens, not told apart",
        "fees": "audio and image tokens are priced as text; calls of tools are not in the tokens",
        "tiers": "prices of the batch, flex and priority tiers, where the price list has none: "
        "standard prices stand in",
        "long context": "prices above a length of prompt: the mean prompt's length decides",
    },
    assumptions=("input_tokens includes cached tokens",),
    words={
        "service_tier": {**SERVICE_TIER_WORDS, "scale": None},
        "batch": {"true": "batch", "false": None},
    },
    signature=Signature(
        (
            "data.start_time",
            "data.end_time",
            "data.results.input_tokens",
            "data.results.num_model_requests",
        ),
        telling=("data.results.output_tokens", "data.results.input_cached_tokens", "has_more"),
    ),
    envelope=Envelope("data", "results", "has_more"),
)
