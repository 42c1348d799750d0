"""A self-hosted target as the gateway saw it: from outside, without the engine's own stamps."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from weighbridge.ledger.lines import AttemptLine
from weighbridge.units import InputError
from weighbridge.usage.bench.building import MIN_REQUESTS, ROUNDING_S
from weighbridge.usage.observed import EngineSettings, ObservedRun
from weighbridge.usage.requests import Floats, Requests
from weighbridge.usage.store import SCHEMA, Ledger

_COLUMNS = [
    "started_at",
    "status",
    "model",
    "target",
    "endpoint",
    "attempts",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "latency_s",
    "ttft_s",
    "queue_s",
    "streamed",
    "attempt_log",
]
_WITHOUT_ANSWERS = "embeddings"


def observe_ledger(ledger: Ledger, target: str) -> ObservedRun:
    """What a target served, from when the gateway sent each request on.

    A request arrives at the target when it left the gateway: `queue_s` after it came in, or
    `after_s` of its last call where there was more than one. Time to first token is NaN for answers
    that were not streamed; all times are NaN where a request was retried and its source does not
    say when. Calls that failed count as failed even where another target answered in the end.
    Embeddings are left out, since they decode nothing.
    """
    rows = _rows(ledger, target)
    own = rows.filter(pc.equal(rows["target"], target))
    ok = pc.and_(
        pc.equal(own["status"], "ok"),
        pc.and_(pc.greater(own["output_tokens"], 0), pc.greater(_input_tokens(own), 0)),
    )
    served = own.filter(ok)
    n_failed = own.num_rows - served.num_rows + _n_failed_calls(rows["attempt_log"], target)
    if served.num_rows < MIN_REQUESTS:
        raise InputError(
            str(ledger.path),
            "target",
            f"{target} answered {served.num_rows} requests ({n_failed} failed), too few to learn "
            "from",
            f"route {MIN_REQUESTS} or more requests to it, better 1000",
        )
    return _run(ledger, target, served, n_failed)


def _rows(ledger: Ledger, target: str) -> pa.Table:
    """Rows that the target answered, and those where a call to it failed."""
    stored = ds.dataset(list(ledger.parquet_files), schema=SCHEMA)
    mentioned = pc.match_substring(pc.field("attempt_log"), msgspec.json.encode(target).decode())
    is_own = pc.field("target") == target
    rows = stored.to_table(columns=_COLUMNS, filter=is_own | mentioned)
    rows = rows.filter(pc.not_equal(pc.fill_null(rows["endpoint"], ""), _WITHOUT_ANSWERS))
    if pc.any(pc.equal(rows["target"], target)).as_py():
        return rows
    known = stored.to_table(columns=["target"])["target"].unique().to_pylist()
    names = sorted(name for name in known if name)
    near = difflib.get_close_matches(target, names, 3) or names[:10]
    raise InputError(
        str(ledger.path),
        "target",
        f"no request was served by {target!r}",
        f"name one of {', '.join(near)}" if names else "import a ledger that names its targets",
    )


def _input_tokens(rows: pa.Table) -> Any:
    whole = pc.add(rows["uncached_input_tokens"], rows["cache_read_tokens"])
    return pc.add(whole, rows["cache_write_tokens"])


def _calls(log: str | None) -> list[AttemptLine]:
    return [] if log is None else msgspec.json.decode(log, type=list[AttemptLine])


def _n_failed_calls(logs: pa.ChunkedArray, target: str) -> int:
    """Calls to the target before the last one of their request; the last has a row of its own."""
    return sum(call.target == target for log in logs.to_pylist() for call in _calls(log)[:-1])


def _run(ledger: Ledger, target: str, served: pa.Table, n_failed: int) -> ObservedRun:
    waited_s = _waited(served)
    started_us = served["started_at"].cast(pa.int64()).to_numpy()
    arrival_s = (started_us - started_us.min()) / 1e6 + np.nan_to_num(waited_s)
    ttft_s = _floats(served, "ttft_s") - waited_s
    e2e_s = _floats(served, "latency_s") - waited_s
    unstreamed = served["streamed"].fill_null(True).to_numpy() == 0
    ttft_s = np.where(unstreamed, np.nan, ttft_s)
    _check_times(ledger, ttft_s, e2e_s)
    order = np.argsort(arrival_s, kind="stable")
    arrival_s = arrival_s[order]
    return ObservedRun(
        name=f"{ledger.path}#{target}",
        requests=Requests(
            arrival_s - arrival_s[0],
            _input_tokens(served).to_numpy()[order].astype(np.int64),
            served["output_tokens"].to_numpy()[order].astype(np.int64),
        ),
        ttft_s=ttft_s[order],
        e2e_s=e2e_s[order],
        queue_s=np.full(len(order), np.nan),
        n_concurrent=None,
        n_failed=n_failed,
        settings=EngineSettings(model=_model(served), gpu=_gpu(ledger, target)),
    )


def _floats(rows: pa.Table, name: str) -> Floats:
    filled = pc.fill_null(rows[name], float("nan"))
    return np.asarray(filled.to_numpy(), np.float64)


def _waited(rows: pa.Table) -> Floats:
    """From a request's arrival at the gateway to its last call; NaN where nothing says it."""
    waited_s = np.nan_to_num(_floats(rows, "queue_s"))
    attempts = pc.fill_null(rows["attempts"], 1).to_numpy()
    logs = rows["attempt_log"]
    for i in np.flatnonzero(attempts > 1):
        calls = _calls(logs[int(i)].as_py())
        waited_s[i] = calls[-1].after_s if calls else np.nan
    return waited_s


def _check_times(ledger: Ledger, ttft_s: Floats, e2e_s: Floats) -> None:
    for field, late_s, early_s in (
        ("ttft_s", ttft_s, np.zeros_like(ttft_s)),
        ("latency_s", e2e_s, np.zeros_like(e2e_s)),
        ("latency_s", e2e_s, ttft_s),
    ):
        n_wrong = int((late_s < early_s - ROUNDING_S).sum())
        if n_wrong:
            raise InputError(
                str(ledger.path),
                field,
                f"lies before what precedes it in {n_wrong} requests: clocks differ",
                "import logs whose times come from one clock",
            )


def _model(rows: pa.Table) -> str | None:
    counts = Counter(name for name in rows["model"].to_pylist() if name)
    return counts.most_common(1)[0][0] if counts else None


def _gpu(ledger: Ledger, target: str) -> str | None:
    """The GPU that fleet hours name for the target; None where they name none or several."""
    gpus = {hours.gpu for hours in ledger.fleet_hours() if hours.target == target}
    return gpus.pop() if len(gpus) == 1 else None
