"""The running cost a month: neither purchase nor resale at once, depreciation instead."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from weighbridge.economics.lines import Line
from weighbridge.study.decide import Run, decide
from weighbridge.study.options import running_usd
from weighbridge.study.scenario import parse_scenario

ONE = np.ones(())
RUN = Run(n_draws=512, as_of=dt.date(2026, 11, 21), with_surface=False)


def _in_month(month: int, horizon: int = 12) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    row = np.zeros(horizon)
    row[month - 1] = 1.0
    return row


def test_capital_is_spread_and_resale_and_the_way_back_are_left_out() -> None:
    lines = [
        Line("purchase", "gpus", 4800 * ONE, _in_month(1), capital=True),
        Line("resale", "gpus", -1000 * ONE, _in_month(12), capital=True),
        Line("moving back", "exit and switching", 700 * ONE, _in_month(12)),
        Line("power", "power and hosting", 50 * ONE, np.ones(12)),
    ]
    assert running_usd(lines, 48, 12).tolist() == pytest.approx([150.0] * 12)


def test_an_option_that_is_live_for_less_than_a_year_has_no_running_cost_to_tell() -> None:
    text = """
    monthly_spend_usd: 47000
    price: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: made for the test}
    gpu: h100-sxm
    throughput: {output_tokens_per_s: 2000, n_gpus: 2, source: made for the test}
    horizon_months: 13
    """
    study = decide(parse_scenario(text), None, RUN)
    assert np.isnan(study.option("rented").steady_usd_per_month)
    assert study.option("api").steady_usd_per_month > 0


def test_an_option_that_never_goes_live_in_the_horizon_may_not_be_chosen() -> None:
    text = """
    monthly_spend_usd: 47000
    price: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: made for the test}
    gpu: h100-sxm
    throughput: {output_tokens_per_s: 2000, n_gpus: 2, source: made for the test}
    horizon_months: 2
    """
    study = decide(parse_scenario(text), None, RUN)
    assert study.option("rented").infeasible_because == (
        "would not be live within the horizon of 2 months",
    )
    assert study.option("managed").feasible
