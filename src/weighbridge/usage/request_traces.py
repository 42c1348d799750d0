"""A trace of requests, of whichever known kind it is, as arrays that the simulation takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weighbridge.units import InputError
from weighbridge.usage.requests import Ints, PrefixBlocks, Requests
from weighbridge.usage.store import open_ledger
from weighbridge.usage.traces.kinds import N_TOKENS_PER_MOONCAKE_BLOCK
from weighbridge.usage.traces.ledger import requests_of_ledger as requests_of_ledger
from weighbridge.usage.traces.notes import RequestTrace as RequestTrace
from weighbridge.usage.traces.notes import TraceNotes as TraceNotes
from weighbridge.usage.traces.rate_windows import RateWindows as RateWindows
from weighbridge.usage.traces.reading import Columns, read_columns
from weighbridge.usage.traces.servegen import read_rate_windows as read_rate_windows

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def read_request_trace(path: Path | str) -> RequestTrace:
    """Requests of a trace file or a ledger's folder, its kind told by its content.

    Known are Azure's LLM inference traces of 2023 and 2024 (CSV), Mooncake's (JSON lines, with
    prefix blocks) and BurstGPT's (CSV), each also packed with gzip or zstd, and ledgers. A row that
    cannot be read raises: a trace with holes would make its peaks smaller than they were.
    """
    if Path(path).is_dir():
        return requests_of_ledger(open_ledger(path))
    return _trace(read_columns(Path(path)), str(path))


def _trace(columns: Columns, where: str) -> RequestTrace:
    has_output, has_input = columns.output_tokens > 0, columns.input_tokens > 0
    kept = np.flatnonzero(has_output & has_input)
    if not len(kept):
        problem = f"none of {len(columns.at_s):,} requests has tokens in and out"
        raise InputError(where, "", problem, "name another trace")
    order = kept[np.argsort(columns.at_s[kept], kind="stable")]
    at_s = columns.at_s[order]
    first_at = None
    if columns.first_us is not None:
        first_us = columns.first_us + round(float(at_s[0]) * 1e6)
        first_at = _EPOCH + dt.timedelta(microseconds=first_us)
    requests = Requests(
        arrival_s=at_s - at_s[0],
        input_tokens=columns.input_tokens[order],
        output_tokens=columns.output_tokens[order],
        session=_sessions(columns.sessions, order),
        prefix=_prefix(columns, order, where),
    )
    source = columns.kind.source
    notes = TraceNotes(
        where=where,
        kind=source.name,
        title=source.title,
        n_rows=len(columns.at_s),
        n_without_output=int((~has_output).sum()),
        n_without_input=int((has_output & ~has_input).sum()),
        n_out_of_order=int((np.diff(columns.at_s) < 0).sum()),
        first_at=first_at,
        cannot_tell=tuple(source.cannot_tell.values()),
    )
    return RequestTrace(requests, notes)


def _sessions(names: Sequence[str], order: Ints) -> Ints:
    """Sessions numbered from 0; a request without one is a session by itself."""
    if not names:
        return np.empty(0, np.int64)
    chosen = [names[row] or f"\0{row}" for row in order]
    return np.unique(chosen, return_inverse=True)[1].astype(np.int64)


def _prefix(columns: Columns, order: Ints, where: str) -> PrefixBlocks | None:
    """Blocks numbered from 0; every block of a prompt must be there, the last one partly filled."""
    if not columns.blocks:
        return None
    n_blocks = np.array([len(row) for row in columns.blocks], np.int64)
    n_due = -(-columns.input_tokens // N_TOKENS_PER_MOONCAKE_BLOCK)
    if (n_blocks[order] > n_due[order]).any():
        row = int(order[n_blocks[order] > n_due[order]][0])
        problem = (
            f"request {row + 1} has {n_blocks[row]} blocks, and its {columns.input_tokens[row]} "
            f"tokens fill {n_due[row]} of {N_TOKENS_PER_MOONCAKE_BLOCK}"
        )
        raise InputError(where, "hash_ids", problem, "fetch the trace again")
    ids = np.concatenate([np.asarray(columns.blocks[row], np.int64) for row in order])
    offsets = np.concatenate([[0], np.cumsum(n_blocks[order])]).astype(np.int64)
    dense = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    return PrefixBlocks(dense, offsets, N_TOKENS_PER_MOONCAKE_BLOCK)
