"""Why a request goes where it goes: each rule, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weighbridge.policy.matching import Matcher, fits_time, fits_tokens, may_reach
from weighbridge.policy.patterns import fits_any
from weighbridge.policy.types import Facts, Match, NoRoute, Policy, Route, Rule

Outcome = Literal["decides", "no_match", "other_dialect", "forbidden", "not_reached"]
Place = Literal["target", "fallback"]


@dataclass(frozen=True, slots=True)
class TargetStep:
    """One target of the rule that decides: in which order it is tried, or why never."""

    name: str
    place: Place
    weight: float | None  # None for a fallback
    order: int | None  # 1 is tried first; None: not tried
    why: str


@dataclass(frozen=True, slots=True)
class RuleStep:
    """One rule, whether it decided, and the first condition that failed."""

    rule: str
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that led to a route or to none; what it answers is what `Matcher.route` does."""

    facts: Facts
    rules: tuple[RuleStep, ...]
    targets: tuple[TargetStep, ...]
    answer: Route | NoRoute


def explain(matcher: Matcher, facts: Facts, draw: float) -> Explanation:
    """The same decision as `matcher.route(facts, draw)`, told rule by rule."""
    answer = matcher.route(facts, draw)
    refused = matcher.refusal(facts)
    steps: list[RuleStep] = []
    deciding: Rule | None = None
    for index, rule in enumerate(matcher.policy.rules):
        if refused is not None:
            steps.append(RuleStep(rule.name, "not_reached", refused.message))
        elif deciding is not None:
            steps.append(RuleStep(rule.name, "not_reached", f"{deciding.name} decides"))
        else:
            step = _step(matcher, index, rule, facts)
            steps.append(step)
            if step.outcome in {"decides", "forbidden"}:
                deciding = rule
    targets = () if deciding is None else _targets(matcher.policy, deciding, facts, answer)
    return Explanation(facts, tuple(steps), targets, answer)


def _step(matcher: Matcher, index: int, rule: Rule, facts: Facts) -> RuleStep:
    failed = failed_condition(rule.match, facts)
    if failed is not None:
        return RuleStep(rule.name, "no_match", failed)
    choice = matcher.choice(index, facts.dialect, facts.data_class)
    if choice is None:
        why = f"none of its targets speaks the {facts.dialect} API"
        return RuleStep(rule.name, "other_dialect", why)
    if choice.no_route is not None:
        return RuleStep(rule.name, "forbidden", choice.no_route.message)
    return RuleStep(rule.name, "decides", "every condition holds")


def failed_condition(match: Match, facts: Facts) -> str | None:
    """The first condition that does not hold, in words; None where all hold."""
    names = (
        ("model", match.models, facts.model),
        ("tenant", match.tenants, facts.tenant),
        ("feature", match.features, facts.feature),
        ("template", match.templates, facts.template),
        ("data class", match.data_classes, facts.data_class),
    )
    for what, patterns, name in names:
        if not fits_any(patterns, name):
            wanted = " or ".join(patterns)
            return f"{what} is {'not given' if name is None else name}, not {wanted}"
    flags = (
        ("tools", match.tools, facts.has_tools),
        ("a JSON schema", match.json_schema, facts.has_json_schema),
    )
    for what, wanted_flag, has in flags:
        if wanted_flag not in {None, has}:
            return f"the request has {what}" if has else f"the request has no {what.split()[-1]}"
    if not fits_tokens(match, facts):
        low, high = match.min_input_tokens, match.max_input_tokens
        bounds = f"{'any' if low is None else low} to {'any' if high is None else high}"
        return f"about {facts.input_tokens} input tokens, not {bounds}"
    if not fits_time(match, facts):
        return f"{facts.at:%a %Y-%m-%d %H:%M %Z} is outside its hours"
    return None


def _targets(
    policy: Policy, rule: Rule, facts: Facts, answer: Route | NoRoute
) -> tuple[TargetStep, ...]:
    tried = [target.name for target in answer.targets] if isinstance(answer, Route) else []
    listed: list[tuple[str, Place, float | None]] = [
        (weighted.target, "target", weighted.weight) for weighted in rule.targets
    ]
    names = {name for name, _, _ in listed}
    listed += [(name, "fallback", None) for name in rule.fallback if name not in names]
    return tuple(
        TargetStep(
            name,
            place,
            weight,
            tried.index(name) + 1 if name in tried else None,
            _why(policy, name, facts, tried),
        )
        for name, place, weight in listed
    )


def _why(policy: Policy, name: str, facts: Facts, tried: list[str]) -> str:
    target = policy.targets[name]
    if target.dialect != facts.dialect:
        return f"speaks the {target.dialect} API, not the client's"
    if not may_reach(facts.data_class, name, policy):
        return f"data class {facts.data_class} may not go there"
    if name not in tried:
        return "another target was drawn, and it is no fallback"
    return "tried first" if name == tried[0] else "tried if those before it fail"
