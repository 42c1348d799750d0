"""What the gateway needs to know of a request, and of the usage in an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from msgspec import Raw

Endpoint = Literal[
    "chat", "completions", "embeddings", "responses", "models", "messages", "count_tokens", "other"
]


@dataclass(slots=True)
class Ask:
    """A request as the pipeline sees it. The prompt itself stays in the body."""

    endpoint: Endpoint
    model: str  # empty where the endpoint names none
    stream: bool = False
    asked_usage: bool = False  # the client itself set stream_options.include_usage
    max_output_tokens: int | None = None
    n_choices: int = 1
    has_tools: bool = False
    has_json_schema: bool = False
    user: str | None = None
    conversation: str | None = None
    stateful_id: str | None = None  # previous_response_id: the state is at one target
    acts_once: bool = False  # it adds to a stored conversation, or goes on when nobody waits
    feature: str | None = None  # from metadata and tags that LiteLLM and Helicone clients send
    template: str | None = None
    tags: tuple[str, ...] = ()
    service_tier: str | None = None
    is_background: bool = False  # answered before it is worked on, and so without usage
    names_fallbacks: bool = False  # `models` or `route`, by which OpenRouter takes another model
    input_tokens_estimate: int = 0  # from sizes alone; prompts are not tokenised
    fields: dict[str, Raw] | None = field(default=None, compare=False, repr=False)
    """Of a large body, which is taken apart only once; never to be changed."""


class AskError(ValueError):
    """The body cannot be understood; the message may be shown to the client."""


@dataclass(slots=True)
class TokenUsage:
    """Disjoint token counts of an answer; names of counts that are not exact in `estimated`."""

    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    model: str | None = None  # gen_ai.response.model
    service_tier: str | None = None
    response_id: str | None = None
    estimated: tuple[str, ...] = ()
    contradiction: str | None = None  # e.g. more cached than input tokens: the upstream's own words
