"""The plot of a calibration's errors on held-out requests."""

import altair
import pytest

from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.charts.calibration import calibration_errors

ERRORS = [
    MetricError("/data/runs/a/first.json", "ttft", 50, 1.0, 1.04, 2.0, 1.8, 0.8, 1.25),
    MetricError("/data/runs/a/first.json", "tpot", 50, 0.02, 0.0199, 0.03, 0.0303, 0.95, 1.1),
]


def test_altair_accepts_the_chart_and_it_tells_its_worst() -> None:
    chart = calibration_errors(ERRORS)
    altair.Chart.from_dict(chart)
    assert "100 held-out figures" in chart["description"]
    assert "+4.0% (Time to first token)" in chart["description"]


def test_every_error_has_its_place() -> None:
    _, spans, points = calibration_errors(ERRORS)["layer"]
    lines = spans["data"]["values"]
    assert [one["row"] for one in lines] == [
        "Time to first token · a/first.json",
        "Time per output token · a/first.json",
    ]
    assert lines[0]["from"] == pytest.approx(-0.2)
    assert lines[0]["to"] == pytest.approx(0.25)
    found = {(one["row"], one["figure"]): one["error"] for one in points["data"]["values"]}
    assert found[lines[0]["row"], "90th percentile"] == pytest.approx(-0.1)
    assert found[lines[1]["row"], "mean"] == pytest.approx(-0.005)
