"""The gateway's own part of the configuration, key by key; defaults are safe ones.

The structs are the reference: `docs/configuration.md` lists them. Lengths of time are in seconds,
sizes in MiB or KiB, as their names say.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base: a key that is not known is a mistake."""


class TlsSettings(Strict, frozen=True):
    """TLS towards clients; the usual place for it is the load balancer in front."""

    cert_file: str
    key_file: str


class AdminSettings(Strict, frozen=True):
    """Admin API and metrics: a port of their own, on loopback unless told otherwise."""

    listen: str = "127.0.0.1:9090"
    key: str | None = None  # "env:NAME" or "file:PATH"; without one only reading is allowed
    open_metrics: bool = True  # /metrics, /healthz and /readyz without the key


class HttpSettings(Strict, frozen=True):
    """Limits on what clients send and how fast."""

    max_body_mib: int = 32
    max_head_kib: int = 64
    max_headers: int = 100
    idle_s: float = 75.0
    head_s: float = 10.0
    body_s: float = 60.0
    write_stall_s: float = 60.0
    max_connections: int = 20_000


class RetryWords(Strict, frozen=True):
    """How often and for how long a request is tried."""

    max_attempts: int = 3
    total_s: float = 600.0
    base_s: float = 0.25
    cap_s: float = 8.0
    max_retry_after_s: float = 10.0
    budget_frac: float = 0.1


class IdentifySettings(Strict, frozen=True):
    """Where feature and template come from when no header names them."""

    fingerprint: bool = True
    fingerprint_key: str = "fingerprint.key"
    body_metadata: bool = True  # OpenAI `metadata`/`user`, and tags of LiteLLM and Helicone clients


class SpoolSettings(Strict, frozen=True):
    """Where every request is written down, and what happens when it cannot be."""

    path: str = "spool"
    on_failure: Literal["serve", "refuse"] = "serve"
    sync_s: float = 0.1
    segment_mib: int = 64
    segment_s: float = 60.0


class LimitWords(Strict, frozen=True):
    """One limit; `name` may be `*`, an allowance for each name of its own."""

    scope: Literal["key", "tenant", "feature", "model"]
    name: str = "*"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class BudgetWords(Strict, frozen=True):
    """One budget in US dollars a UTC day or month."""

    scope: Literal["key", "tenant", "feature", "model"]
    usd: str | int | float
    period: Literal["day", "month"]
    name: str = "*"
    kind: Literal["soft", "hard"] = "hard"


class SharedSettings(Strict, frozen=True):
    """How replicas share limits and budgets, when `state` is a Redis or Valkey server."""

    prefix: str = "{weighbridge}:"  # the braces keep all counts on one node of a cluster
    timeout_ms: int = 50
    expected_replicas: int = (
        4  # share of each limit that one replica takes while the server is gone
    )


class OtlpSettings(Strict, frozen=True):
    """Optional traces; a span costs about as much as the rest of a request."""

    endpoint: str
    sample_frac: float = 1.0


class Settings(Strict, frozen=True):
    """Everything in the file besides targets, models, rules and data classes."""

    version: Literal[1] = 1
    listen: str = "127.0.0.1:8080"
    tls: TlsSettings | None = None
    admin: AdminSettings = AdminSettings()
    clients: Literal["keys", "passthrough"] = "keys"
    keys: str = "keys.json"
    http: HttpSettings = HttpSettings()
    retry: RetryWords = RetryWords()
    identify: IdentifySettings = IdentifySettings()
    spool: SpoolSettings = SpoolSettings()
    ledger: str | None = "ledger"
    compact_s: float = 60.0
    state: str = "auto"  # auto: memory for one worker, a file for several; redis://…; env:NAME
    state_path: str = "state"
    shared: SharedSettings = SharedSettings()
    limits: tuple[LimitWords, ...] = ()
    budgets: tuple[BudgetWords, ...] = ()
    reserve_output_tokens: int = 1024  # reserved where a request names no maximum of its own
    other_paths: dict[str, str | tuple[str, ...]] = {}  # "/v1/audio/*": target, or one a dialect
    prices: str | None = None  # the user's own price rows
    access_log: str = "off"  # off, "-" for standard output, or a path
    drain_s: float = 30.0
    warm_connections: int = 0
    otlp: OtlpSettings | None = None
