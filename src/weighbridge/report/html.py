"""One self-contained HTML file: everything inline, no script, nothing fetched."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from weighbridge import charts
from weighbridge.capacity.slo import duration_text
from weighbridge.report import tables, words
from weighbridge.report.change_terminal import told_parts
from weighbridge.report.findings import findings
from weighbridge.report.page import page_environment
from weighbridge.report.svg import render_svg
from weighbridge.study.result import Study
from weighbridge.units.durations import length_words

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_ROWS = 60
MOST_TRIED = 12
CHARTS = ("monthly", "cumulative", "stack", "surface", "waterfall", "concentration", "week")


def render_html(study: Study) -> str:
    """The whole report as one page that opens offline and prints."""
    from markupsafe import Markup  # noqa: PLC0415

    money = charts.money_of(study)
    drawn = {
        name: Markup(render_svg(chart, name)) if chart else ""  # noqa: S704  (Vega escapes text)
        for name, chart in _charts(study).items()
    }
    page: str = (
        _environment()
        .get_template("report.html.j2")
        .render(
            study=study,
            verdict=study.verdict,
            chosen=_chosen(study),
            rival=charts.rival_of(study),
            charts=drawn,
            found=findings(study),
            money=money.short,
            signed=money.signed,
            naive_steps=charts.naive_steps(study.naive) if study.naive else (),
            money_of=money,
        )
    )
    return page


def _chosen(study: Study) -> Any:
    """The option that the verdict names; None where there is not enough evidence for one."""
    if study.verdict.decision == "not-enough-evidence" or not study.options:
        return None
    return study.option(study.verdict.option_id)


def _charts(study: Study) -> dict[str, charts.Chart | None]:
    money = charts.money_of(study)
    labels = {option.id: option.label for option in study.options}
    made: dict[str, charts.Chart | None] = {
        **dict.fromkeys(CHARTS),
        "utilization": charts.utilization(study),
        "tornado": charts.tornado(study),
        "information": charts.information_value(study.information, money),
    }
    if charts.compared(study):
        made["monthly"] = charts.monthly_cost(study)
        made["cumulative"] = charts.cumulative_cost(study)
        made["stack"] = charts.cost_stack(study)
    if study.capacity is not None:
        made["replicas"] = charts.replicas_by_demand(study.capacity)
    if study.surface is not None:
        made["surface"] = charts.break_even_surface(study.surface, labels, money)
    if study.naive is not None:
        label = labels[study.naive.option_id]
        made["waterfall"] = charts.naive_waterfall(study.naive, label, money)
    if study.profile is not None:
        made["concentration"] = charts.concentration(study.profile.concentration)
        made["week"] = charts.week_rhythm(study.profile.hourly_tokens, "tokens")
    return made


@cache
def _environment() -> Environment:
    """Templates with autoescape on, and the few words that they may use."""
    environment = page_environment("report.html.j2")
    environment.filters["percent"] = charts.percent
    environment.filters["titled"] = charts.titled
    environment.filters["number"] = charts.short_number
    environment.globals.update(
        quantity=words.quantity,
        spread=words.spread,
        payback_words=words.payback_words,
        length_words=length_words,
        confidence_words=words.confidence_words,
        won=words.won,
        duration_text=duration_text,
        DECISIONS=words.DECISIONS,
        BASES=words.BASES,
        LATENCIES=words.LATENCIES,
        STATISTICS=words.STATISTICS,
        TYPE_VERDICTS=words.TYPE_VERDICTS,
        BREAK_EVENS=words.BREAK_EVENS,
        stroke_of=charts.stroke_of,
        compared=charts.compared,
        is_on=charts.is_on,
        worth_knowing=charts.worth_knowing,
        tables=tables,
        told_parts=told_parts,
        MOST_ROWS=MOST_ROWS,
        MOST_TRIED=MOST_TRIED,
    )
    return environment
