"""The Mooncake traces: JSON lines of `timestamp`, `input_length`, `output_length`, `hash_ids`.

Described in the README of kvcache-ai/Mooncake: milliseconds since the trace's own beginning, and
one hash for each 512-token block of the prompt, equal where a prefix is equal. The hashes show what
a cache could have served, not what one did: they are left out.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Signature, Source, take

MOONCAKE = Source(
    name="mooncake",
    title="Mooncake trace (JSON lines)",
    formats=("json",),
    takes=(
        take("started_at", "timestamp", required=True, unit="ms"),
        take("input_tokens", "input_length", required=True),
        take("output_tokens", "output_length", required=True),
    ),
    cannot_tell={
        "request_id": "request_id: made from the row",
        "started_at": "date and hour: only the time between requests is real (see --start)",
        "tenant": "tenant: the trace names none",
        "feature": "feature: the trace names none",
        "template": "template: the trace names none",
        "model": "model: the trace names none, so no row has a price",
        "status": "status: every row is taken as answered",
        "cache_read_tokens": "cached tokens: hash_ids show shared prefixes, not cache reads; "
        "all input counts as uncached",
        "latency_s": "latency and time to first token: not recorded",
        "reported_cost_usd": "cost: not recorded",
    },
    start="2024-01-01T00:00:00Z",
    signature=Signature(("timestamp", "input_length", "output_length"), telling=("hash_ids",)),
)
