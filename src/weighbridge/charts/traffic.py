"""Who burns what, and when: concentration and the rhythm of the week."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from weighbridge.charts.theme import INK, MUTED, Chart, chart, rows
from weighbridge.units.money import percent, short_number
from weighbridge.usage.results import Concentration, Floats

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS_A_DAY = 24
MAX_POINTS = 300
MEASURES = {"tokens": ("Tokens", "#0072b2"), "cost": ("Cost", "#d55e00")}
NO_DATA = "#d9dde1"
BLUES = ("#eef5fb", "#c6dcef", "#8dbedc", "#4a98c9", "#1764ab", "#0a3d73")


def concentration(curves: Sequence[Concentration]) -> Chart | None:
    """How few query types burn how much, with the 80 % point marked.

    Parameters
    ----------
    curves : sequence of Concentration

    Returns
    -------
    Chart or None
        None where no query type is known.
    """
    known = [curve for curve in curves if curve.n_types > 0]
    if not known:
        return None
    layers: list[Chart] = [_eighty()]
    for curve in known:
        layers += _curve(curve)
    return chart(
        "Concentration: cumulative share of the largest query types. "
        + " ".join(
            f"{curve.n_types_for_80_frac} of {curve.n_types} make 80 % of {curve.measure}; "
            f"{percent(curve.unassigned_share_frac)} is unassigned."
            for curve in known
        ),
        {"width": 290, "height": 220, "layer": layers},
    )


def _eighty() -> Chart:
    return {
        "data": rows([{"share": 0.8}]),
        "mark": {"type": "rule", "color": MUTED, "strokeDash": [3, 3]},
        "encoding": {"y": {"field": "share", "type": "quantitative"}},
    }


def _curve(curve: Concentration) -> list[Chart]:
    name, colour = MEASURES.get(curve.measure, (curve.measure, INK))
    shares = [0.0, *curve.cumulative_share_frac.tolist()]
    picked = np.unique(np.linspace(0, len(shares) - 1, min(len(shares), MAX_POINTS)).astype(int))
    points = [{"rank": int(rank), "share": shares[rank]} for rank in picked]
    mark_at = {
        "rank": curve.n_types_for_80_frac,
        "share": shares[curve.n_types_for_80_frac],
        "text": f"{name}: {curve.n_types_for_80_frac} of {curve.n_types}",
    }
    encoding: Chart = {
        "x": {
            "field": "rank",
            "type": "quantitative",
            "title": "Query types, largest first",
            "axis": {"tickMinStep": 1, "grid": False},
            "scale": {"domain": [0, curve.n_types], "nice": False},
        },
        "y": {
            "field": "share",
            "type": "quantitative",
            "title": "Cumulative share",
            "axis": {"format": ".0%", "domain": False, "values": [0, 0.2, 0.4, 0.6, 0.8, 1]},
            "scale": {"domain": [0, 1]},
        },
    }
    above = curve.measure == "cost"
    dot = {"type": "point", "filled": True, "size": 90, "color": colour, "opacity": 1}
    side = {"align": "right", "dx": -8, "dy": -9} if above else {"align": "left", "dx": 8, "dy": 13}
    text = {"type": "text", "color": colour, "fontWeight": "bold", **side}
    return [
        {
            "data": rows(points),
            "mark": {"type": "line", "color": colour, "strokeDash": [1, 0] if above else [6, 3]},
            "encoding": encoding,
        },
        {"data": rows([mark_at]), "mark": dot, "encoding": encoding},
        {
            "data": rows([mark_at]),
            "mark": text,
            "encoding": {**encoding, "text": {"field": "text"}},
        },
    ]


def week_rhythm(hourly: Floats, what: str) -> Chart | None:
    """Heat map of the week, hour by hour in UTC; hours without data stay grey.

    Parameters
    ----------
    hourly : ndarray of shape (168,)
        Mean per hour of the week, Monday 00:00 UTC first; NaN where the log does not reach.
    what : str
        What is counted, in the plural.

    Returns
    -------
    Chart or None
        None where no hour has data: a scale of colours would have no ends.
    """
    cells: list[dict[str, Any]] = [
        {"day": DAYS[index // HOURS_A_DAY], "hour": index % HOURS_A_DAY, "value": value}
        for index, value in enumerate(hourly.tolist())
    ]
    known = [cell for cell in cells if math.isfinite(cell["value"])]
    if not known:
        return None
    missing = [
        {"day": cell["day"], "hour": cell["hour"]}
        for cell in cells
        if not math.isfinite(cell["value"])
    ]
    layers = [_heat(known, what, bool(missing))]
    if missing:
        layers.append(_no_data(missing))
    peak = max(known, key=lambda cell: cell["value"])
    spoken = (
        f"The busiest hour is {peak['day']} {peak['hour']:02d}:00 UTC with "
        f"{short_number(peak['value'])} {what}."
    )
    return chart(
        f"Rhythm of the week: {what} per hour, {len(known)} of 168 hours with data. {spoken}",
        {"width": 400, "height": 190, "layer": layers},
    )


def _place(some_missing: bool) -> Chart:
    return {
        "x": {
            "field": "hour",
            "type": "ordinal",
            "title": "Hour, UTC (grey: no data)" if some_missing else "Hour, UTC",
            "axis": {"labelAngle": 0, "values": list(range(0, 24, 3)), "domain": False},
            "scale": {"domain": list(range(HOURS_A_DAY))},
        },
        "y": {
            "field": "day",
            "type": "ordinal",
            "sort": list(DAYS),
            "title": None,
            "axis": {"domain": False, "ticks": False},
            "scale": {"domain": list(DAYS)},
        },
    }


def _heat(cells: list[dict[str, Any]], what: str, some_missing: bool) -> Chart:
    return {
        "data": rows(cells),
        "mark": {"type": "rect", "stroke": "white", "strokeWidth": 1.5},
        "encoding": {
            **_place(some_missing),
            "color": {
                "field": "value",
                "type": "quantitative",
                "scale": {"range": list(BLUES), "domainMin": 0},
                "legend": {
                    "title": f"{what} per hour",
                    "orient": "right",
                    "gradientLength": 150,
                    "labelExpr": "replace(format(datum.value, '~s'), 'G', 'B')",
                    "tickCount": 4,
                },
            },
        },
    }


def _no_data(cells: list[dict[str, Any]]) -> Chart:
    return {
        "data": rows(cells),
        "mark": {"type": "rect", "fill": NO_DATA, "stroke": "white", "strokeWidth": 1.5},
        "encoding": _place(some_missing=True),
    }
