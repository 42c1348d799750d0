"""The page of errors is made from the recorded results, and tells of the fit that ships."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from weighbridge.catalog.serving_fit import load_serving_fit


@pytest.fixture(scope="module")
def errors(checkout):
    return json.loads((checkout / "benchmarks" / "results" / "serving_errors.json").read_text())


def test_the_page_is_the_one_that_make_docs_writes(checkout):
    made = subprocess.run(
        [sys.executable, checkout / "benchmarks" / "accuracy_page.py"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout == (checkout / "docs" / "accuracy.md").read_text()


def test_the_results_are_of_the_fit_that_ships(errors):
    fit = load_serving_fit()
    assert errors["data_digest"] == fit.data_digest
    assert errors["overall"]["tpot"]["n"] == fit.n_points
    assert errors["spreads"] == {
        name: [one.low_ratio, one.high_ratio] for name, one in fit.spreads.items()
    }


@pytest.mark.parametrize(("metric", "median"), [("tpot", 0.15), ("ttft", 0.25)])
def test_recorded_errors_of_groups_left_out_reach_their_bars(errors, metric, median):
    found = errors["overall"][metric]
    assert found["median_error"] <= median
    assert 0.85 <= found["covered"] <= 0.95


@pytest.mark.parametrize(
    ("metric", "width"),
    [
        pytest.param(
            "tpot",
            2.0,
            marks=pytest.mark.xfail(
                raises=AssertionError,
                reason="2.04 since no efficiency may beat the data sheet; docs/accuracy.md says so",
            ),
        ),
        ("ttft", 3.5),
    ],
)
def test_recorded_widths_of_intervals_reach_their_bars(errors, metric, width):
    assert errors["overall"][metric]["interval_width"] <= width


def test_recorded_errors_with_other_concurrencies_of_the_mix_reach_their_bars(errors):
    found = errors["calibrated"]["tpot"]
    assert found["median_error"] <= 0.04
    assert found["p90_error"] <= 0.10


def test_intervals_of_unmeasured_cards_hold_the_runs_that_are_known(checkout):
    path = checkout / "benchmarks" / "results" / "serving_runs.json"
    runs = json.loads(path.read_text())
    assert len(runs) == 3
    assert all(one["inside"] for run in runs.values() for one in run["metrics"].values())
    tokens = runs["RTX4090/Llama-3.1-8B"]["kv_tokens"]
    assert tokens["predicted"] == pytest.approx(tokens["told"], rel=0.05)


def test_the_results_hold_figures_of_groups_and_no_measurements(checkout, errors):
    for name in ("serving_errors.json", "serving_aggregates.json"):
        text = (checkout / "benchmarks" / "results" / name).read_text()
        assert "silicon_sample" not in text
        assert len(text) < 60_000
    assert len(errors["by"]["group"]) == load_serving_fit().n_groups
