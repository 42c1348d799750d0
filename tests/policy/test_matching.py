"""Which target a request goes to, case by case."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest

from weighbridge.policy import matching
from weighbridge.policy.hours import is_within
from weighbridge.policy.matching import Matcher, tighten
from weighbridge.policy.types import Facts, NoRoute, Policy, Route, Window

Read = Callable[[str], Policy]
TARGETS = """\
targets:
  api: {url: "https://api.example/v1"}
  fleet: {url: "http://fleet:8000/v1"}
  eu: {url: "https://eu.example/v1"}
  claude: {url: "https://claude.example/v1", dialect: anthropic}
"""
CLASSES = 'data_classes: {pii: [fleet], internal: [fleet, eu], public: "*"}\n'
ASK = Facts("openai", "gpt-4o", data_class="public")


def names(matcher: Matcher, facts: Facts, draw: float = 0.0) -> list[str]:
    route = matcher.route(facts, draw)
    assert isinstance(route, Route), route
    return [target.name for target in route.targets]


def reason(matcher: Matcher, facts: Facts) -> str:
    route = matcher.route(facts, 0.0)
    assert isinstance(route, NoRoute), route
    return route.reason


def test_first_rule_that_matches_decides(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}rules:\n"
            "  - {name: acme, match: {tenant: acme}, targets: fleet}\n"
            "  - {name: gpt, match: {model: 'gpt-*'}, targets: api}\n"
            "  - {name: rest, targets: eu}\n"
        )
    )
    plain = Facts("openai", "gpt-4o")
    assert names(matcher, plain) == ["api"]
    assert names(matcher, replace(plain, tenant="acme")) == ["fleet"]
    assert names(matcher, replace(plain, model="o3")) == ["eu"]
    route = matcher.route(plain, 0.0)
    assert isinstance(route, Route)
    assert route.rule == "gpt"


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("tenant: [a, b]", {"tenant": "b"}, {"tenant": None}),
        ("feature: search*", {"feature": "search-eu"}, {"feature": "sear"}),
        ("template: t", {"template": "t"}, {"template": "tt"}),
        ("model: gpt-4o", {}, {"model": "gpt-4o-mini"}),
        ("tools: true", {"has_tools": True}, {"has_tools": False}),
        ("tools: false", {"has_tools": False}, {"has_tools": True}),
        ("json_schema: true", {"has_json_schema": True}, {"has_json_schema": False}),
        ("input_tokens: {min: 100}", {"input_tokens": 100}, {"input_tokens": 99}),
        ("input_tokens: {max: 100}", {"input_tokens": 100}, {"input_tokens": 101}),
        ("data_class: internal", {"data_class": "internal"}, {"data_class": "public"}),
        (
            "hours: {days: sat, from: '13:00', to: '14:00'}",
            {"at": dt.datetime(2026, 11, 21, 13, 59, tzinfo=dt.UTC)},
            {"at": dt.datetime(2026, 11, 21, 14, 0, tzinfo=dt.UTC)},
        ),
    ],
)
def test_condition_holds_and_fails(
    policy_of: Read, condition: str, holds: dict[str, object], fails: dict[str, object]
) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}{CLASSES}rules:\n"
            f"  - {{name: x, match: {{{condition}}}, targets: fleet}}\n"
            "  - {name: rest, targets: api}\n"
        )
    )
    for _ in range(2):  # once searched, once remembered
        assert names(matcher, replace(ASK, **holds)) == ["fleet"]
        assert names(matcher, replace(ASK, **fails)) == ["api"]


def test_tokens_and_time_are_asked_anew_though_names_are_remembered(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}rules:\n"
            "  - {name: long, match: {input_tokens: {min: 1000}}, targets: eu}\n"
            "  - {name: night, match: {hours: {from: '22:00', to: '06:00'}}, targets: fleet}\n"
        )
    )
    day, night = (dt.datetime(2026, 11, 21, hour, tzinfo=dt.UTC) for hour in (12, 23))
    facts = Facts("openai", "m")
    assert matcher.needs_at
    assert matcher.needs_input_tokens
    assert names(matcher, replace(facts, input_tokens=5000, at=day)) == ["eu"]
    assert names(matcher, replace(facts, input_tokens=5, at=night)) == ["fleet"]
    assert reason(matcher, replace(facts, input_tokens=5, at=day)) == "no_rule"


def test_window_without_an_instant_is_a_bug_of_the_caller(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(f"{TARGETS}rules: [{{name: n, match: {{hours: {{to: '06:00'}}}}, targets: api}}]")
    )
    with pytest.raises(ValueError, match="needs_at"):
        matcher.route(Facts("openai", "m"), 0.0)


def test_draw_chooses_by_weight_and_fallback_follows(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}rules:\n  - {{name: x, targets: [{{target: api, weight: 3}}, fleet, "
            "{target: eu, weight: 0}], fallback: [fleet, eu]}\n"
        )
    )
    facts = Facts("openai", "m")
    assert names(matcher, facts, 0.0) == ["api", "fleet", "eu"]
    assert names(matcher, facts, 0.7499) == ["api", "fleet", "eu"]
    assert names(matcher, facts, 0.75) == ["fleet", "eu"]
    assert names(matcher, facts, 1 - 2**-53) == ["fleet", "eu"]


def test_search_goes_past_a_rule_of_the_other_dialect(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}rules:\n  - {{name: native, targets: claude}}\n"
            "  - {name: openai, match: {model: claude-x}, targets: api}\n"
        )
    )
    assert names(matcher, Facts("anthropic", "claude-x")) == ["claude"]
    assert names(matcher, Facts("openai", "claude-x")) == ["api"]
    assert reason(matcher, Facts("openai", "other")) == "dialect"


def test_search_never_goes_past_a_rule_that_the_class_forbids(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}{CLASSES}rules:\n  - {{name: first, match: {{model: m}}, targets: api}}\n"
            "  - {name: second, targets: fleet}\n"
        )
    )
    assert reason(matcher, Facts("openai", "m", data_class="pii")) == "data_class"
    assert names(matcher, Facts("openai", "o", data_class="pii")) == ["fleet"]


def test_class_filters_first_choice_and_fallback_alike(policy_of: Read) -> None:
    matcher = Matcher(
        policy_of(
            f"{TARGETS}{CLASSES}rules:\n"
            "  - {name: x, targets: [{target: api, weight: 99}, eu], fallback: [api, fleet]}\n"
        )
    )
    assert names(matcher, replace(ASK, data_class="internal")) == ["eu", "fleet"]
    assert names(matcher, replace(ASK, data_class="pii")) == ["fleet"]
    assert names(matcher, ASK, 0.0) == ["api", "fleet"]


def test_target_without_weight_gets_a_restricted_request_only_as_fallback(policy_of: Read) -> None:
    rule = "targets: [api, {target: fleet, weight: 0}]"
    closed = Matcher(policy_of(f"{TARGETS}{CLASSES}rules: [{{name: x, {rule}}}]"))
    assert reason(closed, replace(ASK, data_class="pii")) == "data_class"
    opened = Matcher(policy_of(f"{TARGETS}{CLASSES}rules: [{{name: x, {rule}, fallback: fleet}}]"))
    assert names(opened, replace(ASK, data_class="pii")) == ["fleet"]


def test_request_without_a_class_is_refused_where_any_is_restricted(policy_of: Read) -> None:
    rules = "rules: [{name: x, targets: api}]\n"
    restricted = Matcher(policy_of(TARGETS + CLASSES + rules))
    assert reason(restricted, Facts("openai", "m")) == "data_class_missing"
    unrestricted = Matcher(policy_of(f'{TARGETS}{rules}data_classes: {{public: "*"}}'))
    assert names(unrestricted, Facts("openai", "m")) == ["api"]


@pytest.mark.parametrize("classes", ["", CLASSES])
def test_unknown_class_is_refused_always(policy_of: Read, classes: str) -> None:
    matcher = Matcher(policy_of(f"{TARGETS}{classes}rules: [{{name: x, targets: api}}]"))
    assert reason(matcher, Facts("openai", "m", data_class="secret")) == "data_class_unknown"


def test_long_names_are_answered_and_not_remembered(policy_of: Read) -> None:
    matcher = Matcher(policy_of(f"{TARGETS}rules: [{{name: x, targets: api}}]"))
    assert names(matcher, Facts("openai", "m" * 100_000)) == ["api"]
    assert not matcher._seen
    route = Matcher(policy_of(f"{TARGETS}models: {{m: api}}")).route(
        Facts("openai", "n" * 100_000), 0.0
    )
    assert isinstance(route, NoRoute)
    assert len(route.message) < 200


def test_memory_of_names_is_bounded(policy_of: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "N_CACHED", 10)
    matcher = Matcher(policy_of(f"{TARGETS}rules: [{{name: x, targets: api}}]"))
    for i in range(1000):
        assert names(matcher, Facts("openai", f"m{i}")) == ["api"]
        assert names(matcher, Facts("openai", "often")) == ["api"]
        assert len(matcher._seen) <= 10
        assert len(matcher._older) <= 10


@pytest.mark.parametrize(
    ("key_class", "header_class", "outcome"),
    [
        ("public", None, "public"),
        ("public", "internal", "internal"),
        ("internal", "pii", "pii"),
        ("internal", "internal", "internal"),
        ("pii", "internal", "data_class"),
        ("internal", "public", "data_class"),
        ("public", "secret", "data_class_unknown"),
        ("secret", "pii", "data_class_unknown"),
        ("secret", None, "data_class_unknown"),
        (None, "pii", "data_class_missing"),
        (None, None, "data_class_missing"),
    ],
)
def test_header_may_only_tighten_the_class_of_the_key(
    policy_of: Read, key_class: str | None, header_class: str | None, outcome: str
) -> None:
    decided = tighten(key_class, header_class, policy_of(TARGETS + CLASSES))
    assert (decided.reason if isinstance(decided, NoRoute) else decided) == outcome


def test_header_may_name_a_class_where_none_is_restricted(policy_of: Read) -> None:
    policy = policy_of(f'{TARGETS}data_classes: {{public: "*"}}')
    assert tighten(None, "public", policy) == "public"
    assert tighten(None, None, policy) is None


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-11-20T21:59+01:00", False),
        ("2026-11-20T22:00+01:00", True),
        ("2026-11-21T05:59+01:00", True),
        ("2026-11-21T06:00+01:00", False),
        ("2026-11-21T22:30+01:00", False),  # Saturday evening: the window is Friday's
        ("2026-11-20T05:00+01:00", False),  # Friday morning belongs to Thursday's night
        ("2026-07-17T20:00+00:00", True),  # summer time: 22:00 on the wall
        ("2026-07-17T19:59+00:00", False),
    ],
)
def test_window_past_midnight_belongs_to_its_first_day(at: str, inside: bool) -> None:
    friday_night = Window((4,), 22 * 60, 6 * 60, "Europe/Berlin")
    assert is_within(friday_night, dt.datetime.fromisoformat(at)) is inside
