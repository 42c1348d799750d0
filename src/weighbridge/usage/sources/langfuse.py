"""Langfuse: observations, as its API, its page and its export to blob storage write them.

Two styles of keys. camelCase: `langfuse.api.commons.types.observation_v2` of the package langfuse
5.0.4 (`GET /api/public/v2/observations`, whose answer is `{"data": [...]}`). snake_case:
`LEGACY_OBSERVATION_EXPORT_FIELDS` in `packages/shared/src/domain/observation-field-groups.ts` and
`getObservationsForBlobStorageExport` in `.../server/repositories/observations.ts` of
langfuse/langfuse: maps as objects (JSON text in CSV, maps in Parquet), instants of ClickHouse
without zone, in UTC.

Usage types are free words. Of OpenAI's usage Langfuse makes disjoint ones: `OpenAICompletionUsage
Schema` in `packages/shared/src/server/ingestion/types.ts` takes every detail (as
`input_cached_tokens`, `output_reasoning_tokens`) off `input` or `output`. Other clients' are stored
as sent; where their `total` adds up only with the cached tokens inside `input`, they are read so.
Only observations of the types GENERATION and EMBEDDING are requests; SPAN, EVENT, AGENT, TOOL and
so on are not.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Envelope, Signature, Source, Take, take


def _used(quantity: str, *kinds: str) -> Take:
    """From the usage details, in both styles of keys."""
    return take(quantity, *(f"{map_}.{kind}" for kind in kinds for map_ in _USAGE))


_USAGE = ("usageDetails", "usage_details")

LANGFUSE = Source(
    name="langfuse",
    title="Langfuse observations (JSON, JSON lines, CSV or Parquet)",
    formats=("json", "csv", "parquet"),
    takes=(
        take("request_id", "id", required=True),
        take("record", "type", required=True),
        take("started_at", "startTime", "start_time", required=True),
        take("ended_at", "endTime", "end_time"),
        take("first_token_at", "completionStartTime", "completion_start_time"),
        take("status", "level"),
        take("tenant", "metadata.tenant", "userId", "user_id"),
        take("feature", "metadata.feature", "traceName", "trace_name"),
        take("template", "promptName", "prompt_name"),
        take("prompt", "input"),
        take("provider", "metadata.provider", "metadata.ls_provider"),
        take("model", "model", "providedModelName", "provided_model_name"),
        take("service_tier", "metadata.service_tier"),
        _used("input_tokens", "input", "input_tokens", "prompt_tokens"),
        _used(
            "cache_read_tokens",
            *("input_cached_tokens", "input_cache_read", "cache_read_input_tokens"),
            "input_cache_read_tokens",
        ),
        _used(
            "cache_write_tokens",
            *("input_cache_creation", "cache_creation_input_tokens", "input_cache_write_tokens"),
            "input_cache_creation_tokens",
        ),
        _used("output_tokens", "output", "output_tokens", "completion_tokens"),
        _used("reasoning_tokens", "output_reasoning_tokens", "output_reasoning"),
        _used("total_tokens", "total", "total_tokens"),
        take(
            "reported_cost_usd",
            *("costDetails.total", "cost_details.total", "totalCost", "total_cost"),
            "calculatedTotalCost",
        ),
    ),
    input_includes_cache=False,
    output_includes_reasoning=False,
    answered_needs=("input_tokens", "output_tokens"),
    cannot_tell={
        "tenant": "tenant: metadata.tenant, else the user, where the export holds one (the legacy "
        "export of observations does not)",
        "feature": "feature: metadata.feature, else the trace's name, where the export holds one",
        "template": "template: only known where a prompt of Langfuse is linked",
        "provider": "provider: only known where metadata names it; prices go by the model's name",
        "service_tier": "service tier: only known where metadata.service_tier names it",
        "retries": "retries: not recorded",
        "sessions": "sessions and tags: not read",
        "fees": "audio and image tokens with usage types of their own: not in the tokens",
    },
    assumptions=(
        "usage types are disjoint: input excludes cached tokens, output those of reasoning, unless "
        "the row's total says otherwise",
        "only observations of the types GENERATION and EMBEDDING are requests",
    ),
    naive_timezone="UTC",
    naive_timezone_reason="Langfuse stores UTC",
    words={
        "record": {"generation": "request", "embedding": "embedding", "*": None},
        "status": {"default": "ok", "debug": "ok", "warning": "ok", "error": "error"},
        "service_tier": {
            **dict.fromkeys(("standard", "default"), "standard"),
            "batch": "batch",
            "flex": "flex",
            "priority": "priority",
            "*": None,
        },
    },
    signature=Signature(
        ("id", "traceId", "type", "startTime", "usageDetails"),
        telling=(
            *("costDetails", "promptName", "completionStartTime", "parentObservationId", "level"),
            *("cost_details", "prompt_name", "completion_start_time", "parent_observation_id"),
        ),
        others=(("id", "trace_id", "type", "start_time", "usage_details"),),
    ),
    envelope=Envelope("data"),
)
