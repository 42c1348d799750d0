"""Typed fields of decoded JSON; what is of another kind is told by its place, never by its text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from weighbridge.units import InputError


class Fields:
    """One JSON object of a file, whose fields are reached by dotted paths."""

    def __init__(self, where: str, value: Any, root: str = "") -> None:
        self.where, self._value, self.place = where, value, root
        if not isinstance(value, dict):
            raise InputError(where, root, f"is {_kind(value)}, not an object", _AS_WRITTEN)

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def at(self, path: str) -> Any:
        """What stands at a path, None where nothing does."""
        found = self._value
        for key in path.split("."):
            if not isinstance(found, dict):
                return None
            found = found.get(key)
        return found

    def fault(self, path: str, problem: str, mend: str) -> InputError:
        """An error about one field, to be raised."""
        return InputError(self.where, ".".join(filter(None, (self.place, path))), problem, mend)

    def _wrong(self, path: str, wanted: str) -> InputError:
        value = self.at(path)
        problem = "is missing" if value is None else f"is {_kind(value)}, not {wanted}"
        return self.fault(path, problem, _AS_WRITTEN)

    def number(self, path: str) -> float | None:
        """A finite number, None where there is none."""
        value = self.at(path)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(path, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.fault(path, "is not a finite number", _AS_WRITTEN)
        return number

    def needed_number(self, path: str) -> float:
        """A finite number that has to be there."""
        number = self.number(path)
        if number is None:
            raise self._wrong(path, "a number")
        return number

    def needed_whole(self, path: str) -> int:
        """A whole number of any size, kept to the last digit: nanoseconds outgrow floats."""
        value = self.at(path)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(path, "a whole number")
        self.number(path)
        return value

    def count(self, path: str) -> int | None:
        """A whole number of things, None where there is none."""
        number = self.number(path)
        if number is None:
            return None
        if number < 0 or not number.is_integer() or number > 2**53:
            raise self.fault(path, f"is {number:g}, not a count", _AS_WRITTEN)
        return int(number)

    def needed_count(self, path: str) -> int:
        """A whole number of things that has to be there."""
        count = self.count(path)
        if count is None:
            raise self._wrong(path, "a count")
        return count

    def text(self, path: str) -> str | None:
        """Text, None where there is none."""
        value = self.at(path)
        if value is not None and not isinstance(value, str):
            raise self._wrong(path, "text")
        return value

    def flag(self, path: str) -> bool | None:
        """True or false, None where neither."""
        value = self.at(path)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(path, "true or false")
        return value

    def items(self, path: str) -> list[Any]:
        """A list that has to be there."""
        value = self.at(path)
        if not isinstance(value, list):
            raise self._wrong(path, "a list")
        return value

    def within(self, path: str) -> Fields:
        """The object at a path, which has to be there."""
        if self.at(path) is None:
            raise self._wrong(path, "an object")
        return Fields(self.where, self.at(path), ".".join(filter(None, (self.place, path))))

    def objects(self, path: str) -> Iterator[Fields]:
        """The objects of the list at a path, each knowing its place."""
        for i, value in enumerate(self.items(path)):
            yield Fields(self.where, value, f"{'.'.join(filter(None, (self.place, path)))}[{i}]")


_AS_WRITTEN = "give the file as the tool wrote it"
_KINDS = {str: "text", list: "a list", dict: "an object", bool: "true or false"}


def _kind(value: Any) -> str:
    """What a value is, without saying it: files of benchmarks hold prompts and answers."""
    if value is None:
        return "empty"
    return _KINDS.get(type(value), "a number")
