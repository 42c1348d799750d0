"""Prometheus text of what was counted: each family once, with its help and type."""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.gateway.metrics import (
    OTHER,
    TOKEN_KINDS,
    Histogram,
    Labels,
    Metrics,
    Series,
    quoted,
)

_OURS = "weighbridge_"
# Families that are counted by name alone; a sum over workers where there are several.
HELP = {
    "access_log_lines_lost_total": "Lines that the access log could not take or write",
    "admission_crowded_total": "Claims that shared an allowance for want of room for names",
    "admission_exchanges_total": "Exchanges with shared state",
    "admission_failed_exchanges_total": "Exchanges with shared state that failed",
    "admission_outages_total": "Times that shared state went away",
    "admission_settled_twice_total": "Claims settled more than once: a fault of ours",
    "compaction_failing": "Whether the last compaction failed",
    "compactions_total": "Runs of the compaction that ended",
    "compaction_failures_total": "Runs of the compaction that failed",
    "connections": "Client connections that are open",
    "engine_kv_usage_frac": "Share of the KV cache in use, by the engine's word",
    "engine_running_requests": "Requests running, by the engine's word",
    "engine_waiting_requests": "Requests waiting, by the engine's word",
    "events_total": "Events that an operator should see",
    "failed_attempts_total": "Upstream attempts that failed, repeated or not",
    "gate_running": "Requests under way at a target with caps",
    "gate_waiting": "Requests waiting for room under a target's caps",
    "limit_size": "Size of a limit or budget",
    "limit_used": "How much of a limit or budget is used, reservations included",
    "open_requests": "Requests that are under way upstream",
    "reload_failing": "Workers that refused the configuration on disk and go on with an older one",
    "restart_needed": "Workers whose configuration on disk has changes that wait for a restart",
    "retries_total": "Upstream attempts beyond a request's first",
    "shared_state_degraded": "Workers that cannot reach shared state and go by a local share",
    "spool_failing": "Workers whose lines are not being recorded, or may not survive",
    "state_write_failures_total": "Snapshots of spend or counters that could not be written",
    "strangers_total": "Requests without a valid key, by what came of them; they are not recorded",
    "target_available": "Workers that would send the target a request now",
    "target_saturated": "Workers that hold the target to be full",
    "target_state": "Workers that see the target in this state; of one worker it is 0 or 1",
    "tenant_list_cost_usd_total": "Tokens of a tenant at list prices, in US dollars",
    "tenant_requests_total": "Requests of a tenant",
    "uncounted_total": "What had no room among the counters",
    "unrecorded_lines_total": "Lines that could not be written to the spool",
    "upstream_connections": "Connections to a target that are open",
    "upstream_connections_idle": "Connections to a target that wait for a request",
    "usage_contradictions_total": "Answers whose token counts cannot all be true, by target",
    "wire_refused_total": "Requests refused for what they were as HTTP",
    "workers": "Workers that report",
}
_PLAIN = ("process_resident_memory_bytes", "process_cpu_seconds_total")
_PLAIN_HELP = {
    "process_resident_memory_bytes": "Resident memory, of all workers",
    "process_cpu_seconds_total": "User and system CPU time, of all workers",
}


class Page:
    """Lines of the text, family by family."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def family(self, name: str, kind: str, help_: str, rows: Iterable[str]) -> None:
        """One family, unless it has no rows; each row begins after the family's name."""
        body = [name + row for row in rows]
        if body:
            self.lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", *body]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"


def exposition(metrics: Metrics) -> str:
    """Prometheus text of what was counted, gauges and levels included."""
    page = Page()
    series = [(_labels(labels, metrics), one) for labels, one in metrics.by_labels.items()]
    _requests(page, series)
    _tokens(page, series)
    _durations(page, series)
    _tenants(page, metrics)
    counters = {name: float(count) for name, count in metrics.counters.items()}
    for values in (counters, metrics.gauges, metrics.levels):
        _plain(page, values)
    return page.text


