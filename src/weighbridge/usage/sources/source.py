"""What a source of logs is, as data: where each quantity stands in a row, and what is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["text", "instant", "count", "seconds", "usd", "anything"]
Format = Literal["json", "csv", "parquet"]

QUANTITIES: Mapping[str, Kind] = {
    "request_id": "text",
    "started_at": "instant",
    "ended_at": "instant",
    "first_token_at": "instant",
    "tenant": "text",
    "feature": "text",
    "template": "text",
    "prompt": "anything",  # hashed where a key is named, and never stored: see usage.recognising
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
    "total_tokens": "count",  # only to see what the others contain: see usage.token_columns
    "latency_s": "seconds",
    "ttft_s": "seconds",
    "reported_cost_usd": "usd",
    "currency": "text",
    "answered_from_cache": "text",
    "record": "text",  # what a row is of: its word is None where that is no request
    "batch": "text",
    "n_requests": "count",
    "bucket_ended_at": "instant",
}

# What only a source says of itself: a map of one's own columns does not reach it.
UNMAPPABLE: frozenset[str] = frozenset(
    {"batch", "n_requests", "bucket_ended_at", "cache_write_1h_tokens", "record", "total_tokens"}
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

    All of `required` stand in every such file, or all of one of `others`, where it is written in
    several ways; each of `telling` makes it more sure. `begins` says how the first value of a
    column of a CSV file begins, where its names alone do not tell.
    """

    required: tuple[str, ...]
    telling: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()
    begins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a log's rows are wrapped in: pages of JSON documents instead of a row a line.

    `rows` is the key of a page's list. Where `inner` is given, each element of that list is a
    bucket of time, the rows are its list of that name, and a row has the paths `bucket.…` and
    `result.…`. `more` is the key that says that further pages follow. With `by_line`, pages that
    stand a line each are not taken out of it, which the source's `unfold` does.
    """

    rows: str
    inner: str | None = None
    more: str | None = None
    by_line: bool = False


@dataclass(frozen=True, slots=True)
class Unfold:
    """How a line of a log becomes rows, where it is not one row with keys of its own.

    `told_twice` gives the request ids, out of all rows of an import, of rows that tell of a request
    which another row tells of as well.
    """

    rows: Callable[[bytes], list[dict[str, Any]]]
    told_twice: Callable[[Iterable[Mapping[str, Any]]], frozenset[str]]


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
    output_includes_reasoning: bool = True
    naive_timezone: str | None = None
    naive_timezone_reason: str = ""
    words: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    start: str | None = None  # instant that relative timestamps count from, where they do
    mapped_by_user: bool = False
    delimiter: str = ","
    signature: Signature | None = None
    envelope: Envelope | None = None
    unfold: Unfold | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    answered_needs: tuple[str, ...] = ()  # quantities that a request must have if it was answered
    name_parts: Mapping[str, str] = field(default_factory=dict)  # keep what follows the last of it
    options: tuple[str, ...] = ()  # what the command must be told beside the file

    @property
    def is_bucketed(self) -> bool:
        """Whether a row stands for many requests of a stretch of time."""
        return any(one.quantity == "bucket_ended_at" for one in self.takes)


def take(quantity: str, *paths: str, required: bool = False, unit: str | None = None) -> Take:
    """A `Take` with its paths written with dots."""
    return Take(quantity, tuple(tuple(path.split(".")) for path in paths), required, unit)
