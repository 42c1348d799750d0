"""One mapping of a document, read field by field; what is wrong is collected, not raised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from weighbridge.policy.faults import Faults, nearest, shown

MOST = 10**12  # of anything that is counted


class Fields:
    """A mapping whose keys are known. Every reader answers None where the field is left out.

    `hints` gives the mend for keys of other tools, by name.
    """

    __slots__ = ("_raw", "faults", "path")

    def __init__(
        self,
        raw: object,
        path: str,
        faults: Faults,
        known: Sequence[str],
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.faults = path, faults
        self._raw: Mapping[str, object] = {}
        if not isinstance(raw, Mapping):
            if raw is not None:
                faults.add(path, f"is {_kind(raw)}", f"give it fields: {', '.join(known)}")
            return
        self._raw = raw
        for name in raw:
            if name not in known:
                mend = (hints or {}).get(str(name)) or nearest(str(name), known)
                faults.add(self.at(str(name)), "is not a field", mend)

    def at(self, name: str) -> str:
        """Dotted path of one field."""
        return f"{self.path}.{name}" if self.path else name

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Note that a field is wrong."""
        self.faults.add(self.at(name), problem, mend)

    def raw(self, name: str) -> object:
        """The value as it stands."""
        return self._raw.get(name)

    def has(self, *names: str) -> bool:
        """Whether any of these is given (`null` is not)."""
        return any(self._raw.get(name) is not None for name in names)

    def text(self, name: str, mend: str = "give text") -> str | None:
        """Text that is not blank and holds no control characters."""
        value = self._raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(name, f"is {_kind(value)}", f"{mend} (in quotes)")
            return None
        if not value.strip() or not value.isprintable():
            self.fault(name, "is blank or holds control characters", mend)
            return None
        return value

    def required_text(self, name: str, mend: str) -> str:
        """As `text`; leaving it out is a fault. Empty after any fault."""
        if not self.has(name):
            self.fault(name, "is missing", mend)
        return self.text(name, mend) or ""

    def whole(self, name: str, low: int = 1, high: int = MOST) -> int | None:
        """A whole number from `low` to `high`."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            mend = f"give a whole number, {low} or more"
            is_high = isinstance(value, int) and value > high
            self.fault(name, f"is {shown(value)}", f"{mend}, at most {high}" if is_high else mend)
            return None
        return value

    def number(
        self, name: str, low: float = 0.0, high: float = math.inf, *, or_low: bool = False
    ) -> float | None:
        """A finite number above `low` (or from it) and up to `high`."""
        value = self._raw.get(name)
        if value is None:
            return None
        if not isinstance(value, bool) and isinstance(value, int | float):
            inside = low < value <= high or (or_low and value == low)
            if inside and math.isfinite(value):
                return float(value)
        bound = f"{low:g} or more" if or_low else f"above {low:g}"
        up_to = "" if math.isinf(high) else f" and at most {high:g}"
        self.fault(name, f"is {shown(value)}", f"give a number {bound}{up_to}")
        return None

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self._raw.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.fault(name, f"is {shown(value)}", "write true or false")
        return None

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """One of some words."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value in options:
            return value
        self.fault(name, f"is {shown(value)}", nearest(str(value), options))
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """Text, or a list of texts without one twice; empty where it is left out."""
        found: dict[str, None] = {}
        for path, value in self.items(name):
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                self.faults.add(
                    path, f"is {shown(value)}", "give text (in quotes), or a list of it"
                )
            elif value in found:
                self.faults.add(path, f"{value!r} stands twice", "name it once")
            else:
                found[value] = None
        return tuple(found)

    def items(self, name: str) -> Iterable[tuple[str, object]]:
        """Path and value of each item of a list; anything else is a list of one."""
        value = self._raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            return [(self.at(name), value)]
        if not value:
            self.fault(name, "is an empty list", "give at least one, or leave it out")
        return [(f"{self.at(name)}[{i}]", item) for i, item in enumerate(value)]

    def entries(self, name: str, mend: str) -> Iterable[tuple[str, str, object]]:
        """Name, path and value of each entry of a mapping whose keys are free."""
        value = self._raw.get(name)
        if value is None:
            return []
        if not isinstance(value, Mapping):
            self.fault(name, f"is {_kind(value)}", mend)
            return []
        return [(str(key), f"{self.at(name)}.{key}", item) for key, item in value.items()]

    def inner(
        self, name: str, known: Sequence[str], hints: Mapping[str, str] | None = None
    ) -> Fields:
        """The fields of a mapping inside this one; all left out where it is."""
        return Fields(self._raw.get(name), self.at(name), self.faults, known, hints)


def _kind(value: object) -> str:
    # Text is never quoted here: where fields belong, it may be a secret.
    kinds = ((Mapping, "a mapping"), (list, "a list"), (str, "text"))
    return next((name for kind, name in kinds if isinstance(value, kind)), shown(value))
