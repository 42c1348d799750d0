"""Published rules of thumb on one plane: from how many tokens a month self-hosting pays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.charts.label_places import Rectangle, label_places
from weighbridge.charts.theme import INK, MUTED, PAPER, SPARE_STROKE, Chart, chart, rows
from weighbridge.study.rule_spread import BreakEvenCurve, Claimed, Spread

WIDTH_PX = 780
HEIGHT_PX = 440
KEY_ROW_PX = 22
BOX_MARGIN_RATIO = 1.06  # around a threshold, so that a single point can be seen
COLOURS: Mapping[str, str] = {
    "AI/TLDR": "#0072b2",
    "Build-vs-Buy": "#d55e00",
    "Azumo": "#a3508a",
    "Weighbridge": INK,
}
DASH = [6, 3]  # second curve of one article
BADGE_USD_PER_MTOK = 0.55
Floats = NDArray[np.float64]
TOKENS_DOMAIN = [1e7, 1e12]
USD_DOMAIN = [0.1, 30.0]
BOX_WORDS = "Box: a threshold in print, at the API price that goes with it; in $: a monthly bill"
TOKENS_LABEL = "replace(format(datum.value, '~s'), 'G', 'B')"


def rules_spread(spread: Spread) -> Chart:
    """Break-even volume by API price under each article's assumptions, and what each one claims.

    Parameters
    ----------
    spread : Spread
        Lines, published thresholds and their labels.

    Returns
    -------
    Chart
        Lines with a letter each, markers for the thresholds in print, and a key below.
    """
    letters = [chr(ord("A") + i) for i in range(len(spread.curves))]
    plane = {
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "layer": [
            *(_line(curve, spread) for curve in spread.curves),
            _badges(spread, letters),
            _badge_text(spread, letters),
            *_claims(spread.claimed),
            *_labels(spread),
            *_sides(),
        ],
    }
    description = (
        "From how many tokens a month self-hosting pays, by the price of the API: "
        f"{len(spread.curves)} lines for the assumptions of three articles and of Weighbridge, "
        f"and {len(spread.claimed)} published thresholds, which lie up to a thousandfold apart."
    )
    return chart(description, {"vconcat": [plane, _key(spread, letters)], "spacing": 14})


def _rounded(value: float) -> float:
    """Five digits: what a drawing can show, and the same on every machine."""
    return float(f"{value:.5g}")


def _colour(article: str) -> str:
    return COLOURS.get(article, SPARE_STROKE.colour)


def _is_second(curve: BreakEvenCurve, spread: Spread) -> bool:
    return curve is not next(c for c in spread.curves if c.article == curve.article)


def _plane() -> Chart:
    """The two logarithmic axes, the same for every layer."""
    x: Chart = {
        "field": "tokens",
        "type": "quantitative",
        "scale": {"type": "log", "domain": TOKENS_DOMAIN, "nice": False},
        "axis": {
            "title": "Tokens a month",
            "values": [10.0**power for power in range(7, 13)],
            "labelExpr": TOKENS_LABEL,
        },
    }
    y: Chart = {
        "field": "usd",
        "type": "quantitative",
        "scale": {"type": "log", "domain": USD_DOMAIN, "nice": False},
        "axis": {
            "title": "Price of the API that you would leave [USD per million tokens]",
            "values": [0.1, 0.3, 1, 3, 10, 30],
            "format": "~g",
        },
    }
    return {"x": x, "y": y}


def _points(curve: BreakEvenCurve) -> list[dict[str, Any]]:
    pairs = zip(curve.tokens_per_month, curve.usd_per_mtok, strict=True)
    return [
        {"tokens": _rounded(tokens), "usd": _rounded(usd)}
        for tokens, usd in pairs
        if np.isfinite(tokens)
    ]


def _line(curve: BreakEvenCurve, spread: Spread) -> Chart:
    mark: Chart = {"type": "line", "color": _colour(curve.article), "strokeWidth": 2.6}
    if _is_second(curve, spread):
        mark["strokeDash"] = DASH
    order = {"order": {"field": "usd", "type": "quantitative"}}
    return {
        "data": rows(_points(curve)),
        "mark": {**mark, "clip": True},
        "encoding": {**_plane(), **order},
    }


def _badge_rows(spread: Spread, letters: list[str]) -> list[dict[str, Any]]:
    """A letter on each line, at one height where the line is there, else near its lowest price."""
    found = []
    for letter, curve in zip(letters, spread.curves, strict=True):
        there = np.flatnonzero(np.isfinite(curve.tokens_per_month))
        if there.size == 0:
            continue
        wanted = int(np.argmin(np.abs(np.log(curve.usd_per_mtok / BADGE_USD_PER_MTOK))))
        at = wanted if wanted in there else int(there[min(4, there.size - 1)])
        found.append(
            {
                "tokens": _rounded(curve.tokens_per_month[at]),
                "usd": _rounded(curve.usd_per_mtok[at]),
                "letter": letter,
                "colour": _colour(curve.article),
            }
        )
    return found


def _badges(spread: Spread, letters: list[str]) -> Chart:
    colour = {"field": "colour", "type": "nominal", "scale": None}
    return {
        "data": rows(_badge_rows(spread, letters)),
        "mark": {"type": "point", "filled": True, "size": 330, "opacity": 1, "stroke": PAPER},
        "encoding": {**_plane(), "color": colour},
    }


def _badge_text(spread: Spread, letters: list[str]) -> Chart:
    return {
        "data": rows(_badge_rows(spread, letters)),
        "mark": {"type": "text", "color": PAPER, "fontWeight": "bold", "fontSize": 12},
        "encoding": {**_plane(), "text": {"field": "letter"}},
    }


def _claims(claimed: tuple[Claimed, ...]) -> list[Chart]:
    """Each published threshold as a box over its volumes and prices."""
    boxes = [
        {
            "tokens": _rounded(c.tokens_per_month[0] / BOX_MARGIN_RATIO),
            "tokens2": _rounded(c.tokens_per_month[1] * BOX_MARGIN_RATIO),
            "usd": _rounded(c.usd_per_mtok[0] / BOX_MARGIN_RATIO),
            "usd2": _rounded(c.usd_per_mtok[1] * BOX_MARGIN_RATIO),
            "colour": _colour(c.article),
        }
        for c in claimed
    ]
    colour = {"field": "colour", "type": "nominal", "scale": None}
    reach = {"x2": {"field": "tokens2"}, "y2": {"field": "usd2"}}
    return [
        {
            "data": rows(boxes),
            "mark": {"type": "rect", "fillOpacity": 0.35, "strokeWidth": 2, "cornerRadius": 3},
            "encoding": {**_plane(), **reach, "color": colour, "stroke": colour},
        },
    ]


def _pixel(tokens: Floats, usd: Floats) -> NDArray[np.float64]:
    """Places on the plane as rows of x and y in pixels, y downwards."""
    x = WIDTH_PX * _log_frac(tokens, TOKENS_DOMAIN)
    return np.column_stack([x, HEIGHT_PX * (1.0 - _log_frac(usd, USD_DOMAIN))])


def _log_frac(values: Floats, domain: list[float]) -> Floats:
    low, high = np.log(domain)
    found: Floats = (np.log(values) - low) / (high - low)
    return found


def drawn_boxes(spread: Spread) -> list[Rectangle]:
    """The boxes of the thresholds in pixels."""
    found = []
    for c in spread.claimed:
        margins = np.array([1 / BOX_MARGIN_RATIO, BOX_MARGIN_RATIO])
        at = _pixel(np.array(c.tokens_per_month) * margins, np.array(c.usd_per_mtok) * margins)
        found.append(Rectangle(at[0, 0], at[1, 1], at[1, 0], at[0, 1]))
    return found


def drawn_lines(spread: Spread) -> list[NDArray[np.float64]]:
    """The lines in pixels, where they are there."""
    found = []
    for curve in spread.curves:
        there = np.isfinite(curve.tokens_per_month)
        if there.any():
            found.append(_pixel(curve.tokens_per_month[there], curve.usd_per_mtok[there]))
    return found


def label_rectangles(spread: Spread) -> list[Rectangle]:
    """Where the label of each threshold goes, in pixels."""
    texts = [c.label for c in spread.claimed]
    return label_places(texts, drawn_boxes(spread), drawn_lines(spread))


def _labels(spread: Spread) -> list[Chart]:
    """The label of each threshold beside its box, with a halo under it."""
    words = [
        {
            "x": round((at.left_px + at.right_px) / 2),
            "y": round((at.top_px + at.bottom_px) / 2),
            "text": c.label,
            "colour": _colour(c.article),
        }
        for c, at in zip(spread.claimed, label_rectangles(spread), strict=True)
    ]
    colour = {"field": "colour", "type": "nominal", "scale": None}
    text: Chart = {"type": "text", "fontSize": 12, "fontWeight": "bold"}
    halo = {**text, "stroke": PAPER, "strokeWidth": 4, "strokeJoin": "round"}
    place = {
        name: {"field": name, "type": "quantitative", "scale": None, "axis": None} for name in "xy"
    }
    said = {**place, "text": {"field": "text"}}
    return [
        {"data": rows(words), "mark": halo, "encoding": said},
        {"data": rows(words), "mark": text, "encoding": {**said, "color": colour}},
    ]


def _sides() -> list[Chart]:
    """Which side of a line is whose."""
    words = (
        ({"tokens": 1.3e7, "usd": 0.13, "text": "left of a line: the API is cheaper"}, "left"),
        (
            {"tokens": 8e11, "usd": 24.0, "text": "right of a line: self-hosting is cheaper"},
            "right",
        ),
    )
    return [
        {
            "data": rows([word]),
            "mark": {"type": "text", "align": align, "color": MUTED, "fontStyle": "italic"},
            "encoding": {**_plane(), "text": {"field": "text"}},
        }
        for word, align in words
    ]


def _key(spread: Spread, letters: list[str]) -> Chart:
    """The letters in words, one row each."""
    lines = [
        {"row": i, "letter": letter, "text": curve.label, "colour": _colour(curve.article)}
        for i, (letter, curve) in enumerate(zip(letters, spread.curves, strict=True))
    ]
    box = {"row": len(lines), "letter": "", "text": BOX_WORDS, "colour": MUTED}
    y = {"field": "row", "type": "ordinal", "axis": None}
    colour = {"field": "colour", "type": "nominal", "scale": None}
    is_box = {"test": f"datum.row === {len(lines)}"}
    badge = {"type": "point", "filled": True, "opacity": 1}
    shape = {"condition": {**is_box, "value": "square"}, "value": "circle"}
    size = {"condition": {**is_box, "value": 130}, "value": 280}
    letter = {"type": "text", "color": PAPER, "fontWeight": "bold", "fontSize": 11}
    text = {"type": "text", "align": "left", "dx": 18, "fontSize": 12.5}
    left: Chart = {"value": 12}
    return {
        "width": WIDTH_PX,
        "height": KEY_ROW_PX * (len(lines) + 1),
        "data": rows([*lines, box]),
        "layer": [
            {
                "mark": badge,
                "encoding": {"x": left, "y": y, "color": colour, "shape": shape, "size": size},
            },
            {"mark": letter, "encoding": {"x": left, "y": y, "text": {"field": "letter"}}},
            {"mark": text, "encoding": {"x": left, "y": y, "text": {"field": "text"}}},
        ],
    }
