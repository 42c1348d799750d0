"""What a cost is made of: the stack by kind, and the steps from the naive figure to the full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weighbridge.charts.over_time import compared, money_of
from weighbridge.charts.theme import (
    BAD,
    GOOD,
    INK,
    KINDS,
    MUTED,
    Chart,
    chart,
    kind_of,
    rows,
    titled,
)
from weighbridge.study.result import CostLine, NaiveComparison, Study
from weighbridge.units.money import Money

PLOT_WIDTH_PX = 600
LEAST_STEP_FRAC = 0.005


def kind_totals_usd(lines: Sequence[CostLine]) -> dict[str, float]:
    """Sum of an option's lines over the horizon by kind of cost [USD], kinds in drawing order."""
    totals = dict.fromkeys(KINDS, 0.0)
    for line in lines:
        totals[kind_of(line.category)] += line.total_usd
    return {kind: total for kind, total in totals.items() if total}


def cost_stack(study: Study) -> Chart:
    """What each option's total is made of, in the central case.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Chart
    """
    money = money_of(study)
    options = compared(study)
    totals = [(titled(option.label), kind_totals_usd(option.lines)) for option in options]
    parts = [
        {"option": label, "kind": kind, "cost": cost * money.rate_ratio, "order": order}
        for label, by_kind in totals
        for order, (kind, cost) in enumerate(
            (kind, by_kind[kind]) for kind in KINDS if kind in by_kind
        )
    ]
    used = [kind for kind in KINDS if any(part["kind"] == kind for part in parts)]
    y = {
        "field": "option",
        "type": "nominal",
        "sort": [titled(option.label) for option in options],
        "axis": {"title": None, "domain": False, "ticks": False, "labelFontSize": 13},
    }
    return chart(
        f"Cost of each option over {study.horizon_months} months by kind of cost. "
        + " ".join(
            f"{label}: "
            + ", ".join(f"{kind} {money.short(cost)}" for kind, cost in by_kind.items())
            + "."
            for label, by_kind in totals
        ),
        {
            "width": PLOT_WIDTH_PX,
            "height": 34 * len(options),
            "layer": [
                _stack(parts, y, used, money),
                _stack_totals(totals, y, money),
            ],
        },
    )


def _stack(parts: list[dict[str, Any]], y: Chart, used: list[str], money: Money) -> Chart:
    return {
        "data": rows(parts),
        "mark": {"type": "bar", "height": 20, "stroke": "white", "strokeWidth": 1},
        "encoding": {
            "y": y,
            "x": {
                "field": "cost",
                "type": "quantitative",
                "title": None,
                "stack": "zero",
                "axis": {"labelExpr": money.axis_expression(), "domain": False, "tickCount": 6},
            },
            "order": {"field": "order", "type": "quantitative"},
            "color": {
                "field": "kind",
                "type": "nominal",
                "scale": {"domain": used, "range": [KINDS[kind] for kind in used]},
                "legend": {"title": None, "columns": 4, "symbolType": "square"},
            },
        },
    }


def _stack_totals(totals: list[tuple[str, dict[str, float]]], y: Chart, money: Money) -> Chart:
    values = [
        {
            "option": label,
            "end": sum(cost for cost in by_kind.values() if cost > 0) * money.rate_ratio,
            "text": money.short(sum(by_kind.values())),
        }
        for label, by_kind in totals
    ]
    return {
        "data": rows(values),
        "mark": {"type": "text", "align": "left", "dx": 6, "fontWeight": "bold"},
        "encoding": {
            "y": y,
            "x": {"field": "end", "type": "quantitative"},
            "text": {"field": "text"},
        },
    }


def naive_steps(naive: NaiveComparison) -> list[tuple[str, float]]:
    """What each line adds to the naive figure [USD/month]; what no line explains comes last."""
    steps = [
        (step.label, step.full_usd_per_month - step.naive_usd_per_month) for step in naive.steps
    ]
    gap = naive.full_option_usd_per_month - naive.naive_option_usd_per_month
    rest = gap - sum(change for _, change in steps)
    if abs(rest) > LEAST_STEP_FRAC * max(abs(naive.full_option_usd_per_month), 1.0):
        steps.append(("Not itemised", rest))
    return [(label, change) for label, change in steps if change]


