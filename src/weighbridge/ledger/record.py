"""The usage record: one row per request, and the columns in which it is stored.

Token buckets are disjoint: `uncached_input_tokens + cache_read_tokens + cache_write_tokens` is the
whole input, and `reasoning_tokens` lies inside `output_tokens`. A cost of None means "no price is
known" (`price_state` says why); it never means zero. Names follow OpenTelemetry GenAI where it has
one (`gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.response.model`); cost words are FOCUS.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Status = Literal["ok", "error", "interrupted"]
PriceState = Literal["priced", "unpriced", "self_hosted"]

STATUSES: tuple[Status, ...] = ("ok", "error", "interrupted")
PRICE_STATES: tuple[PriceState, ...] = ("priced", "unpriced", "self_hosted")

COST_SCALE = 12  # decimal places of a stored cost: 10^-12 dollars, exact for every listed price


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column: its name, its Arrow/SQL type, whether it may be empty, what it means."""

    name: str
    type: Literal["string", "int64", "float64", "bool", "timestamp_us_utc", "decimal_18_12"]
    nullable: bool
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column(
        "request_id", "string", False, "unique in a ledger; made from the row where it has none"
    ),
    Column("started_at", "timestamp_us_utc", False, "instant the request was sent, UTC"),
    Column("tenant", "string", True, "team, customer or key that pays; empty: source cannot tell"),
    Column("feature", "string", True, "product feature that asked"),
    Column("template", "string", True, "prompt template, when named or recognised"),
    Column("provider", "string", True, "gen_ai.provider.name, in genai-prices' spelling"),
    Column("model_requested", "string", True, "gen_ai.request.model, as the client wrote it"),
    Column("model", "string", True, "gen_ai.response.model, else the requested one"),
    Column("target", "string", True, "what served it: one model at one provider, or one fleet"),
    Column("service_tier", "string", True, "standard, batch, flex or priority; empty: standard"),
    Column("data_class", "string", True, "compliance class from the key"),
    Column("status", "string", False, "ok, error or interrupted"),
    Column("attempts", "int64", True, "upstream calls made for this request"),
    Column(
        "uncached_input_tokens",
        "int64",
        False,
        "input tokens neither read from nor written to cache",
    ),
    Column("cache_read_tokens", "int64", False, "input tokens served from the provider's cache"),
    Column("cache_write_tokens", "int64", False, "input tokens written to the provider's cache"),
    Column("output_tokens", "int64", False, "all output tokens, reasoning included"),
    Column("reasoning_tokens", "int64", False, "output tokens spent on reasoning"),
    Column("latency_s", "float64", True, "first byte sent to last byte received"),
    Column("ttft_s", "float64", True, "time to first token"),
    Column("price_state", "string", False, "priced, unpriced or self_hosted"),
    Column(
        "list_cost_usd",
        "decimal_18_12",
        True,
        "FOCUS ListCost: tokens at public prices of that instant",
    ),
    Column(
        "reported_cost_usd",
        "decimal_18_12",
        True,
        "what the source itself says it cost; never ours",
    ),
    Column("estimated", "string", True, "comma-separated columns whose value is estimated"),
    Column("prices_digest", "string", True, "digest of the price tables that priced the row"),
    Column("import_id", "string", False, "digest of the imported file: finds its manifest"),
    # What the gateway alone knows; ledgers written before it lack these columns.
    Column("key_id", "string", True, "which virtual key asked; never the key"),
    Column("rule", "string", True, "policy rule that chose the target"),
    Column("policy_version", "string", True, "version of the policy in force"),
    Column("error_type", "string", True, "error.type: what went wrong, in one word"),
    Column("http_status", "int64", True, "status that the client was told"),
    Column("endpoint", "string", True, "API call: chat, responses, messages, embeddings"),
    Column("streamed", "bool", True, "whether the answer came as events"),
    Column("queue_s", "float64", True, "wait in the gateway before the first upstream call"),
    Column("attempt_log", "string", True, "JSON list of upstream calls, where more than one"),
)

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
GATEWAY_COLUMN_NAMES: tuple[str, ...] = COLUMN_NAMES[COLUMN_NAMES.index("import_id") + 1 :]


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One request, typed as it is stored; see `COLUMNS` for what each field means."""

    request_id: str
    started_at: dt.datetime
    status: Status
    price_state: PriceState
    import_id: str
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    tenant: str | None = None
    feature: str | None = None
    template: str | None = None
    provider: str | None = None
    model_requested: str | None = None
    model: str | None = None
    target: str | None = None
    service_tier: str | None = None
    data_class: str | None = None
    attempts: int | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    list_cost_usd: Decimal | None = None
    reported_cost_usd: Decimal | None = None
    estimated: str | None = None
    prices_digest: str | None = None
    key_id: str | None = None
    rule: str | None = None
    policy_version: str | None = None
    error_type: str | None = None
    http_status: int | None = None
    endpoint: str | None = None
    streamed: bool | None = None
    queue_s: float | None = None
    attempt_log: str | None = None

    @property
    def input_tokens(self) -> int:
        """All input tokens [tokens], as providers count them on an invoice."""
        return self.uncached_input_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True)
class FleetHours:
    """What a self-hosted fleet cost between two instants; idle hours cost the same as busy ones."""

    target: str
    gpu: str
    n_gpus: int
    usd_per_gpu_hour: Decimal
    started_at: dt.datetime
    ended_at: dt.datetime
    source: str
