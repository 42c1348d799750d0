"""The kinds of logs that can be read in, by name."""

from __future__ import annotations

from collections.abc import Mapping

from weighbridge.units import InputError
from weighbridge.usage.sources.anthropic_usage import ANTHROPIC_USAGE
from weighbridge.usage.sources.azure_llm_2023 import AZURE_LLM_2023
from weighbridge.usage.sources.azure_llm_2024 import AZURE_LLM_2024
from weighbridge.usage.sources.bedrock import BEDROCK
from weighbridge.usage.sources.burstgpt import BURSTGPT
from weighbridge.usage.sources.helicone import HELICONE
from weighbridge.usage.sources.langfuse import LANGFUSE
from weighbridge.usage.sources.litellm import LITELLM
from weighbridge.usage.sources.litellm_payload import LITELLM_PAYLOAD
from weighbridge.usage.sources.mooncake import MOONCAKE
from weighbridge.usage.sources.openai_usage import OPENAI_USAGE
from weighbridge.usage.sources.openrouter import OPENROUTER
from weighbridge.usage.sources.otel_genai import OTEL_GENAI
from weighbridge.usage.sources.servegen import SERVEGEN
from weighbridge.usage.sources.source import Source
from weighbridge.usage.sources.table import TABLES

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        LITELLM,
        LITELLM_PAYLOAD,
        OPENAI_USAGE,
        ANTHROPIC_USAGE,
        OPENROUTER,
        HELICONE,
        LANGFUSE,
        BEDROCK,
        OTEL_GENAI,
        *TABLES,
        AZURE_LLM_2023,
        AZURE_LLM_2024,
        MOONCAKE,
        BURSTGPT,
        SERVEGEN,
    )
}


def source_named(name: str) -> Source:
    """The source of that name; an unknown name raises and lists those that exist."""
    if name not in SOURCES:
        mend = "one of " + ", ".join(SOURCES)
        raise InputError("import", "SOURCE", f"there is no source {name!r}", mend)
    return SOURCES[name]
