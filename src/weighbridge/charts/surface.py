"""The break-even surface: saving over two inputs, the line of no difference, and "you are here"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from weighbridge.charts.contour import contour
from weighbridge.charts.placing import cell_edges, is_geometric, nice_step
from weighbridge.charts.theme import INK, MUTED, Chart, chart, rows, titled
from weighbridge.study.result import Surface
from weighbridge.units.money import Money

API_CHEAPER = ("#fee8c8", "#fdbb84", "#e8833a", "#b35806")
ALTERNATIVE_CHEAPER = ("#dbe9f6", "#9ecae1", "#4a98c9", "#1764ab")
CLASS_SHARES_FRAC = (0.25, 0.5, 0.8)
WIDTH_PX = 600
HEIGHT_PX = 380
LABEL_LEAST_SHARE_FRAC = 0.05


def break_even_surface(surface: Surface, labels: Mapping[str, str], money: Money) -> Chart:
    """Saving against the API over two inputs, in classes of like area.

    Parameters
    ----------
    surface : Surface
    labels : mapping of option id to label
        Names for the regions where each option is cheapest.
    money : Money

    Returns
    -------
    Chart
        The heavy line is break-even; between the thin ones neither side wins nine draws of ten.
    """
    layers = [
        _cells(surface, _thresholds(surface), money),
        *_lines(surface, surface.win_probability, (0.1, 0.9), 1.0),
        *_lines(surface, surface.saving_usd, (0.0,), 3.0),
        *_regions(surface, labels),
        *_here(surface),
    ]
    return chart(
        f"Break-even surface: saving against the hosted API over {surface.x_label} (across) and "
        f"{surface.y_label} (up). Today: {surface.here_x:.4g} and {surface.here_y:.4g}. "
        f"{float(np.mean(surface.saving_usd > 0)):.0%} of the area favours leaving the API.",
        {"width": WIDTH_PX, "height": HEIGHT_PX, "layer": layers},
    )


def is_on(surface: Surface) -> bool:
    """Whether today's point lies on the surface drawn."""
    x, y = cell_edges(surface.x), cell_edges(surface.y)
    return bool(x[0] <= surface.here_x <= x[-1] and y[0] <= surface.here_y <= y[-1])


def _axis(values: Any, label: str, field: str) -> Chart:
    edges = cell_edges(values)
    kind = "log" if is_geometric(values) else "linear"
    scale = {"domain": [float(edges[0]), float(edges[-1])], "nice": False, "type": kind}
    axis: Chart = {
        "title": label,
        "grid": False,
        "tickCount": 6,
        "labelExpr": "datum.value < 1 ? format(datum.value, '~g') : "
        "replace(format(datum.value, '~s'), 'G', 'B')",
    }
    if kind == "log":
        axis["values"] = _log_ticks(float(edges[0]), float(edges[-1]))
    return {
        "field": field,
        "type": "quantitative",
        "scale": {**scale, "zero": False} if kind == "linear" else scale,
        "axis": axis,
    }


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _thresholds(surface: Surface) -> list[float]:
    """Round sizes of saving [USD] that split the surface into classes of like area."""
    sizes = np.abs(surface.saving_usd)
    return sorted({nice_step(float(np.nanquantile(sizes, share))) for share in CLASS_SHARES_FRAC})


def _classes(saving_usd: Any, thresholds: list[float]) -> Any:
    """Class of each cell: its size from 1 up, below zero where the API is cheaper."""
    size = np.where(
        np.isfinite(saving_usd), np.digitize(np.abs(saving_usd), thresholds) + 1.0, np.nan
    )
    return np.where(saving_usd > 0, size, -size)


def _class_names(thresholds: list[float], money: Money) -> dict[int, str]:
    edges = [0.0, *thresholds]
    names = {}
    for side, words in ((-1, "API cheaper by"), (1, "Saves")):
        for size, low in enumerate(edges, start=1):
            last = size == len(edges)
            span = (
                f"> {money.edge(low)}"
                if last
                else f"{money.edge(low)} to {money.edge(edges[size])}"
            )
            names[side * size] = f"{words} {span}"
    return names


def _runs(line: Any) -> list[tuple[int, int, int]]:
    """(first, last + 1, class) of each stretch of equal classes; missing cells are left blank."""
    cuts = np.flatnonzero(np.diff(line) != 0) + 1
    starts = [0, *cuts.tolist()]
    ends = [*cuts.tolist(), len(line)]
    return [
        (start, end, int(line[start]))
        for start, end in zip(starts, ends, strict=True)
        if np.isfinite(line[start])
    ]


