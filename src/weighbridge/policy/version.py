"""A policy's version: a digest of what it says, whatever the order in which it was written."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import msgspec

from weighbridge.policy.types import Match, Policy, Rule

N_HEX_DIGITS = 12


def digest(policy: Policy) -> str:
    """Twelve hex digits; order counts only where it changes a decision (rules, fallbacks)."""
    canonical = replace(
        policy,
        version="",
        rules=tuple(_canonical(rule) for rule in policy.rules),
        data_classes={name: tuple(sorted(to)) for name, to in policy.data_classes.items()},
    )
    return sha256(msgspec.json.encode(canonical, order="sorted")).hexdigest()[:N_HEX_DIGITS]


def _canonical(rule: Rule) -> Rule:
    match = rule.match
    names: Match = replace(
        match,
        tenants=tuple(sorted(match.tenants)),
        features=tuple(sorted(match.features)),
        templates=tuple(sorted(match.templates)),
        models=tuple(sorted(match.models)),
        data_classes=tuple(sorted(match.data_classes)),
    )
    return replace(rule, match=names)
