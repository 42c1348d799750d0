"""What a synthetic company sends: its templates, how often, how long, to which model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Rhythm = Literal["office", "evening", "steady", "nightly"]


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal body of token counts with, now and then, a Pareto stretch on top."""

    median_tokens: float
    log_sd: float  # standard deviation of the natural logarithm
    max_tokens: int = 120_000
    stretched_frac: float = 0.02  # how many are stretched by a Pareto factor
    pareto_index: float = 1.8


@dataclass(frozen=True, slots=True)
class Prefix:
    """The part of a prompt that repeats, which the provider keeps warm between requests."""

    tokens: int
    read_probability: float
    write_probability: float = 0.0  # some providers charge for keeping it


@dataclass(frozen=True, slots=True)
class Service:
    """How the provider serves a model: first token, then so long a token; how often it fails."""

    model: str
    provider: str
    ttft_base_s: float
    prefill_tokens_per_s: float
    output_tokens_per_s: float
    failure_probability: float = 0.004
    retry_probability: float = 0.012


@dataclass(frozen=True, slots=True)
class Template:
    """Requests that share a prompt: who sends them, when, and how long they are."""

    feature: str | None  # None: sent by people who name neither feature nor template
    template: str | None
    tenants: Mapping[str, float]  # share of each tenant
    service: Service
    requests_per_week: float
    input_length: Lengths
    output_length: Lengths
    rhythm: Rhythm = "office"
    burst_shape: float = 6.0  # of the Gamma that scales each minute's rate; small is bursty
    prefix: Prefix | None = None
    reasoning_frac: float = 0.0  # of output
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """A stretch of the week in which one provider fails more often."""

    provider: str
    first_hour: float  # since the start of the traffic
    n_hours: float
    failure_probability: float


@dataclass(frozen=True, slots=True)
class Mix:
    """A company's templates, and what went wrong that week."""

    templates: tuple[Template, ...]
    incidents: tuple[Incident, ...] = field(default=())

    @property
    def tenants(self) -> tuple[str, ...]:
        """Every tenant, in the order of first mention."""
        return tuple(dict.fromkeys(t for template in self.templates for t in template.tenants))
