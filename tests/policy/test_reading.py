"""What a policy file means, form by form."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from weighbridge.policy.types import (
    ActiveHealth,
    Credential,
    Match,
    Policy,
    ProviderCaps,
    Saturation,
    SecretRef,
    SelfHosted,
    Timeouts,
    Weighted,
    Window,
)

Read = Callable[[str], Policy]
WHOLE = """\
targets:
  gpt:
    url: https://api.openai.com/v1/
    provider: openai
    model: gpt-4o-2024-08-06
    price_model: gpt-4o
    key: env:OPENAI_API_KEY
    timeouts: {first_token_s: 60, stall_s: 2.5}
    caps: {requests_per_minute: 50, input_tokens_per_minute: 20_000, queue_size: 0}
    on_client_leave: drain
    service_tier: flex
    proxy: http://proxy:3128
    ca_file: corporate.pem
    headers: {OpenAI-Organization: org-1}
    query: {api-version: 2026-01-01}
  fleet:
    url: http://vllm:8000/v1
    self_hosted:
      gpu: h100-sxm
      n_gpus: 4
      usd_per_gpu_hour: 2.10
      engine: vllm
      metrics_url: http://vllm:8000/metrics
      saturation: {waiting_requests: 20, kv_usage_frac: 0.95, ttft_s: 4}
      accrue: metrics_answer
    health: {path: /health, interval_s: 5}
rules:
  - name: work
    match:
      tenant: [acme, "beta-*"]
      feature: search
      template: t1
      model: gpt-4o
      data_class: internal
      input_tokens: {min: 10, max: 2000}
      tools: false
      json_schema: true
      hours: {days: [mon-wed, fri], from: "08:00", to: 18:30, zone: Europe/Berlin}
    targets: [{target: fleet, weight: 9}, gpt]
    fallback: [gpt]
    sticky: conversation
data_classes:
  internal: [fleet]
  public: "*"
"""


def test_every_field_of_a_target_is_read(policy_of: Read) -> None:
    gpt = policy_of(WHOLE).targets["gpt"]
    assert (gpt.url, gpt.provider, gpt.model) == (
        "https://api.openai.com/v1",
        "openai",
        "gpt-4o-2024-08-06",
    )
    assert (gpt.price_model, gpt.on_client_leave, gpt.service_tier) == ("gpt-4o", "drain", "flex")
    assert gpt.credential == Credential("bearer", SecretRef(env="OPENAI_API_KEY"))
    assert gpt.timeouts == Timeouts(first_token_s=60.0, stall_s=2.5)
    assert gpt.caps == ProviderCaps(
        requests_per_minute=50, input_tokens_per_minute=20_000, queue_size=0
    )
    assert (gpt.proxy, gpt.ca_file) == ("http://proxy:3128", "corporate.pem")
    assert gpt.headers == (("openai-organization", "org-1"),)
    assert gpt.query == "api-version=2026-01-01"


def test_every_field_of_a_fleet_is_read(policy_of: Read) -> None:
    fleet = policy_of(WHOLE).targets["fleet"]
    assert fleet.credential == Credential("none")
    assert fleet.health == ActiveHealth("/health", interval_s=5.0)
    assert fleet.self_hosted == SelfHosted(
        gpu="h100-sxm",
        n_gpus=4,
        usd_per_gpu_hour=Decimal("2.1"),
        engine="vllm",
        metrics_url="http://vllm:8000/metrics",
        saturation=Saturation(waiting_requests=20, kv_usage_frac=0.95, ttft_s=4.0),
        accrue="metrics_answer",
    )


def test_every_field_of_a_rule_is_read(policy_of: Read) -> None:
    policy = policy_of(WHOLE)
    rule = policy.rules[0]
    assert rule.targets == (Weighted("fleet", 9.0), Weighted("gpt", 1.0))
    assert (rule.fallback, rule.sticky) == (("gpt",), "conversation")
    assert rule.match == Match(
        tenants=("acme", "beta-*"),
        features=("search",),
        templates=("t1",),
        models=("gpt-4o",),
        data_classes=("internal",),
        min_input_tokens=10,
        max_input_tokens=2000,
        tools=False,
        json_schema=True,
        windows=(Window((0, 1, 2, 4), 480, 1110, "Europe/Berlin"),),
    )
    assert policy.data_classes == {"internal": ("fleet",), "public": ("*",)}


@pytest.mark.parametrize(
    ("lines", "credential"),
    [
        ("dialect: anthropic\nkey: env:K", Credential("anthropic", SecretRef(env="K"))),
        ("provider: azure\nkey: file:/run/k", Credential("azure", SecretRef(file="/run/k"))),
        ("credential: {kind: client}", Credential("client")),
        ("credential: {env: K}", Credential("bearer", SecretRef(env="K"))),
        (
            "dialect: anthropic\ncredential: {kind: bearer, file: k}",
            Credential("bearer", SecretRef(file="k")),
        ),
    ],
)
def test_credential_is_a_reference_of_the_usual_kind(
    policy_of: Read, lines: str, credential: Credential
) -> None:
    text = "".join(f"    {line}\n" for line in lines.splitlines())
    policy = policy_of(f"targets:\n  a:\n    url: https://a.example/v1\n{text}")
    assert policy.targets["a"].credential == credential


MODELS = """\
targets: {a: {url: "https://a.example/v1"}, b: {url: "https://b.example/v1"}}
models:
  "*": a
  gpt-*: [a, b]
  gpt-4*: {targets: [{target: a, weight: 3}, b], fallback: b}
  gpt-4.1: b
  123: a
rules:
  - {name: first, targets: a, match: {tools: true}}
"""


def test_models_stand_for_rules_after_the_explicit_ones_most_exact_first(policy_of: Read) -> None:
    policy = policy_of(MODELS)
    assert [rule.name for rule in policy.rules] == [
        "first",
        "models.gpt-4.1",
        "models.123",
        "models.gpt-4*",
        "models.gpt-*",
        "models.*",
    ]


def test_targets_of_one_model_stand_in_for_each_other(policy_of: Read) -> None:
    rules = {rule.name: rule for rule in policy_of(MODELS).rules}
    assert rules["models.gpt-*"].fallback == ("a", "b")
    assert rules["models.gpt-4*"].fallback == ("b",)
    assert rules["models.gpt-4.1"].fallback == ()


def test_other_keys_are_left_to_others(policy_of: Read) -> None:
    assert policy_of('listen: 0.0.0.0:8080\ntargets: {a: {url: "http://a/v1"}}').rules == ()


def test_merge_keys_share_settings_between_targets(policy_of: Read) -> None:
    policy = policy_of(
        'targets:\n  a: &base {url: "https://a.example/v1", caps: {concurrency: 3}}\n'
        "  b: {<<: *base, model: m}\n"
    )
    assert policy.targets["b"].caps.concurrency == 3
    assert policy.targets["b"].model == "m"
