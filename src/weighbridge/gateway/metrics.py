"""Counters of the gateway; label sets are bounded, whatever names clients make up.

Names are OpenTelemetry GenAI's where it has one (`exposition.py` writes them). Counting by hand
costs a fifth of a microsecond where a metrics library costs several, on every request. Several
workers each keep their own; `merge` adds what they wrote down.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

import msgspec

# OpenTelemetry GenAI's advice for gen_ai.server.request.duration and time_to_first_token [s]
DURATION_BOUNDS_S = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
)  # fmt: skip
TTFT_BOUNDS_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
# and for gen_ai.client.token.usage [tokens]
TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)
OTHER = "other"
TOKEN_KINDS = ("input", "cache_read", "cache_write", "output", "reasoning")
MAX_LABEL_CHARS = 128
MAX_COUNTERS = 2000
Labels = tuple[str, str, str]  # model, target, outcome


class Histogram:
    """Counts by upper bound, with their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, counts: list[int], total: float) -> None:
        """Count what another one counted."""
        for index, count in enumerate(counts):
            self.counts[index] += count
        self.sum += total


class Series:
    """All counters of one label set: model asked, target, and how the request ended."""

    __slots__ = (
        "duration",
        "input_sizes",
        "n_requests",
        "output_sizes",
        "pico_usd",
        "tokens",
        "ttft",
    )

    def __init__(self) -> None:
        self.n_requests = 0
        self.tokens = [0, 0, 0, 0, 0]  # in the order of TOKEN_KINDS
        self.pico_usd = 0
        self.duration = Histogram(DURATION_BOUNDS_S)
        self.ttft = Histogram(TTFT_BOUNDS_S)
        self.input_sizes = Histogram(TOKEN_BOUNDS)
        self.output_sizes = Histogram(TOKEN_BOUNDS)

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        """All of them, in the order in which they are written down."""
        return self.duration, self.ttft, self.input_sizes, self.output_sizes


class SeriesRow(msgspec.Struct, array_like=True):
    """A series as it is written down."""

    labels: Labels
    n_requests: int
    tokens: list[int]
    pico_usd: int
    histograms: list[tuple[list[int], float]]


class Snapshot(msgspec.Struct):
    """Counters of one worker, as it writes them down for the one that answers `/metrics`."""

    at: float = 0.0  # wall clock [s]
    series: list[SeriesRow] = []
    counters: dict[str, int] = {}
    gauges: dict[str, float] = {}  # of several workers they add up
    levels: dict[str, float] = {}  # of several workers the highest counts
    tenants: dict[str, tuple[int, int]] = {}  # requests, 10^-12 USD


class Metrics:
    """What one process counted.

    A model that clients name gets a label of its own once a target has answered for it, and only
    so many do; those of the configuration always. Otherwise anybody could fill the table.
    """

    def __init__(
        self, max_series: int = 1000, max_models: int = 200, max_tenants: int = 1000
    ) -> None:
        self.by_labels: dict[Labels, Series] = {}
        self.tenants: dict[str, list[int]] = {}
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.levels: dict[str, float] = {}
        self.providers: dict[str, str] = {}  # by target
        self._models: set[str] = {"", OTHER}
        self._max_series = max_series
        self._max_models = max_models
        self._max_tenants = max_tenants

    def welcome(self, models: Iterable[str], providers: Mapping[str, str | None]) -> None:
        """Names of a configuration: models, and providers by target."""
        self._models.update(models)
        self.providers.update({target: name or "" for target, name in providers.items()})

    def series(self, model: str, target: str, outcome: str) -> Series:
        """Counters of one label set; past the bounds, names share one."""
        return self.by_labels.get((model, target, outcome)) or self._new(model, target, outcome)

    def _new(self, model: str, target: str, outcome: str) -> Series:
        model = label(model)
        if model not in self._models:
            if outcome == "ok" and len(self._models) < self._max_models:
                self._models.add(model)
            else:
                model = OTHER
        labels = (model, target, outcome)
        if labels not in self.by_labels and len(self.by_labels) >= self._max_series:
            labels = (OTHER, OTHER, OTHER)
        return self.by_labels.setdefault(labels, Series())

    def charge(self, tenant: str | None, pico_usd: int) -> None:
        """Count a request and its cost for a tenant."""
        found = self.tenants.get(tenant or "")
        if found is None:
            name = label(tenant or "")
            if name not in self.tenants and len(self.tenants) >= self._max_tenants:
                name = OTHER
            found = self.tenants.setdefault(name, [0, 0])
        found[0] += 1
        found[1] += pico_usd

    def count(self, name: str, amount: int = 1) -> None:
        """Count something that has no labels but its own: `name` may carry them in braces."""
        if name not in self.counters and len(self.counters) >= MAX_COUNTERS:
            name = "uncounted_total"
        self.counters[name] = self.counters.get(name, 0) + amount

    def snapshot(self, at: float = 0.0) -> Snapshot:
        """All of it, to be written down."""
        return Snapshot(
            at=at,
            series=[
                SeriesRow(
                    labels,
                    one.n_requests,
                    one.tokens,
                    one.pico_usd,
                    [(histogram.counts, histogram.sum) for histogram in one.histograms],
                )
                for labels, one in self.by_labels.items()
            ],
            counters=dict(self.counters),
            gauges=dict(self.gauges),
            levels=dict(self.levels),
            tenants={name: (n, cost) for name, (n, cost) in self.tenants.items()},
        )

    def add(self, snapshot: Snapshot) -> None:
        """Count what another process, or an earlier one, has counted; its gauges left aside."""
        for row in snapshot.series:
            labels: Labels = row.labels
            self._models.add(labels[0])
            series = self.series(*labels)
            series.n_requests += row.n_requests
            series.pico_usd += row.pico_usd
            for index, n_tokens in enumerate(row.tokens):
                series.tokens[index] += n_tokens
            for histogram, (counts, total) in zip(series.histograms, row.histograms, strict=True):
                histogram.add(counts, total)
        for name, amount in snapshot.counters.items():
            self.count(name, amount)
        for tenant, (n_requests, pico_usd) in snapshot.tenants.items():
            self.charge(tenant, pico_usd)
            found = self.tenants.get(tenant) or self.tenants[OTHER]
            found[0] += n_requests - 1


def merge(snapshots: Iterable[Snapshot], fresh_from_at: float = 0.0) -> Metrics:
    """Sum of several workers; what one that has not written lately held open is no more."""
    total = Metrics(max_series=100_000, max_models=100_000, max_tenants=100_000)
    for snapshot in snapshots:
        total.add(snapshot)
        if snapshot.at < fresh_from_at:
            continue
        for name, value in snapshot.gauges.items():
            total.gauges[name] = total.gauges.get(name, 0.0) + value
        for name, value in snapshot.levels.items():
            total.levels[name] = max(value, total.levels.get(name, value))
    return total


def label(text: str) -> str:
    """A label's value of bounded length."""
    return text if len(text) <= MAX_LABEL_CHARS else text[:MAX_LABEL_CHARS] + "…"


def quoted(text: str) -> str:
    """A label's value, escaped."""
    escaped = label(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
