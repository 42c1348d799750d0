"""OpenTelemetry spans of generative AI, as JSON lines: OTLP's, or spans as SDKs print them.

Names of attributes: "Semantic conventions for generative client AI spans" (`docs/gen-ai/gen-ai-
spans.md` of open-telemetry/semantic-conventions, now in semantic-conventions-genai), and
`opentelemetry.semconv._incubating.attributes.gen_ai_attributes` of the package opentelemetry-
semantic-conventions 0.66b2, which names the old ones that they replace: `gen_ai.system`,
`gen_ai.usage.prompt_tokens`, `gen_ai.usage.completion_tokens`. `gen_ai.usage.input_tokens` contains
cached tokens by the conventions; an instrumentation that leaves them out shows more of them than of
input, and such rows are rejected. What is read in a line, and which of several spans of one request
counts, stands in `usage.spans`. Names beside the conventions' are vLLM's (`gen_ai.latency.*`) and
OpenLLMetry's (`gen_ai.usage.cache_read_input_tokens`).
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Envelope, Signature, Source, Take, Unfold, take
from weighbridge.usage.spans import NO_REQUESTS, spans_of, told_twice


def _take(quantity: str, *names: str, unit: str | None = None) -> Take:
    """From attributes, whose names have dots in them."""
    return Take(quantity, tuple(("attributes", name) for name in names), unit=unit)


_PROVIDERS = {
    **dict.fromkeys(("aws.bedrock", "aws_bedrock", "bedrock", "aws"), "aws"),
    **dict.fromkeys(("azure.ai.openai", "az.ai.openai", "azure.ai.inference"), "azure"),
    "az.ai.inference": "azure",
    **dict.fromkeys(("gcp.vertex_ai", "vertex_ai", "gcp.gemini", "gemini", "gcp.gen_ai"), "google"),
    "mistral_ai": "mistral",
    **dict.fromkeys(("x_ai", "xai"), "x-ai"),
}

OTEL_GENAI = Source(
    name="otel-genai",
    title="OpenTelemetry GenAI spans (JSON lines: OTLP, or as SDKs print them)",
    formats=("json",),
    takes=(
        take("request_id", "id", required=True),
        take("started_at", "started_at", required=True, unit="us"),
        take("ended_at", "ended_at", unit="us"),
        take("latency_s", "duration", unit="us"),
        _take(
            "ttft_s",
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
            "gen_ai.latency.time_to_first_token",
        ),
        take("record", "record"),
        take("status", "status"),
        _take("tenant", "enduser.id", "user.id"),
        Take("feature", (("resource", "service.name"),)),
        _take("template", "gen_ai.prompt.name"),
        take("prompt", "prompt"),
        _take("provider", "gen_ai.provider.name", "gen_ai.system"),
        _take("model_requested", "gen_ai.request.model"),
        _take("model", "gen_ai.response.model", "gen_ai.request.model"),
        _take(
            "service_tier",
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
        ),
        _take("input_tokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        _take(
            "cache_read_tokens",
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
        ),
        _take(
            "cache_write_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
        ),
        _take("output_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        _take("reasoning_tokens", "gen_ai.usage.reasoning.output_tokens"),
    ),
    answered_needs=("input_tokens", "output_tokens"),
    cannot_tell={
        "tenant": "tenant: only known where a span has enduser.id or user.id",
        "feature": "feature: the service that asked (service.name)",
        "template": "template: only known where the client sets gen_ai.prompt.name",
        "ttft_s": "time to first token: only of streams whose instrumentation times the first "
        "chunk",
        "conversation": "conversations: gen_ai.conversation.id is not read",
        "retries": "retries: inside the request's span",
        "sampling": "requests whose traces were not sampled are not in the log",
        "reported_cost_usd": "cost: the conventions have none",
    },
    assumptions=(
        "gen_ai.usage.input_tokens includes cached tokens, as the conventions say",
        "of spans of requests inside each other the client's innermost counts, the others repeat "
        "it; spans of agents, tools and workflows are no requests",
    ),
    naive_timezone="UTC",
    naive_timezone_reason="SDKs print UTC",
    words={
        "record": {**dict.fromkeys(NO_REQUESTS, None), "embeddings": "embedding", "*": "request"},
        "status": {"ok": "ok", "error": "error"},
        "provider": _PROVIDERS,
        "service_tier": {
            "auto": None,
            "default": "standard",
            "standard": "standard",
            "flex": "flex",
            "priority": "priority",
            "batch": "batch",
            "scale": None,
        },
    },
    signature=Signature(
        ("scopeSpans.spans.traceId", "scopeSpans.spans.attributes.gen_ai.request.model"),
        telling=(
            *("scopeSpans.spans.startTimeUnixNano", "context.span_id", "start_time"),
            *("scopeSpans.spans.attributes.gen_ai.operation.name", "startTimeUnixNano"),
            *("attributes.gen_ai.operation.name", "attributes.gen_ai.system"),
        ),
        others=(
            ("context.trace_id", "attributes.gen_ai.request.model"),
            ("traceId", "attributes.gen_ai.request.model"),
        ),
    ),
    envelope=Envelope("resourceSpans", by_line=True),
    unfold=Unfold(spans_of, told_twice),
)
