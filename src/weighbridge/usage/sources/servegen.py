"""Requests drawn from ServeGen's rates: the log that `study.drawn_log` writes and imports.

ServeGen (README of alibaba/ServeGen, `data/*/chunk-*-trace.csv`) tells of each client and window of
600 seconds how many requests a second came, how bursty, and by which law. Requests, with the
lengths of another trace, are drawn from it before there is a log.
"""

from __future__ import annotations

from weighbridge.usage.sources.source import Source, take

SERVEGEN = Source(
    name="servegen",
    title="requests drawn from ServeGen's rates",
    formats=("parquet",),
    takes=(
        take("started_at", "arrival_s", required=True, unit="s"),
        take("input_tokens", "input_tokens", required=True),
        take("output_tokens", "output_tokens", required=True),
    ),
    cannot_tell={
        "request_id": "request_id: made from the row",
        "requests": "single requests: drawn from rates, not recorded; lengths are another trace's, "
        "independent of the hour and of each other",
        "started_at": "date: rates count from an unnamed first day (see --start)",
        "tenant": "tenant: not kept of the clients whose rates they are",
        "feature": "feature: the rates name none",
        "template": "template: the rates name none",
        "model": "model: the rates name none, so no row has a price",
        "status": "status: every row is taken as answered",
        "cache_read_tokens": "cached tokens: all input counts as uncached",
        "latency_s": "latency and time to first token: not recorded",
        "reported_cost_usd": "cost: not recorded",
    },
    start="2024-01-01T00:00:00Z",
    options=("--lengths-from TRACE",),
)
