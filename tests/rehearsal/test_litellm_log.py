"""The log that the synthetic week is written to: LiteLLM's own fields, whole or not there."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weighbridge.catalog.prices import Rates
from weighbridge.rehearsal.demo_mix import DEMO_MIX
from weighbridge.rehearsal.litellm_log import LogLook, write_spend_log
from weighbridge.rehearsal.traffic import Traffic, generate

MONDAY = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)
RATES = {
    template.service.model: Rates(
        input_usd_per_mtok=2.0,
        cache_read_usd_per_mtok=0.5,
        cache_write_usd_per_mtok=2.5,
        output_usd_per_mtok=8.0,
        source="this test",
        checked_on=MONDAY.date(),
        checked_on_is_of_snapshot=False,
        tier_is_listed=True,
        above_input_tokens=(),
    )
    for template in DEMO_MIX.templates
}


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return generate(DEMO_MIX, MONDAY, 3, np.random.default_rng(5))


def _write(path: Path, traffic: Traffic, seed: int = 1) -> Path:
    write_spend_log(path, DEMO_MIX, traffic, LogLook(RATES, np.random.default_rng(seed)))
    return path


@pytest.fixture(scope="module")
def rows(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = _write(tmp_path_factory.mktemp("log") / "spend.jsonl.gz", traffic)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_same_traffic_and_seed_make_the_same_bytes(traffic: Traffic, tmp_path: Path) -> None:
    one, two = (_write(tmp_path / name, traffic) for name in ("a.gz", "b.gz"))
    assert one.read_bytes() == two.read_bytes()


def test_another_seed_names_requests_otherwise(traffic: Traffic, tmp_path: Path) -> None:
    one, two = (_write(tmp_path / f"{seed}.gz", traffic, seed) for seed in (1, 2))
    assert one.read_bytes() != two.read_bytes()


def test_every_request_has_a_row_and_a_name_of_its_own(
    rows: list[dict[str, Any]], traffic: Traffic
) -> None:
    assert len(rows) == len(traffic)
    assert len({row["request_id"] for row in rows}) == len(rows)


def test_rows_hold_the_tokens_that_were_drawn(rows: list[dict[str, Any]], traffic: Traffic) -> None:
    assert [row["prompt_tokens"] for row in rows] == traffic.input_tokens.tolist()
    assert [row["completion_tokens"] for row in rows] == traffic.output_tokens.tolist()
    read = [row["metadata"]["usage_object"]["cache_read_input_tokens"] for row in rows]
    assert read == traffic.cache_read_tokens.tolist()
    for row in rows:
        assert row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]


def test_instants_are_utc_and_in_order(rows: list[dict[str, Any]], traffic: Traffic) -> None:
    for row, at_us in zip(rows, traffic.started_at_us.tolist(), strict=True):
        start, first, end = (
            dt.datetime.fromisoformat(row[name])
            for name in ("startTime", "completionStartTime", "endTime")
        )
        assert start.utcoffset() == dt.timedelta(0)
        assert abs(start.timestamp() - at_us / 1e6) <= 0.001
        assert start <= first <= end


def test_spend_is_tokens_at_the_rates(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        usage = row["metadata"]["usage_object"]
        read, write = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        fresh = row["prompt_tokens"] - read - write
        by_hand = fresh * 2.0 + read * 0.5 + write * 2.5 + row["completion_tokens"] * 8.0
        assert row["spend"] == pytest.approx(by_hand / 1e6)


def test_failures_say_so_and_cost_nothing(rows: list[dict[str, Any]], traffic: Traffic) -> None:
    failed = [row for row in rows if row["status"] == "failure"]
    assert len(failed) == traffic.failed.sum() > 0
    for row in failed:
        assert row["spend"] == row["total_tokens"] == 0
        assert row["metadata"]["attempted_retries"] == 3
        assert row["metadata"]["error_information"]["error_code"] == "503"


def test_feature_and_template_are_named_where_the_client_named_them(
    rows: list[dict[str, Any]], traffic: Traffic
) -> None:
    for row, position in zip(rows, traffic.template.tolist(), strict=True):
        template, named = DEMO_MIX.templates[position], row["metadata"]["spend_logs_metadata"]
        if template.feature is None:
            assert named is None
        else:
            assert named == {"feature": template.feature, "template": template.template}


def test_no_prompt_text_is_written(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["messages"] == row["response"] == row["proxy_server_request"] == {}


def test_progress_ends_at_the_last_row(traffic: Traffic, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    look = LogLook(RATES, np.random.default_rng(1))
    write_spend_log(
        tmp_path / "x.gz", DEMO_MIX, traffic, look, lambda done, n: told.append((done, n))
    )
    assert told[-1] == (len(traffic), len(traffic))


def test_a_log_that_fails_half_way_does_not_appear(traffic: Traffic, tmp_path: Path) -> None:
    def fail(done: int, n: int) -> None:
        raise RuntimeError("stopped")

    look = LogLook(RATES, np.random.default_rng(1))
    with pytest.raises(RuntimeError, match="stopped"):
        write_spend_log(tmp_path / "x.gz", DEMO_MIX, traffic, look, fail)
    assert list(tmp_path.iterdir()) == []
