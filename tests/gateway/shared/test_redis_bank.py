"""The bank in Redis where its client misbehaves; how it counts is shown by `tests/services`."""

import asyncio
import contextlib

import pytest

from weighbridge.gateway.shared.bank import MONEY, Draw
from weighbridge.gateway.shared.redis_bank import RedisBank

DRAW = Draw("cell", MONEY, 10**12, 0.0, want=10**9)
ROW = ["1", "1", "1", "1", 0, 0]


async def exchanged(*, raises: Exception | None = None, reply: object = None) -> tuple[list, list]:
    """What the bank answers to one draw, and the faults it reported."""
    loop = asyncio.get_running_loop()
    faults: list[dict] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    bank = RedisBank("redis://127.0.0.1:1/0", loop)

    async def script(*, keys: list, args: list) -> object:
        if raises is not None:
            raise raises
        return reply

    bank._script = script
    heard: list = []
    bank.exchange([DRAW], 0.0, 0.0, heard.append)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*bank._tasks, return_exceptions=True), 5)
    await bank.aclose()
    return heard, faults


@pytest.mark.parametrize(
    "said",
    [
        {"raises": RuntimeError("the handler is closed")},
        {"raises": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")},
        {"reply": None},
        {"reply": ["0"]},
        {"reply": ["0", ["x", "1", "1", "1", 0, 0]]},
        {"reply": ["now", ROW]},
    ],
)
def test_whatever_goes_wrong_in_an_exchange_those_who_wait_are_told_once(said) -> None:
    heard, faults = asyncio.run(exchanged(**said))
    assert heard == [None]
    assert len(faults) == 1


def test_a_bank_that_is_away_is_no_fault_of_ours() -> None:
    assert asyncio.run(exchanged(raises=ConnectionError("refused"))) == ([None], [])


def test_a_whole_reply_is_an_answer() -> None:
    (answers,), faults = asyncio.run(exchanged(reply=["0", ROW]))
    assert len(answers) == 1
    assert not faults
