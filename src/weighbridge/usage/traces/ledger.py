"""The ledger's answered requests as arrays."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from weighbridge.units import InputError
from weighbridge.usage.requests import Ints, Requests
from weighbridge.usage.store import SCHEMA, Ledger
from weighbridge.usage.traces.notes import RequestTrace, TraceNotes

DIMENSIONS = (
    "tenant",
    "feature",
    "template",
    "provider",
    "model",
    "model_requested",
    "target",
    "service_tier",
    "data_class",
)
_TOKENS = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")

SessionBy = Literal["tenant", "key_id"]


def requests_of_ledger(
    ledger: Ledger,
    *,
    only: Mapping[str, Sequence[str | None]] | None = None,
    from_at: dt.datetime | None = None,
    to_at: dt.datetime | None = None,
    session_by: SessionBy | None = None,
) -> RequestTrace:
    """Answered requests of a ledger between two instants, of the values asked for.

    `only` names values by dimension, None being "not recorded". A ledger has no conversations:
    `session_by` takes all requests of a tenant or key for one, which suits sticky routing where
    callers are many, and nothing else.
    """
    rows = _rows(ledger, only or {}, from_at, to_at, session_by)
    answered = pc.equal(rows["status"], "ok").to_numpy()
    tokens = {name: rows[name].to_numpy() for name in _TOKENS}
    inputs = sum(tokens[name] for name in _TOKENS[:3])
    outputs = tokens["output_tokens"]
    kept = answered & (inputs > 0) & (outputs > 0)
    if not kept.any():
        problem = f"none of {len(rows):,} requests was answered with tokens in and out"
        raise InputError(str(ledger.path), "", problem, "widen the stretch or the filters")
    at_us = rows["started_at"].cast(pa.int64()).to_numpy()[kept]
    notes = TraceNotes(
        where=str(ledger.path),
        kind="ledger",
        title="usage ledger",
        n_rows=len(rows),
        n_failed=int((~answered).sum()),
        n_without_input=int((answered & (inputs <= 0)).sum()),
        n_without_output=int((answered & (inputs > 0) & (outputs <= 0)).sum()),
        first_at=dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(at_us[0])),
        cached_input_frac=float(tokens["cache_read_tokens"][kept].sum() / inputs[kept].sum()),
        cannot_tell=ledger.cannot_tell,
    )
    session = np.empty(0, np.int64) if session_by is None else _dense(rows[session_by])[kept]
    requests = Requests(
        arrival_s=(at_us - at_us[0]) / 1e6,
        input_tokens=inputs[kept],
        output_tokens=outputs[kept],
        session=session,
    )
    return RequestTrace(requests, notes)


def _rows(
    ledger: Ledger,
    only: Mapping[str, Sequence[str | None]],
    from_at: dt.datetime | None,
    to_at: dt.datetime | None,
    session_by: SessionBy | None,
) -> pa.Table:
    names = ["started_at", "status", *_TOKENS, *([session_by] if session_by else [])]
    # The whole schema is named: ledgers written before the gateway lack its columns.
    files = ds.dataset(list(ledger.parquet_files), schema=SCHEMA, format="parquet")
    rows = files.to_table(columns=names, filter=_condition(ledger, only, from_at, to_at))
    if not len(rows):
        asked = [f"{name} in {list(values)}" for name, values in only.items()]
        asked += [f"from {from_at}"] if from_at else []
        asked += [f"before {to_at}"] if to_at else []
        problem = f"no request has {' and '.join(asked)}"
        raise InputError(str(ledger.path), "", problem, _mend(files, only))
    return rows.sort_by("started_at")


def _condition(
    ledger: Ledger,
    only: Mapping[str, Sequence[str | None]],
    from_at: dt.datetime | None,
    to_at: dt.datetime | None,
) -> Any:
    condition = None
    for name, values in only.items():
        if name not in DIMENSIONS:
            mend = f"one of {', '.join(DIMENSIONS)}"
            raise InputError(str(ledger.path), name, "is no dimension of a ledger", mend)
        asked = pa.array([value for value in values if value is not None], pa.string())
        named = ds.field(name).isin(asked)
        part = named | ds.field(name).is_null() if None in values else named
        condition = part if condition is None else condition & part
    for instant, is_from in ((from_at, True), (to_at, False)):
        if instant is None:
            continue
        if instant.tzinfo is None:
            mend = "give an instant with its zone"
            raise InputError(str(ledger.path), "from_at/to_at", f"{instant} has no zone", mend)
        at = pa.scalar(instant, SCHEMA.field("started_at").type)
        part = ds.field("started_at") >= at if is_from else ds.field("started_at") < at
        condition = part if condition is None else condition & part
    return condition


def _mend(files: Any, only: Mapping[str, Sequence[str | None]]) -> str:
    """What the ledger does hold of the dimensions asked for, and when."""
    told = []
    for name in only:
        values = pc.unique(files.to_table(columns=[name])[name]).to_pylist()
        names = sorted(str(value) for value in values if value is not None)
        told.append(f"{name} is one of {', '.join(names[:12]) or '(none recorded)'}")
    span = pc.min_max(files.to_table(columns=["started_at"])["started_at"]).as_py()
    told.append(f"requests are from {span['min'].isoformat()} to {span['max'].isoformat()}")
    return "; ".join(told)


def _dense(names: pa.ChunkedArray) -> Ints:
    """Numbers from 0 in order of first appearance; requests without a name share one more."""
    codes = pc.dictionary_encode(names.combine_chunks(), null_encoding="encode")
    return np.asarray(codes.indices.to_numpy(), np.int64)
