"""The default of every input of the cost model, as dated, sourced rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources

import yaml

from weighbridge.units import CatalogError, unit_of

CHECKED_ON = "2026-11-21"
JUDGEMENT = "Weighbridge's own estimate (no published figure found)"
SOURCES: Mapping[str, str] = {
    "BVB": "The Build-vs-Buy LLM Infrastructure Decision Most Teams Get Wrong",
    "AZUMO": "Azumo, on the true cost of self-hosting LLMs",
    "TLDR": "AI/TLDR, Self-Hosting vs API: When Does Running Your Own LLM Pay Off? (2026-06-13)",
    "JUDGEMENT": JUDGEMENT,
}


@dataclass(frozen=True, slots=True)
class Assumption:
    """One input of the cost model: its band, the bounds of its meaning, and where it came from."""

    name: str
    label: str
    group: str
    p10: float
    p50: float
    p90: float
    min: float | None
    max: float | None
    fixed: bool  # one number for all draws
    event: bool  # happens or not; p10..p90 are then 0 and `probability` counts
    probability: float
    source: str
    note: str
    measure: str

    @property
    def unit(self) -> str:
        """Unit that the name carries."""
        unit = unit_of(self.name)
        if unit is None:
            raise CatalogError(f"assumption {self.name} carries no unit in its name")
        return unit


def _full_source(text: str) -> str:
    for short, title in SOURCES.items():
        text = text.replace(short, title)
    return text


def _row(group: str, raw: Mapping[str, object]) -> Assumption:
    def number(key: str, default: float = 0.0) -> float:
        return float(str(raw.get(key, default)))

    def bound(key: str) -> float | None:
        return None if key not in raw else float(str(raw[key]))

    event = bool(raw.get("event", False))
    return Assumption(
        name=str(raw["name"]),
        label=str(raw["label"]),
        group=group,
        p10=number("p10"),
        p50=number("p50"),
        p90=number("p90"),
        min=0.0 if event else bound("min"),
        max=1.0 if event else bound("max"),
        fixed=bool(raw.get("fixed", False)),
        event=event,
        probability=number("probability"),
        source=_full_source(str(raw["source"])),
        note=_full_source(str(raw["note"])),
        measure=str(raw.get("measure", "")),
    )


@cache
def _text() -> str:
    return (resources.files("weighbridge.catalog") / "data" / "assumptions.yaml").read_text("utf-8")


@cache
def load_assumptions() -> Mapping[str, Assumption]:
    """Every default by name, in the order of the data file."""
    groups = yaml.load(_text(), Loader=yaml.CSafeLoader)
    rows = [_row(str(group["group"]), raw) for group in groups for raw in group["rows"]]
    by_name = {row.name: row for row in rows}
    if len(by_name) != len(rows):
        raise CatalogError("assumptions.yaml names an assumption twice")
    return by_name


def assumptions_digest() -> str:
    """SHA-256 of the packaged defaults, for the reproducibility block."""
    return sha256(_text().encode()).hexdigest()


def assumptions_markdown() -> str:
    """The table of `docs/assumptions.md`: what the model assumes, made from the data file."""
    lines = [
        "# What the model assumes",
        "",
        "Every default of the cost model, with its unit, its P10, P50 and P90, and where it came",
        "from. State your own in a scenario under `assumptions:` (a number, a band, a range, a",
        "choice or, for an event, a probability); `weighbridge init --full` writes them all out.",
        f"Last gone through on {CHECKED_ON}. This page is made by `make docs`.",
    ]
    group = ""
    for row in load_assumptions().values():
        if row.group != group:
            group = row.group
            lines += ["", f"## {group.capitalize()}", ""]
            lines += ["| name | what, in which unit | P10 | P50 | P90 | source | note |"]
            lines += ["|---|---|--:|--:|--:|---|---|"]
        if row.event:
            figures = f"| | {row.probability:g} (probability) | "
        else:
            figures = f"| {row.p10:g} | {row.p50:g} | {row.p90:g} "
        what = f"{row.label} [{row.unit}]"
        lines.append(f"| `{row.name}` | {what} {figures}| {row.source} | {row.note} |")
    return "\n".join(lines) + "\n"
