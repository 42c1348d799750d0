"""The Azure LLM inference trace of 2023: `TIMESTAMP,ContextTokens,GeneratedTokens`.

Described in `AzureLLMInferenceDataset2023.md` of Azure/AzurePublicDataset: invocation time, number
of context tokens, number of generated tokens. It names no time zone; seven decimals of a second.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Signature, Source, take

AZURE_LLM_2023 = Source(
    name="azure-llm-2023",
    title="Azure LLM inference trace 2023 (CSV)",
    formats=("csv",),
    takes=(
        take("started_at", "TIMESTAMP", required=True),
        take("input_tokens", "ContextTokens", required=True),
        take("output_tokens", "GeneratedTokens", required=True),
    ),
    cannot_tell={
        "request_id": "request_id: made from the row",
        "tenant": "tenant: the trace names none",
        "feature": "feature: the trace names none",
        "template": "template: the trace names none",
        "model": "model: the trace names none, so no row has a price",
        "status": "status: every row is taken as answered",
        "cache_read_tokens": "cached tokens: all input counts as uncached",
        "latency_s": "latency and time to first token: not recorded",
        "reported_cost_usd": "cost: not recorded",
    },
    naive_timezone="UTC",
    naive_timezone_reason="the trace's description names no zone",
    signature=Signature(("TIMESTAMP", "ContextTokens", "GeneratedTokens")),
)
