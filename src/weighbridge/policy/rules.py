"""Rules as a policy file writes them: `rules`, and `models` as their short form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from weighbridge.policy.faults import Faults, shown
from weighbridge.policy.fields import Fields
from weighbridge.policy.hours import read_windows
from weighbridge.policy.types import Match, Rule, Sticky, Weighted

RULE_FIELDS = ("name", "match", "targets", "fallback", "sticky", "stage")
MATCH_FIELDS = (
    "tenant", "feature", "template", "model", "data_class", "input_tokens", "tools",
    "json_schema", "hours",
)  # fmt: skip
MODEL_FIELDS = ("targets", "fallback", "sticky")
_MATCH_HINTS = {f"{name}s": f"write `{name}`" for name in MATCH_FIELDS[:5]} | {
    "tenants": "write `tenant`",
    "data_classes": "write `data_class`",
}
_LATER_STAGES = ("shadow", "canary")


@dataclass(frozen=True, slots=True)
class Written:
    """A rule and the path at which it stands, for messages about it."""

    rule: Rule
    path: str


def read_rules(top: Fields) -> list[Written]:
    """The explicit rules in order, then those that `models` stands for, most exact names first."""
    explicit = [Written(_rule(path, raw, top.faults), path) for path, raw in _list_of(top, "rules")]
    models = [
        Written(_of_model(name, path, raw, top.faults), path)
        for name, path, raw in top.entries("models", "write `model name: target`")
    ]
    models.sort(key=lambda written: _breadth(written.rule.match.models[0]))
    return [*explicit, *models]


def _list_of(top: Fields, name: str) -> Iterator[tuple[str, object]]:
    raw = top.raw(name)
    if raw is not None and not isinstance(raw, list):
        top.fault(name, "is not a list", "begin each rule with `- name:`")
    elif raw:
        yield from top.items(name)


def _breadth(model: str) -> tuple[bool, int]:
    """Sorts exact names before those with a star, and of these the longest first."""
    return (True, -len(model)) if model.endswith("*") else (False, 0)


def _rule(path: str, raw: object, faults: Faults) -> Rule:
    fields = Fields(raw, path, faults, RULE_FIELDS)
    name = fields.required_text("name", "name the rule: records and metrics carry the name")
    stage = fields.raw("stage")
    if isinstance(stage, str) and stage in _LATER_STAGES:
        mend = "leave it out (the rule is then `moved`), or remove the rule"
        fields.fault("stage", f"{stage} is not built yet: it comes with a later version", mend)
    else:
        fields.choice("stage", ("moved",))
    return Rule(
        name=name,
        targets=read_targets(fields),
        match=_match(fields),
        fallback=_fallback(fields),
        sticky=_sticky(fields),
    )


def _of_model(model: str, path: str, raw: object, faults: Faults) -> Rule:
    if isinstance(raw, dict):
        fields = Fields(raw, path, faults, MODEL_FIELDS)
        targets, fallback = read_targets(fields), _fallback(fields)
    else:
        # Several targets of one model stand in for each other.
        fields = Fields({"targets": raw}, path, faults, MODEL_FIELDS)
        targets = read_targets(fields, path)
        fallback = tuple(weighted.target for weighted in targets) if len(targets) > 1 else ()
    _check_pattern(path, model, faults)
    return Rule(
        name=f"models.{model}",
        targets=targets,
        match=Match(models=(model,)),
        fallback=fallback,
        sticky=_sticky(fields),
    )


def read_targets(fields: Fields, at: str | None = None) -> tuple[Weighted, ...]:
    """Names, or mappings of target and weight; at least one weight above zero."""
    path = at or fields.at("targets")
    if not fields.has("targets"):
        fields.faults.add(path, "is missing", "name the targets")
        return ()
    found: list[Weighted] = []
    for item_path, raw in fields.items("targets"):
        place = item_path if at is None else item_path.replace(fields.at("targets"), at, 1)
        weighted = _weighted(place, raw, fields.faults)
        if weighted is not None:
            if any(weighted.target == other.target for other in found):
                fields.faults.add(place, f"{weighted.target!r} stands twice", "name it once")
            found.append(weighted)
    if found and not any(weighted.weight > 0 for weighted in found):
        fields.faults.add(path, "all weights are 0", "give one target a weight above 0")
    return tuple(found)


def _weighted(path: str, raw: object, faults: Faults) -> Weighted | None:
    if isinstance(raw, str) and raw.strip():
        return Weighted(raw)
    if not isinstance(raw, dict):
        faults.add(path, f"is {shown(raw)}", "name a target, or write {target: …, weight: …}")
        return None
    fields = Fields(raw, path, faults, ("target", "weight"))
    target = fields.required_text("target", "name the target")
    weight = fields.number("weight", or_low=True)
    return Weighted(target, 1.0 if weight is None else weight) if target else None


def _fallback(fields: Fields) -> tuple[str, ...]:
    if any(isinstance(item, dict) for _, item in fields.items("fallback")):
        mend = "list names in the order in which to try them; only `targets` have weights"
        fields.fault("fallback", "holds a mapping", mend)
        return ()
    return fields.texts("fallback")


def _sticky(fields: Fields) -> Sticky | None:
    return cast("Sticky | None", fields.choice("sticky", ("conversation", "user")))


def _match(rule: Fields) -> Match:
    fields = rule.inner("match", MATCH_FIELDS, _MATCH_HINTS)
    tokens = fields.inner("input_tokens", ("min", "max"))
    low, high = tokens.whole("min", low=0), tokens.whole("max", low=0)
    if low is not None and high is not None and low > high:
        tokens.fault("min", f"is {low}, above max {high}", "let min be at most max; both count")
    patterns: dict[str, Any] = {
        plural: _patterns(fields, name)
        for plural, name in (
            ("tenants", "tenant"),
            ("features", "feature"),
            ("templates", "template"),
            ("models", "model"),
            ("data_classes", "data_class"),
        )
    }
    return Match(
        **patterns,
        min_input_tokens=low,
        max_input_tokens=high,
        tools=fields.flag("tools"),
        json_schema=fields.flag("json_schema"),
        windows=read_windows(fields),
    )


def _patterns(fields: Fields, name: str) -> tuple[str, ...]:
    found = fields.texts(name)
    for pattern in found:
        _check_pattern(fields.at(name), pattern, fields.faults)
    return found


def _check_pattern(path: str, pattern: str, faults: Faults) -> None:
    if "*" in pattern[:-1]:
        faults.add(path, f"{shown(pattern)} has a * within it", "let * stand at the end only")
