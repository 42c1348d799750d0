"""Requests to be sent again: when, how long, for whom. Read from a ledger, a trace or a mix."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from weighbridge.rehearsal.mix import Mix
from weighbridge.rehearsal.traffic import Traffic, generate
from weighbridge.units import InputError

MOONCAKE_BLOCK_TOKENS = 512
DEFAULT_MODEL = "gpt-4o-mini"
HOURS_AT_A_TIME = 6
MIX_START = dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC)  # a Monday morning
LEDGER_COLUMNS = (
    "started_at",
    "tenant",
    "feature",
    "template",
    "provider",
    "model_requested",
    "model",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "ttft_s",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One request to be sent."""

    offset_s: float  # after the first one, at the pace of the source
    input_tokens: int
    output_tokens: int
    model: str = DEFAULT_MODEL
    provider: str | None = None
    tenant: str | None = None
    feature: str | None = None
    template: str | None = None
    streamed: bool = False
    blocks: tuple[int, ...] = ()  # ids of the prompt's blocks; equal ids, equal text


def azure_rows(path: Path) -> Iterator[Row]:
    """Rows of an Azure LLM inference trace of 2023 (CSV: instant, context and generated tokens)."""
    with _opened(path) as file:
        reader = csv.DictReader(file)
        first_s: float | None = None
        for line, cells in enumerate(reader, start=2):
            try:
                instant_s = _azure_instant_s(cells["TIMESTAMP"])
                tokens = int(cells["ContextTokens"]), int(cells["GeneratedTokens"])
            except (KeyError, TypeError, ValueError) as fault:
                mend = "give a CSV file with TIMESTAMP, ContextTokens and GeneratedTokens"
                problem = f"is no row of an Azure trace ({fault})"
                raise InputError(f"{path}:{line}", "", problem, mend) from fault
            first_s = instant_s if first_s is None else first_s
            yield Row(instant_s - first_s, *tokens)


def _azure_instant_s(text: str) -> float:
    whole, _, fraction = text.partition(".")  # seven places, one more than datetime reads
    seconds = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC).timestamp()
    return seconds + (float(f"0.{fraction}") if fraction else 0.0)


class _Mooncake(msgspec.Struct):
    timestamp: float  # milliseconds
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...] = ()


def mooncake_rows(path: Path) -> Iterator[Row]:
    """Rows of a Mooncake trace (JSON lines: milliseconds, lengths, ids of the prompt's blocks)."""
    with _opened(path) as file:
        first_ms: float | None = None
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = msgspec.json.decode(line, type=_Mooncake)
            except msgspec.DecodeError as fault:
                mend = "give JSON lines with timestamp, input_length and output_length"
                problem = f"is no row of a Mooncake trace ({fault})"
                raise InputError(f"{path}:{number}", "", problem, mend) from fault
            first_ms = row.timestamp if first_ms is None else first_ms
            offset_s = (row.timestamp - first_ms) / 1000
            yield Row(offset_s, row.input_length, row.output_length, blocks=row.hash_ids)


def _opened(path: Path) -> Any:
    try:
        return path.open(newline="")
    except OSError as fault:
        raise InputError(str(path), "", f"cannot be read ({fault})", "name a trace") from fault


def trace_rows(path: Path) -> Iterator[Row]:
    """Rows of a public trace, its kind told by the file's name."""
    kinds: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".csv": azure_rows,
        ".jsonl": mooncake_rows,
    }
    reader = kinds.get(path.suffix)
    if reader is None:
        mend = "give azure2023's .csv or mooncake's .jsonl"
        raise InputError(str(path), "", "is no trace that can be told by its name", mend)
    return reader(path)


def mix_rows(mix: Mix, n_hours: int, seed: int) -> Iterator[Row]:
    """Rows drawn from a mix, from a Monday morning on, some hours at a time.

    None of them fails: whoever is asked now decides that.
    """
    sound = _without_failures(mix)
    first_us = int(MIX_START.timestamp()) * 1_000_000
    for hour in range(0, n_hours, HOURS_AT_A_TIME):
        start = MIX_START + dt.timedelta(hours=hour)
        drawn = np.random.default_rng([seed, hour])
        traffic = generate(sound, start, min(HOURS_AT_A_TIME, n_hours - hour), drawn)
        for at in range(len(traffic)):
            yield _mix_row(sound, traffic, at, first_us)


def _without_failures(mix: Mix) -> Mix:
    templates = (
        replace(t, service=replace(t.service, failure_probability=0.0, retry_probability=0.0))
        for t in mix.templates
    )
    return Mix(tuple(templates))


def _mix_row(mix: Mix, traffic: Traffic, at: int, first_us: int) -> Row:
    template = mix.templates[int(traffic.template[at])]
    return Row(
        offset_s=(int(traffic.started_at_us[at]) - first_us) / 1e6,
        input_tokens=int(traffic.input_tokens[at]),
        output_tokens=int(traffic.output_tokens[at]),
        model=template.service.model,
        provider=template.service.provider,
        tenant=mix.tenants[int(traffic.tenant[at])],
        feature=template.feature,
        template=template.template,
        streamed=template.streamed,
    )


def ledger_rows(folder: Path) -> Iterator[Row]:
    """Rows of a usage ledger, in the order in which they were sent."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy, and only this source needs it

    from weighbridge.usage.store import open_ledger  # noqa: PLC0415  # as above

    files = open_ledger(folder).parquet_files
    table = pq.read_table(list(files), columns=list(LEDGER_COLUMNS), partitioning=None)
    table = table.sort_by("started_at")
    first: dt.datetime | None = None
    for batch in table.to_batches(max_chunksize=10_000):
        for cells in batch.to_pylist():
            first = cells["started_at"] if first is None else first
            yield _ledger_row(cells, first)


def _ledger_row(cells: dict[str, Any], first: dt.datetime) -> Row:
    names = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens")
    return Row(
        offset_s=(cells["started_at"] - first).total_seconds(),
        input_tokens=sum(cells[name] for name in names),
        output_tokens=cells["output_tokens"],
        model=cells["model_requested"] or cells["model"] or DEFAULT_MODEL,
        provider=cells["provider"],
        tenant=cells["tenant"],
        feature=cells["feature"],
        template=cells["template"],
        streamed=cells["ttft_s"] is not None,
    )


def within(rows: Iterable[Row], limit: int | None, until_s: float | None) -> Iterator[Row]:
    """The first rows: so many at most, none later than `until_s` after the first."""
    for row in islice(rows, limit):
        if until_s is not None and row.offset_s > until_s:
            return
        yield row
