"""Charts say what the study says: as Altair reads them, and number by number."""

import dataclasses
import itertools
import json

import altair
import jsonschema
import numpy as np
import pytest

from weighbridge import charts
from weighbridge.charts.composition import kind_totals_usd
from weighbridge.charts.theme import KIND_OF_CATEGORY, KINDS, STROKES
from weighbridge.economics.lines import CATEGORIES
from weighbridge.study.result import NaiveStep

VARIANTS = (
    "full",
    "without_log",
    "without_surface",
    "not_enough_evidence",
    "with_infeasible_options",
    "in_euro",
    "hostile",
)


def all_charts(study):
    money = charts.money_of(study)
    labels = {option.id: option.label for option in study.options}
    made = {
        "monthly": charts.monthly_cost(study),
        "cumulative": charts.cumulative_cost(study),
        "stack": charts.cost_stack(study),
        "utilization": charts.utilization(study),
        "tornado": charts.tornado(study),
        "information": charts.information_value(study.information, money),
    }
    if study.capacity:
        made["replicas"] = charts.replicas_by_demand(study.capacity)
    if study.surface:
        made["surface"] = charts.break_even_surface(study.surface, labels, money)
    if study.naive:
        made["waterfall"] = charts.naive_waterfall(study.naive, labels["hybrid"], money)
    if study.profile:
        made["concentration"] = charts.concentration(study.profile.concentration)
        made["week"] = charts.week_rhythm(study.profile.hourly_tokens, "tokens")
    return {name: chart for name, chart in made.items() if chart is not None}


def data_of(node):
    """All inline rows of a chart, whatever layer they lie in."""
    if isinstance(node, dict):
        if isinstance(node.get("data"), dict) and "values" in node["data"]:
            yield node["data"]["values"]
        for child in node.values():
            yield from data_of(child)
    elif isinstance(node, list):
        for child in node:
            yield from data_of(child)


def rows_with(chart, *fields):
    return [row for rows in data_of(chart) for row in rows if set(fields) <= set(row)]


def with_few_rows(node):
    """The chart with two rows of data a layer: validation walks every row, and slowly."""
    if isinstance(node, dict):
        few = {key: with_few_rows(child) for key, child in node.items()}
        return {**few, "values": node["values"][:2]} if "values" in node else few
    return [with_few_rows(child) for child in node] if isinstance(node, list) else node


def test_altair_accepts_every_chart(study):
    for chart in all_charts(study).values():
        altair.Chart.from_dict(with_few_rows(chart), validate=True)


