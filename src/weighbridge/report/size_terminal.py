"""A size study on a screen of a hundred columns: best first, why others lose, what else to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from weighbridge.capacity.slo import duration_text
from weighbridge.report import size_words as words
from weighbridge.report.screen_lines import wrapped
from weighbridge.report.size_words import MONEY, usd_per_mtok
from weighbridge.report.terminal import WIDTH
from weighbridge.study.size_result import Answer, Detail, SizeStudy
from weighbridge.units.money import percent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

N_ANSWERS = 8
N_LOSERS = 6
N_PLANS = 6


def render_size(study: SizeStudy, console: Console) -> None:
    """Print the answer; everything else is in the report and the files."""
    width = min(WIDTH, console.width)
    for part in _parts(study, width):
        console.print(part, width=width, highlight=False)


def _parts(study: SizeStudy, width: int) -> list[RenderableType]:
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = [
        *wrapped("", words.headline(study), width, 3, "bold green" if study.sized else "bold red"),
        *wrapped("Asked: ", f"{study.model_name}, {study.slo}", width, 3),
        *wrapped("Traffic: ", f"{words.traffic_words(study)} ({study.traffic.source})", width, 4),
        Text(""),
    ]
    if study.sized:
        parts += [_answers(study), *_flatters(study, width), Text(""), *_best(study, width)]
    parts += _losers(study, width)
    for detail in study.details[:1]:
        parts += [Text(""), _multiples(detail), Text(""), *_ways(study, detail, width)]
    notes = (*study.warnings, *study.traffic.notes)
    if notes:
        parts.append(Text(""))
    parts += [line for note in notes for line in wrapped("Note: ", note, width, 3)]
    return parts


def _answers(study: SizeStudy) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("\nDeployment", no_wrap=True, min_width=24)
    headings = ["\nneed", "\nkept", "\nGPUs", "\nload"]
    headings += [name.replace("_", "\n") for name in study.slo_names[:3]]
    for heading in (*headings, "\n$/hour", "$/Mtok\nreserved", "at full\nload*"):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, answer in enumerate(study.sized[:N_ANSWERS]):
        table.add_row(*_row(answer), style="bold" if place == 0 else "")
    return table


def _row(answer: Answer) -> list[str]:
    assert answer.safety is not None
    assert answer.cost is not None
    assert answer.peak is not None
    safety, cost = answer.safety, answer.cost
    return [
        answer.setup.label,
        words.range_words(safety.needed).replace(" to ", "-").replace(" (", "("),
        str(safety.n_fleet_replicas),
        str(safety.n_fleet_replicas * answer.setup.n_gpus),
        percent(cost.tokens_of_full_load_frac).replace("\N{NO-BREAK SPACE}", ""),
        *(duration_text(reached) for reached in answer.peak.reached_s[:3]),
        f"{cost.usd_per_hour:,.2f}",
        usd_per_mtok(cost.reserved_usd_per_mtok)[1:],
        usd_per_mtok(cost.full_load_usd_per_mtok)[1:],
    ]


def _flatters(study: SizeStudy, width: int) -> list[Text]:
    text = (
        "need: replicas in the peak (range: error of the step time); kept: with "
        f"{percent(study.headroom_frac)} headroom and {study.n_spare_replicas} spare, paid for; "
        "load: tokens of those at full load; reserved: fleet cost over tokens served. "
        "* Flattering: no fleet with a latency target runs at full load."
    )
    return wrapped("", text, width, 3, "dim")


def _best(study: SizeStudy, width: int) -> list[Text]:
    best = study.sized[0]
    assert best.binds is not None
    lines = wrapped("Binds: ", f"{best.binds.words}; {best.binds.text}", width, 3)
    lines += wrapped("Range: ", words.slow_words(study, best), width, 5)
    lines += wrapped("A loss: ", words.loss_words(study, best), width, 3)
    basis = words.BASIS_WORDS[best.basis] if best.basis else ""
    lines += wrapped("Rests on: ", "; ".join((basis, *best.rests_on[:5])), width, 6)
    return lines


def _losers(study: SizeStudy, width: int) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    others = [answer for answer in study.answers if answer.status != "sized"]
    if not others:
        return []
    lines = [Text(""), Text("Why others are out", style="bold")]
    shown = others if not study.sized else others[:N_LOSERS]
    for answer in shown[: 2 * N_LOSERS]:
        lines += wrapped("  ", f"{answer.setup.label}: {answer.why_not}", width, 2)
    if len(others) > len(shown[: 2 * N_LOSERS]):
        n_more = len(others) - len(shown[: 2 * N_LOSERS])
        lines += wrapped("  ", f"and {n_more} more, in answers.csv", width, 1, "dim")
    return lines


def _multiples(detail: Detail) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(f"Traffic, on {detail.setup.label}", no_wrap=True)
    for ratio in detail.table.demand_ratio:
        table.add_column(f"x{ratio:g}", justify="right", no_wrap=True)
    t = detail.table
    rows = zip(t.n_replicas_low, t.n_replicas_mid, t.n_replicas_high, strict=True)
    table.add_row("replicas needed (range)", *(_range(*row) for row in rows))
    table.add_row(
        "$ a month for those", *(MONEY.short(mid) for _, mid, _ in detail.table_usd_per_month)
    )
    return table


def _range(low: float, mid: float, high: float) -> str:
    return f"{mid:.0f}" if low == high else f"{mid:.0f} ({low:.0f}-{high:.0f})"


def _ways(study: SizeStudy, detail: Detail, width: int) -> Iterable[RenderableType]:
    """What autoscaling, overflow, spot and buying would change."""
    from rich.table import Table  # noqa: PLC0415

    best = study.sized[0]
    assert best.cost is not None
    month_usd = best.cost.usd_per_month
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("Other ways to run it", no_wrap=True, min_width=26, max_width=26)
    for heading in ("$ a month", "saves"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=9)
    table.add_column("SLO", no_wrap=True, min_width=6)
    table.add_column("", overflow="fold", max_width=44)
    for item in detail.elastic:
        table.add_row(
            words.ELASTIC_WORDS[item.elastic.kind],
            MONEY.short(item.usd_per_month),
            words.saving_words(item.saving_usd_per_month, month_usd),
            "holds" if item.slo_met else "breaks",
            words.elastic_words(item),
        )
    if (api := detail.api) is not None:
        table.add_row(
            "Everything to the API",
            MONEY.short(api.usd_per_month),
            words.saving_words(api.saving_usd_per_month, month_usd),
            "",
            words.api_words(api),
        )
    for plan in detail.plans[:N_PLANS]:
        table.add_row(
            f"{plan.plan}, {plan.provider}",
            MONEY.short(plan.usd_per_month),
            words.saving_words(month_usd - plan.usd_per_month, month_usd),
            "",
            _plan_words(plan.n_gpus, plan.usd_per_gpu_hour, plan.note),
        )
    return [table, *wrapped("Spot: ", words.spot_words(detail), width, 12, "dim")]


def _plan_words(n_gpus: int, usd_per_gpu_hour: float, note: str) -> str:
    parts: Sequence[str] = (f"{n_gpus} GPUs at ${usd_per_gpu_hour:.2f}", note)
    return "; ".join(part for part in parts if part)
