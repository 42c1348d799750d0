"""What is allowed and yet probably not meant: told by `config check`, never at load."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.policy.addresses import stays_inside
from weighbridge.policy.matching import may_reach
from weighbridge.policy.patterns import covers
from weighbridge.policy.types import Match, Policy, Rule, Target


def notes_on(policy: Policy) -> list[str]:
    """One line each, beginning with the dotted path that it is about."""
    return [
        *_unreachable(policy),
        *_idle_targets(policy),
        *(note for target in policy.targets.values() for note in _open_addresses(target)),
        *_empty_classes(policy),
    ]


def _unreachable(policy: Policy) -> Iterator[str]:
    if not policy.rules:
        yield "rules: there is none, nor any under `models`: every request is refused"
    for index, rule in enumerate(policy.rules):
        for earlier in policy.rules[:index]:
            if _same_dialect(policy, earlier, rule) and is_wider(earlier.match, rule.match):
                yield f"{_path(rule)}: never reached: {_path(earlier)} matches all that it matches"
                break


def _path(rule: Rule) -> str:
    return rule.name if rule.name.startswith("models.") else f"rules.{rule.name}"


def _same_dialect(policy: Policy, one: Rule, other: Rule) -> bool:
    dialects = [{policy.targets[w.target].dialect for w in rule.targets} for rule in (one, other)]
    return dialects[1] <= dialects[0]


def is_wider(wide: Match, narrow: Match) -> bool:
    """Whether one set of conditions surely matches whatever the other does."""
    names = ("tenants", "features", "templates", "data_classes")
    return (
        ("*" in wide.models or covers(wide.models, narrow.models))  # a request has a model always
        and all(covers(getattr(wide, name), getattr(narrow, name)) for name in names)
        and wide.tools in {None, narrow.tools}
        and wide.json_schema in {None, narrow.json_schema}
        and (wide.min_input_tokens or 0) <= (narrow.min_input_tokens or 0)
        and _at_most(narrow.max_input_tokens, wide.max_input_tokens)
        and (not wide.windows or wide.windows == narrow.windows)
    )


def _at_most(one: int | None, limit: int | None) -> bool:
    return limit is None or (one is not None and one <= limit)


def _idle_targets(policy: Policy) -> Iterator[str]:
    used = {w.target for rule in policy.rules for w in rule.targets if w.weight > 0}
    used |= {name for rule in policy.rules for name in rule.fallback}
    for name in policy.targets:
        if name not in used and policy.rules:
            yield f"targets.{name}: no rule names it: it gets no request"


def _open_addresses(target: Target) -> Iterator[str]:
    if not target.url.startswith("http://") or stays_inside(target.url):
        return
    path = f"targets.{target.name}.url"
    if target.credential.kind == "none":
        yield f"{path}: is http:// to a public host: prompts travel unencrypted; write https://"
    else:
        yield f"{path}: is http:// to a public host: the credential travels in the clear; write https://"


def _empty_classes(policy: Policy) -> Iterator[str]:
    for name in policy.data_classes:
        reached = {
            w.target
            for rule in policy.rules
            for w in rule.targets
            if may_reach(name, w.target, policy)
        }
        if policy.rules and not reached:
            yield f"data_classes.{name}: no rule names a target that it may reach"
