"""The admission that a configuration asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from weighbridge.gateway.admission import Budget, Limit
from weighbridge.gateway.admission.local import LocalAdmission, no_event
from weighbridge.gateway.budgets import Events
from weighbridge.gateway.shared.bank import MAX_USD, Bank
from weighbridge.gateway.shared.file_bank import FileBank
from weighbridge.gateway.shared.leased import LeasedAdmission
from weighbridge.gateway.shared.redis_bank import DEFAULT_PREFIX, TIMEOUT_S, RedisBank
from weighbridge.units import InputError

AnyAdmission = LocalAdmission | LeasedAdmission


@dataclass(frozen=True, slots=True)
class State:
    """Where limits and budgets are counted, and which process this is."""

    url: str = "memory"  # memory, file:PATH, redis://HOST:PORT/DB, rediss://... or unix://...
    worker: int = 0
    n_workers: int = 1
    n_replicas: int = 4  # while Redis is away, each goes by its part of a limit
    timeout_s: float = TIMEOUT_S
    prefix: str = DEFAULT_PREFIX


def build_admission(
    limits: Iterable[Limit],
    budgets: Iterable[Budget],
    state: State,
    loop: asyncio.AbstractEventLoop | None = None,
    on_event: Events = no_event,
) -> AnyAdmission:
    """Admission with its counts where `state` says. A leased one needs its `tick`."""
    if state.url == "memory":
        if state.n_workers > 1:
            problem = f"is memory: each of {state.n_workers} workers would allow all of a limit"
            raise InputError("config", "state", problem, "write file:PATH or redis://HOST:PORT/DB")
        return LocalAdmission(limits, budgets, on_event=on_event)
    held = list(budgets)
    for budget in held:
        check_shared_budget(budget)
    n_machines = 1 if state.url.startswith("file:") else state.n_replicas
    share_frac = 1.0 / max(n_machines * state.n_workers, 1)
    bank = _bank(state, loop)
    return LeasedAdmission(limits, held, bank, share_frac=share_frac, on_event=on_event)


async def give_back(admission: AnyAdmission, now: float, at: float) -> None:
    """Let go of what is not in use, so that other processes need not wait for it to expire."""
    admission.close(now, at)
    if isinstance(admission, LeasedAdmission):
        bank = admission.bank
        if isinstance(bank, RedisBank):
            await bank.aclose()
        else:
            bank.close()


def _bank(state: State, loop: asyncio.AbstractEventLoop | None) -> Bank:
    scheme, _, rest = state.url.partition(":")
    if scheme == "file" and rest:
        return FileBank(Path(rest), state.worker)
    if scheme in {"redis", "rediss", "unix"}:
        if loop is None:
            raise TypeError("shared state in Redis needs the event loop")
        return RedisBank(state.url, loop, prefix=state.prefix, timeout_s=state.timeout_s)
    mend = "write memory, file:PATH or redis://HOST:PORT/DB"  # the text itself may be a secret
    raise InputError("config", "state", "names no place that is known", mend)


def check_shared_budget(budget: Budget) -> None:
    """Refuse a budget that shared counts cannot hold exactly."""
    if Decimal(budget.usd) > MAX_USD:
        raise InputError(
            f"budget of {budget.scope} {budget.name}",
            "usd",
            f"is {budget.usd}; shared state counts exactly up to {MAX_USD:,}",
            "split it by tenant or by day, or use state: memory",
        )
