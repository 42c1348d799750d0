"""How many GPUs, how fast, at what cost: charts of a size study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weighbridge.charts.theme import BAD, INK, MUTED, Chart, chart, rows
from weighbridge.study.size_result import Answer, Detail, SizeStudy
from weighbridge.units.money import Money, short_number

MONEY = Money()
# Okabe and Ito's set, as in the theme, with a dash each for grey prints.
COLOURS = ("#0072b2", "#d55e00", "#00855f", "#a3508a", "#b37a00")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 2])
PLAN_COLOURS = {
    "on demand": "#0072b2",
    "reserved": "#b37a00",
    "spot": "#00855f",
    "owned": "#a3508a",
}
METRIC_TITLES = {
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "e2e": "End to end",
}
PANEL_WIDTH_PX, PANEL_HEIGHT_PX = 238, 210
PANEL_WIDTHS_PX = (780, 370, 238)  # of one, two and three beside each other
WIDE_PX = 780
BAR_STEP_PX = 22
N_BARS = 8
HOUR_S, DAY_S = 3600.0, 86400.0
THROUGHPUT: Chart = {
    "field": "tokens",
    "type": "quantitative",
    "axis": {"title": "Tokens/s per GPU", "grid": False, "tickCount": 4, "format": "~s"},
    "scale": {"zero": True},
}
COST: Chart = {
    "field": "cost",
    "type": "quantitative",
    "axis": {"title": "$ per million tokens", "grid": False, "format": "$.2~f", "tickCount": 4},
    "scale": {"type": "log", "nice": False},
}


def _colour(study: SizeStudy) -> Chart:
    labels = [detail.setup.label for detail in study.details]
    return {
        "field": "deployment",
        "type": "nominal",
        "scale": {"domain": labels, "range": list(COLOURS[: len(labels)])},
        "legend": {"title": None, "columnPadding": 34, "labelLimit": 0, "symbolType": "stroke"},
    }


def _dash(study: SizeStudy) -> Chart:
    labels = [detail.setup.label for detail in study.details]
    dashes = [list(dash) for dash in DASHES[: len(labels)]]
    return {
        "field": "deployment",
        "type": "nominal",
        "scale": {"domain": labels, "range": dashes},
        "legend": None,
    }


def latency_frontier(study: SizeStudy) -> Chart | None:
    """Latency as load rises, against throughput and against cost, a panel for each target.

    Parameters
    ----------
    study : SizeStudy

    Returns
    -------
    Chart or None
        None where no deployment was worked out.
    """
    if not study.details:
        return None
    targets = list(zip(study.slo_names, study.slo_limits_s, strict=True))[:3]
    by_rate = [_frontier_panel(study, *target, THROUGHPUT) for target in targets]
    by_cost = [_frontier_panel(study, *target, COST) for target in targets]
    spoken = " ".join(_frontier_words(detail) for detail in study.details)
    lines = [{"hconcat": panels, "spacing": 30} for panels in (by_rate, by_cost)]
    body = {"vconcat": lines, "spacing": 24}
    return chart(f"Latency against tokens per second of one GPU as load rises. {spoken}", body)


def _frontier_words(detail: Detail) -> str:
    held = [point for point in detail.frontier if point.peak.slo_met]
    if not held:
        return f"{detail.setup.label} holds the target at no load shown."
    last = held[-1]
    return (
        f"{detail.setup.label} holds the target up to {last.load_ratio:g} times the peak, "
        f"{short_number(last.tokens_per_s / detail.setup.n_gpus)} tokens a second for each GPU."
    )


def _frontier_panel(study: SizeStudy, name: str, limit_s: float, x: Chart) -> Chart:
    metric, _, statistic = name.partition("_")
    scale, unit = (1000.0, "ms") if limit_s < 1 else (1.0, "s")
    points: list[dict[str, Any]] = [
        {
            "deployment": detail.setup.label,
            "tokens": point.tokens_per_s / detail.setup.n_gpus,
            "latency": point.peak.latency_s[metric][statistic] * scale,
            "met": "meets every target" if point.peak.slo_met else "misses one",
            "cost": usd,
            "load": point.load_ratio,
        }
        for detail in study.details
        for point, usd in zip(detail.frontier, detail.frontier_usd_per_mtok, strict=True)
        if not math.isnan(point.peak.latency_s[metric][statistic])
    ]
    # A fleet past its limit queues for the rest of the window: drawn to twice the limit at most.
    highest = max((float(point["latency"]) for point in points), default=0.0)
    top = max(1.15 * limit_s * scale, min(2 * limit_s * scale, 1.1 * highest))
    y = {
        "field": "latency",
        "type": "quantitative",
        "axis": {"title": None, "domain": False, "ticks": False, "tickCount": 5},
        "scale": {"domain": [0, top], "nice": False},
    }
    return {
        "title": {
            "text": f"{METRIC_TITLES[metric]}, {statistic} [{unit}]",
            "anchor": "start",
            "fontSize": 13,
            "color": INK,
        },
        "width": PANEL_WIDTHS_PX[min(len(study.slo_names), 3) - 1],
        "height": PANEL_HEIGHT_PX,
        "layer": _frontier_layers(study, points, {"x": x, "y": y}, limit_s * scale),
    }


def _frontier_layers(
    study: SizeStudy, points: list[dict[str, Any]], axes: Chart, limit: float
) -> list[Chart]:
    place = {**axes, "color": _colour(study)}
    met: Chart = {
        "field": "met",
        "type": "nominal",
        "scale": {"domain": ["meets every target", "misses one"], "range": ["circle", "cross"]},
        "legend": None,
    }
    return [
        {
            "data": rows([{"limit": limit, "text": "target"}]),
            "mark": {"type": "rule", "color": BAD, "strokeDash": [4, 3]},
            "encoding": {"y": {"field": "limit", "type": "quantitative"}},
        },
        {
            "data": rows(points),
            "mark": {"type": "line", "clip": True, "strokeWidth": 1.8},
            "encoding": {**place, "strokeDash": _dash(study)},
        },
        {
            "data": rows(points),
            "mark": {"type": "point", "filled": True, "size": 46, "clip": True, "opacity": 1},
            "encoding": {**place, "shape": met},
        },
    ]


def replicas_by_traffic(study: SizeStudy) -> Chart | None:
    """Replicas needed at half, one, two and five times the traffic, with the error's band.

    Parameters
    ----------
    study : SizeStudy
    """
    if not study.details:
        return None
    panels = [_replicas_panel(detail, COLOURS[i]) for i, detail in enumerate(study.details[:3])]
    spoken = " ".join(
        f"{detail.setup.label}: "
        + ", ".join(
            f"{n:.0f} at {ratio:g} times"
            for ratio, n in zip(detail.table.demand_ratio, detail.table.n_replicas_mid, strict=True)
        )
        + "."
        for detail in study.details[:3]
    )
    body = {"hconcat": panels, "spacing": 34}
    return chart(f"Replicas needed by multiples of the traffic. {spoken}", body)


def _replicas_panel(detail: Detail, colour: str) -> Chart:
    t = detail.table
    values = [
        {"demand": f"×{d:g}", "low": a, "mid": b, "high": c, "text": f"{b:.0f}"}  # noqa: RUF001
        for d, a, b, c in zip(
            t.demand_ratio.tolist(),
            t.n_replicas_low.tolist(),
            t.n_replicas_mid.tolist(),
            t.n_replicas_high.tolist(),
            strict=True,
        )
    ]
    x = {
        "field": "demand",
        "type": "ordinal",
        "sort": None,
        "axis": {"title": "Traffic", "labelAngle": 0, "domain": False, "ticks": False},
    }
    y = {
        "type": "quantitative",
        "axis": {"title": None, "tickMinStep": 1, "tickCount": 5, "domain": False, "ticks": False},
        "scale": {"domain": [0, 1.08 * max(t.n_replicas_high.tolist())], "nice": False},
    }
    return {
        "title": {
            "text": detail.setup.label,
            "subtitle": "replicas needed; whisker: error of the step time",
            "anchor": "start",
            "color": colour,
            "fontSize": 12.5,
            "subtitleColor": MUTED,
            "subtitleFontSize": 11,
        },
        "width": PANEL_WIDTH_PX - 6,
        "height": 170,
        "data": rows(values),
        "layer": [
            {
                "mark": {"type": "bar", "color": colour, "opacity": 0.75, "width": 26},
                "encoding": {"x": x, "y": {**y, "field": "mid"}},
            },
            {
                "mark": {"type": "rule", "color": INK, "strokeWidth": 1.6},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "text", "dx": 22, "dy": -5, "fontWeight": "bold", "color": INK},
                "encoding": {"x": x, "y": {**y, "field": "mid"}, "text": {"field": "text"}},
            },
        ],
    }


def load_over_time(study: SizeStudy) -> Chart | None:
    """Load of the best fleet over the stretch, against what it could do at full load.

    Parameters
    ----------
    study : SizeStudy
    """
    if not study.details:
        return None
    detail = study.details[0]
    span_s = detail.step_s * len(detail.busy_by_step_frac)
    scale_s, unit = (DAY_S, "Day") if span_s > 2 * DAY_S else (60.0, "Minute")
    values = [
        {"at": step * detail.step_s / scale_s, "load": float(value)}
        for step, value in enumerate(detail.busy_by_step_frac)
    ]
    mean = sum(v["load"] for v in values) / len(values)
    top = max(v["load"] for v in values)
    x = {
        "field": "at",
        "type": "quantitative",
        "axis": {"title": f"{unit} of the stretch", "grid": False, "tickCount": 14},
        "scale": {"nice": False},
    }
    y = {
        "field": "load",
        "type": "quantitative",
        "axis": {"title": "Load of the fleet", "format": ".0%", "domain": False, "tickCount": 5},
        "scale": {"domain": [0, max(0.25, 1.15 * top)], "nice": False},
    }
    words = f"mean {mean:.0%}"
    layers: list[Chart] = [
        {
            "data": rows(values),
            "mark": {"type": "area", "color": COLOURS[0], "opacity": 0.35, "line": True},
            "encoding": {"x": x, "y": y},
        },
        {
            "data": rows([{"load": mean, "text": words}]),
            "mark": {"type": "rule", "color": INK, "strokeDash": [4, 3]},
            "encoding": {"y": y},
        },
        {
            "data": rows([{"load": mean, "text": words}]),
            "mark": {"type": "text", "align": "left", "x": WIDE_PX + 6, "color": INK},
            "encoding": {"y": y, "text": {"field": "text"}},
        },
    ]
    spoken = f"Load of {detail.setup.label} over the stretch: {words}, at most {top:.0%}."
    return chart(spoken, {"width": WIDE_PX, "height": 200, "layer": layers})


def cost_per_mtok(study: SizeStudy) -> Chart | None:
    """Cost of a million tokens as reserved, and beside it the flattering figure at full load.

    Parameters
    ----------
    study : SizeStudy
    """
    sized = study.sized[:N_BARS]
    if not sized:
        return None
    kinds = ("reserved: what is paid", "at full load: flattering")
    values: list[dict[str, Any]] = []
    for answer in sized:
        assert answer.cost is not None
        figures = (answer.cost.reserved_usd_per_mtok, answer.cost.full_load_usd_per_mtok)
        values += [
            {"deployment": answer.setup.label, "kind": kind, "usd": usd, "text": f"${usd:.2f}"}
            for kind, usd in zip(kinds, figures, strict=True)
        ]
    y = {"field": "deployment", "type": "nominal", "sort": None, "axis": _names()}
    offset = {"field": "kind", "sort": list(kinds)}
    axis = {"title": "$ per million tokens", "format": "$.2f", "domain": False, "ticks": False}
    x = {"field": "usd", "type": "quantitative", "axis": {**axis, "tickCount": 5}}
    colour = {
        "field": "kind",
        "type": "nominal",
        "sort": list(kinds),
        "scale": {"domain": list(kinds), "range": [COLOURS[0], "#c3ccd4"]},
        "legend": {"title": None, "columnPadding": 34, "labelLimit": 0},
    }
    place = {"y": y, "yOffset": offset, "x": x}
    body = {
        "width": WIDE_PX - 200,
        "height": {"step": BAR_STEP_PX * 0.75},
        "data": rows(values),
        "layer": [
            {"mark": {"type": "bar"}, "encoding": {**place, "color": colour}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "color": INK},
                "encoding": {**place, "text": {"field": "text"}},
            },
        ],
    }
    return chart(f"Cost of a million tokens. {_cost_words(sized)}", body)


def _cost_words(sized: Sequence[Answer]) -> str:
    return " ".join(
        f"{a.setup.label}: ${a.cost.reserved_usd_per_mtok:.2f} at reserved capacity, "
        f"${a.cost.full_load_usd_per_mtok:.2f} at full load, which flatters."
        for a in sized
        if a.cost is not None
    )


def plans_by_cost(study: SizeStudy) -> Chart | None:
    """Renting, reserving, spot and buying the best fleet, by the month.

    Parameters
    ----------
    study : SizeStudy
    """
    if not study.details or not study.details[0].plans:
        return None
    detail = study.details[0]
    values = [
        {
            "way": f"{plan.plan}, {plan.provider}",
            "plan": plan.plan,
            "usd": plan.usd_per_month,
            "text": f"{MONEY.short(plan.usd_per_month)}, ${plan.usd_per_mtok:.2f} per Mtok",
        }
        for plan in detail.plans
    ]
    seen = [name for name in PLAN_COLOURS if any(v["plan"] == name for v in values)]
    colour = {
        "field": "plan",
        "type": "nominal",
        "scale": {"domain": seen, "range": [PLAN_COLOURS[name] for name in seen]},
        "legend": {"title": None, "columnPadding": 30},
    }
    place = {
        "y": {"field": "way", "type": "nominal", "sort": None, "axis": _names()},
        "x": {"field": "usd", "type": "quantitative", "axis": _usd_axis()},
    }
    body = {
        "width": WIDE_PX - 230,
        "height": {"step": BAR_STEP_PX},
        "data": rows(values),
        "layer": [
            {"mark": {"type": "bar", "height": 15}, "encoding": {**place, "color": colour}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "color": INK},
                "encoding": {**place, "text": {"field": "text"}},
            },
        ],
    }
    spoken = "; ".join(f"{v['way']} {v['text']}" for v in values)
    return chart(f"Ways to get the GPUs of {detail.setup.label}: {spoken}.", body)


def _names() -> Chart:
    return {"title": None, "domain": False, "ticks": False, "labelLimit": 230, "labelPadding": 6}


def _usd_axis() -> Chart:
    return {
        "title": "$ a month",
        "labelExpr": MONEY.axis_expression(),
        "tickCount": 5,
        "domain": False,
        "ticks": False,
    }
