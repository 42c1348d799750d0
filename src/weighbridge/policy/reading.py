"""A policy from its document, checked whole: what cannot hold is refused with its mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from weighbridge.policy.faults import Faults, nearest, shown
from weighbridge.policy.fields import Fields
from weighbridge.policy.patterns import fits_any
from weighbridge.policy.rules import Written, read_rules
from weighbridge.policy.targets import read_target
from weighbridge.policy.types import UNRESTRICTED, Policy, Rule, Target
from weighbridge.policy.version import digest

POLICY_KEYS = ("targets", "models", "rules", "data_classes")


def read_policy(
    document: Mapping[str, Any], where: str, lines: Mapping[str, int] | None = None
) -> Policy:
    """The policy that a configuration holds under `POLICY_KEYS`; other keys are left to others.

    Raises InputError (ManyFaultsError for several) that names file, line, field and mend.
    """
    faults = Faults(where, lines)
    top = Fields({key: document.get(key) for key in POLICY_KEYS}, "", faults, POLICY_KEYS)
    targets = {
        name: read_target(name, path, raw, top)
        for name, path, raw in top.entries("targets", "write `name:` and its fields below it")
    }
    if not targets and not len(faults):
        faults.add("targets", "is missing or empty", "name at least one target with its url")
    written = read_rules(top)
    data_classes = _data_classes(top, targets)
    _check_rules(written, targets, data_classes, faults)
    faults.raise_any()
    rules = tuple(each.rule for each in written)
    policy = Policy("", targets, rules, data_classes)
    return replace(policy, version=digest(policy))


def _data_classes(top: Fields, targets: Mapping[str, Target]) -> dict[str, tuple[str, ...]]:
    raw = top.raw("data_classes")
    names = tuple(str(name) for name in raw) if isinstance(raw, Mapping) else ()
    classes = top.inner("data_classes", names)
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        allowed = found[name] = classes.texts(name)
        if "*" in name or not name.strip():
            classes.fault(name, "is no name for a class", "use a plain name")
        if not allowed and not classes.has(name):
            mend = 'list the targets that it may reach, or write "*" for every one'
            classes.fault(name, "names no target", mend)
        elif "*" in allowed and len(allowed) > 1:
            classes.fault(name, "names * and targets", "keep * alone, or the targets alone")
        elif allowed != UNRESTRICTED:
            _check_known(classes.at(name), allowed, targets, top.faults)
    return found


def _check_known(
    path: str, names: Iterable[str], targets: Mapping[str, Target], faults: Faults
) -> bool:
    unknown = [name for name in names if name not in targets]
    for name in unknown:
        faults.add(path, f"{shown(name)} is no target", nearest(name, targets))
    return not unknown


def _check_rules(
    written: list[Written],
    targets: Mapping[str, Target],
    data_classes: Mapping[str, tuple[str, ...]],
    faults: Faults,
) -> None:
    first_at: dict[str, str] = {}
    for each in written:
        rule, path = each.rule, each.path
        if rule.name and rule.name in first_at:
            problem = f"{shown(rule.name)} is already the name of {first_at[rule.name]}"
            faults.add(f"{path}.name", problem, "give each rule a name of its own")
        first_at.setdefault(rule.name, path)
        names = [weighted.target for weighted in rule.targets]
        if _check_known(f"{path}.targets", names, targets, faults) & _check_known(
            f"{path}.fallback", [n for n in rule.fallback if n not in names], targets, faults
        ):
            _check_dialects(rule, path, targets, faults)
            _check_classes(rule, path, data_classes, faults)


def _check_dialects(rule: Rule, path: str, targets: Mapping[str, Target], faults: Faults) -> None:
    names = dict.fromkeys([*(w.target for w in rule.targets), *rule.fallback])
    by_dialect: dict[str, str] = {}
    for name in names:
        by_dialect.setdefault(targets[name].dialect, name)
    if len(by_dialect) > 1:
        told = " and ".join(f"{name} ({dialect})" for dialect, name in by_dialect.items())
        mend = "write one rule for each dialect: requests are not translated"
        faults.add(path, f"names targets of two dialects: {told}", mend)


def _check_classes(
    rule: Rule, path: str, data_classes: Mapping[str, tuple[str, ...]], faults: Faults
) -> None:
    for pattern in rule.match.data_classes:
        matched = [name for name in data_classes if fits_any((pattern,), name)]
        if not matched:
            mend = nearest(pattern, data_classes) if data_classes else "list it under data_classes"
            faults.add(f"{path}.match.data_class", f"{shown(pattern)} is no data class", mend)
        for name in matched:
            allowed = data_classes[name]
            names = {*(w.target for w in rule.targets), *rule.fallback}
            if allowed and allowed != UNRESTRICTED and names.isdisjoint(allowed):
                problem = f"sends class {shown(name)} to no target that it may reach"
                faults.add(path, problem, f"name one of {', '.join(allowed)}")
