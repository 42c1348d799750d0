"""The one look of every chart: colours by option and by kind of cost, type, axes.

Colours of options follow Okabe and Ito's set (told apart with any colour vision), each with a dash
of its own so that a grey print can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Chart = dict[str, Any]
"""A Vega-Lite specification: plain data, so that a report and a live page draw the same chart."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
WIDTH_PX = 860

INK = "#1b2733"
MUTED = "#566573"
RULE = "#e3e8ec"
PAPER = "#ffffff"
GOOD = "#0b7a4b"
BAD = "#b3261e"
LOW_INPUT = "#0072b2"
HIGH_INPUT = "#d55e00"


@dataclass(frozen=True, slots=True)
class Stroke:
    """How an option is drawn."""

    colour: str
    dash: tuple[int, ...] = ()


STROKES: Mapping[str, Stroke] = {
    "api": Stroke("#4a5560"),
    "committed": Stroke("#b37a00", (6, 3)),
    "managed": Stroke("#00855f", (8, 2, 2, 2)),
    "rented": Stroke("#0072b2", (4, 2)),
    "owned": Stroke("#a3508a", (2, 2)),
    "hybrid": Stroke("#d55e00"),
}
SPARE_STROKE = Stroke("#7a6a00", (1, 2))

KINDS: Mapping[str, str] = {
    "Tokens": "#8fa3b3",
    "GPUs and platform": "#0072b2",
    "Around the GPUs": "#56b4e9",
    "People: to build": "#d55e00",
    "People: to run": "#e69f00",
    "Compliance, quality, exit": "#009e73",
    "Other": "#b8b8b8",
}
KIND_OF_CATEGORY: Mapping[str, str] = {
    "tokens": "Tokens",
    "gpus": "GPUs and platform",
    "platform fee": "GPUs and platform",
    "supporting infrastructure": "Around the GPUs",
    "storage": "Around the GPUs",
    "network": "Around the GPUs",
    "power and hosting": "Around the GPUs",
    "deployment labour": "People: to build",
    "hiring and ramp": "People: to build",
    "training and evaluation": "People: to build",
    "request wrapper": "People: to build",
    "on-call and upkeep": "People: to run",
    "upgrades and migration": "People: to run",
    "security and compliance": "Compliance, quality, exit",
    "quality verification": "Compliance, quality, exit",
    "exit and switching": "Compliance, quality, exit",
}

INITIALISMS = {"gpus": "GPUs"}

CONFIG: Chart = {
    "aria": False,
    "background": PAPER,
    "font": FONT,
    "view": {"stroke": None},
    "padding": {"left": 4, "right": 4, "top": 4, "bottom": 4},
    "axis": {
        "labelColor": MUTED,
        "labelFontSize": 12,
        "titleColor": MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "domainColor": "#b9c2ca",
        "tickColor": "#b9c2ca",
        "gridColor": RULE,
        "labelLimit": 320,
    },
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "titleColor": MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 300,
        "orient": "top",
        "symbolStrokeWidth": 2.5,
    },
    "header": {
        "labelColor": INK,
        "labelFontSize": 13,
        "labelFontWeight": "bold",
        "labelAnchor": "start",
        "titleColor": MUTED,
    },
    "text": {"font": FONT, "fontSize": 12, "color": INK},
    "line": {"strokeWidth": 2.2},
}


def stroke_of(option_id: str) -> Stroke:
    """How the option of that id is drawn, the same in every chart."""
    return STROKES.get(option_id, SPARE_STROKE)


def kind_of(category: str) -> str:
    """The kind of cost that a cost category is drawn as."""
    return KIND_OF_CATEGORY.get(category, "Other")


def titled(name: str) -> str:
    """A name as a label begins it: first letter large, initialisms kept.

    >>> titled("managed platform"), titled("gpus"), titled("API tokens")
    ('Managed platform', 'GPUs', 'API tokens')
    """
    return INITIALISMS.get(name, name[:1].upper() + name[1:])


def chart(description: str, body: Chart) -> Chart:
    """A whole specification: `body` in the common look, with `description` for those who listen."""
    return {
        "$schema": SCHEMA,
        "description": description,
        "config": CONFIG,
        **body,
    }


def rows(values: list[dict[str, Any]]) -> Chart:
    """Data that travel inside the specification."""
    return {"values": values}
