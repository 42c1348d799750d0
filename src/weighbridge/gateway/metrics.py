"""Counters of the gateway and their Prometheus text; label sets are bounded.

Names are OpenTelemetry GenAI's where it has one, spelled as Prometheus spells them. Counting by
hand costs a fifth of a microsecond where a metrics library costs several, on every request.
Several workers each keep their own; `merge` adds what they wrote down.
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
OTHER = "other"

_NAME = "weighbridge"


class Histogram:
    """Counts by upper bound, with their sum."""

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """Count one value [s]."""
        self.counts[bisect_left(self.bounds, value_s)] += 1
        self.sum_s += value_s


class Series:
    """All counters of one label set: model asked, target, and how the request ended."""

    __slots__ = ("duration", "n_requests", "pico_usd", "tokens", "ttft")

    def __init__(self) -> None:
        self.n_requests = 0
        self.tokens = [0, 0, 0, 0, 0]  # in the order of TOKEN_KINDS
        self.pico_usd = 0
        self.duration = Histogram(DURATION_BOUNDS_S)
        self.ttft = Histogram(TTFT_BOUNDS_S)


TOKEN_KINDS = ("input", "cache_read", "cache_write", "output", "reasoning")
Labels = tuple[str, str, str]  # model, target, outcome


class Snapshot(msgspec.Struct):
    """Counters of one worker, as it writes them down for the one that answers `/metrics`."""

    series: list[tuple[Labels, int, list[int], int, list[int], float, list[int], float]] = []
    counters: dict[str, int] = {}
    gauges: dict[str, float] = {}
    tenants: dict[str, tuple[int, int]] = {}  # requests, 10^-12 USD


class Metrics:
    """What one process counted."""

    def __init__(self, max_series: int = 1000, max_tenants: int = 1000) -> None:
        self._series: dict[Labels, Series] = {}
        self._max_series = max_series
        self._tenants: dict[str, list[int]] = {}
        self._max_tenants = max_tenants
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, float] = {}

    def series(self, model: str, target: str, outcome: str) -> Series:
        """Counters of one label set; past the bound all new names share one."""
        labels = (model, target, outcome)
        found = self._series.get(labels)
        if found is None:
            if len(self._series) >= self._max_series:
                labels = (OTHER, target, outcome)
            found = self._series.setdefault(labels, Series())
        return found

    def charge(self, tenant: str | None, pico_usd: int) -> None:
        """Count a request and its cost for a tenant."""
        name = tenant or ""
        found = self._tenants.get(name)
        if found is None:
            if len(self._tenants) >= self._max_tenants:
                name = OTHER
            found = self._tenants.setdefault(name, [0, 0])
        found[0] += 1
        found[1] += pico_usd

    def count(self, name: str, amount: int = 1) -> None:
        """Count something that has no labels but its own: `name` may carry them in braces."""
        self.counters[name] = self.counters.get(name, 0) + amount

    def snapshot(self) -> Snapshot:
        """All of it, to be written down."""
        return Snapshot(
            series=[
                (
                    labels,
                    s.n_requests,
                    s.tokens,
                    s.pico_usd,
                    s.duration.counts,
                    s.duration.sum_s,
                    s.ttft.counts,
                    s.ttft.sum_s,
                )
                for labels, s in self._series.items()
            ],
            counters=dict(self.counters),
            gauges=dict(self.gauges),
            tenants={name: (n, cost) for name, (n, cost) in self._tenants.items()},
        )


def merge(snapshots: Iterable[Snapshot]) -> Metrics:
    """Sum of several workers' counters; gauges add up too (connections, requests in flight)."""
    total = Metrics(max_series=100_000, max_tenants=100_000)
    for snapshot in snapshots:
        for labels, n, tokens, cost, durations, duration_s, ttfts, ttft_s in snapshot.series:
            series = total.series(*labels)
            series.n_requests += n
            series.pico_usd += cost
            _add(series.tokens, tokens)
            _add(series.duration.counts, durations)
            _add(series.ttft.counts, ttfts)
            series.duration.sum_s += duration_s
            series.ttft.sum_s += ttft_s
        for name, amount in snapshot.counters.items():
            total.count(name, amount)
        for name, value in snapshot.gauges.items():
            total.gauges[name] = total.gauges.get(name, 0.0) + value
        for tenant, (n, cost) in snapshot.tenants.items():
            total.charge(tenant, cost)
            total._tenants[tenant][0] += n - 1
    return total


