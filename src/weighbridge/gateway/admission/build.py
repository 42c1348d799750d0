"""The admission that a configuration asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from weighbridge.gateway.admission import Budget, Limit
from weighbridge.gateway.admission.local import LocalAdmission, no_event
from weighbridge.gateway.budgets import Events
from weighbridge.units import InputError


def build_admission(
    limits: Iterable[Limit],
    budgets: Iterable[Budget],
    state: str = "memory",
    *,
    worker: int = 0,
    n_workers: int = 1,
    loop: asyncio.AbstractEventLoop | None = None,
    on_event: Events = no_event,
) -> LocalAdmission:
    """Admission whose counts are where `state` says: `memory`, `file:PATH` or `redis://...`."""
    if state == "memory":
        if n_workers > 1:
            problem = f"is memory, with {n_workers} workers each would allow the whole limit"
            raise InputError("config", "state", problem, "write file:PATH or redis://HOST:PORT/DB")
        return LocalAdmission(limits, budgets, on_event=on_event)
    raise InputError("config", "state", f"{state!r} is unknown", "write memory")
