"""What holds whatever the rules and weights: nothing leaks, weights are kept, sticky stays."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.policy.explaining import explain
from weighbridge.policy.matching import Matcher, may_reach, tighten
from weighbridge.policy.types import (
    DIALECTS,
    UNRESTRICTED,
    Facts,
    Match,
    NoRoute,
    Policy,
    Route,
    Rule,
    Target,
    Weighted,
)

NAMES = ("t0", "t1", "t2", "t3", "t4")
CLASSES = ("pii", "internal", "public")
WORDS = st.sampled_from((None, "a", "ab", "b"))
PATTERNS = st.lists(st.sampled_from(("a", "ab", "a*", "b", "*")), max_size=2, unique=True)
DRAWS = st.floats(0, 1, exclude_max=True)


@st.composite
def rules(draw: st.DrawFn, index: int) -> Rule:
    targets = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    weights = st.sampled_from((0.0, 1.0, 2.5))
    return Rule(
        name=f"r{index}",
        targets=tuple(Weighted(name, draw(weights)) for name in targets),
        match=Match(
            tenants=tuple(draw(PATTERNS)),
            models=tuple(draw(PATTERNS)),
            data_classes=tuple(draw(st.lists(st.sampled_from(CLASSES), max_size=1))),
            min_input_tokens=draw(st.sampled_from((None, None, 50))),
            tools=draw(st.sampled_from((None, None, True))),
        ),
        fallback=tuple(draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))),
        sticky=draw(st.sampled_from((None, "user"))),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    dialects = draw(st.lists(st.sampled_from(DIALECTS), min_size=5, max_size=5))
    targets = {
        name: Target(name, f"https://{name}.example/v1", dialect=dialect)
        for name, dialect in zip(NAMES, dialects, strict=True)
    }
    allowed = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
    classes = draw(
        st.dictionaries(st.sampled_from(CLASSES), st.one_of(st.just(UNRESTRICTED), allowed))
    )
    n_rules = draw(st.integers(0, 4))
    return Policy("v", targets, tuple(draw(rules(i)) for i in range(n_rules)), classes)


FACTS = st.builds(
    Facts,
    dialect=st.sampled_from(DIALECTS),
    model=st.sampled_from(("a", "ab", "abc", "b")),
    tenant=WORDS,
    data_class=st.sampled_from((None, *CLASSES, "unheard-of")),
    input_tokens=st.integers(0, 100),
    has_tools=st.booleans(),
    user=WORDS,
)


@settings(max_examples=400, deadline=None)
@given(policies(), FACTS, DRAWS)
def test_nothing_leaks_whatever_the_rules(policy: Policy, facts: Facts, draw: float) -> None:
    route = Matcher(policy).route(facts, draw)
    restricts = any(to != UNRESTRICTED for to in policy.data_classes.values())
    if isinstance(route, NoRoute):
        return
    assert route.targets
    assert len({target.name for target in route.targets}) == len(route.targets)
    assert all(target.dialect == facts.dialect for target in route.targets)
    if facts.data_class is None:
        assert not restricts
    else:
        allowed = policy.data_classes[facts.data_class]
        assert allowed == UNRESTRICTED or {t.name for t in route.targets} <= set(allowed)


@settings(max_examples=200, deadline=None)
@given(policies(), st.lists(st.tuples(FACTS, DRAWS), max_size=8))
def test_what_is_remembered_changes_no_answer(
    policy: Policy, asked: list[tuple[Facts, float]]
) -> None:
    matcher = Matcher(policy)
    for facts, draw in [*asked, *asked]:
        assert matcher.route(facts, draw) == Matcher(policy).route(facts, draw)


@settings(max_examples=300, deadline=None)
@given(policies(), FACTS, DRAWS)
def test_explanation_tells_the_rule_that_decided(policy: Policy, facts: Facts, draw: float) -> None:
    matcher = Matcher(policy)
    told = explain(matcher, facts, draw)
    assert told.answer == matcher.route(facts, draw)
    assert len(told.rules) == len(policy.rules)
    deciding = [step.rule for step in told.rules if step.outcome == "decides"]
    tried = sorted((step for step in told.targets if step.order), key=lambda step: step.order or 0)
    if isinstance(told.answer, Route):
        assert deciding == [told.answer.rule]
        assert [step.name for step in tried] == [target.name for target in told.answer.targets]
    else:
        assert not deciding
        assert not tried


@settings(max_examples=200, deadline=None)
@given(
    policies(),
    st.sampled_from((None, *CLASSES, "x")),
    st.sampled_from((None, *CLASSES, "x")),
)
def test_a_header_never_widens_what_may_be_reached(
    policy: Policy, key_class: str | None, header_class: str | None
) -> None:
    decided = tighten(key_class, header_class, policy)
    if not isinstance(decided, NoRoute):
        for name in policy.targets:
            assert may_reach(key_class, name, policy) or not may_reach(decided, name, policy)


def _weighted(weights: dict[str, float], sticky: bool = False) -> Matcher:
    targets = {name: Target(name, f"https://{name}.example/v1") for name in weights}
    shares = tuple(Weighted(name, weight) for name, weight in weights.items())
    return Matcher(Policy("v", targets, (Rule("r", shares, sticky="user" if sticky else None),)))


def _first(matcher: Matcher, facts: Facts, draw: float) -> str:
    route = matcher.route(facts, draw)
    assert isinstance(route, Route)
    return route.targets[0].name


def test_weights_are_kept_in_frequency() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 7.0, "never": 0.0}
    matcher, draws = _weighted(weights), random.Random(3)
    counts = Counter(_first(matcher, Facts("openai", "m"), draws.random()) for _ in range(20_000))
    assert counts["never"] == 0
    for name, weight in weights.items():
        assert abs(counts[name] / 20_000 - weight / 10) < 0.015


def test_sticky_keeps_weights_and_holds_whatever_is_drawn() -> None:
    weights = {"a": 1.0, "b": 3.0}
    matcher = _weighted(weights, sticky=True)
    users = [Facts("openai", "m", user=f"u{i}") for i in range(8_000)]
    firsts = [_first(matcher, facts, 0.0) for facts in users]
    assert firsts == [_first(matcher, facts, 0.999) for facts in users]
    assert abs(firsts.count("b") / 8_000 - 0.75) < 0.02


def test_changing_a_weight_moves_only_what_it_must() -> None:
    users = [Facts("openai", "m", user=f"u{i}") for i in range(4_000)]
    steps = [
        [_first(_weighted({"a": 90.0, "b": weight}, sticky=True), facts, 0.0) for facts in users]
        for weight in (1.0, 10.0, 30.0)
    ]
    for before, after in pairwise(steps):
        moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert moved
        assert all(new == "b" for _, new in moved)


def test_sticky_without_a_user_is_drawn() -> None:
    matcher = _weighted({"a": 1.0, "b": 1.0}, sticky=True)
    facts = Facts("openai", "m")
    assert {_first(matcher, facts, draw) for draw in (0.0, 0.9)} == {"a", "b"}
    assert _first(matcher, replace(facts, user="\ud800"), 0.0) in {"a", "b"}


def test_sticky_places_are_the_same_in_every_process_and_version() -> None:
    matcher = _weighted({"a": 1.0, "b": 3.0, "c": 1.0}, sticky=True)
    users = [Facts("openai", "m", user=f"u{i}") for i in range(24)]
    assert "".join(_first(matcher, facts, 0.0) for facts in users) == "acbbbbbbacabbbcbbabcacbb"
