"""A LiteLLM configuration converted, against a file as teams keep it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weighbridge.policy.document import load_yaml, parse_yaml
from weighbridge.policy.litellm import from_litellm
from weighbridge.policy.matching import Matcher
from weighbridge.policy.reading import read_policy
from weighbridge.policy.types import Facts, Policy, Route

FILE = Path(__file__).parents[1] / "golden" / "policy" / "litellm.yaml"
ENVIRON = {"AZURE_US_BASE": "https://contoso-us.openai.azure.com", "AZURE_US_KEY": "hush-hush"}


def converted(environ: dict[str, str] | None = None) -> tuple[dict[str, Any], list[str]]:
    return from_litellm(load_yaml(FILE)[0], environ)


def policy() -> Policy:
    return read_policy(converted(ENVIRON)[0], "converted")


def one(params: str, **more: str) -> tuple[dict[str, Any], list[str]]:
    sections = "".join(f"{name}: {value}\n" for name, value in more.items())
    text = f"model_list:\n  - model_name: m\n    litellm_params: {{{params}}}\n{sections}"
    return from_litellm(parse_yaml(text, "x")[0])


def target_of(params: str, **more: str) -> dict[str, Any]:
    (target,) = one(params, **more)[0]["targets"].values()
    return dict(target)


def test_no_secret_is_carried_or_told() -> None:
    new, notes = converted(ENVIRON)
    text = json.dumps([new, notes])
    for secret in ("THIS-IS-A-LITERAL", "MASTER", "HIDDEN", "hush-hush", "not-here"):
        assert secret not in text


def test_everything_left_out_is_listed_by_its_path() -> None:
    _, notes = converted()
    paths = {note.split(": ")[0] for note in notes}
    assert paths >= {
        "model_list[1].litellm_params.api_base",
        "model_list[2].litellm_params.api_key",
        "model_list[3].litellm_params.temperature",
        "model_list[4].litellm_params.extra_headers.x-api-key",
        "model_list[5].litellm_params.model",
        "model_list[6].litellm_params.model",
        "model_list[13].litellm_params.input_cost_per_token",
        "model_list[14].litellm_params.model",
        "model_list[16]",
        "router_settings.model_group_alias.ghost",
        "router_settings.fallbacks[1].llama",
        "router_settings.routing_strategy",
        "router_settings.allowed_fails",
        "litellm_settings.context_window_fallbacks",
        "litellm_settings.drop_params",
        "litellm_settings.success_callback",
        "general_settings.master_key",
        "general_settings.database_url",
        "environment_variables",
    }


def test_azure_deployments_keep_region_key_version_and_price() -> None:
    targets = policy().targets
    eu, us = targets["gpt-4o-azure"], targets["gpt-4o-azure-2"]
    assert eu.url == "https://contoso-eu.openai.azure.com/openai/deployments/gpt-4o-eu"
    assert us.url == "https://contoso-us.openai.azure.com/openai/deployments/gpt-4o-us"
    assert eu.query == "api-version=2025-01-01-preview"
    assert eu.credential.kind == "azure"
    assert eu.credential.secret is not None
    assert eu.credential.secret.env == "AZURE_EU_KEY"
    assert (eu.provider, eu.price_model) == ("azure", "gpt-4o-2024-08-06")
    assert (eu.caps.requests_per_minute, eu.caps.input_tokens_per_minute) == (600, 120_000)


def test_groups_fallbacks_and_aliases_route_as_they_did() -> None:
    matcher = Matcher(policy())

    def tried(model: str, draw: float = 0.0, dialect: str = "openai") -> list[str]:
        route = matcher.route(Facts(dialect, model), draw)  # type: ignore[arg-type]
        assert isinstance(route, Route), route
        return [target.name for target in route.targets]

    assert tried("llama", 0.74)[0] == "llama-hosted_vllm"
    assert tried("llama", 0.75) == ["llama-groq", "llama-hosted_vllm", "gpt-4o-mini"]
    # The deployment with an order comes first; those without follow, then the fallback groups.
    assert tried("gpt-4o") == [
        "gpt-4o-openai",
        "gpt-4o-azure",
        "gpt-4o-azure-2",
        "claude-sonnet-openai",
        "llama-hosted_vllm",
        "llama-groq",
    ]
    assert tried("gpt-4") == tried("gpt-4o")
    assert tried("hidden-sonnet", dialect="anthropic") == ["claude-sonnet"]
    assert tried("claude-sonnet") == ["claude-sonnet-openai", "gpt-4o-mini"]
    assert tried("o3") == ["any", "gpt-4o-mini"]
    assert tried("gpt-4o-mini") == ["gpt-4o-mini"]


@pytest.mark.parametrize(
    ("params", "url", "provider", "key"),
    [
        ("model: gpt-4o", "https://api.openai.com/v1", "openai", "env:OPENAI_API_KEY"),
        ("model: groq/x", "https://api.groq.com/openai/v1", "groq", "env:GROQ_API_KEY"),
        ("model: xai/grok-4", "https://api.x.ai/v1", "x-ai", "env:XAI_API_KEY"),
        (
            "model: together_ai/meta-llama/Llama",
            "https://api.together.xyz/v1",
            "together",
            "env:TOGETHERAI_API_KEY",
        ),
        ("model: hosted_vllm/q, api_base: 'http://h:8000/v1/'", "http://h:8000/v1", None, None),
        ("model: ollama/q", "http://localhost:11434/v1", None, None),
        (
            "model: q, custom_llm_provider: openai, api_base: 'http://h/v1'",
            "http://h/v1",
            None,
            None,
        ),
        (
            "model: openai/q, api_base: 'http://h/v1', api_key: os.environ/MINE",
            "http://h/v1",
            None,
            "env:MINE",
        ),
        (
            "model: azure/d, api_base: 'https://r.openai.azure.com/openai/v1'",
            "https://r.openai.azure.com/openai/v1",
            "azure",
            "env:AZURE_API_KEY",
        ),
    ],
)
def test_provider_gives_address_prices_and_key(
    params: str, url: str, provider: str | None, key: str | None
) -> None:
    target = target_of(params)
    assert (target["url"], target.get("provider"), target.get("key")) == (url, provider, key)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ("model: bedrock/x", "AWS request signing"),
        ("model: vertex_ai/x", "Google Cloud access tokens"),
        ("model: sagemaker/x", "AWS request signing"),
        ("model: mystery", "cannot be told"),
        ("model: azure/d", "no one address"),
        ("model: hosted_vllm/d, api_base: os.environ/UNSET", "UNSET is not set"),
        ("model: openai/d, api_base: 'ftp://h'", "no plain http"),
        ("model: openai/d, api_base: 'https://u:p@h/v1'", "no plain http"),
        ("model: 5", "no litellm_params.model"),
    ],
)
def test_what_cannot_be_carried_says_why(params: str, why: str) -> None:
    new, notes = one(params)
    assert new["targets"] == {}
    assert any(why in note for note in notes)


def test_weights_come_from_weight_then_rpm_then_tpm_as_the_first_deployment_has_them() -> None:
    def targets(*params: str) -> Any:
        rows = [
            {"model_name": "m", "litellm_params": {"model": "groq/x", **json.loads(p)}}
            for p in params
        ]
        return from_litellm({"model_list": rows})[0]["models"]["m"]["targets"]

    assert [t["weight"] for t in targets('{"rpm": 9, "weight": 2}', '{"rpm": 1}')] == [2.0, 0.0]
    assert [t["weight"] for t in targets('{"rpm": 9, "tpm": 5}', '{"rpm": 1}')] == [9.0, 1.0]
    assert [t["weight"] for t in targets('{"tpm": 5}', '{"rpm": 1, "tpm": 2}')] == [5.0, 2.0]
    assert targets("{}", '{"rpm": 3}') == ["m-groq", "m-groq-2"]


def test_timeouts_of_the_deployment_win() -> None:
    timeouts = target_of(
        "model: gpt-4o, stream_timeout: 20",
        router_settings="{timeout: 300}",
        litellm_settings="{request_timeout: 9}",
    )["timeouts"]
    assert timeouts == {"first_byte_s": 300.0, "first_token_s": 20.0, "stall_s": 20.0}
    assert target_of("model: gpt-4o, timeout: 5000")["timeouts"]["total_s"] == 5000.0


def test_retries_and_shared_state_are_carried() -> None:
    new, _ = one("model: gpt-4o", router_settings="{num_retries: 3, redis_host: r, redis_port: 1}")
    assert new["retry"] == {"max_attempts": 5}
    assert new["state"] == "redis://r:1"
    new, notes = one("model: gpt-4o", router_settings="{redis_host: r, redis_password: HUSH}")
    assert "state" not in new
    assert not any("HUSH" in note for note in notes)


@pytest.mark.parametrize(
    "text",
    [
        "model_list: 5",
        "model_list: [5, null, {model_name: 1}, {model_name: m, litellm_params: []}]",
        "model_list: []\nrouter_settings: 7\nlitellm_settings: [x]",
        "model_list: []\nrouter_settings: {fallbacks: {a: b}, model_group_alias: [1]}",
        "model_list: []\nrouter_settings: {fallbacks: [5, {a: b}], num_retries: x, timeout: y}",
    ],
)
def test_malformed_sections_are_survived(text: str) -> None:
    assert from_litellm(parse_yaml(text, "x")[0])[0]["targets"] == {}
