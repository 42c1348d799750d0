"""What a stand-in provider is told: models and their prices, latency, limits, faults.

Prices here are the stand-in's own, so that its bill can be held against what others computed; they
need not be anyone's.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import yaml

from weighbridge.units import InputError

FaultName = Literal[
    "status_429",
    "status_500",
    "status_503",
    "status_529",
    "hang",
    "slow",
    "torn_stream",
    "reset",
    "malformed_chunk",
    "malformed_event",
    "missing_usage",
    "zero_usage",
    "wrong_content_type",
    "lying_length",
    "stall",
    "comments_only",
    "role_only",
]
Engine = Literal["vllm", "sglang", "llama.cpp"]
FAULT_NAMES: tuple[str, ...] = get_args(FaultName)
PICO_PER_USD = 10**12
PICO_USD_PER_USD_PER_MTOK = 10**6  # a dollar a million tokens, in 10^-12 dollars a token


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a model takes: first token, then so long a token, both with log-normal jitter."""

    ttft_base_s: float = 0.25
    input_s_per_token: float = 0.00004
    output_s_per_token: float = 0.012
    jitter_log_sd: float = 0.2


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a prompt the provider has kept from earlier ones."""

    hit_probability: float = 0.5
    prefix_frac: float = 0.6  # of the input that repeats
    block_tokens: int = 128
    least_tokens: int = 1024


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: its prices, how much it writes, how fast."""

    name: str
    input_usd_per_mtok: Decimal = Decimal(0)
    cache_read_usd_per_mtok: Decimal = Decimal(0)
    cache_write_usd_per_mtok: Decimal = Decimal(0)
    output_usd_per_mtok: Decimal = Decimal(0)
    output_median_tokens: float = 60.0
    output_log_sd: float = 0.8
    output_max_tokens: int = 4096
    reasoning_frac: float = 0.0  # of output, thought in silence before the first visible token
    latency: Latency = Latency()
    cache: Cache = Cache()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Caps per API key; none where empty."""

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    input_tokens_per_min: int | None = None  # Anthropic's dialect only
    output_tokens_per_min: int | None = None  # Anthropic's dialect only


class Fault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A fault, on which requests it falls and how often."""

    fault: FaultName
    share: float = 1.0  # of the requests that match
    count: int | None = None  # at most so many times
    after_events: int = 0  # events of the stream that still arrive
    delay_s: float | None = None  # slow: how long; stall: until it goes on; comments_only: between
    model: str | None = None
    path: str | None = None
    key: str | None = None
    billed: bool = False  # for an error status: the prompt is billed all the same
    retry_after_s: float | None = None  # for an error status

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("share is not from 0 to 1")
        if self.after_events < 0 or (self.count is not None and self.count < 0):
            raise ValueError("after_events and count cannot be negative")


DEFAULT_MODELS = (
    Model("gpt-4o", Decimal("2.5"), Decimal("1.25"), Decimal(0), Decimal(10)),
    Model("gpt-4o-mini", Decimal("0.15"), Decimal("0.075"), Decimal(0), Decimal("0.6")),
    Model(
        "o4-mini",
        Decimal("1.1"),
        Decimal("0.275"),
        Decimal(0),
        Decimal("4.4"),
        output_median_tokens=300,
        reasoning_frac=0.7,
    ),
    Model("claude-sonnet-4-5", Decimal(3), Decimal("0.3"), Decimal("3.75"), Decimal(15)),
    Model("text-embedding-3-small", Decimal("0.02")),
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a stand-in provider is told."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    seed: int = 0
    speed: float = 1.0  # times as fast as a real one; 0: no delays at all
    models: tuple[Model, ...] = DEFAULT_MODELS
    other_models: Model | None = Model("any other")  # None: an unknown model is a 404
    limits: Limits = Limits()
    faults: tuple[Fault, ...] = ()
    api_keys: tuple[str, ...] = ()  # none: any key, or no key, is let in
    events_per_write: int = 1  # several events in one packet
    bytes_per_write: int = 0  # events cut across writes; 0: never
    n_slots: int | None = None  # requests that run at once; more wait, as in a self-hosted engine
    engine: Engine | None = "vllm"  # whose metrics stand at /metrics
    tls_cert: str | None = None  # PEM files; with both, https is spoken
    tls_key: str | None = None
    kv_capacity_tokens: int = 200_000
    n_requests_kept: int = 0  # so many of the last requests can be read back, bodies included
    n_bill_lines_kept: int = 1_000_000  # totals stay exact beyond
    embedding_dimensions: int = 64

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("a model is listed twice")
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are given together or not at all")
        if self.n_slots is not None and self.n_slots < 1:
            raise ValueError("n_slots is below 1")
        if self.speed < 0 or self.events_per_write < 1 or self.bytes_per_write < 0:
            raise ValueError("speed, events_per_write or bytes_per_write is out of its range")
        for model in (*self.models, *([self.other_models] if self.other_models else [])):
            pico_usd_per_token(model)


def pico_usd_per_token(model: Model) -> tuple[int, int, int, int]:
    """Prices of a token [10^-12 USD]: fresh input, cache read, cache write, output."""
    prices = (
        model.input_usd_per_mtok,
        model.cache_read_usd_per_mtok,
        model.cache_write_usd_per_mtok,
        model.output_usd_per_mtok,
    )
    whole = [int(price * PICO_USD_PER_USD_PER_MTOK) for price in prices]
    if any(price * PICO_USD_PER_USD_PER_MTOK != n for price, n in zip(prices, whole, strict=True)):
        raise ValueError(f"a price of {model.name} has more than six decimal places")
    fresh, read, write, output = whole
    return fresh, read, write, output


def read_settings(path: Path, **given: Any) -> Settings:
    """Settings from a YAML file, `given` ones in their stead; raises `InputError`."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        mend = "name a readable YAML file"
        raise InputError(str(path), "", f"cannot be read ({fault})", mend) from fault
    if not isinstance(content, dict):
        raise InputError(str(path), "", "holds no settings", "write `name: value` lines")
    try:
        return msgspec.convert({**content, **given}, Settings)
    except msgspec.ValidationError as fault:
        problem, _, place = str(fault).partition(" - at `$")
        field = place.rstrip("`").lstrip(".")
        mend = "see `weighbridge rehearse provider --help` for what may stand there"
        raise InputError(str(path), field, problem, mend) from fault
