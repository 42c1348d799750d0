"""LiteLLM spend logs: rows of the table LiteLLM_SpendLogs, as JSON, JSON lines or CSV.

Names of columns: `model LiteLLM_SpendLogs` in `schema.prisma` of BerriAI/litellm. What stands in
`metadata`: `SpendLogsMetadata` in `litellm/proxy/_types.py`, filled by `get_logging_payload` in
`litellm/proxy/spend_tracking/spend_tracking_utils.py` (all read at version 1.106.2).

`prompt_tokens` holds all input: LiteLLM adds Anthropic's cache reads and writes to it (`calculate_
usage` in `llms/anthropic/chat/transformation.py`), and the other providers count them inside. A row
of an old version, where they were left out, shows more cached than input tokens and is rejected.
The instants are UTC: LiteLLM converts them before it stores them (`_ensure_datetime_utc`), in a
column type without zone, so that an SQL export prints none.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import SERVICE_TIER_WORDS, Signature, Source, take

_USAGE = "metadata.usage_object"
_MORE_USAGE = "metadata.additional_usage_values"
_NAMED = "metadata.spend_logs_metadata"  # what the client chose to log: our two names, if it did

LITELLM = Source(
    name="litellm",
    title="LiteLLM spend logs (JSON, JSON lines or CSV of LiteLLM_SpendLogs)",
    formats=("json", "csv"),
    takes=(
        take("request_id", "request_id", required=True),
        take("started_at", "startTime", required=True),
        take("ended_at", "endTime"),
        take("first_token_at", "completionStartTime"),
        take(
            "tenant",
            "metadata.user_api_key_team_alias",
            "team_id",
            "metadata.user_api_key_alias",
            "api_key",
        ),
        take("feature", f"{_NAMED}.feature"),
        take("template", f"{_NAMED}.template"),
        take("provider", "custom_llm_provider"),
        take("model_requested", "model_group"),
        take("model", "model"),
        take("service_tier", f"{_USAGE}.service_tier", f"{_MORE_USAGE}.service_tier"),
        take("status", "status", "metadata.status"),
        take("retries", "metadata.attempted_retries"),
        take("input_tokens", "prompt_tokens", required=True),
        take(
            "cache_read_tokens",
            f"{_MORE_USAGE}.cache_read_input_tokens",
            f"{_USAGE}.cache_read_input_tokens",
            f"{_USAGE}.prompt_tokens_details.cached_tokens",
            f"{_MORE_USAGE}.prompt_tokens_details.cached_tokens",
        ),
        take(
            "cache_write_tokens",
            f"{_MORE_USAGE}.cache_creation_input_tokens",
            f"{_USAGE}.cache_creation_input_tokens",
            f"{_USAGE}.prompt_tokens_details.cache_creation_tokens",
        ),
        take("output_tokens", "completion_tokens", required=True),
        take(
            "reasoning_tokens",
            f"{_USAGE}.completion_tokens_details.reasoning_tokens",
            f"{_MORE_USAGE}.completion_tokens_details.reasoning_tokens",
        ),
        take("reported_cost_usd", "spend"),
        take("answered_from_cache", "cache_hit"),
    ),
    cannot_tell={
        "feature": "feature: only known where the client logs spend_logs_metadata.feature",
        "template": "template: only known where the client logs spend_logs_metadata.template",
        "data_class": "data_class: LiteLLM records none",
        "fees": "fees for images, audio, searches and hour-long cache writes: not in the tokens",
    },
    assumptions=(
        "prompt_tokens includes cached tokens, for every provider",
        "a row without status was answered",
        "cache_hit=True (LiteLLM's own cache): no model was asked, so stored with 0 tokens, "
        "0 attempts and $0",
        "completionStartTime equal to endTime means no first token was timed",
    ),
    naive_timezone="UTC",
    naive_timezone_reason="LiteLLM stores UTC",
    words={
        "status": {"success": "ok", "failure": "error"},
        "service_tier": SERVICE_TIER_WORDS,
        "model": {"unknown-model": None},
        "answered_from_cache": {"true": "yes", "false": None, "none": None},
    },
    signature=Signature(
        ("request_id", "startTime", "prompt_tokens", "completion_tokens"),
        telling=("call_type", "spend", "endTime", "custom_llm_provider", "model_group"),
    ),
)
