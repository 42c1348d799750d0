"""A YAML file of facts read into typed rows; each fault names the file, the row and the field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml

from weighbridge.catalog.rows import (
    CommittedThroughput,
    Engine,
    Gpu,
    Model,
    Offer,
    Throughput,
)
from weighbridge.units import InputError

SECTIONS: Mapping[str, type] = {
    "gpus": Gpu,
    "offers": Offer,
    "models": Model,
    "engines": Engine,
    "throughput": Throughput,
    "committed": CommittedThroughput,
}
_SOURCES = "sources"  # strings that rows refer to by YAML alias; not facts themselves
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of every kind by id."""

    gpus: Mapping[str, Gpu] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    throughput: Mapping[str, Throughput] = field(default_factory=dict)
    committed: Mapping[str, CommittedThroughput] = field(default_factory=dict)

    def overlaid_with(self, other: Table) -> Table:
        """Both tables' rows; the other's win where ids are equal."""
        return Table(**{name: {**getattr(self, name), **getattr(other, name)} for name in SECTIONS})

    def dates(self) -> Iterator[tuple[str, str, date]]:
        """Section, id and day of checking of every row."""
        for name in SECTIONS:
            for row_id, row in getattr(self, name).items():
                yield name, row_id, row.checked_on


@dataclass(frozen=True, slots=True)
class FactFile:
    """One file: its name for messages, its text for the digest, its rows."""

    name: str
    text: str
    table: Table


class _StrictLoader(yaml.CSafeLoader):
    """Safe loader that refuses a key written twice instead of keeping the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """Text of a user's file; a fault of the file itself is told as bad input."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as fault:
        problem, mend = f"is not UTF-8 (byte {fault.start})", "save it as UTF-8"
    except IsADirectoryError:
        problem, mend = "is a directory", "name a YAML file"
    except (OSError, RuntimeError) as fault:
        problem, mend = f"cannot be read ({fault})", "name a YAML file that exists"
    raise InputError(str(path), "", problem, mend)


def parse_fact_file(name: str, text: str) -> FactFile:
    """Rows of one file's text; raises InputError at the first fault."""
    raw = _parse_yaml(name, text)
    for section in raw:
        if section not in SECTIONS and section != _SOURCES:
            raise InputError(
                name, str(section), "is not a kind of fact", f"use one of {', '.join(SECTIONS)}"
            )
    table = Table(
        **{
            section: _section(f"{name}: {section}", kind, raw.get(section))
            for section, kind in SECTIONS.items()
        }
    )
    return FactFile(name, text, table)


def _parse_yaml(name: str, text: str) -> Mapping[object, object]:
    try:
        raw = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of the safe loader
    except yaml.MarkedYAMLError as fault:
        line = "" if fault.problem_mark is None else f" line {fault.problem_mark.line + 1}"
        raise InputError(
            name + line, "", f"is not valid YAML: {fault.problem}", "mend that line"
        ) from None
    except (yaml.YAMLError, ValueError) as fault:
        raise InputError(name, "", f"is not valid YAML: {fault}", "mend it") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise InputError(
            name, "", "is not a mapping of sections", f"begin with one of {', '.join(SECTIONS)}"
        )
    return raw


def _section(where: str, kind: type[_Row], raw: object) -> dict[str, _Row]:
    if raw is None:
        return {}
    if not isinstance(raw, list):
        raise InputError(where, "", "is not a list of rows", "begin each row with `- id:`")
    rows: dict[str, _Row] = {}
    for number, raw_row in enumerate(raw, start=1):
        row_id = raw_row.get("id") if isinstance(raw_row, dict) else None
        if not isinstance(raw_row, dict) or not isinstance(row_id, str):
            raise InputError(
                f"{where} row {number}", "id", "is missing or not text", "give each row an id"
            )
        if row_id in rows:
            raise InputError(f"{where} {row_id}", "id", "stands twice", "give each row its own id")
        rows[row_id] = _row(f"{where} {row_id}", kind, raw_row)
    return rows