def _cells(surface: Surface, thresholds: list[float], money: Money) -> Chart:
    x, y = cell_edges(surface.x), cell_edges(surface.y)
    names = _class_names(thresholds, money)
    values = [
        {
            "x": float(x[start]),
            "x2": float(x[end]),
            "y": float(y[row]),
            "y2": float(y[row + 1]),
            "class": names[size],
        }
        for row, line in enumerate(_classes(surface.saving_usd, thresholds))
        for start, end, size in _runs(line)
    ]
    n_sizes = len(thresholds) + 1
    order = [names[size] for size in (*range(n_sizes, 0, -1), *range(-1, -n_sizes - 1, -1))]
    colours = [*reversed(ALTERNATIVE_CHEAPER[:n_sizes]), *API_CHEAPER[:n_sizes]]
    return {
        "data": rows(values),
        "mark": {"type": "rect", "strokeWidth": 0},
        "encoding": {
            "x": _axis(surface.x, surface.x_label, "x"),
            "x2": {"field": "x2"},
            "y": _axis(surface.y, surface.y_label, "y"),
            "y2": {"field": "y2"},
            "color": {
                "field": "class",
                "type": "nominal",
                "scale": {"domain": order, "range": colours},
                "legend": {
                    "title": "Net present saving, mean",
                    "orient": "right",
                    "symbolType": "square",
                    "symbolSize": 220,
                    "symbolStrokeWidth": 0,
                },
            },
        },
    }


def _lines(
    surface: Surface, values: Any, levels: tuple[float, ...], width_px: float
) -> list[Chart]:
    segments = [
        {"x": x1, "y": y1, "x2": x2, "y2": y2}
        for level in levels
        for x1, y1, x2, y2 in contour(surface.x, surface.y, values, level)
    ]
    if not segments:
        return []
    return [
        {
            "data": rows(segments),
            "mark": {
                "type": "rule",
                "color": INK if width_px > 1 else MUTED,
                "strokeWidth": width_px,
                "strokeCap": "round",
                "clip": True,
            },
            "encoding": {
                "x": {"field": "x", "type": "quantitative"},
                "y": {"field": "y", "type": "quantitative"},
                "x2": {"field": "x2"},
                "y2": {"field": "y2"},
            },
        }
    ]


def _words(values: list[dict[str, Any]], size_px: int, **mark: Any) -> list[Chart]:
    """Text with a white halo, so that it reads on any colour."""
    encoding = {
        "x": {"field": "x", "type": "quantitative"},
        "y": {"field": "y", "type": "quantitative"},
        "text": {"field": "text"},
    }
    text = {"type": "text", "fontSize": size_px, "fontWeight": "bold", **mark}
    halo = {**text, "stroke": "white", "strokeWidth": 4, "strokeJoin": "round", "opacity": 0.85}
    return [
        {"data": rows(values), "mark": mark_of, "encoding": encoding}
        for mark_of in (halo, {**text, "color": INK})
    ]


def _regions(surface: Surface, labels: Mapping[str, str]) -> list[Chart]:
    best = np.array(surface.best_option)
    layers: list[Chart] = []
    for option_id in sorted(set(best.ravel().tolist())):
        mask = best == option_id
        if mask.mean() < LABEL_LEAST_SHARE_FRAC:
            continue
        row, column = _most_inner(mask)
        word = {
            "x": float(surface.x[column]),
            "y": float(surface.y[row]),
            "text": f"{titled(labels.get(option_id, option_id))} cheapest",
        }
        across = column / max(len(surface.x) - 1, 1)
        align = "left" if across < 0.2 else "right" if across > 0.7 else "center"
        layers += _words([word], 13, align=align)
    return layers


def _most_inner(mask: Any) -> tuple[int, int]:
    """The cell of a region farthest from its border, by peeling; ties go to the region's centre."""
    inner = mask
    while True:
        padded = np.pad(inner, 1)
        peeled = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if not peeled.any():
            break
        inner = peeled
    where = np.argwhere(inner)
    nearest = int(np.argmin(((where - where.mean(axis=0)) ** 2).sum(axis=1)))
    return int(where[nearest][0]), int(where[nearest][1])


def _here(surface: Surface) -> list[Chart]:
    if not is_on(surface):
        return []
    point = {"x": surface.here_x, "y": surface.here_y, "text": "you are here"}
    right_half = surface.here_x > surface.x[len(surface.x) * 2 // 3]
    marker = {
        "data": rows([point]),
        "mark": {
            "type": "point",
            "filled": True,
            "size": 170,
            "color": INK,
            "stroke": "white",
            "strokeWidth": 2.5,
            "opacity": 1,
        },
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "y": {"field": "y", "type": "quantitative"},
        },
    }
    words = _words(
        [point], 14, align="right" if right_half else "left", dx=-13 if right_half else 13
    )
    return [*words, marker]
