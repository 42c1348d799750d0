"""Helicone: what `npx @helicone/export` writes (JSON lines, JSON, CSV), and the query's result.

Names of fields: `getRequestsClickhouse` in `valhalla/jawn/src/lib/stores/request/request.ts` and
`examples/export/typescript/index.ts` of Helicone/helicone; the query is `POST
/v1/request/query-clickhouse`, its result `{"data": [...]}`. `delay_ms` and `time_to_first_token`
are milliseconds. The CSV has a column `model` and one `latency` that the query's rows do not hold,
so that they are mostly empty, no cached tokens, and the properties with their quotes doubled twice.

`prompt_tokens` leaves cached tokens out: Anthropic counts so, and for OpenAI Helicone takes them
off (`openaiBodyProcessor.ts`), those of audio too.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Envelope, Signature, Source, take

_PROPERTIES = "request_properties"
_ANSWERED = {str(code): "ok" for code in range(200, 300)}
_FAILED = {str(code): "error" for code in range(300, 600)}
_UNBORN = "00000000-0000-0000-0000-000000000000"  # of a row that no cache answered
# Helicone writes providers in capitals.
_PROVIDERS = (
    *("anthropic", "aws", "azure", "cohere", "deepseek", "fireworks", "google", "groq"),
    *("mistral", "openai", "openrouter", "perplexity", "together", "x-ai"),
)

HELICONE = Source(
    name="helicone",
    title="Helicone export or query result (JSON, JSON lines or CSV)",
    formats=("json", "csv"),
    takes=(
        take("request_id", "request_id", "response_id", required=True),
        take("started_at", "request_created_at", required=True),
        take("ended_at", "response_created_at"),
        take("latency_s", "delay_ms", "latency", unit="ms"),
        take("ttft_s", "time_to_first_token", unit="ms"),
        take("status", "response_status", required=True),
        take("provider", "provider"),
        take("model_requested", "request_model"),
        take("model", "model_override", "response_model", "model", "request_model"),
        take("tenant", f"{_PROPERTIES}.tenant", f"{_PROPERTIES}.Tenant", "request_user_id"),
        take("feature", f"{_PROPERTIES}.feature", f"{_PROPERTIES}.Feature"),
        take(
            "template",
            f"{_PROPERTIES}.template",
            f"{_PROPERTIES}.Template",
            f"{_PROPERTIES}.Helicone-Prompt-Id",
            "prompt_id",
        ),
        take("input_tokens", "prompt_tokens"),
        take("cache_read_tokens", "prompt_cache_read_tokens"),
        take("cache_write_tokens", "prompt_cache_write_tokens"),
        take("output_tokens", "completion_tokens"),
        take("reported_cost_usd", "cost", "cost_usd"),
        take("answered_from_cache", "cache_reference_id"),
    ),
    input_includes_cache=False,
    answered_needs=("input_tokens", "output_tokens"),
    cannot_tell={
        "feature": "feature: only known where the client sets Helicone-Property-Feature",
        "template": "template: only known where a prompt is named, or Helicone-Property-Template",
        "tenant": "tenant: the property of that name, else the user",
        "reasoning_tokens": "reasoning tokens: inside the output tokens, not told apart",
        "service_tier": "service tier: not recorded, so standard",
        "csv": "of the CSV: no cached tokens, and mostly no model and no latency",
    },
    assumptions=(
        "prompt_tokens excludes cached tokens",
        "a row with another row's cache_reference_id was answered from Helicone's cache",
    ),
    naive_timezone="UTC",
    naive_timezone_reason="Helicone stores UTC",
    words={
        "status": {
            **_ANSWERED,
            **_FAILED,
            "-1": "error",
            "-2": "interrupted",
            "-3": "interrupted",
            "-4": "error",
        },
        "provider": {name: name for name in _PROVIDERS},
        "answered_from_cache": {_UNBORN: None, "": None, "*": "yes"},
    },
    signature=Signature(
        ("request_created_at", "response_status", "prompt_tokens", "completion_tokens"),
        telling=("response_created_at", "request_user_id", "request_properties", "delay_ms"),
    ),
    envelope=Envelope("data"),
)
