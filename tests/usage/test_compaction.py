from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from weighbridge.ledger.exact import Pricer
from weighbridge.ledger.lines import (
    AttemptLine,
    EngineLine,
    EventLine,
    FleetLine,
    Line,
    OpenLine,
    RequestLine,
)
from weighbridge.ledger.record import FleetHours
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.units import InputError
from weighbridge.usage import compaction
from weighbridge.usage.compaction import CompactionResult, compact
from weighbridge.usage.profile import profile
from weighbridge.usage.store import Ledger, live_manifests, locked, open_ledger

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
START_US = 1_795_219_200_000_000  # 2026-11-21
HOUR_US = 3600 * 10**6


def request(name: str, at_us: int = START_US, **more: Any) -> RequestLine:
    told = {"status": "ok", "price_state": "priced", "list_cost_pico_usd": 1500, **more}
    return RequestLine(request_id=name, started_at_us=at_us, **told)


def begun(name: str, **more: Any) -> OpenLine:
    return OpenLine(request_id=name, started_at_us=START_US, **more)


def fleet(from_us: int, to_us: int, **more: Any) -> FleetLine:
    told = {
        "target": "own",
        "gpu": "H100",
        "n_gpus": 2,
        "usd_per_gpu_hour": "2.49",
        "source": "config",
        **more,
    }
    return FleetLine(started_at_us=START_US + from_us, ended_at_us=START_US + to_us, **told)


def spooled(spool: Path, *lines: Line, closed: bool = True) -> SpoolWriter:
    """One gateway process that wrote these lines."""
    writer = SpoolWriter(spool, worker="0", max_segment_bytes=1)
    assert writer.append_many([encode_line(line) for line in lines])
    if closed:
        assert writer.close()
    return writer


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in open_ledger(folder).parquet_files:
        found += pq.ParquetFile(name).read().to_pylist()
    return sorted(found, key=lambda row: row["request_id"])


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def run(spool: Path, ledger: Path, **more: Any) -> CompactionResult:
    return compact(spool, ledger, now=NOW, **more)


def test_every_field_of_a_request_comes_into_its_column(spool: Path, ledger: Path) -> None:
    attempt = AttemptLine(target="a", after_s=0.25, latency_s=0.5, http_status=529)
    line = request(
        "r",
        START_US + 1,
        http_status=200,
        tenant="t",
        feature="f",
        template="~1",
        provider="openai",
        model_requested="gpt",
        model="gpt-4o",
        target="openai/gpt-4o",
        service_tier="flex",
        data_class="eu",
        key_id="k",
        rule="move",
        policy_version="7",
        endpoint="chat",
        streamed=True,
        attempts=2,
        attempt_log=(attempt,),
        uncached_input_tokens=1,
        cache_read_tokens=2,
        cache_write_tokens=3,
        output_tokens=5,
        reasoning_tokens=4,
        latency_s=1.5,
        ttft_s=0.5,
        queue_s=0.125,
        list_cost_pico_usd=123_456_789_012_345,
        estimated=("output_tokens", "list_cost_usd"),
        prices_digest="d",
    )
    spooled(spool, line)
    result = run(spool, ledger)
    assert (result.n_requests, result.n_segments) == (1, 1)
    (row,) = rows(ledger)
    log = json.loads(row.pop("attempt_log"))
    assert log == [{"target": "a", "after_s": 0.25, "latency_s": 0.5, "http_status": 529}]
    (manifest,) = live_manifests(ledger)
    same = {
        name: getattr(line, name)
        for name in line.__struct_fields__
        if name in row and name not in {"started_at", "estimated"}
    }
    assert row == {
        **same,
        "started_at": dt.datetime(2026, 11, 21, 0, 0, 0, 1, tzinfo=dt.UTC),
        "list_cost_usd": Decimal("123.456789012345"),
        "reported_cost_usd": None,
        "estimated": "output_tokens,list_cost_usd",
        "import_id": manifest.import_id,
    }
    assert manifest.source == "gateway"
    assert list(spool.iterdir()) == []


