"""A bank in Redis or Valkey, for replicas on several machines; one round trip an exchange."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

from weighbridge.gateway.budgets import THRESHOLD_FRACS
from weighbridge.gateway.settings import SharedSettings
from weighbridge.gateway.shared.bank import MONEY, PICO_PER_NANO, Answer, Done, Draw, Purse
from weighbridge.gateway.shared.redis_script import SCRIPT
from weighbridge.units import InputError

if TYPE_CHECKING:
    from redis.commands.core import AsyncScript

# The braces keep all counts on one node of a cluster, as a script needs it.
DEFAULT_PREFIX = SharedSettings().prefix
TIMEOUT_S = 0.05
# What a process that is gone held comes back after this; living ones renew it every tick.
HOLD_S = 30.0
# Money of a period is kept for this long after its end.
_AFTER_PERIOD_S = 2 * 86_400.0
_SLOTS_TTL_S = 2 * HOLD_S


class RedisBank:
    """Counts in Redis.

    Spend is told as the sum of this process in the period, so an exchange that was lost or done
    twice changes nothing, and a server that forgot everything learns it again from those who live.
    """

    is_immediate = False

    def __init__(
        self,
        url: str,
        loop: asyncio.AbstractEventLoop,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.offset_s = 0.0
        self._loop = loop
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._me = secrets.token_hex(6)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_faulty = False
        self._client, self._script = _connect(url)

    def exchange(self, draws: list[Draw], now: float, at: float, done: Done) -> None:  # noqa: ARG002
        """Send draws; `done` comes later."""
        task = self._loop.create_task(self._exchange(draws, at, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def spend(self, purse: Purse, amount: int) -> None:
        """Spend is told with the next exchange."""

    def release(self, cell: str, n_slots: int) -> None:
        """Slots are freed with the next exchange."""

    def close(self) -> None:
        """Break off what is under way."""
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Wait for what is under way, then close the connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * self._timeout_s)
        self.close()
        await self._client.aclose()

    async def _exchange(self, draws: list[Draw], at: float, done: Done) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415  # an optional extra

        answers: list[Answer] | None = None
        try:
            args: list[str | int] = [self._me, int(HOLD_S), ",".join(map(str, THRESHOLD_FRACS))]
            for draw in draws:
                args.extend(_arguments(draw, at))
            keys = [self._prefix + draw.cell for draw in draws]
            async with asyncio.timeout(self._timeout_s):
                reply = await self._script(keys=keys, args=args)
            answers = [_answer(draw, one) for draw, one in zip(draws, reply[1:], strict=True)]
            self.offset_s = float(reply[0]) - time.time()
        except (RedisError, OSError, TimeoutError):
            answers = None
        except Exception as error:
            # Whatever it is, claims wait for this answer: a fault of ours must not hold them.
            answers = None
            self._report(error)
        else:
            self._is_faulty = False
        done(answers)

    def _report(self, error: Exception) -> None:
        """Once until an exchange succeeds again: they are tried many times a second."""
        if self._is_faulty:
            return
        self._is_faulty = True
        self._loop.call_exception_handler(
            {"message": "an exchange with the shared state failed", "exception": error}
        )


def _connect(url: str) -> tuple[Any, AsyncScript]:
    try:
        from redis.asyncio import Redis  # noqa: PLC0415  # an optional extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError:
        mend = "pip install 'weighbridge[redis]', or write memory or file:PATH"
        raise InputError("config", "state", "needs redis-py, which is missing", mend) from None
    try:
        client = Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True)
    except ValueError:  # its text may quote a password
        mend = "write redis://HOST:PORT/DB, rediss:// for TLS"
        raise InputError("config", "state", "is no address of Redis", mend) from None
    return client, client.register_script(SCRIPT)


def _arguments(draw: Draw, at: float) -> list[str | int]:
    """The draw as the script reads it; money in 10^-9 dollars, so that no double rounds it."""
    if draw.kind != MONEY:
        rate = repr(draw.rate_per_s)
        ttl_s = int(_SLOTS_TTL_S)
        amounts = [draw.want, draw.least, draw.give, draw.keep]
        return [draw.kind, draw.capacity, rate, *amounts, 0, 0, ttl_s]
    ttl_s = int(max(draw.ends_at - at, 0.0) + _AFTER_PERIOD_S)
    # Holds and wishes are rounded up and spend down: the rest of it is told when it is whole.
    want, least, keep = (
        -(-amount // PICO_PER_NANO) for amount in (draw.want, draw.least, draw.keep)
    )
    capacity = draw.capacity // PICO_PER_NANO
    spent, floor = draw.spent // PICO_PER_NANO, draw.floor // PICO_PER_NANO
    return [draw.kind, capacity, "0", want, least, 0, keep, spent, floor, ttl_s]


def _answer(draw: Draw, reply: list[Any]) -> Answer:
    factor = PICO_PER_NANO if draw.kind == MONEY else 1
    granted, level, total, held = (float(text) for text in reply[:4])
    return Answer(
        int(granted) * factor,
        level * factor,
        int(total) * factor,
        int(held) * factor,
        int(reply[4]),
        int(reply[5]),
    )
