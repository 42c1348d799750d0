"""Every default of the cost model is a row that can be trusted, read and overridden."""

import pytest

from weighbridge.catalog import assumptions
from weighbridge.catalog.assumptions import SOURCES, assumptions_digest, load_assumptions
from weighbridge.economics.distributions import Banded
from weighbridge.units import CatalogError, unit_of

ROWS = load_assumptions()
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def test_there_are_as_many_rows_as_the_model_has_inputs():
    assert len(ROWS) > 80
    assert [row.name for row in ROWS.values()] == list(ROWS)


@each_row
def test_the_name_carries_the_unit(row):
    assert row.unit == unit_of(row.name)


@each_row
def test_the_band_is_in_order_and_inside_the_bounds_of_its_meaning(row):
    assert row.p10 <= row.p50 <= row.p90
    assert row.min is None or row.min <= row.p10
    assert row.max is None or row.p90 <= row.max
    Banded(row.p10, row.p50, row.p90, row.min, row.max)


@each_row
def test_the_source_is_named_in_full(row):
    assert row.label
    assert row.group
    assert row.source
    for short in SOURCES:
        assert short not in row.source.split(), row.source


@each_row
def test_an_event_has_odds_and_no_band_and_the_rest_has_no_odds(row):
    assert row.event == row.name.endswith("_event")
    if row.event:
        assert 0 < row.probability < 1
        assert (row.p10, row.p50, row.p90, row.min, row.max) == (0, 0, 0, 0, 1)
    else:
        assert row.probability == 0


@each_row
def test_what_is_one_number_for_all_draws_has_no_band(row):
    if row.fixed:
        assert row.p10 == row.p50 == row.p90


@each_row
def test_fractions_stay_below_one_unless_more_makes_sense(row):
    if row.name.endswith("_frac") and row.max is not None and row.max > 1:
        assert row.name in {
            "api_overhead_frac",
            "headroom_frac",
            "supporting_infrastructure_frac",
            "specialist_premium_frac",
        }


def test_the_digest_is_of_the_file_and_stays_the_same():
    assert len(assumptions_digest()) == 64
    assert assumptions_digest() == assumptions_digest()


def test_a_row_named_twice_raises(monkeypatch):
    row = "{name: storage_gb, label: x, source: s, note: ''}"
    text = f"- group: g\n  rows:\n  - {row}\n  - {row}\n"
    monkeypatch.setattr(assumptions, "_text", lambda: text)
    with pytest.raises(CatalogError, match="twice"):
        load_assumptions.__wrapped__()


def test_a_row_whose_name_has_no_unit_raises(monkeypatch):
    text = "- group: g\n  rows:\n  - {name: price, label: x, source: s, note: ''}\n"
    monkeypatch.setattr(assumptions, "_text", lambda: text)
    rows = load_assumptions.__wrapped__()
    with pytest.raises(CatalogError, match="price carries no unit"):
        _ = rows["price"].unit