def test_what_was_not_seen_is_empty_and_a_zero_stays_zero(spool: Path, ledger: Path) -> None:
    spooled(spool, request("r", list_cost_pico_usd=0, status="error", error_type="timeout"))
    run(spool, ledger)
    (row,) = rows(ledger)
    assert row["list_cost_usd"] == 0
    assert row["price_state"] == "priced"
    empty = ("http_status", "attempt_log", "estimated", "latency_s", "tenant", "rule")
    assert [row[name] for name in empty] == [None] * len(empty)
    assert (row["streamed"], row["queue_s"], row["attempts"]) == (False, 0.0, 0)


def test_request_told_twice_is_stored_once_with_its_last_line(spool: Path, ledger: Path) -> None:
    spooled(spool, request("a", output_tokens=1), request("b"))
    spooled(spool, request("a", output_tokens=2), begun("a"))
    result = run(spool, ledger)
    assert (result.n_requests, result.n_duplicate) == (2, 1)
    assert [row["output_tokens"] for row in rows(ledger)] == [2, 0]
    (manifest,) = live_manifests(ledger)
    counts = manifest.rows_stored + manifest.rows_duplicate + manifest.rows_rejected
    assert manifest.rows_read == counts == 3


def test_request_in_the_ledger_already_is_left_out(spool: Path, ledger: Path) -> None:
    spooled(spool, request("a"))
    run(spool, ledger)
    spooled(spool, request("a"), request("b"))
    result = run(spool, ledger)
    assert (result.n_requests, result.n_duplicate) == (1, 1)
    assert [row["request_id"] for row in rows(ledger)] == ["a", "b"]


def test_segments_of_a_living_gateway_are_left_until_they_close(spool: Path, ledger: Path) -> None:
    writer = spooled(spool, request("a"), closed=False)
    assert run(spool, ledger).n_requests == 0
    assert not ledger.exists()
    writer.rotate_if_due()
    writer.append(encode_line(request("b")))
    writer.sync()
    assert run(spool, ledger).n_requests == 1
    writer.close()
    assert run(spool, ledger).n_requests == 1
    assert [row["request_id"] for row in rows(ledger)] == ["a", "b"]


def test_requests_of_two_days_lie_in_two_parts_and_batches_hold_them_all(
    spool: Path, ledger: Path
) -> None:
    for index in range(5):
        spooled(spool, request(f"r{index}", START_US - (index % 2) * 24 * HOUR_US))
    assert run(spool, ledger, batch_bytes=1).n_requests == 5
    assert len(live_manifests(ledger)) == 5
    days = {Path(name).parent.name for name in open_ledger(ledger).parquet_files}
    assert days == {"date=2026-11-20", "date=2026-11-21"}


def test_request_still_open_in_a_living_gateway_waits_for_its_end(
    spool: Path, ledger: Path
) -> None:
    writer = spooled(spool, begun("slow"), request("a"), closed=False)
    writer.rotate_if_due()
    writer.sync()
    assert run(spool, ledger).n_pending == 1
    assert run(spool, ledger).n_pending == 1
    writer.append(encode_line(request("slow", output_tokens=9)))
    writer.close()
    result = run(spool, ledger)
    assert (result.n_pending, result.n_interrupted, result.n_requests) == (0, 0, 1)
    assert [row["output_tokens"] for row in rows(ledger)] == [0, 9]


