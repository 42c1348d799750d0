"""Price rows of our own and of the user: dated, sourced, checked, and above genai-prices."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib import resources
from itertools import pairwise
from pathlib import Path

import yaml

from weighbridge.catalog.price_names import provider_id_of
from weighbridge.catalog.price_tables import PRICE_FIELDS, SERVICE_TIERS, TokenRates
from weighbridge.units import InputError

_REQUIRED = ("provider", "model", "start_on", "input_usd_per_mtok", "source", "checked_on")
_FIELDS = (*_REQUIRED, "end_on", "service_tier", *PRICE_FIELDS)
_MAX_DECIMALS = 18  # one token then costs a whole number of 10^-24 dollars
_MAX_USD_PER_MTOK = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class OverrideRow:
    """One dated price of one tier; `end_on` is the last day on which it holds."""

    provider: str  # as written; resolved to an id where it is used
    model: str
    start_on: dt.date
    end_on: dt.date | None
    service_tier: str
    rates: TokenRates  # as written: a cache price left out is None here, the input price later
    source: str
    checked_on: dt.date
    where: str  # file and line

    @property
    def key(self) -> tuple[str, str, str]:
        """Provider id, model and tier that the row prices."""
        return provider_id_of(self.provider), self.model.lower(), self.service_tier

    def holds_on(self, on: dt.date) -> bool:
        """Whether the row is in force on a UTC day."""
        return self.start_on <= on and (self.end_on is None or on <= self.end_on)


@dataclass(frozen=True, slots=True)
class _Raw:
    """The text of one row's fields, and where it stands."""

    where: str
    text: Mapping[str, str]

    def fault(self, field: str, problem: str, mend: str) -> InputError:
        return InputError(self.where, field, problem, mend)

    def date(self, field: str) -> dt.date:
        try:
            return dt.date.fromisoformat(self.text[field])
        except ValueError:
            raise self.fault(
                field, f"is {self.text[field]!r}, not a date", "write YYYY-MM-DD"
            ) from None

    def price(self, field: str) -> Decimal | None:
        if field not in self.text:
            return None
        try:
            price = Decimal(self.text[field])
        except InvalidOperation:
            raise self.fault(
                field, f"is {self.text[field]!r}, not a number", "write US dollars as 2.5"
            ) from None
        self._check_price(field, price)
        return price

    def _check_price(self, field: str, price: Decimal) -> None:
        if not price.is_finite() or price < 0:
            raise self.fault(
                field,
                f"is {price}, and a price is never negative or endless",
                "write the list price in US dollars per million tokens (0 where it is free)",
            )
        if price > _MAX_USD_PER_MTOK:
            raise self.fault(
                field, f"is {price}: over a dollar a token", "write dollars per million tokens"
            )
        exponent = price.normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent < -_MAX_DECIMALS:
            raise self.fault(
                field,
                f"has more than {_MAX_DECIMALS} decimal places",
                "round it as the source does",
            )


def _mend_of_field(name: str) -> str:
    if "_usd_per_" in name or name.endswith(("_mtok", "_ktok", "_token", "_usd")):
        return f"prices are US dollars per million tokens: {', '.join(PRICE_FIELDS)}"
    return f"fields are {', '.join(dict.fromkeys(_FIELDS))}"


def _text_of(node: yaml.nodes.Node, where: str) -> dict[str, str]:
    if not isinstance(node, yaml.nodes.MappingNode):
        raise InputError(where, "", "is not a row of fields", "write `- provider: …` and so on")
    text: dict[str, str] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in _FIELDS:
            raise InputError(where, name, "is not a field of a price row", _mend_of_field(name))
        if name in text:
            raise InputError(where, name, "stands twice in one row", "keep one of the two")
        if not isinstance(value, yaml.nodes.ScalarNode):
            raise InputError(where, name, "is a list or a mapping", "write one value")
        text[name] = value.value
    return text


def _row_of(node: yaml.nodes.Node, file: str) -> OverrideRow:
    where = f"{file}: line {node.start_mark.line + 1}"
    raw = _Raw(where, _text_of(node, where))
    for name in _REQUIRED:
        if not raw.text.get(name, "").strip():
            raise raw.fault(name, "is missing", f"every price row has {', '.join(_REQUIRED)}")
    tier = raw.text.get("service_tier", "standard")
    if tier not in SERVICE_TIERS:
        raise raw.fault("service_tier", f"is {tier!r}", f"write one of {', '.join(SERVICE_TIERS)}")
    start_on, end_on = raw.date("start_on"), raw.date("end_on") if "end_on" in raw.text else None
    if end_on is not None and end_on < start_on:
        raise raw.fault(
            "end_on", f"is {end_on}, before start_on", "write the last day on which it holds"
        )
    return OverrideRow(
        provider=raw.text["provider"].strip(),
        model=raw.text["model"].strip(),
        start_on=start_on,
        end_on=end_on,
        service_tier=tier,
        rates=TokenRates(*(raw.price(name) for name in PRICE_FIELDS)),
        source=raw.text["source"].strip(),
        checked_on=raw.date("checked_on"),
        where=where,
    )


def parse_overrides(text: str, file: str) -> tuple[OverrideRow, ...]:
    """Checked rows of a YAML text; the first fault raises with its line, field and mend."""
    try:
        root = yaml.compose(text, Loader=yaml.CBaseLoader)
    except yaml.YAMLError as fault:
        line = getattr(getattr(fault, "problem_mark", None), "line", 0) + 1
        raise InputError(
            f"{file}: line {line}", "", "is not YAML", "mend the indentation or the quotes there"
        ) from fault
    if root is None:
        return ()
    if not isinstance(root, yaml.nodes.SequenceNode):
        raise InputError(file, "", "is not a list of price rows", "begin each row with `- `")
    return tuple(_row_of(node, file) for node in root.value)


def _check_pair(first: OverrideRow, second: OverrideRow) -> None:
    if first.end_on is not None and first.end_on < second.start_on:
        return
    day_before = second.start_on - dt.timedelta(days=1)
    closing = f"give the earlier row `end_on: {day_before}`, or remove one of the two"
    raise InputError(
        second.where,
        "start_on",
        f"{second.provider} {second.model} ({second.service_tier}) from {second.start_on} overlaps "
        f"the row at {first.where}, which holds from {first.start_on} to "
        f"{first.end_on or 'further notice'}",
        closing if first.start_on < second.start_on else "remove one of the two",
    )


def check_no_overlap(rows: Iterable[OverrideRow]) -> None:
    """Raise where two rows of one (provider, model, tier) hold on the same day."""
    by_key: dict[tuple[str, str, str], list[OverrideRow]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    for same in by_key.values():
        for first, second in pairwise(sorted(same, key=lambda row: row.start_on)):
            _check_pair(first, second)


def read_overrides(path: Path) -> tuple[OverrideRow, ...]:
    """Rows of the user's own file."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as fault:
        raise InputError(str(path), "", "is not UTF-8 text", "save it as UTF-8") from fault
    except OSError as fault:
        raise InputError(
            str(path), "", f"cannot be read ({fault.strerror})", "name a YAML file of price rows"
        ) from fault
    return parse_overrides(text, str(path))


def packaged_overrides() -> tuple[OverrideRow, ...]:
    """Rows that ship with Weighbridge."""
    name = "price_overrides.yaml"
    text = (resources.files("weighbridge.catalog") / "data" / name).read_text("utf-8")
    return parse_overrides(text, name)
