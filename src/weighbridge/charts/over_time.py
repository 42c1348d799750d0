"""What each option costs as the months go by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from weighbridge.charts.placing import spread
from weighbridge.charts.theme import FONT, INK, MUTED, Chart, chart, rows, stroke_of, titled
from weighbridge.study.result import BandSeries, OptionResult, Study
from weighbridge.units.money import Money, month_words

PANEL_WIDTH_PX = 226
PANEL_HEIGHT_PX = 150
CUMULATIVE_WIDTH_PX = 560
CUMULATIVE_HEIGHT_PX = 320
LABEL_GAP_FRAC = 0.055
LOW_FRAC = 0.15
MONTHS_AXIS: Chart = {"title": "Month", "tickMinStep": 1, "grid": False}


def money_of(study: Study) -> Money:
    """The study's reporting currency."""
    return Money(study.currency, study.usd_rate)


def compared(study: Study) -> tuple[OptionResult, ...]:
    """Options worth drawing: open to choice and with a total, which a short log cannot give."""
    return tuple(
        option
        for option in study.options
        if option.feasible and math.isfinite(option.total_usd.p50)
    )


def _band_rows(option: OptionResult, band: BandSeries, rate_ratio: float) -> list[dict[str, Any]]:
    return [
        {
            "option": titled(option.label),
            "month": month,
            "low": low * rate_ratio,
            "middle": middle * rate_ratio,
            "high": high * rate_ratio,
        }
        for month, (low, middle, high) in enumerate(
            zip(band.p10.tolist(), band.p50.tolist(), band.p90.tolist(), strict=True), start=1
        )
    ]


def _money_axis(money: Money, title: str | None = None) -> Chart:
    return {
        "title": title,
        "labelExpr": money.axis_expression(),
        "tickCount": 5,
        "domain": False,
        "ticks": False,
    }


def monthly_cost(study: Study) -> Chart:
    """Cash by month: one panel for each option, with its P10-P90 band over the API's line.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Chart
        Peaks above the common scale (a purchase, a build) are cut and their height is written.
    """
    money = money_of(study)
    options = compared(study)
    scale = _common_scale(options)
    panels = [_monthly_panel(option, options[0], scale, money) for option in options]
    return chart(
        "Monthly cost of each option over "
        f"{study.horizon_months} months: median line and P10 to P90 band, beside the hosted API. "
        + " ".join(
            f"{titled(option.label)}: {money.short(option.steady_usd_per_month)} a month, steady."
            for option in options
        ),
        {"concat": panels, "columns": 3, "spacing": {"row": 18, "column": 26}},
    )


def _common_scale(options: Sequence[OptionResult]) -> tuple[float, float]:
    """Lowest and highest [USD] that show running costs well; single months may stand beyond."""
    bands = [option.cash_usd_by_month for option in options]
    tops = [float(np.quantile(band.p90, 0.9)) for band in bands]
    highest = max(float(band.p90.max()) for band in bands)
    lowest = min(float(np.quantile(band.p10, 0.1)) for band in bands)
    return min(0.0, lowest), min(max(tops) * 1.2, highest * 1.05) or 1.0


def _monthly_panel(
    option: OptionResult, api: OptionResult, scale_usd: tuple[float, float], money: Money
) -> Chart:
    stroke = stroke_of(option.id)
    values = _band_rows(option, option.cash_usd_by_month, money.rate_ratio)
    x = {"field": "month", "type": "quantitative", "axis": MONTHS_AXIS, "scale": {"nice": False}}
    scale = {"domain": [end * money.rate_ratio for end in scale_usd], "nice": False}
    y = {"type": "quantitative", "axis": _money_axis(money), "scale": scale}
    dashed = {"strokeDash": list(stroke.dash)} if stroke.dash else {}
    layers: list[Chart] = [
        {
            "mark": {"type": "area", "color": stroke.colour, "opacity": 0.2, "clip": True},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "mark": {"type": "line", "color": stroke.colour, "clip": True, **dashed},
            "encoding": {"x": x, "y": {**y, "field": "middle"}},
        },
    ]
    if option.id != api.id:
        reference = {
            "data": rows(_band_rows(api, api.cash_usd_by_month, money.rate_ratio)),
            "mark": {
                "type": "line",
                "color": stroke_of(api.id).colour,
                "strokeWidth": 1.3,
                "clip": True,
            },
            "encoding": {"x": x, "y": {**y, "field": "middle"}},
        }
        layers.insert(0, reference)
    layers += _cut_months(option, scale_usd, money)
    return {
        "title": {
            "text": titled(option.label),
            "subtitle": f"{money.short(option.steady_usd_per_month)} a month once steady",
            "anchor": "start",
            "color": stroke.colour,
            "subtitleColor": MUTED,
            "fontSize": 13,
            "subtitleFontSize": 12,
            "font": FONT,
            "subtitleFont": FONT,
            "offset": 4,
            "limit": PANEL_WIDTH_PX + 30,
        },
        "width": PANEL_WIDTH_PX,
        "height": PANEL_HEIGHT_PX,
        "data": rows(values),
        "layer": layers,
    }


