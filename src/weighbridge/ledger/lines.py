"""Lines of the spool: what the gateway writes as it happens, one JSON object a line.

Field names are the ledger's columns where one exists. Times are whole microseconds since
1970-01-01T00:00Z, costs whole 10^-12 US dollars (`_pico_usd`), so that nothing is rounded twice.
Defaults are left out of the line.
"""

from __future__ import annotations

import msgspec


class AttemptLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One upstream call of a request."""

    target: str
    after_s: float  # from the request's arrival to this call
    latency_s: float
    http_status: int = 0  # 0: no answer
    error_type: str | None = None
    list_cost_pico_usd: int | None = None  # of an attempt that was billed and not the last one


class RequestLine(msgspec.Struct, omit_defaults=True, tag="request", tag_field="kind", gc=False):
    """One finished request; the last line of a request id counts.

    Nothing in it can refer back to it, so that the garbage collector need not look after it.
    """

    request_id: str
    started_at_us: int
    status: str  # ok, error, interrupted
    price_state: str  # priced, unpriced, self_hosted
    http_status: int = 0  # what the client was told
    error_type: str | None = None
    tenant: str | None = None
    feature: str | None = None
    template: str | None = None
    provider: str | None = None
    model_requested: str | None = None
    model: str | None = None
    target: str | None = None
    service_tier: str | None = None
    data_class: str | None = None
    key_id: str | None = None
    rule: str | None = None
    policy_version: str | None = None
    endpoint: str | None = None
    streamed: bool = False
    attempts: int = 0
    attempt_log: tuple[AttemptLine, ...] = ()  # only where there was more than one, or a failure
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    latency_s: float | None = None
    ttft_s: float | None = None
    queue_s: float = 0.0
    list_cost_pico_usd: int | None = None  # all attempts together
    estimated: tuple[str, ...] = ()
    prices_digest: str | None = None


class OpenLine(msgspec.Struct, omit_defaults=True, tag="open", tag_field="kind", kw_only=True):
    """A request still open 100 ms after its dispatch; without a later line it was interrupted."""

    request_id: str
    started_at_us: int
    tenant: str | None = None
    feature: str | None = None
    template: str | None = None
    provider: str | None = None
    model_requested: str | None = None
    model: str | None = None
    target: str | None = None
    data_class: str | None = None
    key_id: str | None = None
    rule: str | None = None
    policy_version: str | None = None
    endpoint: str | None = None
    streamed: bool = False
    attempts: int = 0
    price_state: str = "unpriced"
    input_tokens_estimate: int = 0
    input_cost_pico_usd: int | None = None  # of that estimate, where the gateway knows a price
    service_tier: str | None = None


class FleetLine(msgspec.Struct, omit_defaults=True, tag="fleet", tag_field="kind", kw_only=True):
    """A stretch in which a self-hosted target cost money, idle or not."""

    target: str
    gpu: str
    n_gpus: int
    usd_per_gpu_hour: str  # decimal text
    started_at_us: int
    ended_at_us: int
    source: str


class EngineLine(msgspec.Struct, omit_defaults=True, tag="engine", tag_field="kind", kw_only=True):
    """What a self-hosted engine said of itself at an instant; None: it does not say."""

    target: str
    at_us: int
    engine: str
    running_requests: float | None = None
    waiting_requests: float | None = None
    kv_usage_frac: float | None = None
    gpu_utilization_frac: float | None = None
    prompt_tokens: float | None = None  # counters since the engine started
    generated_tokens: float | None = None


class SketchLine(msgspec.Struct, omit_defaults=True, tag="sketch", tag_field="kind", kw_only=True):
    """What prompts of one name, or with one system prompt, are made of: keyed hashes, no text."""

    fingerprint: str
    key_id: str  # which key they are made with; says nothing about the key
    segments: str  # of four bytes each, in hex


class EventLine(msgspec.Struct, omit_defaults=True, tag="event", tag_field="kind", kw_only=True):
    """Something an operator should see: a soft budget passed, a reload, records lost."""

    at_us: int
    name: str
    detail: str


Line = RequestLine | OpenLine | FleetLine | EngineLine | SketchLine | EventLine
