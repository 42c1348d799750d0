"""Rows of the report's tables: figures laid out, in US dollars, before they are written as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.charts import compared
from weighbridge.study.result import AssumptionUsed, Band, CostLine, Floats, OptionResult, Study

MONTHS_A_QUARTER = 3
ORIGINS = ("command line", "scenario", "log", "catalog", "default")
ORIGIN_WORDS = {
    "command line": "Yours, on the command line",
    "scenario": "Yours, in the scenario",
    "log": "Measured in your log",
    "catalog": "From the catalog: dated, sourced facts",
    "default": "Defaults: published ranges and judgement",
}


@dataclass(frozen=True, slots=True)
class Whisker:
    """A band as a bar: where it starts, how wide it is and where its middle stands [%]."""

    left: float
    width: float
    middle: float


def whisker(band: Band, highest_usd: float) -> Whisker:
    """A band drawn on a scale from zero to `highest_usd`."""
    scale = 100 / highest_usd if highest_usd > 0 else 0.0
    low, middle, high = (max(0.0, value) for value in (band.p10, band.p50, band.p90))
    return Whisker(low * scale, (high - low) * scale, middle * scale)


def highest_total_usd(study: Study) -> float:
    """Highest P90 total of all options that can be chosen [USD]."""
    return max((option.total_usd.p90 for option in compared(study)), default=0.0)


@dataclass(frozen=True, slots=True)
class CategoryRows:
    """Lines of one category of cost."""

    category: str
    lines: tuple[CostLine, ...]
    total_usd: float


def by_category(lines: Sequence[CostLine]) -> tuple[CategoryRows, ...]:
    """Lines gathered by category, in order of first appearance."""
    gathered: dict[str, list[CostLine]] = {}
    for line in lines:
        gathered.setdefault(line.category, []).append(line)
    return tuple(
        CategoryRows(category, tuple(members), sum(line.total_usd for line in members))
        for category, members in gathered.items()
    )


def quarter_sums_usd(by_month: Floats) -> list[float]:
    """Sums of three months each [USD]; the last quarter may be shorter."""
    starts = range(0, len(by_month), MONTHS_A_QUARTER)
    return [float(by_month[start : start + MONTHS_A_QUARTER].sum()) for start in starts]


def central_cash_usd(option: OptionResult) -> Floats:
    """Cash by month in the central case [USD]: the sum of the option's lines."""
    cash: Floats = np.sum([line.usd_by_month for line in option.lines], axis=0)
    return cash


def committed_options(study: Study) -> tuple[OptionResult, ...]:
    """Options that leave something owed in some month."""
    return tuple(
        option
        for option in compared(study)
        if option.commitment_liability_usd_by_month.any()
        or option.cancellation_exposure_usd_by_month.any()
    )


def by_origin(
    assumptions: Sequence[AssumptionUsed],
) -> tuple[tuple[str, tuple[AssumptionUsed, ...]], ...]:
    """Assumptions gathered by origin, what was changed first."""
    groups = (
        (ORIGIN_WORDS[origin], tuple(row for row in assumptions if row.origin == origin))
        for origin in ORIGINS
    )
    return tuple((words, members) for words, members in groups if members)
