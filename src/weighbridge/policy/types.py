"""What a policy is made of. A policy is immutable; a reload makes a new one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Dialect = Literal["openai", "anthropic"]
CredentialKind = Literal["bearer", "anthropic", "azure", "client", "none"]
Engine = Literal["vllm", "sglang", "llamacpp"]
Stage = Literal[
    "moved"
]  # "shadow" and "canary" come with the loop; the schema refuses them by name
Sticky = Literal["conversation", "user"]

DIALECTS: tuple[Dialect, ...] = ("openai", "anthropic")
UNRESTRICTED = ("*",)  # what a data class that is known and may go anywhere stands for


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is to be read: an environment variable or a file; never its text."""

    env: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """How the gateway presents itself upstream.

    `bearer`: Authorization; `anthropic`: x-api-key; `azure`: api-key; `client`: the client's own
    credential passes through; `none`: nothing is sent.
    """

    kind: CredentialKind = "none"
    secret: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits on one upstream attempt [s]; a comment or a role-only delta is no token."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    first_token_s: float = 300.0
    stall_s: float = 120.0
    total_s: float = 1200.0


@dataclass(frozen=True, slots=True)
class ProviderCaps:
    """The provider's own limits, to which outgoing traffic is shaped; None: not limited."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    concurrency: int | None = None
    queue_size: int = 100
    queue_wait_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Saturation:
    """When a self-hosted fleet is full: any one of these reached; None: not looked at."""

    waiting_requests: int | None = None
    running_requests: int | None = None
    kv_usage_frac: float | None = None
    ttft_s: float | None = None


@dataclass(frozen=True, slots=True)
class SelfHosted:
    """What serves a self-hosted target and what it costs by the hour, idle or not."""

    gpu: str
    n_gpus: int
    usd_per_gpu_hour: Decimal
    engine: Engine | None = None
    metrics_url: str | None = None
    saturation: Saturation = Saturation()
    accrue: Literal["configured", "metrics_answer"] = "configured"


@dataclass(frozen=True, slots=True)
class ActiveHealth:
    """A path that answers 2xx while the target is well."""

    path: str
    interval_s: float = 10.0
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """Somewhere a request can be sent: one model at one provider, or one fleet."""

    name: str
    url: str  # up to and including the version part, e.g. "https://api.example.com/v1"
    dialect: Dialect = "openai"
    provider: str | None = None  # in genai-prices' spelling; prices are looked up with it
    model: str | None = None  # name upstream; None: as the client asked
    price_model: str | None = None  # name to look prices up with, where `model` is a deployment
    credential: Credential = Credential()
    timeouts: Timeouts = Timeouts()
    caps: ProviderCaps = ProviderCaps()
    self_hosted: SelfHosted | None = None
    health: ActiveHealth | None = None
    on_client_leave: Literal["cancel", "drain"] = "cancel"
    service_tier: str | None = None  # stored where the answer names none
    proxy: str | None = None  # egress proxy, "http://host:port"
    ca_file: str | None = None
    headers: tuple[tuple[str, str], ...] = ()  # added upstream; never secrets
    query: str = ""  # appended to every path, e.g. "api-version=2026-01-01" for Azure


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day on some weekdays (0 is Monday), in a named time zone; `to` is exclusive."""

    days: tuple[int, ...]
    from_minute: int
    to_minute: int
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions that must all hold; an empty tuple or None asks for nothing.

    Names may end in `*`, which matches any ending.
    """

    tenants: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ()
    min_input_tokens: int | None = None
    max_input_tokens: int | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Weighted:
    """A target and its share of a rule's first attempts; shares need not sum to anything."""

    target: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule that matches decides: one of `targets` by weight, then `fallback` in order."""

    name: str
    targets: tuple[Weighted, ...]
    match: Match = Match()
    fallback: tuple[str, ...] = ()
    sticky: Sticky | None = None
    stage: Stage = "moved"


@dataclass(frozen=True, slots=True)
class Policy:
    """Targets by name, rules in order, and which targets each restricted data class may reach.

    A class that stands in `data_classes` is restricted, unless it stands for `UNRESTRICTED`. Where
    any class is restricted, a request without a class is refused; one with a class that does not
    stand there is refused always.
    """

    version: str  # digest of its canonical form; stored on every record
    targets: dict[str, Target]
    rules: tuple[Rule, ...]
    data_classes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Facts:
    """What a rule may look at; not frozen, since one is made for each request."""

    dialect: Dialect
    model: str
    tenant: str | None = None
    feature: str | None = None
    template: str | None = None
    data_class: str | None = None
    input_tokens: int = 0  # an estimate [tokens]: prompts are not tokenised
    has_tools: bool = False
    has_json_schema: bool = False
    user: str | None = None
    conversation: str | None = None
    at: dt.datetime | None = None  # None only where no rule has windows


@dataclass(slots=True)
class Route:
    """The rule that decided and the targets in the order in which they may be tried."""

    rule: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No target is allowed, and why, in words a client may read."""

    reason: Literal["no_rule", "data_class_missing", "data_class_unknown", "data_class", "dialect"]
    message: str
