"""What the answer hangs on: the tornado, and what it would be worth to know more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weighbridge.charts.over_time import money_of
from weighbridge.charts.theme import HIGH_INPUT, INK, LOW_INPUT, MUTED, Chart, chart, rows
from weighbridge.study.result import InformationValue, Study, TornadoBar
from weighbridge.units.money import Money, short_number

BAR_HEIGHT_PX = 30
PLOT_WIDTH_PX = 520
N_SHOWN = 12


def flips(bar: TornadoBar) -> bool:
    """Whether this input alone, moved over its range, changes which side is cheaper."""
    return (bar.saving_at_low_usd > 0) != (bar.saving_at_high_usd > 0)


def tornado(study: Study) -> Chart | None:
    """Swing of the saving against the API when one input moves from its P10 to its P90.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Chart or None
        The twelve largest swings; None where there is none.
    """
    bars = study.tornado[:N_SHOWN]
    if not bars:
        return None
    money = money_of(study)
    order = [bar.label for bar in bars]
    ends = [row for bar in bars for row in _ends(bar, money)]
    y = {
        "field": "label",
        "type": "nominal",
        "sort": order,
        "axis": {"title": None, "domain": False, "ticks": False, "labelPadding": 8},
    }
    x = {
        "field": "saving",
        "type": "quantitative",
        "title": "Net present saving against the API",
        "axis": {"labelExpr": money.axis_expression(), "domain": False, "tickCount": 5},
        "scale": {"nice": True, "padding": 46},
    }
    layers: list[Chart] = [
        {
            "data": rows([_span(bar, money) for bar in bars]),
            "mark": {"type": "bar", "height": 9, "cornerRadius": 4},
            "encoding": {
                "y": y,
                "x": {**x, "field": "from"},
                "x2": {"field": "to"},
                "color": {"field": "colour", "type": "nominal", "scale": None},
            },
        },
        _zero(),
        {
            "data": rows(ends),
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
            "encoding": {
                "y": y,
                "x": x,
                "color": {
                    "field": "end",
                    "type": "nominal",
                    "scale": {
                        "domain": ["input low (P10)", "input high (P90)"],
                        "range": [LOW_INPUT, HIGH_INPUT],
                    },
                    "legend": {"title": None},
                },
            },
        },
        *(layer for side in ("left", "right") for layer in _input_labels(ends, y, x, side)),
    ]
    return chart(
        "Tornado: net present saving against the API as each input moves from P10 to P90. "
        + " ".join(
            f"{bar.label}: {money.short(bar.saving_at_low_usd)} to "
            f"{money.short(bar.saving_at_high_usd)}."
            for bar in bars
        ),
        {"width": PLOT_WIDTH_PX, "height": BAR_HEIGHT_PX * len(bars), "layer": layers},
    )


def _span(bar: TornadoBar, money: Money) -> dict[str, object]:
    low, high = sorted((bar.saving_at_low_usd, bar.saving_at_high_usd))
    return {
        "label": bar.label,
        "from": low * money.rate_ratio,
        "to": high * money.rate_ratio,
        "colour": "#aebac4" if flips(bar) else "#dfe5ea",
    }


def _ends(bar: TornadoBar, money: Money) -> list[dict[str, object]]:
    low_first = bar.saving_at_low_usd <= bar.saving_at_high_usd
    return [
        {
            "label": bar.label,
            "saving": saving * money.rate_ratio,
            "end": end,
            "input": input_text(value, bar.unit),
            "side": "left" if first else "right",
        }
        for saving, end, value, first in (
            (bar.saving_at_low_usd, "input low (P10)", bar.low_input, low_first),
            (bar.saving_at_high_usd, "input high (P90)", bar.high_input, not low_first),
        )
    ]


def input_text(value: float, unit: str) -> str:
    """An input's value as short as it reads: fractions as percentages, the rest in three digits.

    >>> input_text(0.35, "fraction, 1 = 100 %"), input_text(1500.0, "tokens per second")
    ('35\\xa0%', '1.5k')
    >>> input_text(2.5, "US dollars per GPU and hour"), input_text(1, "1 where it happens, else 0")
    ('$2.50', 'yes')
    """
    if unit == "1 where it happens, else 0" and value in (0, 1):
        return "yes" if value else "no"
    if unit.startswith(("US dollars", "USD")):
        return Money().short(value)
    if unit.startswith(("fraction", "probability")):
        return f"{short_number(100 * value)}\N{NO-BREAK SPACE}%"
    return short_number(value)


def _input_labels(ends: list[dict[str, object]], y: Chart, x: Chart, side: str) -> list[Chart]:
    left = side == "left"
    text = {
        "type": "text",
        "align": "right" if left else "left",
        "dx": -10 if left else 10,
        "fontSize": 11,
        "color": MUTED,
    }
    halo = {**text, "stroke": "white", "strokeWidth": 3, "opacity": 0.9}
    data = rows([row for row in ends if row["side"] == side])
    encoding = {"y": y, "x": x, "text": {"field": "input"}}
    return [{"data": data, "mark": mark, "encoding": encoding} for mark in (halo, text)]


def _zero() -> Chart:
    return {
        "data": rows([{"zero": 0}]),
        "mark": {"type": "rule", "color": INK, "strokeWidth": 1.6},
        "encoding": {"x": {"field": "zero", "type": "quantitative"}},
    }


def worth_knowing(values: Sequence[InformationValue]) -> tuple[InformationValue, ...]:
    """The inputs, a dozen at most, whose knowledge is worth a dollar or more."""
    return tuple(value for value in values if value.value_usd >= 1)[:N_SHOWN]


def information_value(values: tuple[InformationValue, ...], money: Money) -> Chart | None:
    """What it would be worth to know one input before choosing.

    Parameters
    ----------
    values : tuple of InformationValue
    money : Money

    Returns
    -------
    Chart or None
        None where nothing is worth knowing.
    """
    shown = worth_knowing(values)
    if not shown:
        return None
    order = [value.label for value in shown]
    data = [
        {
            "label": value.label,
            "worth": value.value_usd * money.rate_ratio,
            "text": money.short(value.value_usd),
        }
        for value in shown
    ]
    y = {
        "field": "label",
        "type": "nominal",
        "sort": order,
        "axis": {"title": None, "domain": False, "ticks": False, "labelPadding": 8},
    }
    x = {"field": "worth", "type": "quantitative", "axis": None}
    top = float(np.max([row["worth"] for row in data]))
    return chart(
        "Value of knowing each input before choosing. "
        + " ".join(f"{value.label}: {money.short(value.value_usd)}." for value in shown),
        {
            "width": PLOT_WIDTH_PX,
            "height": 24 * len(shown),
            "data": rows(data),
            "layer": [
                {
                    "mark": {"type": "bar", "height": 14, "color": LOW_INPUT, "cornerRadiusEnd": 2},
                    "encoding": {"y": y, "x": {**x, "scale": {"domain": [0, top]}}},
                },
                {
                    "mark": {"type": "text", "align": "left", "dx": 6, "fontWeight": "bold"},
                    "encoding": {"y": y, "x": x, "text": {"field": "text"}},
                },
            ],
        },
    )
