"""Samples of a scrape: the Prometheus text format, and aiperf's export of what it scraped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.bench.fields import Fields

_LINE = re.compile(r"([A-Za-z_:][\w:]*)\s*(?:\{(.*)\})?\s+([^\s{}]+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_PREFIX = "vllm:"
MAX_COUNT = 2.0**53

Labels = dict[str, str]


@dataclass(slots=True)
class Buckets:
    """One histogram, or the sum of several with the same edges."""

    total: float = 0.0
    count: float = 0.0
    below: dict[float, float] = field(default_factory=dict)


@dataclass(slots=True)
class Scrape:
    """What a scrape holds of one engine: names without `_total`, `_bucket`, `_sum`, `_count`."""

    where: str
    values: dict[str, list[tuple[Labels, float]]] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=dict)
    duration_s: float | None = None
    is_averaged: bool = False

    def add(self, name: str, labels: Labels, value: float) -> None:
        """Take in one sample."""
        for ending in ("_bucket", "_sum", "_count"):
            if name.endswith(ending):
                self._count(name.removesuffix(ending), ending, labels, value)
                return
        self.values.setdefault(name.removesuffix("_total"), []).append((labels, value))

    def _count(self, name: str, ending: str, labels: Labels, value: float) -> None:
        buckets = self.histograms.setdefault(name, Buckets())
        if ending == "_sum":
            buckets.total += value
        elif ending == "_count":
            buckets.count += value
        else:
            edge = edge_of(self.where, name, labels.get("le", ""))
            buckets.below[edge] = buckets.below.get(edge, 0.0) + value

    def sum_of(self, name: str, **wanted: str) -> float | None:
        """Sum over the series with these labels, None where there is none."""
        found = [
            value
            for labels, value in self.values.get(_PREFIX + name, ())
            if all(labels.get(key) == text for key, text in wanted.items())
        ]
        if not found:
            return None
        total = sum(found)
        if not 0 <= total < MAX_COUNT:
            raise InputError(
                self.where, _PREFIX + name, "is no count", "save the /metrics page whole"
            )
        return total

    def labels_of(self, name: str) -> Iterable[Labels]:
        """Labels of each series of a name."""
        return (labels for labels, _ in self.values.get(_PREFIX + name, ()))

    def buckets_of(self, name: str) -> Buckets | None:
        """A histogram of the engine."""
        return self.histograms.get(_PREFIX + name)


def edge_of(where: str, name: str, text: str) -> float:
    """Upper edge of a bucket."""
    try:
        edge = float(text)
    except ValueError:
        edge = math.nan
    if math.isnan(edge):
        raise InputError(where, name, "has a bucket without an edge", "give the scrape whole")
    return edge


def parse_text(path: Path, text: str) -> Scrape:
    """Samples of a /metrics page; only those of the engine are kept."""
    scrape = Scrape(str(path))
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        value = None if found is None else _value(found[3])
        if found is None or value is None:
            raise InputError(
                f"{path}:{number}",
                "",
                "is no sample of the Prometheus text format",
                "save the /metrics page as it is, to its end",
            )
        if found[1].startswith(_PREFIX):
            scrape.add(found[1], _labels(f"{path}:{number}", found[2] or ""), value)
    return scrape


def _value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _labels(where: str, text: str) -> Labels:
    labels: Labels = {}
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            raise InputError(where, "", "has labels that are cut off", "save the page to its end")
        labels[found[1]] = re.sub(r"\\[\\\"n]", lambda m: _ESCAPES[m[0]], found[2])
        at = found.end()
    return labels


def parse_aiperf(export: Fields) -> Scrape:
    """What aiperf saw change between its first and last scrape."""
    scrape = Scrape(export.where, is_averaged=True)
    export.within("metrics")
    for name in export.at("metrics"):
        if name.startswith(_PREFIX):
            _add_metric(scrape, export, name)
    endpoints = export.at("summary.endpoint_info")
    spans_s = [
        Fields(export.where, one, "summary.endpoint_info").number("duration_seconds")
        for one in (endpoints.values() if isinstance(endpoints, dict) else ())
    ]
    scrape.duration_s = max((span_s for span_s in spans_s if span_s is not None), default=None)
    return scrape


def _add_metric(scrape: Scrape, export: Fields, name: str) -> None:
    metric = Fields(export.where, export.at("metrics")[name], f"metrics.{name}")
    kind = metric.text("type")
    for series in metric.objects("series"):
        labels = series.at("labels")
        labels = labels if isinstance(labels, dict) else {}
        labels = {key: value for key, value in labels.items() if isinstance(value, str)}
        if kind == "histogram":
            _add_histogram(scrape, name, series)
            continue
        value = series.number("stats.total" if kind == "counter" else "stats.avg")
        if value is not None:
            scrape.add(name, labels, value)


def _add_histogram(scrape: Scrape, name: str, series: Fields) -> None:
    buckets = scrape.histograms.setdefault(name, Buckets())
    buckets.total += series.number("stats.sum") or 0.0
    buckets.count += series.number("stats.count") or 0.0
    edges = series.at("buckets")
    for text in edges if isinstance(edges, dict) else ():
        edge = edge_of(scrape.where, name, text)
        below = Fields(series.where, {"below": edges[text]}, series.place)
        buckets.below[edge] = buckets.below.get(edge, 0.0) + below.needed_number("below")
