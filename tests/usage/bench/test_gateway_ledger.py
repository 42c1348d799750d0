"""A self-hosted target, observed through the gateway's ledger."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from weighbridge.units import InputError
from weighbridge.usage.bench.gateway_ledger import observe_ledger
from weighbridge.usage.store import SCHEMA, Ledger, open_ledger, write_table

START = dt.datetime(2026, 10, 1, 12, 0, tzinfo=dt.UTC)


def _row(i: int, after_s: float, **told: Any) -> dict[str, Any]:
    row = {
        "request_id": f"r{i}",
        "started_at": START + dt.timedelta(seconds=after_s),
        "target": "fleet",
        "model": "made-8b",
        "status": "ok",
        "price_state": "self_hosted",
        "attempts": 1,
        "uncached_input_tokens": 100,
        "cache_read_tokens": 20,
        "cache_write_tokens": 0,
        "output_tokens": 10,
        "reasoning_tokens": 0,
        "latency_s": 1.0,
        "ttft_s": 0.25,
        "queue_s": 0.0,
        "streamed": True,
        "endpoint": "chat",
    }
    return row | told


def _ledger(folder: Path, *rows: dict[str, Any]) -> Ledger:
    arrays = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type)
        for field in SCHEMA
        if field.name != "import_id"
    }
    write_table(folder / "ledger", pa.table(arrays), "made")
    return open_ledger(folder / "ledger")


def _call(target: str, after_s: float, error: str | None = None) -> dict[str, Any]:
    return {"target": target, "after_s": after_s, "latency_s": 0.1, "error_type": error}


PLAIN = tuple(_row(i, i * 0.5) for i in range(5))


def test_a_request_arrives_when_the_gateway_sent_it_on(tmp_path: Path) -> None:
    held = _row(9, 0.25, queue_s=1.5, ttft_s=2.0, latency_s=3.0)
    run = observe_ledger(_ledger(tmp_path, *PLAIN, held), "fleet")
    assert run.requests.arrival_s.tolist() == [0.0, 0.5, 1.0, 1.5, 1.75, 2.0]
    assert run.ttft_s.tolist() == [0.25, 0.25, 0.25, 0.25, 0.5, 0.25]
    assert run.e2e_s.tolist() == [1.0, 1.0, 1.0, 1.0, 1.5, 1.0]
    assert run.requests.input_tokens.tolist() == [120] * 6
    assert np.isnan(run.queue_s).all()
    assert (run.n_concurrent, run.n_failed, run.settings.model) == (None, 0, "made-8b")


def test_a_retried_request_counts_from_its_last_call(tmp_path: Path) -> None:
    log = json.dumps([_call("api", 0.0, "timeout"), _call("fleet", 2.0)])
    told = _row(8, 3.0, attempts=2, attempt_log=log, ttft_s=2.25, latency_s=3.0)
    untold = _row(9, 4.0, attempts=2)
    run = observe_ledger(_ledger(tmp_path, *PLAIN, told, untold), "fleet")
    assert run.requests.arrival_s.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 5.0]
    assert run.ttft_s[-1] == 0.25
    assert run.e2e_s[-1] == 1.0
    assert np.isnan([run.ttft_s[-2], run.e2e_s[-2]]).all()
    assert run.n_failed == 0


def test_failures_count_also_where_another_target_answered(tmp_path: Path) -> None:
    log = json.dumps([_call("fleet", 0.0, "status_503"), _call("api", 1.0)])
    run = observe_ledger(
        _ledger(
            tmp_path,
            *PLAIN,
            _row(6, 1, status="error", output_tokens=0),
            _row(7, 1, status="interrupted"),
            _row(8, 1, target="api", attempts=2, attempt_log=log),
            _row(9, 1, target="api"),
        ),
        "fleet",
    )
    assert run.requests.n_requests == 5
    assert run.n_failed == 3


def test_answers_that_were_not_streamed_have_no_first_token(tmp_path: Path) -> None:
    whole = _row(9, 9.0, streamed=False, ttft_s=None)
    run = observe_ledger(_ledger(tmp_path, *PLAIN, whole), "fleet")
    assert np.isnan(run.ttft_s).tolist() == [False] * 5 + [True]
    assert run.e2e_s[-1] == 1.0


def test_embeddings_are_left_out(tmp_path: Path) -> None:
    vector = _row(9, 9.0, endpoint="embeddings", output_tokens=0)
    run = observe_ledger(_ledger(tmp_path, *PLAIN, vector), "fleet")
    assert (run.requests.n_requests, run.n_failed) == (5, 0)


@pytest.mark.parametrize(
    ("rows", "target", "told"),
    [
        (PLAIN, "flet", "target: no request was served by 'flet'\n  mend: name one of fleet"),
        (
            PLAIN[:3],
            "fleet",
            "target: fleet answered 3 requests (0 failed), too few to learn from\n  mend: route 5",
        ),
        (
            (*PLAIN, _row(9, 9.0, ttft_s=1.5)),
            "fleet",
            "latency_s: lies before what precedes it in 1 requests: clocks differ\n  mend: import",
        ),
        (
            (*PLAIN, _row(9, 9.0, queue_s=0.5)),
            "fleet",
            "ttft_s: lies before what precedes it in 1 requests: clocks differ\n  mend: import",
        ),
    ],
)
def test_what_cannot_be_observed_is_told(
    tmp_path: Path, rows: tuple[dict[str, Any], ...], target: str, told: str
) -> None:
    ledger = _ledger(tmp_path, *rows)
    with pytest.raises(InputError) as caught:
        observe_ledger(ledger, target)
    assert str(caught.value).startswith(f"{ledger.path}: {told}")