def _add(into: list[int], counts: list[int]) -> None:
    for index, count in enumerate(counts):
        into[index] += count


def exposition(metrics: Metrics, states: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """Prometheus text of what was counted, and of each target's state.

    `states` maps a gauge's name to its value by target.
    """
    lines: list[str] = []
    _requests(lines, metrics)
    _tokens(lines, metrics)
    for name, help_, bounds in (
        ("gen_ai_server_request_duration_seconds", "whole request", "duration"),
        ("gen_ai_server_time_to_first_token_seconds", "arrival to first token", "ttft"),
    ):
        _histogram(lines, metrics, name, help_, bounds)
    _tenants(lines, metrics)
    _plain(lines, metrics.counters, "counter")
    _plain(lines, metrics.gauges, "gauge")
    for name, by_target in (states or {}).items():
        lines.append(f"# TYPE {_NAME}_{name} gauge")
        lines += [
            f"{_NAME}_{name}{{target={quoted(target)}}} {_number(value)}"
            for target, value in by_target.items()
        ]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    model, target, outcome = labels
    return f"gen_ai_request_model={quoted(model)},target={quoted(target)},outcome={quoted(outcome)}"


def _requests(lines: list[str], metrics: Metrics) -> None:
    lines.append(f"# HELP {_NAME}_requests_total requests answered, by how they ended")
    lines.append(f"# TYPE {_NAME}_requests_total counter")
    for labels, series in metrics._series.items():
        lines.append(f"{_NAME}_requests_total{{{_labels(labels)}}} {series.n_requests}")
    lines.append(f"# HELP {_NAME}_list_cost_usd_total tokens at list prices, in US dollars")
    lines.append(f"# TYPE {_NAME}_list_cost_usd_total counter")
    for labels, series in metrics._series.items():
        lines.append(f"{_NAME}_list_cost_usd_total{{{_labels(labels)}}} {series.pico_usd / 1e12!r}")


def _tokens(lines: list[str], metrics: Metrics) -> None:
    name = "gen_ai_client_token_usage_tokens_total"
    lines.append(f"# HELP {name} tokens by kind; kinds are disjoint, reasoning lies in output")
    lines.append(f"# TYPE {name} counter")
    for labels, series in metrics._series.items():
        for kind, count in zip(TOKEN_KINDS, series.tokens, strict=True):
            if count:
                lines.append(f'{name}{{{_labels(labels)},gen_ai_token_type="{kind}"}} {count}')


def _histogram(lines: list[str], metrics: Metrics, name: str, help_: str, attribute: str) -> None:
    lines.append(f"# HELP {name} {help_}")
    lines.append(f"# TYPE {name} histogram")
    for labels, series in metrics._series.items():
        histogram: Histogram = getattr(series, attribute)
        total = 0
        for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
            total += count
            le = "+Inf" if bound is None else repr(bound)
            lines.append(f'{name}_bucket{{{_labels(labels)},le="{le}"}} {total}')
        lines.append(f"{name}_sum{{{_labels(labels)}}} {histogram.sum_s!r}")
        lines.append(f"{name}_count{{{_labels(labels)}}} {total}")


def _tenants(lines: list[str], metrics: Metrics) -> None:
    for name, index, scale in (("requests", 0, 1), ("list_cost_usd", 1, 10**12)):
        lines.append(f"# TYPE {_NAME}_tenant_{name}_total counter")
        for tenant, counts in metrics._tenants.items():
            value = counts[index] if scale == 1 else counts[index] / scale
            lines.append(f"{_NAME}_tenant_{name}_total{{tenant={quoted(tenant)}}} {_number(value)}")


def _plain(lines: list[str], values: Mapping[str, float], kind: str) -> None:
    families: dict[str, list[str]] = {}
    for name, value in sorted(values.items()):
        family = f"{_NAME}_{name.partition('{')[0]}"
        families.setdefault(family, []).append(f"{_NAME}_{name} {_number(value)}")
    for family, rows in families.items():
        lines.append(f"# TYPE {family} {kind}")
        lines += rows


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def quoted(text: str) -> str:
    """A label's value, escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
