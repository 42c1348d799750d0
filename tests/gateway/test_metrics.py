"""Counters and their text, with prometheus_client's own parser as the judge."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from weighbridge.gateway.exposition import HELP, exposition
from weighbridge.gateway.metrics import (
    DURATION_BOUNDS_S,
    OTHER,
    Metrics,
    Snapshot,
    merge,
    quoted,
)
from weighbridge.rehearsal.provider_settings import Fault

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def families(text: str):
    """Families by name, each declared once with help and type."""
    declared = Counter(
        " ".join(line.split()[1:3]) for line in text.splitlines() if line.startswith("#")
    )
    assert set(declared.values()) <= {1}
    found = {one.name: one for one in text_string_to_metric_families(text)}
    assert all(one.documentation for one in found.values())
    assert all(one.type != "unknown" for one in found.values())
    return found


def value(text: str, name: str, /, **labels: str) -> float:
    """Sum of the samples that have these labels."""
    samples = [
        sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert samples, f"no {name} with {labels}"
    return sum(samples)


def counted(**models: int) -> Metrics:
    metrics = Metrics()
    for model, n in models.items():
        for _ in range(n):
            series = metrics.series(model, "up", "ok")
            series.n_requests += 1
            series.tokens[0] += 10
            series.duration.observe(0.3)
    return metrics


def check_histograms(text: str) -> None:
    """Buckets grow and end in +Inf, which is the count."""
    for family in families(text).values():
        if family.type != "histogram":
            continue
        by_labels: dict[tuple, dict[str, list]] = {}
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "le"}
            kept = by_labels.setdefault(tuple(sorted(labels.items())), {})
            kept.setdefault(sample.name.removeprefix(family.name), []).append(sample)
        for kept in by_labels.values():
            buckets = [(float(s.labels["le"]), s.value) for s in kept["_bucket"]]
            assert buckets == sorted(buckets)
            assert [n for _, n in buckets] == sorted(n for _, n in buckets)
            assert buckets[-1][0] == float("inf")
            assert buckets[-1][1] == kept["_count"][0].value
            assert len(kept["_sum"]) == len(kept["_count"]) == 1


def test_metrics_of_a_gateway_in_use_parse_and_name_what_opentelemetry_names(house, run) -> None:
    def change(document) -> None:
        document["limits"] = [{"scope": "feature", "requests_per_minute": 1}]
        document["budgets"] = [{"scope": "tenant", "usd": 5, "period": "day"}]
        document["targets"]["up0"]["caps"] = {"concurrency": 2}
        document["access_log"] = "access.jsonl"

    async def main() -> None:
        async with house(change, n_providers=2) as h:
            h.providers[0].add_fault(Fault(fault="status_500", count=1))
            await h.ask(x_weighbridge_feature='we"ird \\ one')
            await h.ask({**CHAT, "stream": True})
            answer = await h.ask(path="/metrics", method="GET", key=None, port=h.admin_port)
            text = answer.body.decode()
            check_histograms(text)
            labels = {"gen_ai_request_model": "gpt-4o-mini", "gen_ai_provider_name": "openai"}
            assert value(text, "weighbridge_requests_total", **labels, outcome="ok") == 2
            assert value(text, "gen_ai_server_request_duration_seconds_count", **labels) == 2
            assert value(text, "gen_ai_server_time_to_first_token_seconds_count", **labels) == 1
            usage = "gen_ai_client_token_usage"
            records = h.records()
            n_tokens = sum(record.output_tokens for record in records)
            assert value(text, f"{usage}_sum", gen_ai_token_type="output") == n_tokens
            assert value(text, f"{usage}_count", gen_ai_token_type="input") == 2
            assert value(text, "weighbridge_retries_total") == 1
            assert value(text, "weighbridge_failed_attempts_total", error_type="500") == 1
            used = {"scope": "feature", "name": 'we"ird \\ one', "what": "requests"}
            assert value(text, "weighbridge_limit_used", **used) == pytest.approx(1, abs=0.1)
            assert value(text, "weighbridge_limit_size", scope="tenant", what="usd_day") == 5
            spent = sum(record.list_cost_pico_usd for record in records) / 1e12
            assert value(text, "weighbridge_limit_used", scope="tenant") == pytest.approx(spent)
            assert value(text, "weighbridge_tenant_list_cost_usd_total") == pytest.approx(spent)
            assert value(text, "weighbridge_target_state", target="up0") == 1
            assert value(text, "weighbridge_target_state", target="up0", state="closed") == 1
            assert value(text, "weighbridge_gate_waiting", target="up0") == 0
            assert value(text, "weighbridge_connections") == 0
            assert value(text, "weighbridge_open_requests") == 0
            assert value(text, "process_resident_memory_bytes") > 1e6
            assert value(text, "process_cpu_seconds_total") > 0
            for name in ("spool_failing", "reload_failing", "restart_needed"):
                assert value(text, f"weighbridge_{name}") == 0
            assert value(text, "weighbridge_access_log_lines_lost_total") == 0
            ours = {name for name in families(text) if name.startswith("weighbridge_")}
            helped = {name.removesuffix("_total") for name in HELP}
            own = {"requests", "list_cost_usd", "tokens"}
            assert {name.removeprefix("weighbridge_") for name in ours} <= helped | own

    run(main)


def test_what_was_never_sent_makes_no_series_of_tokens_cost_or_time(house, run, scripted) -> None:
    async def script(up, reader, writer) -> None:
        body = b'{"data": []}'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)

    async def main() -> None:
        async with scripted(script) as up:

            def change(document) -> None:
                document["targets"]["up0"]["url"] = up.url
                document["other_paths"] = {"/v1/files": "up0"}

            async with house(change) as h:
                await h.ask(b"", "/v1/files", method="GET")
                await h.ask(b"", "/v1/models", method="GET")
                await h.ask(b"", "/v1/nowhere", method="GET")
                await h.ask(b"{", "/v1/chat/completions")
                answer = await h.ask(path="/metrics", method="GET", key=None, port=h.admin_port)
        text = answer.body.decode()
        assert value(text, "weighbridge_requests_total") == 3, text
        assert value(text, "weighbridge_requests_total", target="") == 2
        found = families(text)
        assert "gen_ai_client_token_usage" not in found
        assert "weighbridge_tokens" not in found
        for name in ("weighbridge_list_cost_usd", "gen_ai_server_request_duration_seconds"):
            assert {sample.labels["target"] for sample in found[name].samples} == {"up0"}
        assert value(text, "gen_ai_server_request_duration_seconds_count") == 1

    run(main)


def test_a_hundred_thousand_model_names_do_not_grow_the_table() -> None:
    metrics = Metrics()
    metrics.welcome(["gpt-4o-mini"], {"up": "openai"})
    for n in range(100_000):
        metrics.series(f"junk-{n}", "", "no_rule").n_requests += 1
    assert len(metrics.by_labels) == 1
    for n in range(100_000):
        metrics.series(f"junk-{n}", "up", "ok").n_requests += 1
    assert len(metrics.by_labels) < 250
    metrics.series("gpt-4o-mini", "up", "ok").n_requests += 1
    text = exposition(metrics)
    assert value(text, "weighbridge_requests_total") == 200_001
    assert value(text, "weighbridge_requests_total", gen_ai_request_model="gpt-4o-mini") == 1


def test_outcomes_and_tenants_and_names_of_any_length_are_bounded() -> None:
    metrics = Metrics()
    metrics.welcome(["m"], {})
    for n in range(100_000):
        metrics.series("m", "up", str(n)).n_requests += 1
        metrics.charge(f"tenant-{n}", 1)
        metrics.count(f'events_total{{name="{n}"}}')
    metrics.series("x" * 100_000, "up", "ok").n_requests += 1
    assert len(metrics.by_labels) <= 1001
    assert len(metrics.tenants) <= 1001
    assert len(metrics.counters) <= 2001
    assert metrics.tenants[OTHER][0] == 99_000
    assert len(exposition(metrics)) < 8_000_000
    assert max(len(labels[0]) for labels in metrics.by_labels) < 200


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_name_of_a_client_comes_back_from_the_parser(name: str) -> None:
    metrics = Metrics()
    metrics.levels[f"limit_used{{name={quoted(name)}}}"] = 0.5
    metrics.charge(name, 7)
    found = families(exposition(metrics))
    assert found["weighbridge_limit_used"].samples[0].labels == {"name": name}
    assert found["weighbridge_tenant_requests"].samples[0].labels == {"tenant": name}


@given(st.lists(st.floats(0, 1e4), max_size=50))
def test_histogram_counts_each_value_in_the_first_bucket_that_holds_it(values) -> None:
    metrics = Metrics()
    series = metrics.series("m", "up", "ok")
    for one in values:
        series.duration.observe(one)
    text = exposition(metrics)
    check_histograms(text)
    for bound in DURATION_BOUNDS_S if values else ():
        name = "gen_ai_server_request_duration_seconds_bucket"
        assert value(text, name, le=repr(bound)) == sum(one <= bound for one in values)


def test_workers_add_up_and_what_a_dead_one_held_open_does_not() -> None:
    first, second, dead = counted(a=2), counted(a=1, b=4), counted(b=1)
    for metrics in (first, second, dead):
        metrics.count("retries_total", 3)
        metrics.gauges["connections"] = 5.0
        metrics.levels['limit_used{name="x"}'] = 1.0
        metrics.charge("t", 2)
    second.levels['limit_used{name="x"}'] = 7.0
    snapshots = [first.snapshot(100.0), second.snapshot(99.0), dead.snapshot(90.0)]
    text = exposition(merge(snapshots, fresh_from_at=95.0))
    check_histograms(text)
    assert value(text, "weighbridge_requests_total") == 8
    assert value(text, "weighbridge_tokens_total", gen_ai_token_type="input") == 80
    assert value(text, "weighbridge_retries_total") == 9
    assert value(text, "weighbridge_tenant_requests_total", tenant="t") == 3
    assert value(text, "weighbridge_connections") == 10
    assert value(text, "weighbridge_limit_used") == 7


def test_a_successor_counts_on_from_a_snapshot_that_went_through_json() -> None:
    before = counted(a=2)
    before.charge("t", 5)
    saved = msgspec.convert(
        msgspec.json.decode(msgspec.json.encode(before.snapshot(1.0))), Snapshot
    )
    after = counted(a=1)
    after.add(saved)
    text = exposition(after)
    check_histograms(text)
    assert value(text, "weighbridge_requests_total", gen_ai_request_model="a") == 3
    assert value(text, "weighbridge_tenant_requests_total") == 1
