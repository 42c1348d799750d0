"""What a source of logs is, as data: where each quantity stands in a row, and what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "instant", "count", "seconds", "usd"]
Format = Literal["json", "csv", "parquet"]

QUANTITIES: Mapping[str, Kind] = {
    "request_id": "text",
    "started_at": "instant",
    "ended_at": "instant",
    "first_token_at": "instant",
    "tenant": "text",
    "feature": "text",
    "template": "text",
    "prompt": "text",  # hashed where a key is named, and never stored: see usage.recognising
    "provider": "text",
    "model_requested": "text",
    "model": "text",
    "target": "text",
    "service_tier": "text",
    "data_class": "text",
    "status": "text",
    "attempts": "count",
    "retries": "count",
    "input_tokens": "count",
    "uncached_input_tokens": "count",
    "cache_read_tokens": "count",
    "cache_write_tokens": "count",
    "cache_write_1h_tokens": "count",
    "output_tokens": "count",
    "reasoning_tokens": "count",
    "latency_s": "seconds",
    "ttft_s": "seconds",
    "reported_cost_usd": "usd",
    "currency": "text",
    "answered_from_cache": "text",
    "batch": "text",
    "n_requests": "count",
    "bucket_ended_at": "instant",
}

# What only a source says of itself: a map of one's own columns does not reach it.
UNMAPPABLE: frozenset[str] = frozenset(
    {"batch", "n_requests", "bucket_ended_at", "cache_write_1h_tokens"}
)

SECONDS_PER_UNIT: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
MICROSECONDS_PER_UNIT: Mapping[str, float] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}

STATUS_WORDS: Mapping[str, str | None] = {
    **dict.fromkeys(("ok", "success", "succeeded", "completed", "200"), "ok"),
    **dict.fromkeys(("error", "failure", "failed", "fail", "timeout"), "error"),
    **dict.fromkeys(("interrupted", "cancelled", "canceled", "aborted"), "interrupted"),
}

SERVICE_TIER_WORDS: Mapping[str, str | None] = {
    "auto": None,
    "default": "standard",
    "standard": "standard",
    "batch": "batch",
    "flex": "flex",
    "priority": "priority",
}

# Names of software that people run themselves; what served such a request has no price per token.
SELF_HOSTED_PROVIDERS: frozenset[str] = frozenset(
    {
        "docker_model_runner",
        "hosted_vllm",
        "infinity",
        "lemonade",
        "llamafile",
        "lm_studio",
        "ollama",
        "ollama_chat",
        "oobabooga",
        "openai_like",
        "self_hosted",
        "sglang",
        "tgi",
        "triton",
        "vllm",
        "xinference",
    }
)


@dataclass(frozen=True, slots=True)
class Take:
    """One quantity, and the paths it may stand at; the first that holds a value is taken.

    A path is a tuple of keys. `unit` says what a number counts: for an instant, since 1970.
    """

    quantity: str
    paths: tuple[tuple[str, ...], ...]
    required: bool = False
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The columns or keys, nested ones with dots, that a kind of file is known by.

    All of `required` stand in every such file; each of `telling` makes it more sure.
    """

    required: tuple[str, ...]
    telling: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a log's rows are wrapped in: pages of JSON documents instead of a row a line.

    `rows` is the key of a page's list. Where `inner` is given, each element of that list is a
    bucket of time, the rows are its list of that name, and a row has the paths `bucket.…` and
    `result.…`. `more` is the key that says that further pages follow.
    """

    rows: str
    inner: str | None = None
    more: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of log, as a table to read rather than code to follow."""

    name: str
    title: str
    formats: tuple[Format, ...]
    takes: tuple[Take, ...]
    cannot_tell: Mapping[str, str] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    input_includes_cache: bool = True
    naive_timezone: str | None = None
    naive_timezone_reason: str = ""
    words: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    start: str | None = None  # instant that relative timestamps count from, where they do
    mapped_by_user: bool = False
    delimiter: str = ","
    signature: Signature | None = None
    envelope: Envelope | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    answered_needs: tuple[str, ...] = ()  # quantities that a request must have if it was answered
    options: tuple[str, ...] = ()  # what the command must be told beside the file

    @property
    def is_bucketed(self) -> bool:
        """Whether a row stands for many requests of a stretch of time."""
        return any(one.quantity == "bucket_ended_at" for one in self.takes)


def take(quantity: str, *paths: str, required: bool = False, unit: str | None = None) -> Take:
    """A `Take` with its paths written with dots."""
    return Take(quantity, tuple(tuple(path.split(".")) for path in paths), required, unit)
