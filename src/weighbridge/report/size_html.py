"""A size study as one self-contained page: everything inline, no script, nothing fetched."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from weighbridge.capacity.binding import WORDS
from weighbridge.capacity.slo import duration_text
from weighbridge.charts import sizing
from weighbridge.charts.theme import Chart, stroke_of, titled
from weighbridge.report import size_words
from weighbridge.report.page import page_environment
from weighbridge.report.svg import render_svg
from weighbridge.study.size_result import SizeStudy
from weighbridge.units.money import percent, short_number

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_ROWS = 60


def render_size_html(study: SizeStudy) -> str:
    """The whole answer as one page that opens offline and prints."""
    from markupsafe import Markup  # noqa: PLC0415

    drawn = {
        name: Markup(render_svg(chart, name)) if chart else ""  # noqa: S704  (Vega escapes text)
        for name, chart in _charts(study).items()
    }
    page: str = (
        _environment()
        .get_template("size.html.j2")
        .render(
            study=study,
            best=study.sized[0] if study.sized else None,
            detail=study.details[0] if study.details else None,
            charts=drawn,
        )
    )
    return page


def _charts(study: SizeStudy) -> dict[str, Chart | None]:
    return {
        "frontier": sizing.latency_frontier(study),
        "replicas": sizing.replicas_by_traffic(study),
        "load": sizing.load_over_time(study),
        "cost": sizing.cost_per_mtok(study),
        "plans": sizing.plans_by_cost(study),
    }


@cache
def _environment() -> Environment:
    environment = page_environment("size.html.j2")
    environment.filters["percent"] = percent
    environment.filters["titled"] = titled  # the parts are shared with the other page
    environment.filters["number"] = short_number
    environment.globals.update(
        stroke_of=stroke_of,
        words=size_words,
        money=size_words.MONEY.short,
        mtok=size_words.usd_per_mtok,
        duration=duration_text,
        MOST_ROWS=MOST_ROWS,
        RESOURCES=WORDS,
    )
    return environment
