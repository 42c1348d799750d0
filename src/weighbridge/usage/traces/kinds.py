"""The traces of requests that can be read, each a source of the importer or one like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.batches import CellsTask, Task
from weighbridge.usage.sources.azure_llm_2023 import AZURE_LLM_2023
from weighbridge.usage.sources.burstgpt import BURSTGPT
from weighbridge.usage.sources.mooncake import MOONCAKE
from weighbridge.usage.sources.source import Source

N_TOKENS_PER_MOONCAKE_BLOCK = 512

# Gives what a row has beside its quantities, one value a row: blocks or the name of a session.
Extra = Callable[[Task, str], Sequence[object]]


class _Hashes(msgspec.Struct):
    hash_ids: list[int]


_HASHES = msgspec.json.Decoder(_Hashes)


def _mooncake_blocks(task: Task, where: str) -> list[list[int]]:
    blocks = []
    for line, raw in task.rows():
        try:
            blocks.append(_HASHES.decode(raw).hash_ids)
        except msgspec.DecodeError as fault:
            problem = "is missing, or not a list of whole numbers"
            mend = "fetch the trace again"
            raise InputError(f"{where}:{line}", "hash_ids", problem, mend) from fault
    return blocks


def _burstgpt_sessions(task: Task, where: str) -> list[str]:  # noqa: ARG001
    return task.cells.get("Session ID", []) if isinstance(task, CellsTask) else []


def _nothing(task: Task, where: str) -> list[object]:  # noqa: ARG001
    return []


@dataclass(frozen=True, slots=True)
class TraceKind:
    """A kind of trace: its source, the columns it is known by, and what else its rows hold."""

    source: Source
    blocks: Extra = _nothing
    sessions: Extra = _nothing

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every such file has."""
        return tuple(one.paths[0][0] for one in self.source.takes)


# What a ledger holds of BurstGPT beside these (model, status, latency) a simulation has no use for.
_BURSTGPT_LENGTHS = replace(BURSTGPT, takes=tuple(one for one in BURSTGPT.takes if one.required))

KINDS = (
    TraceKind(AZURE_LLM_2023),
    TraceKind(MOONCAKE, blocks=_mooncake_blocks),
    TraceKind(_BURSTGPT_LENGTHS, sessions=_burstgpt_sessions),
)


def kind_of(names: Sequence[str], where: str) -> TraceKind:
    """The kind that a file's columns or keys show; raises, naming what would be known."""
    for kind in KINDS:
        if set(kind.columns) <= set(names):
            return kind
    found = ", ".join(names[:12]) or "(none)"
    known = "; ".join(f"{k.source.title}: {', '.join(k.columns)}" for k in KINDS)
    if "rate_rps" in names:
        problem = "holds rates, not requests"
        raise InputError(where, "", problem, "draw requests from them (read_rate_windows)")
    problem = f"is no trace of requests that is known here: its columns are {found}"
    mend = f"give one of: {known}; or import the log into a ledger and name that"
    raise InputError(where, "", problem, mend)
