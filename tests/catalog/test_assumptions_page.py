"""The page of assumptions says what the data file says."""

from __future__ import annotations

from pathlib import Path

from weighbridge.catalog.assumptions import assumptions_markdown, load_assumptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "assumptions.md"


def test_page_is_made_from_the_data_and_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == assumptions_markdown(), "run: make docs"


def test_every_row_has_a_unit_a_source_and_an_ordered_band_inside_its_bounds() -> None:
    for row in load_assumptions().values():
        assert row.unit
        assert row.source
        assert row.p10 <= row.p50 <= row.p90, row.name
        assert row.min is None or row.p10 >= row.min, row.name
        assert row.max is None or row.p90 <= row.max, row.name
        assert not row.event or 0 < row.probability < 1, row.name
        assert not row.fixed or row.p10 == row.p90, row.name