def test_request_whose_gateway_died_is_interrupted_and_priced_by_its_input(
    spool: Path, ledger: Path
) -> None:
    told = {"provider": "openai", "model": "gpt-4o", "input_tokens_estimate": 1000}
    writer = spooled(
        spool,
        begun("cut", price_state="priced", **told),
        begun("own", price_state="self_hosted", target="own"),
        begun("odd", price_state="priced", provider="acme", model="nobody"),
        closed=False,
    )
    writer.rotate_if_due()
    writer.sync()
    assert run(spool, ledger).n_pending == 3
    writer.close()
    result = run(spool, ledger)
    assert (result.n_pending, result.n_interrupted, result.n_requests) == (0, 3, 3)
    cut, odd, own = rows(ledger)
    assert {row["status"] for row in (cut, odd, own)} == {"interrupted"}
    assert cut["uncached_input_tokens"] == 1000
    assert cut["list_cost_usd"] == Decimal("0.0025")
    assert cut["estimated"] == "uncached_input_tokens,output_tokens,list_cost_usd"
    assert (odd["price_state"], odd["list_cost_usd"]) == ("unpriced", None)
    assert (own["price_state"], own["list_cost_usd"]) == ("self_hosted", None)
    assert run(spool, ledger) == CompactionResult()


def test_own_prices_are_used_for_interrupted_requests(spool: Path, ledger: Path) -> None:
    from weighbridge.catalog.price_overrides import parse_overrides  # noqa: PLC0415
    from weighbridge.catalog.prices import PriceBook  # noqa: PLC0415

    text = (
        "- {provider: acme, model: m, start_on: 2026-01-01, source: t, checked_on: 2026-11-01, "
        "input_usd_per_mtok: 1, output_usd_per_mtok: 1}"
    )
    told = {"price_state": "priced", "provider": "acme", "model": "m"}
    spooled(spool, begun("cut", input_tokens_estimate=5, **told))
    run(spool, ledger, prices=Pricer(PriceBook(parse_overrides(text, "t.yaml"))))
    assert rows(ledger)[0]["list_cost_usd"] == Decimal("0.000005")


def test_hour_of_a_fleet_counts_once_whoever_told_of_it(spool: Path, ledger: Path) -> None:
    spooled(spool, request("a"), fleet(0, HOUR_US), fleet(HOUR_US, 2 * HOUR_US))
    spooled(spool, fleet(HOUR_US // 2, 3 * HOUR_US), fleet(0, HOUR_US))
    spooled(spool, fleet(3 * HOUR_US, 4 * HOUR_US, usd_per_gpu_hour="3"))
    spooled(spool, fleet(9 * HOUR_US, 10 * HOUR_US))
    run(spool, ledger)
    start = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)

    def hours(first: int, last: int, price: str) -> FleetHours:
        ends = (start + dt.timedelta(hours=first), start + dt.timedelta(hours=last))
        return FleetHours("own", "H100", 2, Decimal(price), *ends, "config")

    assert open_ledger(ledger).fleet_hours() == (
        hours(0, 3, "2.49"),
        hours(3, 4, "3"),
        hours(9, 10, "2.49"),
    )


def test_engine_samples_are_kept_once(spool: Path, ledger: Path) -> None:
    first = EngineLine(target="own", at_us=START_US, engine="vllm", running_requests=0.0)
    second = EngineLine(target="own", at_us=START_US + 60, engine="vllm", kv_usage_frac=0.5)
    spooled(spool, request("a"), second, first, first)
    assert run(spool, ledger).n_engine_samples == 3
    samples = open_ledger(ledger).engine_samples().to_pylist()
    assert [row["running_requests"] for row in samples] == [0.0, None]
    assert [row["kv_usage_frac"] for row in samples] == [None, 0.5]


def test_events_are_counted_by_name(spool: Path, ledger: Path) -> None:
    lost = EventLine(at_us=START_US, name="records_lost", detail="7")
    spooled(spool, request("a"), lost, lost)
    assert run(spool, ledger).events == {"records_lost": 2}
    assert live_manifests(ledger)[0].events == {"records_lost": 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (request("x", output_tokens=-1), "output_tokens: is negative"),
        (request("x", cache_read_tokens=2**61), "cache_read_tokens: is impossibly large"),
        (request("x", list_cost_pico_usd=10**18), "list_cost_usd: is impossibly large"),
        (request("x", status="fine"), "status: is not a known word"),
        (request("x", price_state="free"), "price_state: is not a known word"),
        (request("x", START_US + 48 * HOUR_US), "started_at: lies in the future"),
        (request("x", 0), "started_at: lies before 2015"),
        (fleet(0, HOUR_US, usd_per_gpu_hour="dear"), "usd_per_gpu_hour: is not a number"),
        (fleet(0, HOUR_US, usd_per_gpu_hour="-1"), "usd_per_gpu_hour: is negative"),
        (fleet(0, HOUR_US, usd_per_gpu_hour="NaN"), "usd_per_gpu_hour: is not a number"),
        (fleet(0, HOUR_US, usd_per_gpu_hour="1e30"), "usd_per_gpu_hour: is not a number"),
        (fleet(HOUR_US, 0), "ended_at: lies before the start"),
    ],
)
def test_line_that_cannot_be_a_row_is_counted_and_its_segment_kept(
    spool: Path, ledger: Path, line: Line, reason: str
) -> None:
    spooled(spool, request("a"), line)
    assert run(spool, ledger).n_rejected == 1
    assert live_manifests(ledger)[0].rejected_by_reason == {reason: 1}
    assert len(list((spool / "done").iterdir())) == 1
    assert run(spool, ledger) == CompactionResult()


