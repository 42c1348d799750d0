"""Why a request goes where it goes, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from weighbridge.policy.explaining import explain
from weighbridge.policy.matching import Matcher
from weighbridge.policy.types import Facts, NoRoute, Policy, Route

Read = Callable[[str], Policy]
POLICY = """\
targets:
  api: {url: "https://api.example/v1"}
  fleet: {url: "http://fleet:8000/v1"}
  eu: {url: "https://eu.example/v1"}
  claude: {url: "https://claude.example/v1", dialect: anthropic}
rules:
  - {name: acme, match: {tenant: [acme, "beta-*"]}, targets: fleet}
  - {name: tooled, match: {tools: true}, targets: fleet}
  - {name: long, match: {input_tokens: {min: 1000}}, targets: fleet}
  - {name: night, match: {hours: {from: "22:00", to: "06:00"}}, targets: fleet}
  - {name: native, targets: claude}
  - {name: main, targets: [{target: api, weight: 3}, eu], fallback: [fleet]}
  - {name: rest, targets: api}
data_classes: {pii: [fleet], internal: [fleet, eu], public: "*"}
"""
NOON = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)


def test_each_rule_names_the_first_condition_that_failed(policy_of: Read) -> None:
    facts = Facts("openai", "m", data_class="public", input_tokens=7, at=NOON)
    told = explain(Matcher(policy_of(POLICY)), facts, 0.0)
    assert [(step.rule, step.outcome, step.why) for step in told.rules] == [
        ("acme", "no_match", "tenant is not given, not acme or beta-*"),
        ("tooled", "no_match", "the request has no tools"),
        ("long", "no_match", "about 7 input tokens, not 1000 to any"),
        ("night", "no_match", "Sat 2026-11-21 12:00 UTC is outside its hours"),
        ("native", "other_dialect", "none of its targets speaks the openai API"),
        ("main", "decides", "every condition holds"),
        ("rest", "not_reached", "main decides"),
    ]
    assert [(step.name, step.order, step.why) for step in told.targets] == [
        ("api", 1, "tried first"),
        ("eu", None, "another target was drawn, and it is no fallback"),
        ("fleet", 2, "tried if those before it fail"),
    ]
    assert isinstance(told.answer, Route)


def test_targets_that_the_class_forbids_say_so(policy_of: Read) -> None:
    facts = Facts("openai", "m", data_class="internal", at=NOON)
    told = explain(Matcher(policy_of(POLICY)), facts, 0.0)
    assert [(step.name, step.order, step.why) for step in told.targets] == [
        ("api", None, "data class internal may not go there"),
        ("eu", 1, "tried first"),
        ("fleet", 2, "tried if those before it fail"),
    ]


def test_refusal_by_class_reaches_no_rule(policy_of: Read) -> None:
    told = explain(Matcher(policy_of(POLICY)), Facts("openai", "m", at=NOON), 0.0)
    assert {step.outcome for step in told.rules} == {"not_reached"}
    assert isinstance(told.answer, NoRoute)
    assert told.answer.reason == "data_class_missing"


def test_rule_that_the_class_forbids_ends_the_search(policy_of: Read) -> None:
    text = POLICY.replace("fallback: [fleet]", "sticky: user")
    facts = Facts("openai", "m", data_class="pii", at=NOON)
    told = explain(Matcher(policy_of(text)), facts, 0.0)
    assert [step.outcome for step in told.rules[-2:]] == ["forbidden", "not_reached"]
    assert all(step.order is None for step in told.targets)
