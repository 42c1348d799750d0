"""A value that satisfies a simple JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

DEEPEST = 6  # below it, optional properties and items are left out, so that recursion ends
FORMATS = {
    "date": "2026-11-02",
    "time": "09:30:00Z",
    "date-time": "2026-11-02T09:30:00Z",
    "email": "ana@example.com",
    "uuid": "6f1d1a52-9c3e-4a4b-8f52-0d4bb1a7c9e1",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
}
WORDS = ("amber", "birch", "cobalt", "delta", "ember", "fjord", "grove", "harbour")


class SchemaExample:
    """Draws values for one schema document; `$ref` is followed within it."""

    def __init__(self, document: Mapping[str, Any], rng: Random) -> None:
        self._document = document
        self._rng = rng

    def value(self) -> Any:
        """A value of the whole document."""
        return self._of(self._document, 0)

    def _of(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        for branch in ("anyOf", "oneOf"):
            if schema.get(branch):
                options = schema[branch]
                return self._of(options[-1 if depth > DEEPEST else 0], depth)
        return self._of_type(self._type(schema, depth), schema, depth)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        seen = 0
        while isinstance(schema.get("$ref"), str) and seen < DEEPEST:
            found: Any = self._document
            for part in schema["$ref"].lstrip("#").strip("/").split("/"):
                found = found.get(part, {}) if part else found
            schema, seen = found, seen + 1
        merged: dict[str, Any] = dict(schema)
        for part in schema.get("allOf", ()):
            for key, value in self._resolved(part).items():
                both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
                merged[key] = {**merged[key], **value} if both else value
        return merged

    @staticmethod
    def _type(schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return "null" if depth > DEEPEST and "null" in kind else str(kind[0])
        if kind is None:
            return "object" if "properties" in schema else "string"
        return str(kind)

    def _of_type(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                least = int(schema.get("minItems", 0 if depth > DEEPEST else 1))
                return [self._of(schema.get("items", {}), depth + 1) for _ in range(least)]
            case "integer" | "number":
                return self._number(kind, schema)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._text(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        return {
            name: self._of(part, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in required or depth <= DEEPEST
        }

    def _number(self, kind: str, schema: Mapping[str, Any]) -> int | float:
        low, high = schema.get("minimum"), schema.get("maximum")
        step = schema.get("multipleOf", 1)
        if low is None and "exclusiveMinimum" in schema:
            low = schema["exclusiveMinimum"] + (step if kind == "integer" else step / 2)
        if high is None and "exclusiveMaximum" in schema:
            high = schema["exclusiveMaximum"] - (step if kind == "integer" else step / 2)
        if low is None:
            low = 0 if high is None or high >= 0 else high - 10 * step
        high = low + 10 * step if high is None else high
        first = -(-low // step)  # the least multiple that is not below
        drawn = (first + self._rng.randint(0, max(int(high // step - first), 0))) * step
        if drawn > high:
            drawn = low
        return int(drawn) if kind == "integer" else drawn

    def _text(self, schema: Mapping[str, Any]) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        text = self._rng.choice(WORDS)
        while len(text) < schema.get("minLength", 0):
            text += " " + self._rng.choice(WORDS)
        return text[: schema.get("maxLength", len(text))]