def test_altair_would_refuse_a_broken_chart(study):
    broken = {**with_few_rows(charts.cost_stack(study)), "width": {"wrong": True}}
    with pytest.raises(jsonschema.ValidationError):
        altair.Chart.from_dict(broken, validate=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_charts_of_every_study_are_plain_finite_json_that_say_what_they_show(studies, variant):
    for chart in all_charts(studies[variant]).values():
        json.dumps(chart, allow_nan=False)
        assert len(chart["description"]) > 30


def test_the_same_study_gives_the_same_charts(study):
    assert all_charts(study) == all_charts(study)


def test_monthly_panels_hold_each_option_with_its_band(study):
    chart = charts.monthly_cost(study)
    assert [panel["title"]["text"] for panel in chart["concat"]] == [
        option.label for option in study.options
    ]
    for panel, option in zip(chart["concat"], study.options, strict=True):
        rows = panel["data"]["values"]
        assert [row["low"] for row in rows] == option.cash_usd_by_month.p10.tolist()
        assert [row["high"] for row in rows] == option.cash_usd_by_month.p90.tolist()


def test_a_purchase_cut_off_by_the_common_scale_is_written_out(study):
    texts = [row["text"] for row in rows_with(charts.monthly_cost(study), "at", "text")]
    owned = study.option("owned").cash_usd_by_month.p50
    assert any(f"{owned.max() / 1e3:.0f}k in month 2" in text for text in texts)


def test_charts_are_drawn_in_the_reporting_currency(studies):
    dollars = charts.cost_stack(studies["full"])
    euros = charts.cost_stack(studies["in_euro"])
    pairs = zip(rows_with(dollars, "cost"), rows_with(euros, "cost"), strict=True)
    assert all(np.isclose(euro["cost"], 0.92 * dollar["cost"]) for dollar, euro in pairs)
    assert "€" in json.dumps(euros, ensure_ascii=False)


def test_payback_rings_stand_at_the_payback_months(study):
    rings = rows_with(charts.cumulative_cost(study), "paid")
    months = {option.payback.plain_month for option in study.options if option.payback}
    assert {row["month"] for row in rings} == months
    assert {row["text"] for row in rings if row["text"]} == {"pays back: month 9"}


def test_options_that_cannot_be_chosen_are_not_drawn(studies):
    chart = charts.cumulative_cost(studies["with_infeasible_options"])
    assert {row["option"] for row in rows_with(chart, "option")} == {"Hosted API"}


def test_the_stack_adds_up_to_the_lines(study):
    for option in study.options:
        total = sum(line.total_usd for line in option.lines)
        assert np.isclose(sum(kind_totals_usd(option.lines).values()), total)


def test_every_cost_category_has_a_kind_and_every_kind_a_colour():
    assert set(KIND_OF_CATEGORY) == set(CATEGORIES)
    assert set(KIND_OF_CATEGORY.values()) <= set(KINDS)


def test_waterfall_steps_lead_from_the_naive_figure_to_the_full_one(study):
    steps = charts.naive_steps(study.naive)
    reached = study.naive.naive_option_usd_per_month + sum(change for _, change in steps)
    assert np.isclose(reached, study.naive.full_option_usd_per_month)
    assert "Not itemised" not in dict(steps)


def test_what_no_step_explains_is_shown_as_not_itemised(study):
    short = dataclasses.replace(study.naive, steps=study.naive.steps[:-2])
    missing = sum(s.full_usd_per_month - s.naive_usd_per_month for s in study.naive.steps[-2:])
    steps = charts.naive_steps(short)
    assert steps[-1][0] == "Not itemised"
    assert np.isclose(steps[-1][1], missing)


def test_steps_that_change_nothing_are_left_out(study):
    same = (NaiveStep("same", 5.0, 5.0), *study.naive.steps)
    steps = charts.naive_steps(dataclasses.replace(study.naive, steps=same))
    assert "same" not in dict(steps)


def test_surface_cells_cover_the_grid_and_agree_with_the_saving(study):
    surface = study.surface
    chart = charts.break_even_surface(surface, {}, charts.Money())
    cells = rows_with(chart, "class")
    rng = np.random.default_rng(7)
    for row, column in rng.integers(0, 50, (60, 2)):
        x, y = surface.x[column], surface.y[row]
        hits = [c for c in cells if c["x"] <= x < c["x2"] and c["y"] <= y < c["y2"]]
        assert len(hits) == 1
        assert hits[0]["class"].startswith("Saves") == (surface.saving_usd[row, column] > 0)


def test_missing_cells_of_a_surface_stay_blank(study):
    saving = study.surface.saving_usd.copy()
    saving[:, :25] = np.nan
    surface = dataclasses.replace(study.surface, saving_usd=saving)
    cells = rows_with(charts.break_even_surface(surface, {}, charts.Money()), "class")
    assert min(cell["x"] for cell in cells) > surface.x[23]


def test_you_are_here_is_drawn_only_where_here_is_on_the_surface(study):
    money = charts.Money()
    here = json.dumps(charts.break_even_surface(study.surface, {}, money))
    outside = dataclasses.replace(study.surface, here_x=1e15)
    assert "you are here" in here
    assert not charts.is_on(outside)
    assert "you are here" not in json.dumps(charts.break_even_surface(outside, {}, money))


def test_tornado_ends_stand_at_the_savings_and_flips_are_told_apart(study):
    chart = charts.tornado(study)
    ends = rows_with(chart, "end", "saving")
    first = study.tornado[0]
    mine = {row["end"]: row["saving"] for row in ends if row["label"] == first.label}
    assert mine["input low (P10)"] == first.saving_at_low_usd
    assert mine["input high (P90)"] == first.saving_at_high_usd
    spans = {row["label"]: row["colour"] for row in rows_with(chart, "from", "to")}
    flipping = {spans[bar.label] for bar in study.tornado if charts.flips(bar)}
    steady = {spans[bar.label] for bar in study.tornado if not charts.flips(bar)}
    assert not flipping & steady


def test_hours_without_data_are_marked_and_not_drawn_as_quiet(studies):
    hourly = studies["not_enough_evidence"].profile.hourly_tokens
    chart = charts.week_rhythm(hourly, "tokens")
    valued = rows_with(chart, "value")
    assert len(valued) == np.isfinite(hourly).sum() == 1
    assert len(rows_with(chart, "day")) == 168
    assert "1 of 168 hours" in chart["description"]


def test_a_week_without_a_single_rate_gives_no_heat_map():
    assert charts.week_rhythm(np.full(168, np.nan), "tokens") is None


def test_concentration_marks_the_eighty_percent_point(study):
    chart = charts.concentration(study.profile.concentration)
    texts = {row["text"] for row in rows_with(chart, "text")}
    assert texts == {"Tokens: 4 of 8", "Cost: 3 of 8"}


def test_nothing_to_draw_gives_no_chart(studies):
    bare = studies["without_surface"]
    assert charts.tornado(bare) is None
    assert charts.information_value((), charts.Money()) is None
    assert charts.concentration(()) is None
    assert charts.utilization(dataclasses.replace(bare, options=bare.options[:2])) is None


def luminance(colour):
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_option_colours_can_be_read_on_white_and_dashes_tell_them_apart_in_grey():
    for stroke in STROKES.values():
        assert 1.05 / (luminance(stroke.colour) + 0.05) >= 3.5
    for one, other in itertools.combinations(STROKES.values(), 2):
        assert one.colour != other.colour
        greys = abs(luminance(one.colour) - luminance(other.colour))
        assert one.dash != other.dash or greys > 0.04
