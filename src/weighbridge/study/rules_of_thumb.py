"""Published rules of thumb, held against what the engine computes from their own inputs."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from weighbridge.study.pose import Facts
from weighbridge.study.rule_file import (
    Published,
    Reader,
    Rule,
    RuleFile,
    Value,
    load_rule_files,
    priced_on,
)
from weighbridge.study.rule_measures import measured
from weighbridge.study.rule_spread import Spread, spread_of
from weighbridge.study.rule_world import Scalars, facts_of, rent_band_usd_per_gpu_hour

Verdict = Literal["holds", "roughly", "fails", "not derivable"]
VERDICTS: tuple[Verdict, ...] = ("holds", "roughly", "fails", "not derivable")
HOLDS_WITHIN_FRAC = 0.05
ROUGHLY_WITHIN_FRAC = 0.25


@dataclass(frozen=True, slots=True)
class Computed:
    """What the engine makes of the inputs: lowest and highest over their ranges."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One claim with its verdict; nothing computed where an input is missing."""

    rule: Rule
    computed: Computed | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ArticleResult:
    """Every claim of one article."""

    file: RuleFile
    results: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """All that the page of rules is made from."""

    as_of: dt.date
    articles: tuple[ArticleResult, ...]
    spread: Spread
    readers: tuple[Reader, ...]

    @property
    def results(self) -> tuple[RuleResult, ...]:
        """Every claim of every article."""
        return tuple(result for article in self.articles for result in article.results)


def recompute(folder: Path) -> Recomputed:
    """Load every rule of a folder and run it, at the catalog's prices of the day stated there."""
    files = load_rule_files(folder)
    as_of = priced_on(files)
    facts = facts_of(as_of)
    readers = tuple(reader for file in files for reader in file.readers)
    return Recomputed(as_of, run_rules(files, facts), spread_of(files, facts), readers)


def run_rules(files: tuple[RuleFile, ...], facts: Facts) -> tuple[ArticleResult, ...]:
    """Every rule of every file, computed and held against its figure in print."""
    return tuple(
        ArticleResult(file, tuple(run_rule(rule, facts) for rule in file.rules))
        for file in files
        if file.rules
    )


def run_rule(rule: Rule, facts: Facts) -> RuleResult:
    """One rule over every corner of its inputs' ranges."""
    if rule.compute is None or rule.published is None:
        return RuleResult(rule, None, "not derivable")
    figures = [_figure(rule, corner, facts) for corner in _corners(rule, facts)]
    computed = Computed(min(figures), max(figures))
    return RuleResult(rule, computed, verdict_of(computed, rule.published))


def verdict_of(computed: Computed, published: Published) -> Verdict:
    """Whether all that was computed lies inside the figures in print, widened by a tolerance.

    Examples
    --------
    >>> verdict_of(Computed(96.0, 104.0), Published(unit="usd", value=100.0))
    'holds'
    >>> verdict_of(Computed(80.0, 120.0), Published(unit="usd", low=100.0, high=110.0))
    'roughly'
    >>> verdict_of(Computed(80.0, 140.0), Published(unit="usd", low=100.0, high=110.0))
    'fails'
    """
    bands: tuple[tuple[float, Verdict], ...] = (
        (HOLDS_WITHIN_FRAC, "holds"),
        (ROUGHLY_WITHIN_FRAC, "roughly"),
    )
    low, high = published.ends
    for within, verdict in bands:
        if low - within * abs(low) <= computed.low and computed.high <= high + within * abs(high):
            return verdict
    return "fails"


@dataclass(frozen=True, slots=True)
class Corner:
    """One choice of an end for every range: the rule's inputs, and what the other world changes."""

    values: Scalars
    against: Scalars


def _figure(rule: Rule, corner: Corner, facts: Facts) -> float:
    assert rule.compute is not None
    compute = msgspec.structs.replace(rule.compute, against=dict(corner.against))
    figure = measured(corner.values, rule.world, facts, compute)
    if compute.express == "value":
        return figure
    other = msgspec.structs.replace(
        compute,
        option=compute.against_option or compute.option,
        categories=compute.against_categories or compute.categories,
    )
    base = measured({**corner.values, **corner.against}, rule.world, facts, other)
    ratio = figure / base
    told = {"ratio": ratio, "change": ratio - 1, "saving": 1 - ratio, "difference": figure - base}
    return told[compute.express]


def _corners(rule: Rule, facts: Facts) -> Iterator[Corner]:
    """Every combination of the ends of the ranges.

    The engine is monotone in each input of these rules, so the extremes lie at corners.
    """
    spans = _ranges(rule, facts)
    for ends in itertools.product(*spans.values()):
        at = dict(zip(spans, ends, strict=True))
        yield Corner(
            {name: value for (world, name), value in at.items() if world == "here"},
            {name: value for (world, name), value in at.items() if world == "there"},
        )


def _ranges(rule: Rule, facts: Facts) -> dict[tuple[str, str], tuple[float | str, ...]]:
    """Values that each input takes: its two ends, or the one value that it has."""
    spans: dict[tuple[str, str], tuple[float | str, ...]] = {}
    worlds: tuple[tuple[str, dict[str, Value]], ...] = (
        ("here", rule.values()),
        ("there", rule.against()),
    )
    for world, values in worlds:
        for name, value in values.items():
            spans[world, name] = value if isinstance(value, tuple) else (value,)
        rented = "gpu" in values and rule.world == "bare" and "gpu_usd_per_gpu_hour" not in values
        if rented:
            band = rent_band_usd_per_gpu_hour(facts, str(values["gpu"]))
            spans[world, "gpu_usd_per_gpu_hour"] = band
    return spans
