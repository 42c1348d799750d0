"""What is allowed and probably not meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.prices import compile_prices
from weighbridge.policy.catalog_notes import gpu_notes, price_notes, secret_notes
from weighbridge.policy.notes import notes_on
from weighbridge.policy.types import Policy

Read = Callable[[str], Policy]
TARGETS = """\
targets:
  a: {url: "https://a.example/v1"}
  b: {url: "https://b.example/v1"}
  c: {url: "https://c.example/v1", dialect: anthropic}
"""


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("", "model: gpt"),
        ("model: '*'", ""),
        ("model: 'gpt-*'", "model: [gpt-4o, 'gpt-4*']"),
        ("tenant: [a, b]", "tenant: b, model: m"),
        ("input_tokens: {min: 10}", "input_tokens: {min: 20, max: 30}"),
        ("tools: true", "tools: true, json_schema: false"),
        ("hours: {to: '08:00'}", "hours: {to: '08:00'}, model: m"),
    ],
)
def test_rule_behind_a_wider_one_is_never_reached(policy_of: Read, wide: str, narrow: str) -> None:
    def noted(first: str, second: str) -> list[str]:
        text = (
            f"{TARGETS}rules:\n  - {{name: first, match: {{{first}}}, targets: a}}\n"
            f"  - {{name: second, match: {{{second}}}, targets: b}}\n"
            "  - {name: native, match: {model: x}, targets: c}\n"
        )
        return notes_on(policy_of(text))

    assert noted(wide, narrow) == [
        "rules.second: never reached: rules.first matches all that it matches"
    ]
    if {wide, narrow} != {"model: '*'", ""}:
        assert noted(narrow, wide) == []


def test_rule_of_the_other_dialect_is_reached(policy_of: Read) -> None:
    text = f"{TARGETS}rules:\n  - {{name: all, targets: a, fallback: b}}\nmodels: {{m: c}}\n"
    assert notes_on(policy_of(text)) == []


def test_policy_without_rules_and_target_without_use_are_told(policy_of: Read) -> None:
    assert notes_on(policy_of(TARGETS)) == [
        "rules: there is none, nor any under `models`: every request is refused"
    ]
    assert notes_on(policy_of(f"{TARGETS}models: {{m: a, n: c}}")) == [
        "targets.b: no rule names it: it gets no request"
    ]


def test_class_that_no_rule_serves_is_told(policy_of: Read) -> None:
    text = f"{TARGETS}models: {{m: [a], n: c, o: b}}\ndata_classes: {{pii: b, x: '*', y: a}}\n"
    assert notes_on(policy_of(text)) == []
    text = f"{TARGETS}models: {{m: [a], n: c}}\ndata_classes: {{pii: b}}\n"
    assert notes_on(policy_of(text)) == [
        "targets.b: no rule names it: it gets no request",
        "data_classes.pii: no rule names a target that it may reach",
    ]


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("http://8.8.8.8/v1", "env:K", "the credential travels in the clear"),
        ("http://api.example.com/v1", "env:K", "the credential travels in the clear"),
        ("http://api.example.com/v1", None, "prompts travel unencrypted"),
        ("http://127.0.0.1:8000/v1", "env:K", None),
        ("http://[::1]:8000/v1", "env:K", None),
        ("http://192.168.3.4/v1", "env:K", None),
        ("http://vllm.models.svc.cluster.local/v1", "env:K", None),
        ("http://vllm:8000/v1", "env:K", None),
        ("https://api.example.com/v1", "env:K", None),
    ],
)
def test_plain_http_to_a_public_host_is_told(
    policy_of: Read, url: str, key: str | None, told: str | None
) -> None:
    line = f"\n    key: {key}" if key else ""
    notes = notes_on(policy_of(f"targets:\n  a:\n    url: {url}{line}\nmodels: {{m: a}}\n"))
    assert [told in note for note in notes] == ([True] if told else [])


def test_targets_without_a_price_are_told(policy_of: Read) -> None:
    policy = policy_of(
        "targets:\n"
        '  good: {url: "https://a.example/v1", provider: openai, model: gpt-4o}\n'
        '  bad: {url: "https://a.example/v1", provider: openai, model: no-such-model}\n'
        '  named: {url: "https://a.example/v1", provider: azure, model: eu, price_model: gpt-4o}\n'
        '  asked: {url: "https://a.example/v1", provider: openai}\n'
        '  own: {url: "http://a/v1", self_hosted: {gpu: l4, n_gpus: 1, usd_per_gpu_hour: 1}}\n'
        "models: {gpt-4o: [good, asked], no-model: asked, 'x*': asked, m: [bad, named, own]}\n"
    )
    notes = list(price_notes(policy, compile_prices()))
    assert [note.split(" will be")[0] for note in notes] == [
        "targets.bad: requests for no-such-model",
        "targets.asked: requests for no-model",
    ]


def test_gpu_that_the_catalog_lacks_is_told_with_the_nearest(policy_of: Read) -> None:
    fleet = "{gpu: %s, n_gpus: 1, usd_per_gpu_hour: 1}"
    policy = policy_of(
        f'targets:\n  a: {{url: "http://a/v1", self_hosted: {fleet % "h100"}}}\n'
        f'  b: {{url: "http://b/v1", self_hosted: {fleet % "l4"}}}\n'
    )
    (note,) = gpu_notes(policy, load_catalog())
    assert note.startswith("targets.a.self_hosted.gpu: 'h100' is not in the catalog: did you mean")
    assert "h100-" in note


def test_variables_that_are_not_set_are_told(policy_of: Read) -> None:
    policy = policy_of(
        'targets:\n  a: {url: "https://a.example/v1", key: "env:A_KEY"}\n'
        '  b: {url: "https://b.example/v1", key: "file:/run/b"}\n'
    )
    assert list(secret_notes(policy, {"A_KEY": "x"})) == []
    assert list(secret_notes(policy, {"A_KEY": ""})) == [
        "targets.a: the variable A_KEY is not set here"
    ]
