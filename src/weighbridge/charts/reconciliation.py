"""A bill against the ledger: where the difference sits, by day and model."""

from __future__ import annotations

from typing import Any

from weighbridge.charts.theme import INK, MUTED, WIDTH_PX, Chart, chart, rows
from weighbridge.study.reconciliation import BillCell, Reconciliation
from weighbridge.units.money import Money

MONEY = Money()
ROW_PX, LEAST_PX = 30, 60
MOST_MODELS = 24
CLIP_FRAC = 0.1  # darker than a tenth says nothing more
SHORT, OVER, EVEN = "#d55e00", "#0072b2", "#f4f6f7"  # told apart with any colour vision


def difference_by_day(told: Reconciliation) -> Chart | None:
    """Share of each day and model that is left after the constant factor, as a heat map.

    Parameters
    ----------
    told : Reconciliation

    Returns
    -------
    Chart or None
        None where no day has anything on both sides.
    """
    models = _models(told)
    values = [_square(cell) for cell in told.cells if _label(cell) in models]
    if not values:
        return None
    short = sum(cell.state == "ledger short" for cell in told.cells)
    base: Chart = {
        "x": {
            "field": "day",
            "type": "ordinal",
            "axis": {"title": None, "labelAngle": 0, "labelOverlap": "greedy", "format": "%-d %b"},
            "timeUnit": "utcyearmonthdate",
        },
        "y": {"field": "model", "type": "nominal", "sort": models, "axis": {"title": None}},
    }
    body: Chart = {
        "width": WIDTH_PX - 200,
        "height": max(LEAST_PX, ROW_PX * len(models)),
        "data": rows(values),
        "layer": [
            {
                "mark": {"type": "rect", "stroke": "#ffffff", "strokeWidth": 1},
                "encoding": {**base, "color": _colour()},
            },
            {
                "transform": [{"filter": "datum.mark != ''"}],
                "mark": {"type": "text", "fontSize": 12, "color": INK, "fontWeight": "bold"},
                "encoding": {**base, "text": {"field": "mark"}},
            },
        ],
    }
    spoken = (
        f"Heat map of bill against ledger, {len(models)} models over "
        f"{len({v['day'] for v in values})} days; {short} squares lack requests in the ledger."
    )
    return chart(spoken, body)


def _colour() -> Chart:
    return {
        "field": "left",
        "type": "quantitative",
        "scale": {
            "domain": [-CLIP_FRAC, 0, CLIP_FRAC],
            "range": [OVER, EVEN, SHORT],
            "interpolate": "rgb",
            "clamp": True,
        },
        "legend": {
            "title": "bill minus ledger, share of the day",
            "format": "+.0%",
            "gradientLength": 220,
            "orient": "top",
            "values": [-CLIP_FRAC, 0, CLIP_FRAC],
        },
    }


def _label(cell: BillCell) -> str:
    return f"{cell.provider}/{cell.model}" if cell.provider else cell.model


def _models(told: Reconciliation) -> list[str]:
    """Models by money, largest first, as many as fit."""
    money: dict[str, float] = {}
    for cell in told.cells:
        size = float(max(cell.bill_usd, cell.list_usd))
        money[_label(cell)] = money.get(_label(cell), 0.0) + size
    return sorted(money, key=lambda name: (-money[name], name))[:MOST_MODELS]


def _square(cell: BillCell) -> dict[str, Any]:
    base = max(float(cell.bill_usd), float(cell.expected_usd))
    marks = {"explained": "", "partial day": "·", "not settled": "·", "outside ledger": "·"}
    return {
        "day": f"{cell.on.isoformat()}T00:00:00Z",
        "model": _label(cell),
        "left": float(cell.left_usd) / base if base > 0 else 0.0,
        "mark": marks.get(cell.state, "!"),
    }


def difference_by_part(told: Reconciliation) -> Chart | None:
    """What the difference is put down to, in dollars, largest first.

    Parameters
    ----------
    told : Reconciliation

    Returns
    -------
    Chart or None
        None where bill and ledger agree to the digit.
    """
    values = [
        {
            "part": part.kind,
            "usd": float(part.usd),
            "edge": max(float(part.usd), 0.0),
            "text": MONEY.signed(float(part.usd)),
            "side": "bill holds more" if part.usd > 0 else "ledger holds more",
        }
        for part in told.parts
    ]
    if not values:
        return None
    base: Chart = {"y": {"field": "part", "type": "nominal", "sort": None, "axis": {"title": None}}}
    length: Chart = {
        "field": "usd",
        "type": "quantitative",
        "axis": {
            "title": "bill minus ledger at list prices",
            "format": "$,.4~r",
            "grid": True,
            "tickCount": 5,
        },
    }
    colour: Chart = {
        "field": "side",
        "type": "nominal",
        "scale": {"domain": ["bill holds more", "ledger holds more"], "range": [SHORT, OVER]},
        "legend": {"title": None},
    }
    body: Chart = {
        "width": WIDTH_PX - 260,
        "height": max(LEAST_PX, ROW_PX * len(values)),
        "data": rows(values),
        "layer": [
            {"mark": {"type": "bar"}, "encoding": {**base, "x": length, "color": colour}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "color": MUTED},
                "encoding": {
                    **base,
                    "x": {"field": "edge", "type": "quantitative"},
                    "text": {"field": "text"},
                },
            },
        ],
    }
    said = "; ".join(f"{v['part']} {v['text']}" for v in values)
    return chart(f"Difference between bill and ledger by cause: {said}.", body)
