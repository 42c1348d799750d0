"""Any CSV, JSON lines or Parquet file, with a map that says which column holds what.

Quantities that can be mapped are the keys of `sources.source.QUANTITIES`. A map file::

    started_at: {column: time, unit: ms}    # unit: of a number; s, ms, us or ns
    input_tokens: prompt_tokens
    output_tokens: completion_tokens
    tenant: {constant: acme}
    input_includes_cache: true
    timezone: Europe/Berlin
    delimiter: ";"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.sources.source import (
    QUANTITIES,
    SECONDS_PER_UNIT,
    SERVICE_TIER_WORDS,
    STATUS_WORDS,
    UNMAPPABLE,
    Format,
    Source,
    Take,
)

_WORDS: Mapping[str, Mapping[str, str | None]] = {
    "status": STATUS_WORDS,
    "service_tier": SERVICE_TIER_WORDS,
    "answered_from_cache": {"true": "yes", "yes": "yes", "1": "yes", "false": None, "no": None}
    | {"0": None},
}


def _table(name: str, title: str, *formats: Format) -> Source:
    return Source(name, title, formats, takes=(), words=_WORDS, mapped_by_user=True)


TABLES = (
    _table("table", "any CSV, JSON lines or Parquet file, with --map", "csv", "json", "parquet"),
    _table("csv", "any CSV file with a header, with --map", "csv"),
    _table("jsonl", "any JSON lines file or JSON array, with --map", "json"),
    _table("parquet", "any Parquet file, with --map", "parquet"),
)

# What a mapped log does not tell where nothing is mapped to it, and how that is said.
_NOT_MAPPED: Mapping[str, tuple[str, ...]] = {
    "request_id: made from the row": ("request_id",),
    "tenant: no column is mapped to it": ("tenant",),
    "feature: no column is mapped to it": ("feature",),
    "template: no column is mapped to it": ("template",),
    "model: no column is mapped to it, so no row has a price": ("model", "model_requested"),
    "status: every row is taken as answered": ("status",),
    "cached tokens: all input counts as uncached": ("cache_read_tokens",),
    "latency: no column is mapped to it": ("latency_s", "ended_at"),
    "time to first token: no column is mapped to it": ("ttft_s", "first_token_at"),
    "cost: no column is mapped to it": ("reported_cost_usd",),
}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """What a user says of the columns: by `--map`, `--constant` and `--map-file`."""

    columns: Mapping[str, tuple[str, str | None]]  # quantity → column, unit
    constants: Mapping[str, str]
    input_includes_cache: bool | None = None
    timezone: str | None = None
    delimiter: str | None = None


_SETTINGS = ("input_includes_cache", "timezone", "delimiter")


def read_column_map(
    file: Path | None, maps: Sequence[str] = (), constants: Sequence[str] = ()
) -> ColumnMap:
    """The map file, with `FIELD=COLUMN` and `FIELD=VALUE` arguments laid over it."""
    entries = {} if file is None else _read_yaml(file)
    where = "" if file is None else str(file)
    settings = {name: entries.pop(name) for name in _SETTINGS if name in entries}
    _check_settings(where, settings)
    columns: dict[str, tuple[str, str | None]] = {}
    fixed: dict[str, str] = {}
    for quantity, entry in entries.items():
        _check_quantity(where, quantity)
        _read_entry(where, quantity, entry, columns, fixed)
    for text in maps:
        quantity, column = _split(text, "--map", "COLUMN")
        columns[quantity] = (column, columns.get(quantity, ("", None))[1])
        fixed.pop(quantity, None)
    for text in constants:
        quantity, value = _split(text, "--constant", "VALUE")
        _check_constant("--constant", quantity)
        fixed[quantity] = value
        columns.pop(quantity, None)
    return ColumnMap(columns, fixed, **settings)


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  (only a map file needs it)

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        mend = "give a readable YAML file of FIELD: COLUMN lines"
        raise InputError(str(file), "", f"cannot be read ({type(fault).__name__})", mend) from fault
    if not isinstance(found, dict):
        raise InputError(str(file), "", "is not a mapping", "write FIELD: COLUMN lines")
    return {str(key): value for key, value in found.items()}


def _check_settings(where: str, settings: Mapping[str, Any]) -> None:
    kinds = {"input_includes_cache": bool, "timezone": str, "delimiter": str}
    for name, value in settings.items():
        if not isinstance(value, kinds[name]):
            mend = "write true or false" if kinds[name] is bool else "write text"
            raise InputError(where, name, f"is {value!r}", mend)
    if len(settings.get("delimiter", ",")) != 1:
        raise InputError(where, "delimiter", "is not one character", 'write for example ";"')


def _check_quantity(where: str, quantity: str) -> None:
    known = [name for name in QUANTITIES if name not in UNMAPPABLE]
    if quantity not in known:
        mend = "one of " + ", ".join([*known, *(_SETTINGS if where != "--map" else ())])
        raise InputError(where, quantity, "there is no such field", mend)


def _check_constant(where: str, quantity: str) -> None:
    if QUANTITIES[quantity] != "text" or quantity == "request_id":
        texts = [
            q
            for q, kind in QUANTITIES.items()
            if kind == "text" and q != "request_id" and q not in UNMAPPABLE
        ]
        problem = "cannot be the same for every row"
        raise InputError(where, quantity, problem, "one of " + ", ".join(texts))


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    column: str | None = None
    constant: str | None = None
    unit: str | None = None


def _read_entry(
    where: str,
    quantity: str,
    entry: Any,
    columns: dict[str, tuple[str, str | None]],
    constants: dict[str, str],
) -> None:
    mend = "write a column's name, {column: NAME, unit: ms} or {constant: TEXT}"
    try:
        read = _Entry(column=entry) if isinstance(entry, str) else msgspec.convert(entry, _Entry)
    except msgspec.ValidationError as fault:
        raise InputError(where, quantity, str(fault), mend) from fault
    if (read.column is None) == (read.constant is None):
        raise InputError(where, quantity, "needs either a column or a constant", mend)
    if read.unit is not None and read.unit not in SECONDS_PER_UNIT:
        units = ", ".join(SECONDS_PER_UNIT)
        raise InputError(where, f"{quantity}.unit", f"is {read.unit!r}", f"one of {units}")
    if read.constant is not None:
        _check_constant(where, quantity)
        constants[quantity] = read.constant
    else:
        assert read.column is not None
        columns[quantity] = (read.column, read.unit)


def _split(text: str, option: str, right: str) -> tuple[str, str]:
    quantity, equals, value = text.partition("=")
    if not equals or not value:
        raise InputError(option, "", f"{text!r} has no `=`", f"write {option} FIELD={right}")
    _check_quantity(option, quantity)
    return quantity, value


def with_map(source: Source, column_map: ColumnMap) -> Source:
    """A source with the user's columns laid over its own, and what it cannot tell set right."""
    mapped = tuple(
        Take(quantity, ((column,),), _is_required(quantity), unit)
        for quantity, (column, unit) in column_map.columns.items()
    )
    given = {*column_map.columns, *column_map.constants}
    kept = tuple(t for t in source.takes if t.quantity not in given)
    takes = (*kept, *mapped)
    if source.mapped_by_user:
        _check_complete(takes, column_map)
        cannot_tell = {
            what: what
            for what, quantities in _NOT_MAPPED.items()
            if not given.intersection(quantities)
        }
    else:
        cannot_tell = {q: what for q, what in source.cannot_tell.items() if q not in given}
    includes = column_map.input_includes_cache
    return replace(
        source,
        takes=takes,
        cannot_tell=cannot_tell,
        words={**source.words, **({"status": STATUS_WORDS} if "status" in given else {})},
        input_includes_cache=source.input_includes_cache if includes is None else includes,
        delimiter=column_map.delimiter or source.delimiter,
    )


def _is_required(quantity: str) -> bool:
    return quantity in {
        "request_id",
        "started_at",
        "input_tokens",
        "uncached_input_tokens",
        "output_tokens",
    }


def _check_complete(takes: Sequence[Take], column_map: ColumnMap) -> None:
    mapped = {t.quantity for t in takes}
    for quantity in ("started_at", "output_tokens"):
        if quantity not in mapped:
            mend = f"add --map {quantity}=COLUMN"
            raise InputError("--map", quantity, "no column is mapped to it", mend)
    inputs = mapped & {"input_tokens", "uncached_input_tokens"}
    if len(inputs) != 1:
        problem = "is mapped twice, as all and as uncached input" if inputs else "is not mapped"
        mend = "map either input_tokens or uncached_input_tokens"
        raise InputError("--map", "input_tokens", problem, mend)
    cached = mapped & {"cache_read_tokens", "cache_write_tokens"}
    if cached and "input_tokens" in mapped and column_map.input_includes_cache is None:
        mend = "say input_includes_cache: true or false in --map-file, or map uncached_input_tokens"
        problem = "cached tokens are mapped, and nothing says whether input_tokens includes them"
        raise InputError("--map", "input_tokens", problem, mend)
