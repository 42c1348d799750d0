"""A trace file to arrays: cut, decoded and converted by the parts that importers use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from weighbridge.units import InputError
from weighbridge.usage.batches import Batch, RowDecoder
from weighbridge.usage.convert import Clock, Numbers, to_counts, to_instants, to_seconds
from weighbridge.usage.faults import MENDS, MISSING
from weighbridge.usage.inputs import LogFile, Reading, format_of
from weighbridge.usage.requests import Floats, Ints
from weighbridge.usage.sources.source import SECONDS_PER_UNIT, Take
from weighbridge.usage.traces.kinds import TraceKind, kind_of

_MEND = "correct that row, or export the trace again"


@dataclass(slots=True)
class Columns:
    """Every row of a trace in the order of the file; instants where it has any, else seconds."""

    kind: TraceKind
    at_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    blocks: list[Sequence[int]]
    sessions: list[str]
    first_us: int | None


@dataclass(slots=True)
class _Gathering:
    kind: TraceKind
    where: str
    decoder: RowDecoder = field(init=False)
    quantities: dict[str, list[Ints | Floats]] = field(init=False)
    blocks: list[Sequence[int]] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.decoder = RowDecoder(self.kind.source.takes)
        self.quantities = {one.quantity: [] for one in self.kind.source.takes}

    def add(self, batch: Batch) -> None:
        for one in self.kind.source.takes:
            numbers = self._numbers(one, batch)
            batch.faults.add(np.flatnonzero(numbers.empty), one.quantity, MISSING)
            self.quantities[one.quantity].append(numbers.values)
        if batch.faults.found:
            self._refuse(batch)

    def _numbers(self, one: Take, batch: Batch) -> Numbers:
        column = batch.columns[one.paths]
        if one.quantity != "started_at":
            return to_counts(column, batch.faults, one.quantity)
        if one.unit is not None:
            return to_seconds(column, batch.faults, one.quantity, SECONDS_PER_UNIT[one.unit])
        clock = Clock(zone=self.kind.source.naive_timezone)
        return to_instants(column, batch.faults, one.quantity, clock)

    def _refuse(self, batch: Batch) -> None:
        row = min(batch.faults.found)
        quantity, reason = batch.faults.found[row]
        names = {one.quantity: one.paths[0][0] for one in self.kind.source.takes}
        place = f"{self.where}:{batch.lines[row]}"
        raise InputError(place, names.get(quantity, ""), reason, MENDS.get(reason, _MEND))

    def columns(self) -> Columns:
        at = np.concatenate(self.quantities["started_at"])
        first_us = None if at.dtype == np.float64 else int(at.min())
        # Microseconds since 1970 as float64 would lose the last digit: they are counted from zero.
        at_s = (at if first_us is None else (at - first_us) / 1e6).astype(np.float64)
        tokens = {
            name: np.concatenate(self.quantities[name]).astype(np.int64)
            for name in ("input_tokens", "output_tokens")
        }
        return Columns(
            self.kind, at_s, **tokens, blocks=self.blocks, sessions=self.sessions, first_us=first_us
        )


def read_columns(path: Path) -> Columns:
    """The rows of a trace file, of whichever kind its columns show."""
    where = str(path)
    if not path.exists():
        raise InputError(where, "", "there is no such file", "check the path")
    file = LogFile(where, path)
    reading = Reading(file, format_of(file, ("csv", "json")), ",")
    gathering: _Gathering | None = None
    for task in reading.tasks():
        gathering = gathering or _Gathering(kind_of(reading.names, where), where)
        gathering.add(task.batch(gathering.decoder, where))
        gathering.blocks += gathering.kind.blocks(task, where)  # type: ignore[arg-type]
        gathering.sessions += gathering.kind.sessions(task, where)  # type: ignore[arg-type]
    if reading.rejects:
        first = reading.rejects[0]
        raise InputError(f"{where}:{first.line}", first.field, first.reason, _MEND)
    if gathering is None or not any(map(len, gathering.quantities["started_at"])):
        kind_of(reading.names, where)
        raise InputError(where, "", "holds no row", "export the trace again")
    return gathering.columns()
