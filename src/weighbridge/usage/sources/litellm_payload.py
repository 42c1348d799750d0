"""LiteLLM's standard logging payload: what its callbacks log, one JSON object a request.

Names of fields: `StandardLoggingPayload`, `StandardLoggingMetadata` and `StandardLoggingUserAPIKey
Metadata` in `litellm/types/utils.py` of the package litellm 1.109.1; the loggers to S3, GCS and
Azure Storage write it as it is. Instants are seconds since 1970, with decimals; `response_time` is
the latency, or the time to the first token where it was streamed (`get_response_time`), and so is
not read. `prompt_tokens` holds all input, as in the spend logs (see `sources.litellm`).
"""

from __future__ import annotations

from weighbridge.usage.sources.source import SERVICE_TIER_WORDS, Signature, Source, take

_USAGE = "metadata.usage_object"
_NAMED = "metadata.spend_logs_metadata"  # what the client chose to log: our two names, if it did
_ASKED = "metadata.requester_metadata"

LITELLM_PAYLOAD = Source(
    name="litellm-payload",
    title="LiteLLM standard logging payload (JSON lines)",
    formats=("json",),
    takes=(
        take("request_id", "id", required=True),
        take("started_at", "startTime", required=True, unit="s"),
        take("ended_at", "endTime", unit="s"),
        take("first_token_at", "completionStartTime", unit="s"),
        take(
            "tenant",
            *("metadata.user_api_key_team_alias", "metadata.user_api_key_team_id"),
            *("metadata.user_api_key_alias", "metadata.user_api_key_hash", "end_user"),
        ),
        take("feature", f"{_NAMED}.feature", f"{_ASKED}.feature"),
        take(
            "template",
            *(f"{_NAMED}.template", f"{_ASKED}.template"),
            "metadata.prompt_management_metadata.prompt_id",
        ),
        take("prompt", "messages"),
        take("record", "call_type"),
        take("provider", "custom_llm_provider"),
        take("model_requested", "model_group"),
        take("model", "model"),
        take("service_tier", f"{_USAGE}.service_tier"),
        take("status", "status"),
        take("input_tokens", "prompt_tokens", required=True),
        take(
            "cache_read_tokens",
            f"{_USAGE}.cache_read_input_tokens",
            f"{_USAGE}.prompt_tokens_details.cached_tokens",
        ),
        take(
            "cache_write_tokens",
            f"{_USAGE}.cache_creation_input_tokens",
            f"{_USAGE}.prompt_tokens_details.cache_creation_tokens",
        ),
        take("output_tokens", "completion_tokens", required=True),
        take("reasoning_tokens", f"{_USAGE}.completion_tokens_details.reasoning_tokens"),
        take("reported_cost_usd", "response_cost"),
        take("answered_from_cache", "cache_hit"),
    ),
    cannot_tell={
        "feature": "feature: only known where the client logs spend_logs_metadata.feature",
        "template": "template: only known where the client logs spend_logs_metadata.template, or "
        "LiteLLM manages the prompt",
        "retries": "retries: each attempt that failed is a request of its own",
        "fees": "fees for images, audio, searches and hour-long cache writes: not in the tokens",
        "sessions": "sessions and tags: not read",
    },
    assumptions=(
        "prompt_tokens includes cached tokens, for every provider",
        "cache_hit=True (LiteLLM's own cache): no model was asked, so stored with 0 tokens, "
        "0 attempts and $0",
        "completionStartTime equal to endTime means no first token was timed",
    ),
    words={
        "record": {"embedding": "embedding", "aembedding": "embedding", "*": "request"},
        "status": {"success": "ok", "failure": "error"},
        "service_tier": SERVICE_TIER_WORDS,
        "answered_from_cache": {"true": "yes", "false": None, "none": None},
    },
    signature=Signature(
        ("id", "startTime", "prompt_tokens", "completion_tokens", "response_cost"),
        telling=(
            *("model_map_information", "hidden_params", "saved_cache_cost", "response_time"),
            *("call_type", "custom_llm_provider", "metadata.user_api_key_hash"),
        ),
    ),
)
