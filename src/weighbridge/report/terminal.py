"""The verdict on one screen: about a hundred columns and forty-five lines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from weighbridge.charts import compared, money_of, percent, titled
from weighbridge.report.change_terminal import change_lines
from weighbridge.report.findings import break_evens_told
from weighbridge.report.screen_lines import plain as _plain
from weighbridge.report.screen_lines import wrapped as _wrapped
from weighbridge.report.words import DECISIONS, confidence_words, payback_words, quantity
from weighbridge.study.result import BandSeries, OptionResult, Study

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
N_REASONS = 3
N_STEPS = 3
N_BREAK_EVENS = 4
N_TYPES = 4
HEADLINE_LINES = 4
WITHHELD_LINES = 2
SPARK = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 8
TONES = {"stay": "bold", "not-enough-evidence": "bold yellow"}
BREAK_EVENS = {
    "volume": "volume",
    "utilization": "utilisation",
    "api_price": "API price",
    "gpu_price": "GPU price",
    "month": "in",
}


def render_terminal(study: Study, console: Console, report_path: str | None = None) -> None:
    """Print a summary that fits one screen; the full account is in the report."""
    width = min(WIDTH, console.width)
    for part in _parts(study, width, report_path):
        console.print(part, width=width, highlight=False)


def _parts(study: Study, width: int, report_path: str | None) -> list[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    verdict = study.verdict
    parts: list[RenderableType] = [
        Text.assemble(
            (DECISIONS[verdict.decision].upper(), TONES.get(verdict.decision, "bold green")),
            (f"  {confidence_words(study)}", "dim"),
        ),
        *_wrapped("", verdict.headline, width, HEADLINE_LINES, "bold"),
        Text(""),
        *_reasons(study, width),
        Text(""),
        *([_options(study)] if compared(study) else []),
        *_closed(study, width),
        Text(""),
        *_change(study, width),
        *_money_lines(study, width),
        *_types(study, width),
        *_titled("Withheld", study.withheld[:2], width, WITHHELD_LINES),
        *_titled("Measure next", verdict.measure_next[:N_STEPS], width),
        *_rerun(study, width),
    ]
    if report_path is not None:
        parts.append(Text.assemble(("Report: ", "bold"), (report_path, "underline")))
    return parts


def _change(study: Study, width: int) -> list[RenderableType]:
    """What changed since an old study, where the run was against one."""
    from rich.text import Text  # noqa: PLC0415

    if study.change is None:
        return []
    return [*change_lines(study.change, money_of(study), width), Text("")]


def _reasons(study: Study, width: int) -> list[Text]:
    lines: list[Text] = []
    for item in study.verdict.reasons[:N_REASONS]:
        lines += _wrapped("\N{BULLET} ", item.text, width, 2)
        lines += _wrapped("", f"  flips when {item.flips_when}", width, 1, "dim")
    return lines


def _options(study: Study) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    money = money_of(study)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Option", no_wrap=True, max_width=26)
    for heading in ("median", "P10 to P90", "a month", "per Mtok"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("Cheapest", "Paid back"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("By month", no_wrap=True)
    scale = _running_cost_usd(compared(study))
    for option in compared(study):
        total = option.total_usd
        table.add_row(
            Text(_plain(titled(option.label)), overflow="ellipsis"),
            money.short(total.p50),
            f"{money.short(total.p10)} to {money.short(total.p90)}",
            money.short(option.steady_usd_per_month),
            money.short(option.usd_per_mtok.p50),
            percent(option.cheapest_probability),
            payback_words(option.payback),
            sparkline(option.cash_usd_by_month, scale),
            style="bold" if option.id == study.verdict.option_id else "",
        )
    return table


def _running_cost_usd(options: Sequence[OptionResult]) -> float:
    """A height for the sparklines [USD a month] that single purchases do not set."""
    return max(float(np.quantile(option.cash_usd_by_month.p50, 0.9)) for option in options)


def sparkline(band: BandSeries, highest_usd: float) -> str:
    """Median cash by month in eight characters, on a scale from zero to `highest_usd`."""
    months = band.p50
    groups = min(SPARK_WIDTH, len(months))
    bounds = [round(index * len(months) / groups) for index in range(groups + 1)]
    marks = ""
    for start, end in itertools.pairwise(bounds):
        level = float(months[start:end].mean()) / highest_usd if highest_usd > 0 else 0.0
        marks += SPARK[min(len(SPARK) - 1, max(0, int(level * len(SPARK))))]
    return marks


def _closed(study: Study, width: int) -> list[Text]:
    """Options that cannot be chosen, gathered by what forbids them."""
    gathered: dict[str, list[str]] = {}
    for option in study.options:
        if not option.feasible:
            gathered.setdefault("; ".join(option.infeasible_because), []).append(option.label)
    sentences = [f"{', '.join(labels)}: {why}" for why, labels in gathered.items()]
    return [
        line
        for sentence in sentences[:3]
        for line in _wrapped("Not open to you: ", sentence, width, 2, "dim")
    ]


def _money_lines(study: Study, width: int) -> list[Text]:
    money = money_of(study)
    lines: list[Text] = _capacity(study, width)
    naive = study.naive
    if naive is not None:
        label = titled(study.option(naive.option_id).label)
        lines += _wrapped(
            "Hidden cost: ",
            f"{label}: {money.short(naive.naive_option_usd_per_month)} a month by simple "
            f"arithmetic, {money.short(naive.full_option_usd_per_month)} in full (API: "
            f"{money.short(naive.naive_api_usd_per_month)}, in full "
            f"{money.short(naive.full_api_usd_per_month)})",
            width,
            2,
        )
    told = break_evens_told(study)
    points = [
        f"{BREAK_EVENS[point.quantity]} {quantity(point.value, point.unit)}"
        for point in told
        if point.value is not None
    ]
    if points:
        label = titled(study.option(told[0].option_id).label)
        lines += _wrapped("Break-even: ", f"{label}: {'; '.join(points[:N_BREAK_EVENS])}", width, 2)
    return lines


def _capacity(study: Study, width: int) -> list[Text]:
    money, capacity = money_of(study), study.capacity
    if capacity is None:
        return []
    if capacity.unmet:
        return _wrapped("Capacity: ", capacity.unmet, width, 2)
    n, used = capacity.n_replicas, capacity.utilization_frac
    sentence = (
        f"{quantity(n.p50, 'count')} x {capacity.deployment} ({capacity.basis}), "
        f"{percent(used.p10)} to {percent(used.p90)} busy, "
        f"{money.short(capacity.reserved_usd_per_mtok.p50)} per Mtok at reserved capacity "
        f"({money.short(capacity.full_load_usd_per_mtok.p50)} at full load, which flatters)"
    )
    return _wrapped("Capacity: ", sentence, width, 2)


def _types(study: Study, width: int) -> list[Text]:
    money = money_of(study)
    movers = [
        f"{item.label} {money.short(item.saving_usd_per_month)}"
        for item in study.verdict.by_type
        if item.verdict in {"move", "must-move"}
    ]
    if not movers:
        return []
    rest = len(movers) - N_TYPES
    more = f"; and {rest} more" if rest > 0 else ""
    return _wrapped("Moves, saving a month: ", f"{'; '.join(movers[:N_TYPES])}{more}", width, 2)


def _titled(title: str, sentences: Sequence[str], width: int, most_lines: int = 1) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    if not sentences:
        return []
    bullets = [line for item in sentences for line in _wrapped("  ", item, width, most_lines)]
    return [Text(f"{title}:", style="bold"), *bullets]


def _rerun(study: Study, width: int) -> list[Text]:
    rerun = study.verdict.rerun
    triggers = "; ".join(rerun.triggers)
    when = rerun.on.isoformat()
    return _wrapped("Run again: ", f"{when}, or when {triggers}" if triggers else when, width, 2)