def _cut_months(option: OptionResult, scale_usd: tuple[float, float], money: Money) -> list[Chart]:
    """Words for the highest and the lowest month where the common scale cuts them off."""
    middle = option.cash_usd_by_month.p50
    high, low = int(np.argmax(middle)), int(np.argmin(middle))
    cut = []
    if middle[high] > scale_usd[1]:
        cut.append((high, scale_usd[1], "\N{UPWARDS ARROW}", 8))
    if middle[low] < scale_usd[0]:
        cut.append((low, scale_usd[0], "\N{DOWNWARDS ARROW}", -8))
    return [
        {
            "data": rows(
                [
                    {
                        "month": month + 1,
                        "at": edge * money.rate_ratio,
                        "text": f"{arrow} {money.short(float(middle[month]))} in month {month + 1}",
                    }
                ]
            ),
            "mark": {
                "type": "text",
                "align": "left" if month < len(middle) / 2 else "right",
                "dx": 7 if month < len(middle) / 2 else -7,
                "dy": dy,
                "fontSize": 11,
                "color": INK,
            },
            "encoding": {
                "x": {"field": "month", "type": "quantitative"},
                "y": {"field": "at", "type": "quantitative"},
                "text": {"field": "text"},
            },
        }
        for month, edge, arrow, dy in cut
    ]


def cumulative_cost(study: Study) -> Chart:
    """Cash paid so far: every option's median, bands for the API and its rival, and paybacks.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Chart
    """
    money = money_of(study)
    options = compared(study)
    rival = rival_of(study)
    rival_id = rival.id if rival else ""
    banded = {options[0].id, rival_id}
    layers: list[Chart] = []
    for option in options:
        layers += _cumulative_layers(option, option.id in banded, money)
    layers += _payback_layers(options, rival_id, money) + _end_labels(options, money)
    return chart(
        f"Cumulative cost of each option over {study.horizon_months} months. "
        + " ".join(
            f"{titled(option.label)}: {money.short(option.total_usd.p50)} in all (P10 "
            f"{money.short(option.total_usd.p10)}, P90 {money.short(option.total_usd.p90)})."
            for option in options
        ),
        {"width": CUMULATIVE_WIDTH_PX, "height": CUMULATIVE_HEIGHT_PX, "layer": layers},
    )


def rival_of(study: Study) -> OptionResult | None:
    """The alternative that the study speaks of beside the API; None where the API is alone."""
    return next((o for o in compared(study) if o.id == study.rival_id), None)


