"""The BurstGPT trace: `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`.

Described in the README of HPMLL/BurstGPT: seconds from 0:00 of an unnamed first day, the models
ChatGPT (GPT-3.5) and GPT-4 served by Azure, and requests that failed have 0 response tokens. The
third part adds `Session ID` and `Elapsed time`, the seconds until the response.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Signature, Source, take

BURSTGPT = Source(
    name="burstgpt",
    title="BurstGPT trace (CSV)",
    formats=("csv",),
    takes=(
        take("started_at", "Timestamp", required=True, unit="s"),
        take("input_tokens", "Request tokens", required=True),
        take("output_tokens", "Response tokens", required=True),
        take("status", "Response tokens"),
        take("model", "Model"),
        take("feature", "Log Type"),
        take("latency_s", "Elapsed time"),
    ),
    constants={"provider": "azure"},
    cannot_tell={
        "request_id": "request_id: made from the row",
        "started_at": "date: seconds count from 0:00 of an unnamed first day (see --start)",
        "tenant": "tenant: the trace names none",
        "feature": "feature: conversation or API, as its Log Type says",
        "template": "template: the trace names none",
        "cache_read_tokens": "cached tokens: all input counts as uncached",
        "latency_s": "latency: only in the trace's third part; time to first token: not recorded",
        "reported_cost_usd": "cost: not recorded",
    },
    assumptions=(
        "ChatGPT is gpt-3.5-turbo, as the trace's description says",
        "a row with 0 response tokens failed, as the trace's description says",
    ),
    words={
        "model": {"chatgpt": "gpt-3.5-turbo", "gpt-4": "gpt-4"},
        "status": {"0": "error", "*": "ok"},
    },
    start="2024-01-01T00:00:00Z",
    signature=Signature(
        ("Timestamp", "Model", "Request tokens", "Response tokens"),
        telling=("Total tokens", "Log Type", "Session ID", "Elapsed time"),
    ),
)
