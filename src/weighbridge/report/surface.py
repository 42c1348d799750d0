"""A break-even surface on its own: as a table and as a picture."""

from __future__ import annotations

from weighbridge.charts import Money, break_even_surface
from weighbridge.planning.verdict import LABELS
from weighbridge.report.files import csv_text, surface_table
from weighbridge.report.svg import render_svg
from weighbridge.study.result import Surface

PNG_SCALE = 2.0


def surface_csv(surface: Surface) -> str:
    """One row for each cell: both inputs, mean saving, odds, cheapest option."""
    return csv_text(*surface_table(surface))


def surface_picture(surface: Surface, suffix: str) -> bytes:
    """The surface as SVG or PNG."""
    chart = break_even_surface(surface, LABELS, Money())
    if suffix == ".svg":
        return render_svg(chart, "surface").encode()
    import vl_convert  # noqa: PLC0415  (a JavaScript engine: only who draws should pay for it)

    png: bytes = vl_convert.vegalite_to_png(dict(chart), scale=PNG_SCALE)
    return png
