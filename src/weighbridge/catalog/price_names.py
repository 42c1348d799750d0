"""Which listed model a log means: provider aliases, model prefixes, and no guessing beyond them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

# Spellings of LiteLLM and of OpenTelemetry GenAI that genai-prices does not match, or matches to
# a neighbour (it reads "azure_openai" as openai).
_ALIASES = {
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "x_ai": "x-ai",
    "z-ai": "zai",
    "z.ai": "zai",
    "togethercomputer": "together",
    "meta_llama": "meta",
    "fireworks_ai-embedding-models": "fireworks",
}
_ALIAS_STARTS = (("azure", "azure"), ("vertex_ai", "google"), ("bedrock", "aws"))
_ROUTERS = frozenset({"litellm", "litellm_proxy"})
# Somebody's own endpoint that speaks OpenAI's protocol: OpenAI's prices do not hold there.
_PROTOCOLS = frozenset({"custom_openai", "openai_like", "openai_compatible", "openai-compatible"})
_ROUTE_WORDS = frozenset({"converse", "invoke", "converse_like"})
_MANY = 6


@dataclass(frozen=True, slots=True)
class Listing:
    """A model as genai-prices lists it, reached by way of one provider."""

    provider: Provider
    model: ModelInfo

    @property
    def is_own(self) -> bool:
        """False where the provider resells another's list, whose tiers then do not apply."""
        return any(self.model is model for model in self.provider.models)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Outcome of a look-up: names to try in overrides, the listing if any, else the problem."""

    provider_id: str | None
    names: tuple[str, ...]
    listing: Listing | None
    problem: str = ""


@cache
def listed_providers() -> tuple[Provider, ...]:
    """Every provider of the installed genai-prices snapshot (slow to import: 2 MB of Python)."""
    from genai_prices.data import providers  # noqa: PLC0415

    return tuple(providers)


@lru_cache(maxsize=4096)  # words come from traffic
def provider_named(word: str) -> Provider | None:
    """The provider that an identifier means: by our aliases, then by genai-prices' own matching."""
    from genai_prices.data_snapshot import find_provider_by_id  # noqa: PLC0415

    text = word.strip().lower()
    if text in _PROTOCOLS:
        return None
    exact = next((p for p in listed_providers() if p.id == text), None)
    if exact is not None:
        return exact
    by_start = next((to for start, to in _ALIAS_STARTS if text.startswith(start)), text)
    return find_provider_by_id(list(listed_providers()), _ALIASES.get(text, by_start))


def provider_id_of(word: str) -> str:
    """Id in genai-prices' spelling; an unknown provider keeps its own name, in lower case."""
    provider = provider_named(word)
    return provider.id if provider is not None else word.strip().lower()


def _names_within(provider: Provider, name: str) -> tuple[str, ...]:
    """The name as written, then without the prefixes that only repeat the provider or a route."""
    names = [name]
    while "/" in name:
        prefix, _, name = name.partition("/")
        names_provider = provider_named(prefix)
        if prefix not in _ROUTE_WORDS and (
            names_provider is None or names_provider.id != provider.id
        ):
            break
        names.append(name)
    return tuple(names)


def _within(provider: Provider, name: str) -> Resolved:
    names = _names_within(provider, name)
    for candidate in names:
        model = provider.find_model(candidate, all_providers=list(listed_providers()))
        if model is not None:
            return Resolved(provider.id, names, Listing(provider, model))
    return Resolved(
        provider.id, names, None, f"genai-prices lists no model {name!r} at {provider.id}"
    )


def _sellers(name: str) -> str:
    ids = [p.id for p in listed_providers() if any(m.is_match(name) for m in p.models)]
    if not ids:
        return "no provider in genai-prices lists it"
    more = f" and {len(ids) - _MANY} more" if len(ids) > _MANY else ""
    return f"it may have come from {', '.join(ids[:_MANY])}{more}; name the provider"


def _without_provider(name: str) -> Resolved:
    prefix, slash, rest = name.partition("/")
    prefix_provider = provider_named(prefix) if slash and prefix not in _ROUTERS else None
    if prefix_provider is not None:
        return _within(prefix_provider, rest)
    claims = [p for p in listed_providers() if p.model_match and p.model_match.is_match(name)]
    found = [hit for hit in (_within(p, name) for p in claims) if hit.listing is not None]
    if len(found) == 1:
        return found[0]
    why = (
        "several makers' names fit it; " if found else "the name alone does not tell who sold it; "
    )
    return Resolved(None, (name,), None, f"no provider given for {name!r}: {why}{_sellers(name)}")


def resolve(provider: str | None, model: str) -> Resolved:
    """What (provider, model) of a log means; never a guess between sellers of one model."""
    name = re.sub(r"\s+", " ", model.strip().lower())
    word = (provider or "").strip().lower()
    if not word or word in _ROUTERS:
        return _without_provider(name)
    known = provider_named(word)
    if known is None:
        return Resolved(word, (name,), None, f"genai-prices does not list provider {provider!r}")
    return _within(known, name)
