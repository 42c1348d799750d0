"""A file of published rules of thumb: what is claimed, from which inputs, and what checks it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import yaml

from weighbridge.study.entries import known_assumption
from weighbridge.study.rule_world import World, check_inputs
from weighbridge.study.scenario import UniqueKeyLoader
from weighbridge.units import InputError

MeasureName = Literal[
    "cost",
    "cost_share",
    "break_even",
    "equal_cost",
    "payback",
    "replicas",
    "utilization",
    "requests_served",
    "deployment",
    "api_price",
    "weights",
    "gpus_to_fit",
]
As = Literal["value", "ratio", "change", "saving", "difference"]
Unit = Literal[
    "usd",
    "usd_per_month",
    "usd_per_year",
    "usd_per_mtok",
    "usd_per_request",
    "frac",
    "ratio",
    "tokens_per_month",
    "requests_per_month",
    "months",
    "gb",
    "gpus",
]
Value = float | str | tuple[float, float] | tuple[str, ...]
COST_UNITS: Mapping[str, tuple[Unit, ...]] = {
    "": ("usd", "usd_per_month"),
    "month": ("usd_per_month",),
    "year": ("usd_per_year",),
    "mtok": ("usd_per_mtok",),
    "request": ("usd_per_request",),
}
ALONG_UNITS: Mapping[str, tuple[Unit, ...]] = {
    "tokens_per_month": ("tokens_per_month",),
    "requests_per_month": ("requests_per_month",),
    "api_usd_per_month": ("usd_per_month",),
    "utilization_frac": ("frac",),
}
MEASURE_UNITS: Mapping[str, tuple[Unit, ...]] = {
    "cost_share": ("frac",),
    "payback": ("months",),
    "replicas": ("gpus",),
    "utilization": ("frac",),
    "requests_served": ("requests_per_month",),
    "deployment": ("months",),
    "api_price": ("usd_per_mtok",),
    "weights": ("gb",),
    "gpus_to_fit": ("gpus",),
}
HOSTINGS = ("api", "managed", "rented", "owned")


class Assumed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An input that the source leaves out: our value, and why that one."""

    value: Any
    because: str


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The figure in print: one number, a range, or one end of a range."""

    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reading: str = ""  # how words were made a figure, where the source has only words

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest figure that the claim allows; infinite where it names no end."""
        if self.value is not None:
            return self.value, self.value
        low = -math.inf if self.low is None else self.low
        return low, math.inf if self.high is None else self.high


class Compute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A named computation of the engine and its arguments; see `rule_measures`."""

    measure: MeasureName
    option: str = "rented"
    than: str = "api"
    categories: tuple[str, ...] = ()
    months: tuple[int, int] = (1, 1)
    per: Literal["", "month", "year", "mtok", "request"] = ""
    along: str = ""
    instant: Literal["go_live", "end", "go_live_to_end"] = "go_live"
    against: dict[str, Any] = msgspec.field(default_factory=dict)
    against_option: str = ""
    against_categories: tuple[str, ...] = ()
    express: As = msgspec.field(default="value", name="as")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One numeric claim; either computed or with the input that is missing."""

    id: str
    claim: str
    figures: tuple[str, ...]  # as the source prints them
    inputs: dict[str, Any] = msgspec.field(default_factory=dict)
    assumed: dict[str, Assumed] = msgspec.field(default_factory=dict)
    world: World = "bare"
    compute: Compute | None = None
    published: Published | None = None
    missing: str = ""
    note: str = ""
    telling: bool = False  # told at the top of the page

    def values(self) -> dict[str, Value]:
        """Every input by name, stated and assumed."""
        stated = {name: _value(raw) for name, raw in self.inputs.items()}
        return stated | {name: _value(row.value) for name, row in self.assumed.items()}

    def against(self) -> dict[str, Value]:
        """Inputs that differ in the world that the first is held against."""
        changed = {} if self.compute is None else self.compute.against
        return {name: _value(raw) for name, raw in changed.items()}


class NoClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures in the article that claim nothing: names, dates, steps; with the reason."""

    figures: tuple[str, ...]
    because: str


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a rule takes for granted, to be drawn as a line of break-even volumes over prices."""

    label: str
    inputs: dict[str, Any]
    world: World = "bare"


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A volume from which a rule says that self-hosting pays, at the API price that it names."""

    rule: str
    label: str
    inputs: dict[str, Any]
    bill_usd_per_month: float | None = None  # where the rule names a bill instead of a volume

    def values(self) -> dict[str, Value]:
        """Every input by name."""
        return {name: _value(raw) for name, raw in self.inputs.items()}


class Swing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input of a curve at two values, all else as it is."""

    label: str
    input: str
    values: tuple[float | str, float | str]
    told: tuple[str, str]  # the two values in words


class Reader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody with a question, the rule that answers it, and the command for their own numbers."""

    you: str
    rule: str
    then: str
    command: str


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every rule of one article."""

    title: str
    short: str
    background: str  # name of the article's text in the shared folder that tests read
    order: int
    rules: tuple[Rule, ...]
    no_claims: tuple[NoClaim, ...] = ()
    curves: tuple[Curve, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    swings: tuple[Swing, ...] = ()  # of the first curve
    readers: tuple[Reader, ...] = ()  # of rules in any file
    as_of: dt.date | None = None  # day of the catalog's prices; one file says it


def _value(raw: Any) -> Value:
    return tuple(raw) if isinstance(raw, list) else raw


def load_rule_files(folder: Path) -> tuple[RuleFile, ...]:
    """Every `*.yaml` of a folder, checked; ids are unique over all of them."""
    paths = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    if not paths:
        raise InputError(str(folder), "", "holds no rules", "name a folder with *.yaml files in it")
    files = [read_rule_file(path.read_text("utf-8"), str(path.name)) for path in paths]
    seen: dict[str, str] = {}
    for path, file in zip(paths, files, strict=True):
        for rule in file.rules:
            if rule.id in seen:
                mend = f"rename it: {seen[rule.id]} has one of that id"
                raise InputError(path.name, rule.id, "is given twice", mend)
            seen[rule.id] = path.name
    for path, file in zip(paths, files, strict=True):
        lost = [reader.rule for reader in file.readers if reader.rule not in seen]
        if lost:
            raise InputError(path.name, "readers", f"names {lost[0]!r}", "name a rule of any file")
    return tuple(sorted(files, key=lambda file: file.order))


def priced_on(files: tuple[RuleFile, ...]) -> dt.date:
    """The day at whose catalog prices the rules are computed; one file states it."""
    days = [file.as_of for file in files if file.as_of is not None]
    if len(days) != 1:
        raise InputError("rules of thumb", "as_of", f"is stated {len(days)} times", "state it once")
    return days[0]


def read_rule_file(text: str, where: str) -> RuleFile:
    """Check one file of rules given as YAML text; every fault names the rule and the mend."""
    try:
        raw = yaml.load(text, Loader=UniqueKeyLoader)  # noqa: S506  # subclass of the safe loader
    except yaml.YAMLError as error:
        raise InputError(where, "", f"is not YAML: {error}", "mend the line") from None
    if not isinstance(raw, Mapping):
        raise InputError(where, "", "holds no fields", "give title, short, order and rules")
    try:
        file = msgspec.convert(raw, RuleFile)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        field = path.strip("`").removeprefix("$").lstrip(".")
        raise InputError(where, field, problem, "see rules_of_thumb/README.md for fields") from None
    for rule in file.rules:
        _check(rule, where)
    _check_drawn(file, where)
    return file


def _check_drawn(file: RuleFile, where: str) -> None:
    """Curves, thresholds and swings: inputs that the engine knows, rules that there are."""
    ids = {rule.id for rule in file.rules}
    for i, curve in enumerate(file.curves):
        check_inputs(curve.inputs, curve.world, f"curves[{i}]", where)
    for i, threshold in enumerate(file.thresholds):
        check_inputs(threshold.values(), "bare", f"thresholds[{i}]", where)
        if threshold.rule not in ids:
            field = f"thresholds[{i}].rule"
            raise InputError(where, field, f"is {threshold.rule!r}", "name a rule of this file")
    for i, swing in enumerate(file.swings):
        if not file.curves:
            raise InputError(where, f"swings[{i}]", "moves no curve", "give the file a curve")
        for value in swing.values:
            changed = {**file.curves[0].inputs, swing.input: value}
            check_inputs(changed, file.curves[0].world, f"swings[{i}]", where)


def _check(rule: Rule, where: str) -> None:
    if not rule.figures:
        raise InputError(where, rule.id, "names no figures", "give them as the article prints them")
    twice = set(rule.inputs) & set(rule.assumed)
    if twice:
        name = sorted(twice)[0]
        raise InputError(where, f"{rule.id}.{name}", "is stated and assumed", "keep one of the two")
    if (rule.compute is None) == (not rule.missing):
        mend = "give either compute and published, or missing: the input that nobody states"
        raise InputError(where, rule.id, "must be computed or not derivable", mend)
    if rule.compute is None:
        return
    if rule.published is None:
        raise InputError(where, f"{rule.id}.published", "is missing", "give the figure in print")
    _check_published(rule.published, f"{rule.id}.published", where)
    _check_compute(rule.compute, f"{rule.id}.compute", where)
    _check_unit(rule.compute, rule.published.unit, f"{rule.id}.published.unit", where)
    check_inputs(rule.values(), rule.world, rule.id, where)
    both = rule.values() | rule.against()
    check_inputs(both, rule.world, f"{rule.id}.compute.against", where)


def _check_published(p: Published, field: str, where: str) -> None:
    if p.value is None and p.low is None and p.high is None:
        raise InputError(where, field, "names no figure", "give value, or low and high")
    if p.value is not None and (p.low is not None or p.high is not None):
        raise InputError(where, field, "is a number and a range", "keep one of the two")
    low, high = p.ends
    if low > high:
        raise InputError(where, field, f"runs from {low} to {high}", "put the lower end first")


def _check_compute(c: Compute, field: str, where: str) -> None:
    for name in ("option", "than", "against_option"):
        value = getattr(c, name)
        if value not in HOSTINGS and not (name == "against_option" and not value):
            choice = ", ".join(HOSTINGS)
            raise InputError(where, f"{field}.{name}", f"is {value!r}", f"choose from {choice}")
    first, last = c.months
    if not 1 <= first <= last:
        raise InputError(
            where, f"{field}.months", f"is {first} to {last}", "give 1 <= first <= last"
        )
    held = bool(c.against or c.against_option or c.against_categories)
    needed = c.express != "value" or c.measure == "equal_cost"
    if held != needed:
        mend = "give against: where as: is other than value, or measure: is equal_cost; only there"
        problem = f"is {'given' if held else 'missing'} with as: {c.express}"
        raise InputError(where, f"{field}.against", problem, mend)
    if (c.measure in {"break_even", "equal_cost"}) != bool(c.along):
        mend = "name the input along which break_even or equal_cost looks, and only there"
        raise InputError(where, f"{field}.along", f"is {c.along!r}", mend)
    if c.along and c.along not in ALONG_UNITS:
        known_assumption(c.along, where, f"{field}.along")


def _check_unit(c: Compute, unit: Unit, field: str, where: str) -> None:
    """The figure in print is in the unit that the computation gives."""
    fits = units_of(c)
    if unit not in fits:
        raise InputError(where, field, f"is {unit}", f"{c.measure} gives {' or '.join(fits)}")


def units_of(c: Compute) -> tuple[Unit, ...]:
    """Units in which a computation's figure may be told.

    >>> units_of(Compute(measure="cost", per="mtok")), units_of(Compute(measure="weights"))
    (('usd_per_mtok',), ('gb',))
    """
    if c.express in {"ratio", "change", "saving"}:
        return ("ratio", "frac")
    if c.measure == "cost":
        return COST_UNITS[c.per]
    if c.measure in {"break_even", "equal_cost"}:
        return ALONG_UNITS.get(c.along, tuple(u for u in get_args(Unit) if c.along.endswith(u)))
    return MEASURE_UNITS[c.measure]
