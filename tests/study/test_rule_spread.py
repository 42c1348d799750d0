"""Break-even lines of the rules of thumb: each lies where paper puts it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from weighbridge.study.rule_file import Compute, load_rule_files
from weighbridge.study.rule_measures import measured
from weighbridge.study.rule_world import facts_of


@pytest.fixture(scope="module")
def curves(recomputed):
    return {curve.label: curve for curve in recomputed.spread.curves}


def like(curves, part):
    return next(curve for label, curve in curves.items() if part in label)


def test_cost_that_never_grows_breaks_even_where_the_bill_reaches_it(curves):
    curve = like(curves, "70B fleet")
    paper = 18_000 / curve.usd_per_mtok * 1e6
    assert curve.tokens_per_month == pytest.approx(paper, rel=0.02)


def test_fleet_that_grows_never_breaks_even_below_its_own_cost_of_a_token(curves):
    curve = like(curves, "growing")
    own_usd_per_mtok = 10_000 * 1.25 / 1000
    below = curve.usd_per_mtok < own_usd_per_mtok
    assert np.isnan(curve.tokens_per_month[below]).all()
    high = curve.usd_per_mtok > 1.1 * own_usd_per_mtok
    paper = 13_500 / (curve.usd_per_mtok[high] - own_usd_per_mtok) * 1e6
    many = paper > 1.1e9  # below a billion tokens its one replica is not full
    assert many.any()
    assert curve.tokens_per_month[high][many] == pytest.approx(paper[many], rel=0.02)


def test_dearer_api_is_never_left_later(curves):
    for curve in curves.values():
        there = curve.tokens_per_month[np.isfinite(curve.tokens_per_month)]
        assert there.size > 0, curve.label
        assert np.all(np.diff(there) <= 0), curve.label


def test_standby_and_staff_move_the_line_to_the_right(curves):
    bare, staffed = like(curves, "GPU and nothing else"), like(curves, "standby")
    both = np.isfinite(bare.tokens_per_month) & np.isfinite(staffed.tokens_per_month)
    assert both.any()
    assert np.all(staffed.tokens_per_month[both] > bare.tokens_per_month[both])


def test_surface_and_search_agree_on_the_central_case(checkout, recomputed, curves):
    facts = facts_of(dt.date(2026, 11, 21))
    own = next(f for f in load_rule_files(checkout / "rules_of_thumb") if f.swings)
    line = own.curves[0]
    prices = (2.0, 5.0, 10.0)
    for usd in prices:
        inputs = {k: v for k, v in line.inputs.items() if k != "model"} | {"usd_per_mtok": usd}
        compute = Compute(measure="break_even", along="tokens_per_month")
        found = measured(inputs, "full", facts, compute)
        curve = curves[line.label]
        drawn = np.interp(np.log(usd), np.log(curve.usd_per_mtok), np.log(curve.tokens_per_month))
        assert np.exp(drawn) == pytest.approx(found, rel=0.08), usd  # whole replicas make steps


def test_thresholds_of_a_bill_lie_where_the_price_puts_them(recomputed):
    at = {c.rule: c for c in recomputed.spread.claimed}
    small, large = at["bvb-hybrid-from-10k"], at["bvb-self-host-from-50k"]
    assert small.tokens_per_month[0] * small.usd_per_mtok[0] == pytest.approx(10_000 * 1e6)
    assert large.tokens_per_month[0] / small.tokens_per_month[0] == pytest.approx(5)
    assert at["az-break-even-5-10b"].tokens_per_month == (5e9, 10e9)
    assert at["tldr-served-25"].tokens_per_month[0] == pytest.approx(1.95e9)


def test_swings_bracket_the_central_case(recomputed):
    base = recomputed.spread.base.tokens_per_month
    for moved in recomputed.spread.moved:
        tokens = [pays.tokens_per_month for pays in moved.pays_from]
        assert min(tokens) < max(tokens), moved.label
        assert min(tokens) <= base * (1 + 1e-6), moved.label
        assert base <= max(tokens) * (1 + 1e-6), moved.label


def test_bill_told_beside_a_volume_is_at_the_price_of_the_model(recomputed):
    base = recomputed.spread.base
    gpt_4o_usd_per_mtok = 0.75 * 2.5 + 0.25 * 10
    paper = base.tokens_per_month / 1e6 * gpt_4o_usd_per_mtok
    assert base.bill_usd_per_month == pytest.approx(paper)