def _labels(labels: Labels, metrics: Metrics) -> str:
    model, target, outcome = labels
    provider = metrics.providers.get(target, OTHER if target == OTHER else "")
    return (
        f"gen_ai_request_model={quoted(model)},gen_ai_provider_name={quoted(provider)},"
        f"target={quoted(target)},outcome={quoted(outcome)}"
    )


def _requests(page: Page, series: list[tuple[str, Series]]) -> None:
    page.family(
        f"{_OURS}requests_total",
        "counter",
        "Requests answered, by how they ended",
        (f"{{{labels}}} {one.n_requests}" for labels, one in series),
    )
    page.family(
        f"{_OURS}list_cost_usd_total",
        "counter",
        "Tokens at list prices, in US dollars",
        (
            f"{{{labels}}} {one.pico_usd / 1e12!r}"
            for labels, one in series
            if one.pico_usd or any(one.duration.counts)  # else nothing of it went upstream
        ),
    )


def _tokens(page: Page, series: list[tuple[str, Series]]) -> None:
    page.family(
        f"{_OURS}tokens_total",
        "counter",
        "Tokens by kind; kinds are disjoint but for reasoning, which lies in output",
        (
            f'{{{labels},gen_ai_token_type="{kind}"}} {n_tokens}'
            for labels, one in series
            for kind, n_tokens in zip(TOKEN_KINDS, one.tokens, strict=True)
            if n_tokens
        ),
    )
    page.family(
        "gen_ai_client_token_usage",
        "histogram",
        "Tokens of a request, cached ones included",
        (
            row
            for labels, one in series
            for kind, sizes in (("input", one.input_sizes), ("output", one.output_sizes))
            for row in _histogram(f'{labels},gen_ai_token_type="{kind}"', sizes)
        ),
    )


def _durations(page: Page, series: list[tuple[str, Series]]) -> None:
    page.family(
        "gen_ai_server_request_duration_seconds",
        "histogram",
        "From a request's arrival to the end of its answer, of those that went upstream",
        (row for labels, one in series for row in _histogram(labels, one.duration)),
    )
    page.family(
        "gen_ai_server_time_to_first_token_seconds",
        "histogram",
        "From a request's arrival to the first token of a stream",
        (row for labels, one in series for row in _histogram(labels, one.ttft)),
    )


def _histogram(labels: str, histogram: Histogram) -> Iterable[str]:
    if not any(histogram.counts):
        return
    total = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        le = "+Inf" if bound is None else repr(float(bound))
        yield f'_bucket{{{labels},le="{le}"}} {total}'
    yield f"_sum{{{labels}}} {histogram.sum!r}"
    yield f"_count{{{labels}}} {total}"


def _tenants(page: Page, metrics: Metrics) -> None:
    rows = [(quoted(name), counts) for name, counts in metrics.tenants.items()]
    name = "tenant_requests_total"
    page.family(
        _OURS + name, "counter", HELP[name], (f"{{tenant={who}}} {n}" for who, (n, _) in rows)
    )
    name = "tenant_list_cost_usd_total"
    page.family(
        _OURS + name,
        "counter",
        HELP[name],
        (f"{{tenant={who}}} {cost / 1e12!r}" for who, (_, cost) in rows),
    )


def _plain(page: Page, values: dict[str, float]) -> None:
    families: dict[str, list[str]] = {}
    for name, value in sorted(values.items()):
        family, brace, labels = name.partition("{")
        families.setdefault(family, []).append(f"{brace}{labels} {_number(value)}")
    for family, rows in families.items():
        kind = "counter" if family.endswith("_total") else "gauge"
        if family in _PLAIN:
            page.family(family, kind, _PLAIN_HELP[family], rows)
        else:
            help_ = HELP.get(family, family.replace("_", " "))
            page.family(_OURS + family, kind, help_, rows)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