def _cumulative_layers(option: OptionResult, banded: bool, money: Money) -> list[Chart]:
    stroke = stroke_of(option.id)
    x = {"field": "month", "type": "quantitative", "axis": MONTHS_AXIS, "scale": {"nice": False}}
    y = {"type": "quantitative", "axis": _money_axis(money, "Paid so far"), "title": "Paid so far"}
    line = {
        "mark": {"type": "line", "color": stroke.colour, "strokeDash": list(stroke.dash) or [1, 0]},
        "encoding": {"x": x, "y": {**y, "field": "middle"}},
    }
    band = {
        "mark": {"type": "area", "color": stroke.colour, "opacity": 0.14},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    data = rows(_band_rows(option, option.cumulative_usd_by_month, money.rate_ratio))
    return [{"data": data, "layer": [band, line] if banded else [line]}]


def _payback_layers(options: Sequence[OptionResult], rival_id: str, money: Money) -> list[Chart]:
    """A ring where an option's cumulative cost passes under the API's for good."""
    months = np.arange(1, len(options[0].cumulative_usd_by_month.p50) + 1)
    points: list[dict[str, Any]] = []
    for option in options:
        if option.payback is None or option.payback.plain_month is None:
            continue
        month = option.payback.plain_month
        paid = float(np.interp(month, months, option.cumulative_usd_by_month.p50))
        words = f"pays back: {month_words(month)}" if option.id == rival_id else ""
        colour = stroke_of(option.id).colour
        point = {"month": month, "paid": paid * money.rate_ratio, "colour": colour, "text": words}
        points.append(point)
    top = max(float(option.cumulative_usd_by_month.p50.max()) for option in options)
    low = any(
        point["text"] and point["paid"] < LOW_FRAC * top * money.rate_ratio for point in points
    )
    if not points:
        return []
    encoding = {
        "x": {"field": "month", "type": "quantitative"},
        "y": {"field": "paid", "type": "quantitative"},
        "color": {"field": "colour", "type": "nominal", "scale": None},
    }
    ring = {"type": "point", "size": 90, "filled": False, "strokeWidth": 2.4, "fill": "white"}
    words_mark = {"type": "text", "align": "left", "dx": 9, "dy": -12 if low else 13}
    words_mark["fontWeight"] = "bold"
    halo = {**words_mark, "stroke": "white", "strokeWidth": 4, "opacity": 0.9}
    text = {**encoding, "text": {"field": "text"}}
    plain = {key: value for key, value in text.items() if key != "color"}
    return [
        {"data": rows(points), "mark": ring, "encoding": encoding},
        {"data": rows(points), "mark": halo, "encoding": plain},
        {"data": rows(points), "mark": words_mark, "encoding": text},
    ]


def _end_labels(options: Sequence[OptionResult], money: Money) -> list[Chart]:
    ends_usd = [float(option.cumulative_usd_by_month.p50[-1]) for option in options]
    ends = [end * money.rate_ratio for end in ends_usd]
    highest = max(float(option.cumulative_usd_by_month.p90[-1]) for option in options)
    places = spread(ends, gap=LABEL_GAP_FRAC * max(highest * money.rate_ratio, 1e-9))
    labels = [
        {
            "month": len(option.cumulative_usd_by_month.p50),
            "place": place,
            "colour": stroke_of(option.id).colour,
            "text": f"{money.short(paid)}  {titled(option.label)}",
        }
        for option, place, paid in zip(options, places, ends_usd, strict=True)
    ]
    return [
        {
            "data": rows(labels),
            "mark": {"type": "text", "align": "left", "dx": 8, "fontWeight": "bold", "limit": 230},
            "encoding": {
                "x": {"field": "month", "type": "quantitative"},
                "y": {"field": "place", "type": "quantitative"},
                "color": {"field": "colour", "type": "nominal", "scale": None},
                "text": {"field": "text"},
            },
        }
    ]


def utilization(study: Study) -> Chart | None:
    """Mean load over the capacity kept, by month, for each option that keeps GPUs.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Chart or None
        None where no option keeps GPUs.
    """
    options = [option for option in compared(study) if option.fleet is not None]
    if not options:
        return None
    layers: list[Chart] = []
    ends: list[float] = []
    for option in options:
        assert option.fleet is not None
        stroke = stroke_of(option.id)
        load = option.fleet.utilization_frac_by_month
        known = [
            {"month": month, "load": float(value)}
            for month, value in enumerate(load.tolist(), start=1)
            if np.isfinite(value)
        ]
        ends.append(known[-1]["load"] if known else 0.0)
        layers.append(
            {
                "data": rows(known),
                "mark": {
                    "type": "line",
                    "color": stroke.colour,
                    "strokeDash": list(stroke.dash) or [1, 0],
                },
                "encoding": _utilization_encoding(study.horizon_months),
            }
        )
    layers.append(_fleet_labels(options, spread(ends, gap=0.075), study.horizon_months))
    return chart(
        "Utilisation of the GPUs kept, by month, for each option that keeps GPUs. It is an output: "
        "the fleet is sized for the peak and paid whether busy or not.",
        {"width": CUMULATIVE_WIDTH_PX - 60, "height": 200, "layer": layers},
    )


def _utilization_encoding(horizon_months: int) -> Chart:
    months = {"domain": [1, horizon_months], "nice": False}
    return {
        "x": {"field": "month", "type": "quantitative", "axis": MONTHS_AXIS, "scale": months},
        "y": {
            "field": "load",
            "type": "quantitative",
            "scale": {"domain": [0, 1]},
            "axis": {
                "format": ".0%",
                "title": "Mean load / capacity",
                "tickCount": 5,
                "domain": False,
            },
        },
    }


def _fleet_labels(options: Sequence[OptionResult], places: list[float], month: int) -> Chart:
    labels = []
    for option, place in zip(options, places, strict=True):
        assert option.fleet is not None
        fleet = f"{option.fleet.n_gpus_by_month[-1]:.3g}\N{MULTIPLICATION SIGN} {option.fleet.gpu}"
        labels.append(
            {
                "month": month,
                "load": place,
                "colour": stroke_of(option.id).colour,
                "text": f"{titled(option.label)}: {fleet}",
            }
        )
    return {
        "data": rows(labels),
        "mark": {"type": "text", "align": "left", "dx": 8, "fontWeight": "bold", "limit": 230},
        "encoding": {
            "x": {"field": "month", "type": "quantitative"},
            "y": {"field": "load", "type": "quantitative"},
            "color": {"field": "colour", "type": "nominal", "scale": None},
            "text": {"field": "text"},
        },
    }