def _row(where: str, kind: type[_Row], raw: Mapping[object, object]) -> _Row:
    shape: Any = kind  # a class is hashable, which its type does not say
    hints = _hints(shape)
    for key in raw:
        if key not in hints:
            raise InputError(where, str(key), "is not a field", f"use one of {', '.join(hints)}")
    for name in _required(shape):
        if name not in raw:
            raise InputError(where, name, "is missing", _mend(hints[name]))
    row = kind(**{str(key): _value(where, str(key), raw[key], hints) for key in raw})
    _check_whole(where, row)
    return row


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _required(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.default is MISSING)


def _value(where: str, name: str, raw: object, hints: Mapping[str, Any]) -> object:
    hint = hints[name]
    try:
        value: object = msgspec.convert(raw, hint)
    except msgspec.ValidationError as fault:
        raise InputError(where, name, f"is {raw!r}: {fault}", _mend(hint)) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(where, name, f"is {value}", "give a finite number")
    if isinstance(value, str) and hint is not str and not value.strip():
        raise InputError(where, name, "is blank", _mend(hint))
    return value


def _mend(hint: Any) -> str:
    flat = str(hint)
    if get_origin(hint) is Literal:
        return f"use one of {', '.join(map(str, get_args(hint)))}"
    for mark, mend in (
        ("date", "give a date such as 2026-11-21"),
        ("bool", "write true or false"),
        ("int", "give a whole number" + (" above 0" if "gt=0" in flat else ", 0 or more")),
        ("float", "give a number above 0"),
    ):
        if mark in flat.replace("min_length", ""):
            return mend
    return "give text (a source names the document that was read, and its address)"


def _check_whole(where: str, row: object) -> None:
    if isinstance(row, Offer):
        _check_offer(where, row)
    elif isinstance(row, Gpu):
        _pair(where, "purchase_usd", row.purchase_usd, "purchase_source", row.purchase_source)
    elif isinstance(row, Model):
        _check_model(where, row)


def _check_offer(where: str, row: Offer) -> None:
    if row.plan != "reserved" and row.commitment_months is not None:
        raise InputError(
            where,
            "commitment_months",
            f"is {row.commitment_months} with plan {row.plan}",
            "give it for plan reserved only (leave it out where no length is published)",
        )


def _check_model(where: str, row: Model) -> None:
    if row.active_parameters_billions > row.parameters_billions:
        raise InputError(
            where,
            "active_parameters_billions",
            f"is {row.active_parameters_billions}, above all {row.parameters_billions}",
            "give the parameters that one token passes through",
        )
    latent = (row.kv_lora_rank, row.qk_rope_head_dim)
    if any((size is None) == (row.attention == "mla") for size in latent):
        raise InputError(
            where,
            "kv_lora_rank",
            f"and qk_rope_head_dim are {latent} with attention {row.attention}",
            "give both for attention mla, and neither for any other",
        )
    if (row.n_sliding_layers > 0) != (row.sliding_window_tokens is not None):
        raise InputError(
            where,
            "n_sliding_layers",
            f"is {row.n_sliding_layers} with a window of {row.sliding_window_tokens} tokens",
            "give both where some layers see a window only, and neither otherwise",
        )
    if row.n_sliding_layers + row.n_linear_attention_layers > row.n_layers:
        raise InputError(
            where,
            "n_sliding_layers",
            "is above n_layers, together with n_linear_attention_layers",
            f"give at most {row.n_layers}",
        )
    _together(where, row, "n_linear_attention_layers", "linear_state_elements")
    _together(where, row, "n_experts", "n_active_experts", "expert_intermediate_size")
    _together(where, row, "n_attended_tokens", "indexer_head_size")
    if row.n_active_experts is not None and row.n_active_experts > (row.n_experts or 0):
        raise InputError(
            where, "n_active_experts", "is above n_experts", f"give at most {row.n_experts}"
        )
    if row.n_dense_layers > row.n_layers:
        raise InputError(
            where, "n_dense_layers", "is above n_layers", f"give at most {row.n_layers}"
        )


def _together(where: str, row: Model, *names: str) -> None:
    given = [name for name in names if getattr(row, name)]
    if given and len(given) < len(names):
        missing = next(name for name in names if name not in given)
        raise InputError(
            where,
            missing,
            f"is missing beside {given[0]}",
            f"give {', '.join(names)} together, or none of them",
        )


def _pair(where: str, first: str, one: object, second: str, other: object) -> None:
    if (one is None) != (other is None):
        raise InputError(where, second, f"and {first} go together", "give both or leave both out")
