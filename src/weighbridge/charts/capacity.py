"""How many replicas the traffic needs as it grows."""

from __future__ import annotations

import itertools
from typing import Any

from weighbridge.charts.theme import INK, LOW_INPUT, MUTED, Chart, chart, rows
from weighbridge.study.result import Capacity
from weighbridge.units.money import short_number

CAPACITY_WIDTH_PX = 600
CAPACITY_HEIGHT_PX = 260


def replicas_by_demand(capacity: Capacity) -> Chart:
    """Replicas kept by multiples of today's traffic, with the band of the capacity's error.

    Parameters
    ----------
    capacity : Capacity

    Returns
    -------
    Chart
        A staircase: replicas are whole. Today stands as a dot on it.
    """
    points = _points(capacity)
    x = {
        "field": "demand",
        "type": "quantitative",
        "axis": {"title": "Traffic, as a multiple of today's", "grid": False, "tickCount": 6},
        "scale": {"domainMin": 0, "nice": False},
    }
    top = max(point["high"] for point in points)
    y = {
        "type": "quantitative",
        "axis": {"title": "Replicas kept", "tickMinStep": 1, "domain": False, "ticks": False},
        "scale": {"domain": [0, max(top, 1.0) * 1.05], "nice": False},
    }
    step = {"interpolate": "step-before", "color": LOW_INPUT}
    layers: list[Chart] = [
        {
            "data": rows(points),
            "mark": {"type": "area", "opacity": 0.2, **step},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "data": rows(points),
            "mark": {"type": "line", **step},
            "encoding": {"x": x, "y": {**y, "field": "middle"}},
        },
        *_today(capacity, x, y),
    ]
    return chart(
        _spoken(capacity),
        {"width": CAPACITY_WIDTH_PX, "height": CAPACITY_HEIGHT_PX, "layer": layers},
    )


def _points(capacity: Capacity) -> list[dict[str, Any]]:
    bands = capacity.n_replicas_by_demand
    series = (capacity.demand_ratio, bands.p10, bands.p50, bands.p90)
    return [
        {"demand": demand, "low": min(low, high), "middle": middle, "high": max(low, high)}
        for demand, low, middle, high in zip(*(s.tolist() for s in series), strict=True)
    ]


def _today(capacity: Capacity, x: Chart, y: Chart) -> list[Chart]:
    at = capacity.n_replicas_by_demand.p50[_place_of_today(capacity)]
    n_gpus = at * capacity.n_gpus_per_replica
    text = f"today: {short_number(at)} replicas, {short_number(n_gpus)} GPUs"
    point = rows([{"demand": 1.0, "middle": float(at), "text": text}])
    place = {"x": x, "y": {**y, "field": "middle"}}
    words = {"type": "text", "align": "left", "dx": 10, "dy": 13, "fontWeight": "bold"}
    halo = {**words, "stroke": "white", "strokeWidth": 4, "opacity": 0.9}
    written = {**place, "text": {"field": "text"}}
    dot = {"type": "point", "filled": True, "size": 80, "color": INK, "opacity": 1}
    rule = {"type": "rule", "color": MUTED, "strokeDash": [3, 3]}
    return [
        {"data": point, "mark": rule, "encoding": {"x": x}},
        {"data": point, "mark": dot, "encoding": place},
        {"data": point, "mark": halo, "encoding": written},
        {"data": point, "mark": {**words, "color": INK}, "encoding": written},
    ]


def _place_of_today(capacity: Capacity) -> int:
    distances = abs(capacity.demand_ratio - 1.0)
    return int(distances.argmin())


def _spoken(capacity: Capacity) -> str:
    """The staircase in words: where each further size begins."""
    bands = capacity.n_replicas_by_demand
    pairs = list(zip(capacity.demand_ratio.tolist(), bands.p50.tolist(), strict=True))
    steps = [
        f"{short_number(n)} from {short_number(before)} times"
        for (before, last), (_, n) in itertools.pairwise(pairs)
        if n > last
    ]
    first = f"{short_number(pairs[0][1])} at {short_number(pairs[0][0])} times today's traffic"
    return f"Replicas kept as traffic grows: {'; '.join([first, *steps[:8]])}."
