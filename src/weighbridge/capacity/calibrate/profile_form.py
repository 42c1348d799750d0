"""A profile as plain data and back, every field checked by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from weighbridge.capacity.calibrate.endpoint_profile import EndpointProfile
from weighbridge.capacity.calibrate.parameters import NAMES
from weighbridge.units import InputError

FORMAT = "weighbridge-endpoint-profile/1"


def profile_as_dict(profile: EndpointProfile) -> dict[str, Any]:
    """A profile as what JSON can hold.

    Parameters
    ----------
    profile : EndpointProfile

    Returns
    -------
    dict
        With `format` first; numbers carry their units in their names.
    """
    return {"format": FORMAT, **asdict(profile), "made_on": profile.made_on.isoformat()}


def profile_from_dict(data: object, where: str = "endpoint profile") -> EndpointProfile:
    """A profile from what JSON held.

    Parameters
    ----------
    data : object
        As `profile_as_dict` gives it.
    where : str
        File that it stands in, for errors.

    Returns
    -------
    EndpointProfile

    Raises
    ------
    InputError
        Where it is of another format or version, a field is missing, unknown or of another kind,
        or a number is not finite.
    """
    if not isinstance(data, Mapping) or "format" not in data:
        raise InputError(where, "format", "is missing", _MEND)
    if data["format"] != FORMAT:
        raise InputError(where, "format", f"is {data['format']!r}, not {FORMAT!r}", _MEND)
    rest = {name: value for name, value in data.items() if name != "format"}
    profile: EndpointProfile = _Reader(where).record(EndpointProfile, rest, "")
    _check(profile, where)
    return profile


_MEND = "give a file that `weighbridge calibrate -o` of this version wrote"


def _check(profile: EndpointProfile, where: str) -> None:
    names = tuple(one.name for one in profile.parameters)
    if profile.parameters and names != NAMES:
        raise InputError(where, "parameters", f"are {', '.join(names)}", _MEND)
    for one in profile.parameters:
        if not 0 < one.low <= one.value <= one.high:
            raise InputError(
                where,
                f"parameters: {one.name}",
                f"{one.value} does not lie between {one.low} and {one.high}, or is not positive",
                _MEND,
            )


class _Reader:
    """Reads records by the kinds that their fields promise."""

    def __init__(self, where: str) -> None:
        self._where = where

    def record(self, kind: Any, data: object, at: str) -> Any:
        """A dataclass from a mapping with all its fields and no others."""
        if not isinstance(data, Mapping):
            raise self._fault(at, "is no object")
        known = {field.name for field in fields(kind)}
        for name in sorted(data.keys() - known, key=str):
            raise self._fault(_joined(at, str(name)), "is not known")
        for field in fields(kind):
            if field.name not in data:
                raise self._fault(_joined(at, field.name), "is missing")
        hints = get_type_hints(kind)
        return kind(
            **{name: self.value(hints[name], data[name], _joined(at, name)) for name in known}
        )

    def value(self, kind: Any, data: object, at: str) -> Any:
        """A value of a kind: a record, a tuple, a choice, a number, text, or nothing."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is UnionType:
            if data is None:
                return None
            return self.value(next(a for a in arguments if a is not NoneType), data, at)
        if origin is Literal:
            if data not in arguments:
                raise self._fault(at, f"is {data!r}, none of {', '.join(map(repr, arguments))}")
            return data
        if origin is tuple:
            return self._tuple(arguments, data, at)
        return self.record(kind, data, at) if is_dataclass(kind) else self._plain(kind, data, at)

    def _tuple(self, arguments: tuple[Any, ...], data: object, at: str) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            raise self._fault(at, "is no list")
        kinds = list(arguments)
        if kinds[-1] is Ellipsis:
            kinds = [arguments[0]] * len(data)
        if len(kinds) != len(data):
            raise self._fault(at, f"has {len(data)} items, not {len(kinds)}")
        pairs = enumerate(zip(kinds, data, strict=True))
        return tuple(self.value(kind, one, f"{at}[{i}]") for i, (kind, one) in pairs)

    def _date(self, data: object, at: str) -> date:
        try:
            return date.fromisoformat(str(data))
        except ValueError:
            raise self._fault(at, f"is {data!r}, no date such as 2026-01-31") from None

    def _plain(self, kind: Any, data: object, at: str) -> Any:
        if kind is date:
            return self._date(data, at)
        if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
            if math.isfinite(data):
                return float(data)
            raise self._fault(at, "is not finite")
        if isinstance(data, kind) and not (kind is int and isinstance(data, bool)):
            return data
        names = {float: "number", int: "whole number", str: "text", bool: "true or false"}
        raise self._fault(at, f"is {data!r}, not a {names.get(kind, str(kind))}")

    def _fault(self, at: str, problem: str) -> InputError:
        return InputError(self._where, at, problem, _MEND)


def _joined(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
