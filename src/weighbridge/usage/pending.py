"""Requests of which only the beginning was read, kept beside the spool from run to run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from weighbridge.ledger.lines import OpenLine
from weighbridge.ledger.spool_files import sync_folder
from weighbridge.units import InputError

NAME = "pending"


class _Waiting(msgspec.Struct):
    writer: str
    line: OpenLine


@dataclass(slots=True)
class Pending:
    """Beginnings by request id, each with the gateway process that may still write the end."""

    waiting: dict[str, _Waiting] = field(default_factory=dict)
    is_changed: bool = False

    @classmethod
    def read(cls, spool: Path) -> Pending:
        """What the last run left waiting."""
        path = spool / NAME
        try:
            lines = path.read_bytes().splitlines()
            read = [msgspec.json.decode(line, type=_Waiting) for line in lines]
        except FileNotFoundError:
            return cls()
        except msgspec.DecodeError as fault:
            mend = "remove it: requests that a dying gateway cut off are then not recorded"
            raise InputError(str(path), "", f"cannot be read ({fault})", mend) from fault
        return cls({one.line.request_id: one for one in read})

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, writer: str, line: OpenLine) -> None:
        """A request began."""
        self.waiting.setdefault(line.request_id, _Waiting(writer, line))
        self.is_changed = True

    def remove(self, request_id: str) -> None:
        """Its end was read."""
        self.is_changed |= self.waiting.pop(request_id, None) is not None

    def may_end(self, alive: frozenset[str]) -> bool:
        """Whether any waits for a process that is gone."""
        return any(one.writer not in alive for one in self.waiting.values())

    def end(self, alive: frozenset[str]) -> list[OpenLine]:
        """Take out those whose process is gone."""
        gone = [one.line for one in self.waiting.values() if one.writer not in alive]
        for line in gone:
            self.remove(line.request_id)
        return gone

    def write(self, spool: Path) -> None:
        """Keep what waits, whole or not at all."""
        if not self.is_changed:
            return
        draft = spool / f"{NAME}.draft"
        with draft.open("wb") as file:
            for one in self.waiting.values():
                file.write(msgspec.json.encode(one) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(spool / NAME)
        sync_folder(spool)
        self.is_changed = False