def test_torn_lines_are_skipped_and_told(spool: Path, ledger: Path) -> None:
    spooled(spool, request("a"))
    (segment,) = spool.iterdir()
    segment.write_bytes(segment.read_bytes() + b'{"kind":"requ')
    assert run(spool, ledger).n_skipped == 1
    assert live_manifests(ledger)[0].lines_skipped == 1


def test_self_hosted_requests_are_told_as_such_and_cost_nothing_known(
    spool: Path, ledger: Path
) -> None:
    own = {"price_state": "self_hosted", "list_cost_pico_usd": None, "target": "own"}
    spooled(spool, request("a", feature="own", **own), request("b", feature="hosted"))
    run(spool, ledger)
    found = profile(open_ledger(ledger))
    assert (found.n_self_hosted, found.n_unpriced) == (1, 0)
    by_feature = {row.key: row.n_self_hosted for row in found.by["feature"]}
    assert by_feature == {"own": 1, "hosted": 0}
    assert "cost of self-hosted requests" in {one.conclusion for one in found.withheld}


def test_older_ledger_without_the_gateways_columns_reads_on(spool: Path, ledger: Path) -> None:
    spooled(spool, request("old", START_US - HOUR_US, output_tokens=3))
    run(spool, ledger)
    _forget_columns(open_ledger(ledger))
    spooled(spool, request("new", output_tokens=4), request("old", START_US - HOUR_US))
    result = run(spool, ledger)
    assert (result.n_requests, result.n_duplicate) == (1, 1)
    found = profile(open_ledger(ledger))
    assert (found.span.n_requests, found.tokens.output_tokens) == (2, 7)


def _forget_columns(ledger: Ledger) -> None:
    (name,) = ledger.parquet_files
    table = pq.ParquetFile(name).read()
    keep = table.column_names[: table.column_names.index("import_id") + 1]
    pq.write_table(table.select(keep), name)


def test_missing_spool_and_second_run_at_once_are_told(
    spool: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="there is no such spool directory"):
        run(spool, ledger)
    spooled(spool, request("a"))

    def again(*_: object) -> frozenset[str]:
        monkeypatch.undo()
        with pytest.raises(InputError, match="another compaction is reading this spool"):
            run(spool, ledger)
        return frozenset()

    monkeypatch.setattr(compaction, "live_writers", again)
    assert run(spool, ledger).n_requests == 1


def test_ledger_that_is_being_written_is_left_alone(spool: Path, ledger: Path) -> None:
    spooled(spool, request("a"))
    with locked(ledger), pytest.raises(InputError, match="another import is writing"):
        run(spool, ledger)
    assert run(spool, ledger).n_requests == 1
