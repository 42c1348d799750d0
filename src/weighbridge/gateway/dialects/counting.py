"""Token counts as upstreams report them, made disjoint.

OpenAI's input counts include what the cache gave; Anthropic's exclude it. Both count reasoning in
the output. Counts that contradict each other are kept as far as they can be, said so, and marked
as estimates.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage

Count = int | float | None
MAX_TOKENS = 10**9  # beyond it a count is noise, and its cost would not fit the ledger


class _Details(Struct):
    cached_tokens: Count = None
    cache_write_tokens: Count = None
    reasoning_tokens: Count = None
    thinking_tokens: Count = None


class _CacheCreation(Struct):
    ephemeral_1h_input_tokens: Count = None
    ephemeral_5m_input_tokens: Count = None


class Usage(Struct):
    """The `usage` object of any of the upstreams that we know."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Count = None  # DeepSeek; with _miss_ it makes up prompt_tokens
    cached_tokens: Count = None  # Moonshot
    cache_read_input_tokens: Count = None  # Anthropic, beside input_tokens
    cache_creation_input_tokens: Count = None
    cache_creation: _CacheCreation | None = None
    service_tier: str | None = None


_DECODE = msgspec.json.Decoder(Usage).decode
_NO_DETAILS = _Details()
# Counts that a contradiction may be about, as `TokenUsage.estimated` has them.
_UNCACHED_INPUT_TOKENS = ("uncached_input_tokens",)
_CACHE_READ_TOKENS = ("cache_read_tokens",)
_CACHE_WRITE_TOKENS = ("cache_write_tokens",)
_OUTPUT_TOKENS = ("output_tokens",)
_REASONING_TOKENS = ("reasoning_tokens",)
_INPUT = _UNCACHED_INPUT_TOKENS + _CACHE_READ_TOKENS + _CACHE_WRITE_TOKENS


def read_usage(raw: msgspec.Raw | bytes) -> Usage | None:
    """A `usage` object; None where it is null, absent or cannot be understood."""
    if len(raw) <= 4:
        return None
    try:
        return _DECODE(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def tokens_of(endpoint: Endpoint, usage: Usage) -> TokenUsage | None:
    """Disjoint counts; None where the upstream reports no count that we know."""
    is_anthropic = endpoint == "messages" or (
        usage.prompt_tokens is None
        and (usage.cache_read_input_tokens is not None or usage.cache_creation is not None)
    )
    return _of_anthropic(usage) if is_anthropic else _of_openai(usage)


def _of_anthropic(usage: Usage) -> TokenUsage | None:
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    details = usage.output_tokens_details or _NO_DETAILS
    written: Count = usage.cache_creation_input_tokens
    kept = usage.cache_creation
    if written is None and kept is not None:
        written = (kept.ephemeral_1h_input_tokens or 0) + (kept.ephemeral_5m_input_tokens or 0)
    told = TokenUsage(service_tier=usage.service_tier)
    told.uncached_input_tokens = _count(
        told, _UNCACHED_INPUT_TOKENS, "input_tokens", usage.input_tokens
    )
    told.cache_read_tokens = _count(
        told, _CACHE_READ_TOKENS, "cache_read_input_tokens", usage.cache_read_input_tokens
    )
    told.cache_write_tokens = _count(
        told, _CACHE_WRITE_TOKENS, "cache_creation_input_tokens", written
    )
    told.output_tokens = _count(told, _OUTPUT_TOKENS, "output_tokens", usage.output_tokens)
    told.reasoning_tokens = _count(
        told, _REASONING_TOKENS, "thinking_tokens", details.thinking_tokens
    )
    _check_reasoning(told)
    return told


def _of_openai(usage: Usage) -> TokenUsage | None:
    asked = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    given = usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens
    if asked is None and given is None:
        return None
    into = usage.prompt_tokens_details or usage.input_tokens_details or _NO_DETAILS
    out = usage.completion_tokens_details or usage.output_tokens_details or _NO_DETAILS
    cached = into.cached_tokens
    if cached is None:
        cached = usage.prompt_cache_hit_tokens
    if cached is None:
        cached = usage.cached_tokens
    told = TokenUsage(service_tier=usage.service_tier)
    n_input = _count(told, _UNCACHED_INPUT_TOKENS, "prompt_tokens", asked)
    told.cache_read_tokens = _count(told, _CACHE_READ_TOKENS, "cached_tokens", cached)
    told.cache_write_tokens = _count(
        told, _CACHE_WRITE_TOKENS, "cache_write_tokens", into.cache_write_tokens
    )
    told.output_tokens = _count(told, _OUTPUT_TOKENS, "completion_tokens", given)
    told.reasoning_tokens = _count(
        told, _REASONING_TOKENS, "reasoning_tokens", out.reasoning_tokens
    )
    uncached = n_input - told.cache_read_tokens - told.cache_write_tokens
    if uncached < 0:
        _contradict(
            told,
            _INPUT,
            f"{told.cache_read_tokens} cached and {told.cache_write_tokens} cache-written "
            f"of {n_input} input tokens",
        )
        uncached = 0
    told.uncached_input_tokens = uncached
    if told.reasoning_tokens and usage.total_tokens == (
        n_input + told.output_tokens + told.reasoning_tokens
    ):
        told.output_tokens += told.reasoning_tokens  # xAI counts reasoning beside the completion
    _check_reasoning(told)
    return told


def _check_reasoning(told: TokenUsage) -> None:
    if told.reasoning_tokens > told.output_tokens:
        words = f"{told.reasoning_tokens} reasoning of {told.output_tokens} output tokens"
        _contradict(told, _OUTPUT_TOKENS + _REASONING_TOKENS, words)


def _count(told: TokenUsage, concerned: tuple[str, ...], name: str, number: Count) -> int:
    """A count as a whole number; one that cannot be is 0, and said so."""
    if number is None:
        return 0
    if type(number) is int and 0 <= number <= MAX_TOKENS:
        return number
    if not 0 <= number <= MAX_TOKENS or number != int(number):
        _contradict(told, concerned, f"{name} is {number}"[:80])
        return 0
    return int(number)


def _contradict(told: TokenUsage, concerned: tuple[str, ...], words: str) -> None:
    told.estimated = tuple(dict.fromkeys(told.estimated + concerned))
    told.contradiction = f"{told.contradiction}; {words}" if told.contradiction else words
