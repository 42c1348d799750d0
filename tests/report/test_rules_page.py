"""The page of rules of thumb: fresh, whole, and every command on it can be typed."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from weighbridge.charts.label_places import Rectangle
from weighbridge.charts.rules_of_thumb import drawn_boxes, drawn_lines, label_rectangles
from weighbridge.cli import weighbridge
from weighbridge.report.rules_page import (
    PAGE,
    PLOT,
    drawn_from,
    rules_markdown,
    rules_svg,
    write_rules_page,
)
from weighbridge.study.rules_of_thumb import VERDICTS


@pytest.fixture(scope="module")
def page(recomputed):
    return rules_markdown(recomputed)


def test_page_is_made_from_the_rules_and_up_to_date(checkout: Path, page):
    assert (checkout / "docs" / PAGE).read_text("utf-8") == page, "run: make docs"


def test_plot_is_drawn_from_the_rules_and_up_to_date(checkout: Path, recomputed):
    drawing = (checkout / "docs" / PLOT).read_text("utf-8")
    assert drawing.endswith(f"<!-- {drawn_from(recomputed)} -->\n"), "run: make docs"


def test_plot_draws_every_line_and_threshold(recomputed):
    drawing = rules_svg(recomputed)
    for words in (
        *(curve.label for curve in recomputed.spread.curves),
        *(claim.label for claim in recomputed.spread.claimed),
    ):
        assert words in drawing.replace("&apos;", "'"), words
    assert "NaN" not in drawing
    assert "undefined" not in drawing


def test_every_claim_stands_in_one_table(recomputed, page):
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for result in recomputed.results:
        claim = f"{result.rule.claim}."
        told = [row for row in rows if row.startswith(f"| {claim}") or f"| {claim} |" in row]
        assert len(told) == 1, claim


def test_counts_at_the_top_are_those_of_the_tables(recomputed, page):
    top = page.split("##")[0]
    for verdict in VERDICTS:
        n = sum(result.verdict == verdict for result in recomputed.results)
        assert f"{verdict}: **{n}**" in top


def test_tables_are_even_and_no_figure_is_missing(page):
    width = None
    for line in page.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.split(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, line
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|e\+\d\d", page)


def test_commands_for_readers_are_ones_that_the_program_takes(recomputed):
    assert recomputed.readers
    for reader in recomputed.readers:
        name, command_name, *arguments = shlex.split(reader.command)
        assert name == "weighbridge"
        context = click.Context(weighbridge)
        command = weighbridge.get_command(context, command_name)
        assert command is not None, reader.command
        command.make_context(command_name, arguments, parent=context)


def test_writing_puts_page_and_plot_beside_each_other(checkout: Path, tmp_path: Path, page):
    (tmp_path / "images").mkdir()
    write_rules_page(checkout / "rules_of_thumb", tmp_path)
    assert (tmp_path / PAGE).read_text("utf-8") == page
    assert f"]({PLOT})" in page
    assert (tmp_path / PLOT).is_file()


def test_no_label_on_the_plot_lies_over_a_line_a_box_or_another_label(recomputed):
    spread = recomputed.spread
    places = label_rectangles(spread)
    for i, at in enumerate(places):
        assert not any(line_crosses(at, line) for line in drawn_lines(spread)), spread.claimed[i]
        assert not any(at.meets(box) for box in drawn_boxes(spread)), spread.claimed[i]
        assert not any(at.meets(other) for other in places[i + 1 :]), spread.claimed[i]


def line_crosses(at: Rectangle, line: np.ndarray) -> bool:
    """Whether any stretch of a line passes through a rectangle, by a hundred points of each."""
    steps = np.linspace(0.0, 1.0, 100)[:, None]
    return any(at.covers(a + steps * (b - a)) for a, b in itertools.pairwise(line))


def test_page_says_that_the_people_of_its_lowest_bill_are_free(recomputed, page):
    people = next(m for m in recomputed.spread.moved if "people" in m.label)
    first = next(reader for reader in recomputed.readers if reader.rule == "bvb-api-below-10k")
    assert min(pays.bill_usd_per_month for pays in people.pays_from) < 10_000
    assert "nobody free" in first.you
    assert "People who are free cost the sum nothing" in page
