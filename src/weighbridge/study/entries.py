"""How a scenario writes one assumption: a number, a band, a range, a choice, an event."""

from __future__ import annotations

import difflib
import math
from typing import Any

from weighbridge.catalog.assumptions import Assumption, load_assumptions
from weighbridge.economics.distributions import (
    Banded,
    Discrete,
    Distribution,
    Event,
    Fixed,
    Triangular,
    Uniform,
)
from weighbridge.units import InputError


def known_assumption(name: str, where: str, field: str) -> Assumption:
    """The assumption of that name; an unknown one is an error that suggests the nearest."""
    rows = load_assumptions()
    if name in rows:
        return rows[name]
    close = difflib.get_close_matches(name, rows, n=1)
    mend = f"did you mean `{close[0]}`?" if close else "see `weighbridge init --full` for all"
    raise InputError(where, f"{field}.{name}", "is no assumption of the model", mend)


def read_belief(name: str, raw: Any, where: str) -> Distribution:
    """A scenario's entry for one assumption, as a distribution inside its bounds.

    A plain number is certain; `{p10, p50, p90}`, `{low, high}`, `{low, mode, high}`,
    `{values, weights}` and, for events, `{probability}` are distributions.
    """
    field = f"assumptions.{name}"
    row = known_assumption(name, where, "assumptions")
    if isinstance(raw, bool) or not isinstance(raw, int | float | dict):
        raise InputError(
            where, field, f"is {raw!r}", "give a number, or a distribution such as {p10, p50, p90}"
        )
    if isinstance(raw, dict):
        bad = [k for k, x in raw.items() if not _is_numeric(x)]
        if bad:
            raise InputError(where, f"{field}.{bad[0]}", f"is {raw[bad[0]]!r}", "give a number")
    try:
        belief = _belief(row, raw)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(where, field, str(error), "mend the numbers") from None
    if belief is None:
        shapes = "{p10, p50, p90}, {low, high}, {low, mode, high}, {values, weights}"
        mend = "give {probability: …}" if row.event else f"give a number or one of {shapes}"
        keys = sorted(str(key) for key in raw) if isinstance(raw, dict) else []
        raise InputError(where, field, f"has the keys {keys}", mend)
    _check_bounds(row, raw, where, field)
    if row.fixed and not belief.is_certain:
        raise InputError(where, field, "must be one number for all draws", "give a plain number")
    return belief


def _is_numeric(x: Any) -> bool:
    items = x if isinstance(x, list) else [x]
    return all(isinstance(i, int | float) and not isinstance(i, bool) for i in items)


def _belief(row: Assumption, raw: float | dict[str, Any]) -> Distribution | None:
    if not isinstance(raw, dict):
        return Event(float(raw)) if row.event else Fixed(float(raw))
    if row.event:
        return Event(float(raw["probability"])) if set(raw) == {"probability"} else None
    return _shape(row, raw)


def _shape(row: Assumption, raw: dict[str, Any]) -> Distribution | None:
    keys = set(raw)
    if keys == {"p10", "p50", "p90"}:
        p10, p50, p90 = (float(raw[k]) for k in ("p10", "p50", "p90"))
        band = Banded(p10, p50, p90, row.min, row.max)  # checks their order
        return Fixed(p50) if band.is_certain else band
    if keys == {"low", "high"}:
        return Uniform(float(raw["low"]), float(raw["high"]))
    if keys == {"low", "mode", "high"}:
        return Triangular(float(raw["low"]), float(raw["mode"]), float(raw["high"]))
    if keys == {"values", "weights"}:
        return Discrete(_row(raw["values"]), _row(raw["weights"]))
    return None


def _check_bounds(row: Assumption, raw: float | dict[str, Any], where: str, field: str) -> None:
    numbers: dict[str, Any] = raw if isinstance(raw, dict) else {"": raw}
    for key, value in numbers.items():
        if key == "weights":
            continue
        for number in value if isinstance(value, list) else [value]:
            low_ok = row.min is None or number >= row.min
            high_ok = row.max is None or number <= row.max
            if not (low_ok and high_ok and math.isfinite(number)):
                bounds = f"{_bound(row.min)} to {_bound(row.max)} {row.unit}"
                raise InputError(
                    where, f"{field}.{key}".rstrip("."), f"is {number}", f"give {bounds}"
                )


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _row(raw: Any) -> tuple[float, ...]:
    return tuple(float(x) for x in (raw if isinstance(raw, list) else [raw]))
