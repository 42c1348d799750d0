"""A reconciliation as files: a page, JSON, and tables of every day and model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from weighbridge.charts import reconciliation as drawn
from weighbridge.charts.theme import titled
from weighbridge.report.files import csv_text, plain
from weighbridge.report.page import page_environment
from weighbridge.report.reconcile_terminal import figures, headline
from weighbridge.report.svg import render_svg
from weighbridge.study.bill_findings import dollars, name_of
from weighbridge.study.reconciliation import BillCell, OtherLines, Reconciliation
from weighbridge.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

SCHEMA = "weighbridge.reconciliation"
SCHEMA_VERSION = 1
MOST_ROWS = 200


def reconciliation_files(told: Reconciliation) -> dict[str, bytes]:
    """Contents by file name, exact figures in US dollars."""
    return {
        "reconcile.html": render_html(told).encode(),
        "reconcile.json": to_json(told),
        "cells.csv": csv_text(*_cells(told.cells)).encode(),
        "models.csv": csv_text(*_rows(told.factors)).encode(),
        "token_types.csv": csv_text(*_rows(told.token_types)).encode(),
        "other_lines.csv": csv_text(*_rows(told.others)).encode(),
        "parts.csv": csv_text(*_rows(told.parts)).encode(),
        "findings.csv": csv_text(*_rows(told.findings)).encode(),
    }


def to_json(told: Reconciliation) -> bytes:
    """Every figure; amounts are strings, so that none is rounded."""
    body = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "explained_frac": plain(told.explained_frac),
        "difference_usd": plain(told.difference_usd),
        **plain(told, "reconciliation"),
    }
    return (json.dumps(body, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def _cells(cells: Sequence[BillCell]) -> tuple[list[str], list[list[object]]]:
    names = [field.name for field in dataclasses.fields(BillCell)]
    derived = ["difference_usd", "left_usd", "explained_usd"]
    rows = [[getattr(cell, name) for name in (*names, *derived)] for cell in cells]
    return [*names, *derived], rows


def _rows(items: Sequence[Any]) -> tuple[list[str], list[list[object]]]:
    if not items:
        return [], []
    names = [field.name for field in dataclasses.fields(items[0])]
    made = [
        ["; ".join(v) if isinstance(v := getattr(item, name), tuple) else v for name in names]
        for item in items
    ]
    return names, made


def render_html(told: Reconciliation) -> str:
    """The whole answer as one page that opens offline and prints."""
    from markupsafe import Markup  # noqa: PLC0415

    made = {"days": drawn.difference_by_day(told), "parts": drawn.difference_by_part(told)}
    svg = {
        name: Markup(render_svg(chart, name)) if chart else ""  # noqa: S704  (Vega escapes text)
        for name, chart in made.items()
    }
    odd = [cell for cell in told.cells if cell.state != "explained"]
    page: str = (
        _environment()
        .get_template("reconcile.html.j2")
        .render(
            told=told,
            headline=headline(told),
            charts=svg,
            odd=odd[:MOST_ROWS],
            n_odd=len(odd),
            others=_summed(told)[:MOST_ROWS],
        )
    )
    return page


@dataclasses.dataclass(frozen=True, slots=True)
class OtherSum:
    """A line that no tokens stand behind, summed over its days."""

    line_item: str
    kind: str
    n_days: int
    usd: Decimal


def _summed(told: Reconciliation) -> list[OtherSum]:
    groups: dict[tuple[str, str], list[OtherLines]] = {}
    for line in told.others:
        groups.setdefault((line.line_item, line.kind), []).append(line)
    made = [
        OtherSum(*key, len({x.on for x in lines}), sum((x.usd for x in lines), Decimal(0)))
        for key, lines in groups.items()
    ]
    return sorted(made, key=lambda one: -abs(one.usd))


@cache
def _environment() -> Environment:
    environment = page_environment("reconcile.html.j2")
    environment.filters["titled"] = titled
    environment.filters["dollars"] = dollars
    environment.globals.update(name_of=name_of, figures=figures, version=__version__)
    return environment
