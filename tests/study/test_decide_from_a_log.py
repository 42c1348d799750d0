"""The study from a ledger: scaled to a month, withheld where the log is too short."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from weighbridge.ledger.record import COLUMNS
from weighbridge.report.html import render_html
from weighbridge.study.decide import Run, decide
from weighbridge.study.scenario import Scenario, parse_scenario
from weighbridge.study.too_short import too_short_study
from weighbridge.units import InputError
from weighbridge.usage.store import Ledger, open_ledger, write_table

AS_OF = dt.date(2026, 11, 21)
FEW = Run(seed=3, n_draws=1024, as_of=AS_OF)
MONDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp_us_utc": pa.timestamp("us", tz="UTC"),
    "decimal_18_12": pa.decimal128(18, 12),
}
BULK = {"feature": "intake", "template": "extract"}
CHAT = {"feature": "assistant", "template": "chat"}


def _row(n: int, at: dt.datetime, kind: dict[str, str], usd: str | None) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys((c.name for c in COLUMNS), None)
    return (
        empty
        | kind
        | {
            "request_id": f"r{n}",
            "started_at": at,
            "tenant": "acme" if n % 2 else "globex",
            "model": "gpt-4o",
            "provider": "openai",
            "status": "ok",
            "uncached_input_tokens": 10_000,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "output_tokens": 2_000,
            "reasoning_tokens": 0,
            "latency_s": 2.0,
            "ttft_s": 0.5,
            "price_state": "priced" if usd else "unpriced",
            "list_cost_usd": Decimal(usd) if usd else None,
            "import_id": "i",
        }
    )


def _ledger(folder: Path, days: float, usd: str | None = "0.045") -> Ledger:
    """One request of each kind every hour: 12,000 tokens for $0.045 each."""
    hours = int(days * 24) + 1
    rows = [
        _row(2 * hour + k, MONDAY + dt.timedelta(hours=hour), kind, usd)
        for hour in range(hours)
        for k, kind in enumerate((BULK, CHAT))
    ]
    schema = pa.schema([pa.field(c.name, ARROW[c.type]) for c in COLUMNS])
    write_table(folder, pa.Table.from_pylist(rows, schema))
    return open_ledger(folder)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return _ledger(tmp_path_factory.mktemp("ledger") / "usage", 7)


def test_a_week_is_scaled_to_a_month_of_730_hours(week: Ledger) -> None:
    study = decide(Scenario(), week, FEW)
    requests = 2 * 169 * 730 / 168
    assert study.monthly_requests == pytest.approx(requests)
    assert study.monthly_tokens == pytest.approx(requests * 12_000)
    assert study.monthly_api_usd == pytest.approx(requests * 0.045)


def test_query_types_are_features_with_templates_and_show_back_is_by_tenant(week: Ledger) -> None:
    study = decide(Scenario(), week, FEW)
    assert {t.label for t in study.verdict.by_type} == {"intake / extract", "assistant / chat"}
    assert {s.cost_centre for s in study.show_back} == {"acme", "globex"}
    api = study.option("api").steady_usd_per_month
    assert sum(s.api_usd_per_month for s in study.show_back) == pytest.approx(api)


def test_a_rule_marks_its_own_types_only(week: Ledger) -> None:
    rules = "query_types: [{match: {feature: intake}, replaceable: no, evidence: tried}]"
    study = decide(parse_scenario(rules), week, FEW)
    by_label = {t.label: t for t in study.verdict.by_type}
    assert by_label["intake / extract"].verdict == "stay"
    assert by_label["intake / extract"].evidence == "tried"
    assert by_label["assistant / chat"].replaceable == "unknown"
    assert study.option("rented").moved_types == ("assistant / chat",)


def test_a_rule_that_matches_nothing_is_an_error_that_lists_what_there_is(week: Ledger) -> None:
    with pytest.raises(InputError, match=r"query_types\[0\].match: matches nothing"):
        decide(parse_scenario("query_types: [{match: {feature: intak}}]"), week, FEW)
    with pytest.raises(InputError, match="add tenant to query_type_by"):
        decide(parse_scenario("query_types: [{match: {tenant: acme}}]"), week, FEW)


def test_peaks_and_sampling_error_come_from_the_log(week: Ledger) -> None:
    used = {a.name: a for a in decide(Scenario(), week, FEW).assumptions}
    assert used["within_hour_peak_ratio"].origin == "log"
    assert used["demand_multiplier_ratio"].origin == "log"
    assert used["api_overhead_frac"].p50 == 0.0


def test_under_seven_days_nothing_is_extrapolated_and_it_is_said(tmp_path: Path) -> None:
    study = decide(Scenario(), _ledger(tmp_path / "usage", 6.9), FEW)
    assert study.options == ()
    assert study.verdict.decision == "not-enough-evidence"
    assert "6.9 days" in study.verdict.headline
    assert any("monthly volume" in text for text in study.withheld)
    assert np.isnan(study.monthly_tokens)


def test_a_ledger_of_seconds_gives_a_report_without_nan_and_in_people_s_units(
    tmp_path: Path,
) -> None:
    study = decide(Scenario(), _ledger(tmp_path, 25 / 86_400), FEW)
    assert study.profile is not None
    assert study.profile.sources == ("table",)
    assert "keep the import running" in study.verdict.measure_next[0]
    page = render_html(study)
    assert "NaN" not in page
    assert "Mean tokens in each hour" not in page
    assert " days)" not in page


def test_a_gateway_s_ledger_is_told_to_go_on_recording(tmp_path: Path) -> None:
    study = decide(Scenario(), _ledger(tmp_path, 1.0), FEW)
    assert study.profile is not None
    of_gateway = replace(study.profile, sources=("gateway",))
    told = too_short_study(of_gateway, Scenario(), study.reproducibility)
    assert "keep recording" in told.verdict.measure_next[0]


def test_a_log_without_any_price_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--assume-model"):
        decide(Scenario(), _ledger(tmp_path / "usage", 7, usd=None), FEW)


def test_a_log_of_own_fleets_alone_is_not_read_as_a_free_api(tmp_path: Path) -> None:
    rows = [
        _row(n, MONDAY + dt.timedelta(hours=n), BULK, None) | {"price_state": "self_hosted"}
        for n in range(24 * 8)
    ]
    schema = pa.schema([pa.field(c.name, ARROW[c.type]) for c in COLUMNS])
    write_table(tmp_path / "usage", pa.Table.from_pylist(rows, schema))
    with pytest.raises(InputError, match="none of 192 requests has a known price"):
        decide(Scenario(), open_ledger(tmp_path / "usage"), FEW)
