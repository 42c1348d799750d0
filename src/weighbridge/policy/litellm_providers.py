"""Providers by LiteLLM's prefix: where they listen, what they are called here, and their key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge.policy.types import Dialect


@dataclass(frozen=True, slots=True)
class Provider:
    """What a LiteLLM prefix stands for; `url` None: the deployment has to name its own."""

    url: str | None = None
    name: str | None = None  # as prices are looked up
    env: str | None = None  # where LiteLLM looks for the key when none is given
    dialect: Dialect = "openai"
    azure: bool = False
    version_path: str = ""  # what LiteLLM adds to an address of one's own


_OLLAMA = Provider("http://localhost:11434/v1", version_path="/v1")

PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("https://api.openai.com/v1", "openai", "OPENAI_API_KEY"),
    "text-completion-openai": Provider("https://api.openai.com/v1", "openai", "OPENAI_API_KEY"),
    "anthropic": Provider(
        "https://api.anthropic.com/v1", "anthropic", "ANTHROPIC_API_KEY", "anthropic", False, "/v1"
    ),
    "azure": Provider(None, "azure", "AZURE_API_KEY", azure=True),
    "azure_text": Provider(None, "azure", "AZURE_API_KEY", azure=True),
    "groq": Provider("https://api.groq.com/openai/v1", "groq", "GROQ_API_KEY"),
    "together_ai": Provider("https://api.together.xyz/v1", "together", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Provider(
        "https://api.fireworks.ai/inference/v1", "fireworks", "FIREWORKS_API_KEY"
    ),
    "deepseek": Provider("https://api.deepseek.com/v1", "deepseek", "DEEPSEEK_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "mistral", "MISTRAL_API_KEY"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "openrouter", "OPENROUTER_API_KEY"),
    "xai": Provider("https://api.x.ai/v1", "x-ai", "XAI_API_KEY"),
    "gemini": Provider(
        "https://generativelanguage.googleapis.com/v1beta/openai", "google", "GEMINI_API_KEY"
    ),
    "perplexity": Provider("https://api.perplexity.ai", "perplexity", "PERPLEXITYAI_API_KEY"),
    "cerebras": Provider("https://api.cerebras.ai/v1", "cerebras", "CEREBRAS_API_KEY"),
    "moonshot": Provider("https://api.moonshot.ai/v1", "moonshotai", "MOONSHOT_API_KEY"),
    "deepinfra": Provider("https://api.deepinfra.com/v1/openai", "deepinfra", "DEEPINFRA_API_KEY"),
    "nvidia_nim": Provider(
        "https://integrate.api.nvidia.com/v1", "nvidia_nim", "NVIDIA_NIM_API_KEY"
    ),
    "sambanova": Provider("https://api.sambanova.ai/v1", "sambanova", "SAMBANOVA_API_KEY"),
    "ollama": _OLLAMA,
    "ollama_chat": _OLLAMA,
    "hosted_vllm": Provider(),
    "vllm": Provider(),
    "openai_like": Provider(),
    "custom_openai": Provider(),
    "litellm_proxy": Provider(),
    "lm_studio": Provider("http://localhost:1234/v1"),
    "llamafile": Provider("http://127.0.0.1:8080/v1"),
}

OWN_FLEETS = frozenset({"ollama", "ollama_chat", "hosted_vllm", "vllm", "lm_studio", "llamafile"})

NEEDS_SIGNING: Mapping[str, str] = {
    "bedrock": "AWS request signing",
    "bedrock_converse": "AWS request signing",
    "sagemaker": "AWS request signing",
    "sagemaker_chat": "AWS request signing",
    "vertex_ai": "Google Cloud access tokens",
    "vertex_ai_beta": "Google Cloud access tokens",
    "watsonx": "IBM Cloud access tokens",
    "watsonx_text": "IBM Cloud access tokens",
    "oci": "Oracle Cloud request signing",
}

_BARE = (  # prefixes by which LiteLLM knows a model named without its provider
    (("gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "davinci", "babbage"), "openai"),
    (("claude-",), "anthropic"),
    (("deepseek-",), "deepseek"),
    (("mistral-", "codestral-"), "mistral"),
    (("gemini-",), "vertex_ai"),
    (("anthropic.", "amazon.", "meta.", "us.", "eu."), "bedrock"),
)


def provider_of(model: str, custom: object) -> tuple[str | None, str]:
    """LiteLLM's prefix and the name behind it; None where nothing tells.

    >>> provider_of("groq/llama-3.3-70b-versatile", None)
    ('groq', 'llama-3.3-70b-versatile')
    >>> provider_of("gpt-4o", None), provider_of("qwen", "hosted_vllm")
    (('openai', 'gpt-4o'), ('hosted_vllm', 'qwen'))
    >>> provider_of("mystery", None)
    (None, 'mystery')
    """
    prefix, slash, rest = model.partition("/")
    if isinstance(custom, str) and custom:
        return custom, rest if slash and prefix == custom else model
    if slash:
        return prefix, rest
    return next((name for starts, name in _BARE if model.startswith(starts)), None), model
