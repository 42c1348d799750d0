"""Settings from a document, piece by piece, so that each piece's fault is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from weighbridge.gateway.settings import Settings
from weighbridge.policy.faults import Faults, nearest, shown
from weighbridge.policy.reading import POLICY_KEYS

_HINTS = get_type_hints(Settings)
_MENDS = {
    "int": "give a whole number",
    "float": "give a number",
    "bool": "write true or false",
    "str": "give text, in quotes where it looks like a number",
    "array": "give a list",
    "object": "give it fields below it, or leave it out",
}


def read_settings(document: Mapping[str, Any], faults: Faults) -> Settings:
    """Settings made of the pieces that can be read; what is wrong with the others is noted."""
    good: dict[str, Any] = {}
    for name, value in document.items():
        n_before = len(faults)
        for piece, index in _pieces(name, value):
            try:
                msgspec.convert(piece, Settings)
            except msgspec.ValidationError as error:
                _note(str(error), piece, index, faults)
        if len(faults) == n_before:
            good[name] = value
    return msgspec.convert(good, Settings)


def _pieces(name: str, value: Any) -> Iterator[tuple[dict[str, Any], int]]:
    """What can be read by itself: a list's entries, and fields that have defaults beside them."""
    kind = _struct_in(_HINTS.get(name))
    if isinstance(value, list) and value and kind is not None:
        for index, entry in enumerate(value):
            yield {name: [entry]}, index
    elif isinstance(value, dict) and value and kind is not None and _has_defaults(kind):
        for inner, each in value.items():
            yield {name: {inner: each}}, 0
    else:
        yield {name: value}, 0


def _has_defaults(kind: Any) -> bool:
    return not any(field.required for field in msgspec.structs.fields(kind))


def _note(message: str, piece: dict[str, Any], index: int, faults: Faults) -> None:
    """A message of msgspec as one of ours: "… - at `$.spool.path`" names the field."""
    problem, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".").replace("[...]", "")
    quoted = re.search(r"(unknown|required) field `(.+)`", problem)
    field = ".".join(part for part in (field, quoted.group(2) if quoted else "") if part)
    # Entries of a list are read one by one, so that the message counts each as the first.
    told = re.sub(r"^(\w+)\[0\]", rf"\g<1>[{index}]", field)
    if quoted is not None and quoted.group(1) == "unknown":
        around = field[: -len(quoted.group(2))].rstrip(".")
        known = [*_known_names(around), *(() if around else POLICY_KEYS)]
        faults.add(told, "is not a key that is known", nearest(quoted.group(2), sorted(known)))
        return
    choices = _choices(_annotation(field))
    if quoted is not None:
        faults.add(told, "is missing", f"give one of {', '.join(choices)}" if choices else "add it")
    elif choices:
        value = _value_at(piece, field)
        faults.add(told, f"is {shown(value)}", _choice_mend(str(value), choices))
    else:
        expected = re.match(r"Expected `(\w+)", problem)
        mend = _MENDS.get(expected.group(1), "") if expected else ""
        faults.add(told, problem[0].lower() + problem[1:], mend or "see configuration.md")


def _choice_mend(value: str, choices: tuple[str, ...]) -> str:
    allowed = f"write one of {', '.join(choices)}" if len(choices) > 1 else f"write {choices[0]}"
    near = nearest(value, choices)
    return f"{near} {allowed}" if near.startswith("did you mean") else allowed


def _parts(field: str) -> list[str]:
    return [part for part in re.sub(r"\[\d*\]", "", field).split(".") if part]


def _annotation(field: str) -> Any:
    """Declared type of a dotted path."""
    kind: Any = Settings
    found: Any = None
    for part in _parts(field):
        kind = _struct_in(kind)
        if kind is None:
            return None
        found = kind = get_type_hints(kind).get(part)
    return found


def _known_names(field: str) -> tuple[str, ...]:
    kind = _struct_in(_annotation(field)) if field else Settings
    return () if kind is None else tuple(each.name for each in msgspec.structs.fields(kind))


def _struct_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    inner = [_struct_in(part) for part in get_args(annotation)]
    return next((kind for kind in inner if kind is not None), None)


def _choices(annotation: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def _value_at(piece: Any, field: str) -> Any:
    for part in _parts(field):
        piece = piece[0] if isinstance(piece, list) else piece
        piece = piece.get(part) if isinstance(piece, dict) else None
    return piece