def naive_waterfall(naive: NaiveComparison, option_label: str, money: Money) -> Chart:
    """From the pricing-page figure of an option to its full cost, line by line.

    Parameters
    ----------
    naive : NaiveComparison
    option_label : str
    money : Money

    Returns
    -------
    Chart
        Upright rules stand where the hosted API is, by the naive count and in full.
    """
    steps = naive_steps(naive)
    bars = _waterfall_bars(naive, steps, money)
    order = [bar["label"] for bar in bars]
    y = {
        "field": "label",
        "type": "nominal",
        "sort": order,
        "axis": {"title": None, "domain": False, "ticks": False, "labelPadding": 8},
    }
    x = {
        "field": "from",
        "type": "quantitative",
        "title": f"{titled(option_label)}, per month",
        "axis": {"labelExpr": money.axis_expression(), "domain": False, "tickCount": 6},
    }
    text = {"type": "text", "align": "left", "dx": 6, "fontSize": 11.5}
    halo = {**text, "stroke": "white", "strokeWidth": 5, "strokeJoin": "round"}
    words = {"y": y, "x": {**x, "field": "end"}, "text": {"field": "text"}}
    layers: list[Chart] = [
        *_api_rules(naive, money),
        {
            "data": rows(bars),
            "mark": {"type": "bar", "height": 17},
            "encoding": {
                "y": y,
                "x": x,
                "x2": {"field": "to"},
                "color": {"field": "colour", "type": "nominal", "scale": None},
            },
        },
        {"data": rows(bars), "mark": halo, "encoding": words},
        {"data": rows(bars), "mark": text, "encoding": words},
    ]
    return chart(
        f"Waterfall for {option_label} from {money.short(naive.naive_option_usd_per_month)} a "
        f"month by naive arithmetic to {money.short(naive.full_option_usd_per_month)} in full. "
        + " ".join(f"{label}: {money.signed(change)}." for label, change in steps),
        {"width": PLOT_WIDTH_PX, "height": 26 * len(bars), "layer": layers},
    )


def _waterfall_bars(
    naive: NaiveComparison, steps: list[tuple[str, float]], money: Money
) -> list[dict[str, Any]]:
    def bar(label: str, start: float, end: float, colour: str, text: str) -> dict[str, Any]:
        return {
            "label": titled(label),
            "from": start * money.rate_ratio,
            "to": end * money.rate_ratio,
            "end": max(start, end) * money.rate_ratio,
            "colour": colour,
            "text": text,
        }

    level = naive.naive_option_usd_per_month
    bars = [bar("By simple arithmetic", 0.0, level, MUTED, money.short(level))]
    for label, change in steps:
        colour = BAD if change > 0 else GOOD
        bars.append(bar(label, level, level + change, colour, money.signed(change)))
        level += change
    full = naive.full_option_usd_per_month
    return [*bars, bar("Full cost", 0.0, full, INK, money.short(full))]


def _api_rules(naive: NaiveComparison, money: Money) -> list[Chart]:
    values = [{"at": naive.full_api_usd_per_month * money.rate_ratio, "text": "API in full"}]
    gap = abs(naive.full_api_usd_per_month - naive.naive_api_usd_per_month)
    if gap > 0.12 * max(naive.full_option_usd_per_month, naive.full_api_usd_per_month):
        at = naive.naive_api_usd_per_month * money.rate_ratio
        values.append({"at": at, "text": "API, naive"})
    encoding = {"x": {"field": "at", "type": "quantitative"}}
    return [
        {
            "data": rows(values),
            "mark": {"type": "rule", "color": INK, "strokeDash": [4, 3]},
            "encoding": encoding,
        },
        {
            "data": rows(values),
            "mark": {"type": "text", "baseline": "bottom", "fontWeight": "bold", "y": -4},
            "encoding": {**encoding, "text": {"field": "text"}},
        },
    ]
