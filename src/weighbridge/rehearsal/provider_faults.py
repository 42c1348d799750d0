"""Which fault falls on which request: by rule, by header, or by an order of the moment."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from weighbridge.rehearsal.provider_settings import FAULT_NAMES, Fault


class FaultBoard:
    """The rules in force; the first that matches and draws its share falls."""

    def __init__(self, rules: tuple[Fault, ...], seed: int) -> None:
        self._rules = [msgspec.structs.replace(rule) for rule in rules]
        self._rng = Random(seed)  # noqa: S311  # draws of a rehearsal
        self.n_by_fault: dict[str, int] = {}

    def add(self, rules: list[Fault]) -> None:
        """Put rules before those in force."""
        self._rules[:0] = rules

    def clear(self) -> None:
        """No fault any more."""
        self._rules.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Rules in force, with what is left of their counts."""
        return [msgspec.structs.asdict(rule) for rule in self._rules]

    def fault_of(self, path: str, model: str, key: str, header: str | None) -> Fault | None:
        """The fault of this request, or None; counts it."""
        fault = fault_from_header(header) if header is not None else self._drawn(path, model, key)
        if fault is not None:
            self.n_by_fault[fault.fault] = self.n_by_fault.get(fault.fault, 0) + 1
        return fault

    def _drawn(self, path: str, model: str, key: str) -> Fault | None:
        for rule in self._rules:
            if rule.count == 0:
                continue
            asked = ((rule.path, path), (rule.model, model), (rule.key, key))
            if any(wanted is not None and wanted != found for wanted, found in asked):
                continue
            if rule.share < 1 and self._rng.random() >= rule.share:
                continue
            if rule.count is not None:
                rule.count -= 1
            return rule
        return None


def fault_from_header(text: str) -> Fault | None:
    """A fault from `torn_stream;after_events=3`; `none` spares the request all rules."""
    name, *settings = [part.strip() for part in text.split(";")]
    if name == "none":
        return None
    if name not in FAULT_NAMES:
        raise ValueError(f"x-rehearsal-fault: there is no fault {name!r}")
    given = dict(part.split("=", 1) for part in settings if "=" in part)
    return msgspec.convert({"fault": name, **given}, Fault, strict=False)
