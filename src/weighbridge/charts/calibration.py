"""Measured against predicted, on the requests that a calibration held out."""

from __future__ import annotations

from collections.abc import Sequence

from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.charts.theme import BAD, INK, LOW_INPUT, MUTED, Chart, chart, rows

WIDTH_PX = 620
ROW_PX = 34
LONGEST_NAME = 36
FIGURES = ["mean", "90th percentile"]
NAMES = {
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "e2e": "End to end",
}


def calibration_errors(errors: Sequence[MetricError]) -> Chart:
    """Error of the simulated mean and 90th percentile of each metric, and where requests lie.

    Parameters
    ----------
    errors : sequence of MetricError

    Returns
    -------
    Chart
        A row for each run and metric: a line from the 5th to the 95th percentile of simulated
        over measured, request by request; a dot for the mean, a diamond for the 90th percentile.
    """
    lines, points = [], []
    for one in errors:
        row = f"{NAMES.get(one.metric, one.metric)} · {_short(one.run)}"
        lines.append({"row": row, "from": 1 / one.high_ratio - 1, "to": 1 / one.low_ratio - 1})
        points.append({"row": row, "error": one.mean_error_frac, "figure": FIGURES[0]})
        points.append({"row": row, "error": one.p90_error_frac, "figure": FIGURES[1]})
    order = [line["row"] for line in lines]
    y = {
        "field": "row",
        "type": "nominal",
        "sort": order,
        "title": None,
        "axis": {"labelLimit": 460},
    }
    x = {"type": "quantitative", "axis": {"format": "+.0%", "title": "simulated against measured"}}
    worst = max(errors, key=lambda one: abs(one.mean_error_frac))
    return chart(
        f"Errors on {sum(one.n_requests for one in errors)} held-out figures. The worst mean is "
        f"{worst.mean_error_frac:+.1%} ({NAMES.get(worst.metric, worst.metric)}).",
        {
            "width": WIDTH_PX,
            "height": ROW_PX * len(order),
            "layer": [
                {
                    "data": rows([{"zero": 0.0}]),
                    "mark": {"type": "rule", "color": INK, "strokeWidth": 1},
                    "encoding": {"x": {"field": "zero", "type": "quantitative"}},
                },
                {
                    "data": rows(lines),
                    "mark": {"type": "rule", "color": MUTED, "strokeWidth": 2, "opacity": 0.55},
                    "encoding": {"y": y, "x": {"field": "from", **x}, "x2": {"field": "to"}},
                },
                {
                    "data": rows(points),
                    "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
                    "encoding": {
                        "y": y,
                        "x": {"field": "error", **x},
                        "shape": {
                            "field": "figure",
                            "scale": {"domain": FIGURES, "range": ["circle", "diamond"]},
                            "legend": {"title": "held-out requests"},
                        },
                        "color": {
                            "field": "figure",
                            "scale": {"domain": FIGURES, "range": [LOW_INPUT, BAD]},
                            "legend": {"title": "held-out requests"},
                        },
                    },
                },
            ],
        },
    )


def _short(name: str) -> str:
    """The end of a path, where the telling part is."""
    end = "/".join(name.replace("\\", "/").split("/")[-2:])
    return end if len(end) <= LONGEST_NAME else f"…{end[1 - LONGEST_NAME :]}"
