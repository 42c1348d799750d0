"""A replay against a real endpoint: rows in, one line per request out, a tally at the end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
import uvloop

from weighbridge.rehearsal.replay import RealClock, Replay, Tally
from weighbridge.rehearsal.replay_answer import Outcome
from weighbridge.rehearsal.replay_client import Client, endpoint_of
from weighbridge.rehearsal.replay_prompt import PromptMaker, PromptSettings
from weighbridge.rehearsal.replay_rows import Row
from weighbridge.units import InputError

PROGRESS_EVERY_S = 0.2

Progress = Callable[[Tally], None]


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Where to send, as whom, how fast, and where to write how it went."""

    to: str
    out: Path
    keys: Mapping[str | None, str] = field(default_factory=dict)  # by tenant; None: all others
    prompt: PromptSettings = field(default_factory=PromptSettings)
    speed: float = 1.0
    n_open_most: int = 10_000
    timeout_s: float = 600.0


def run_replay(
    rows: Iterable[Row], settings: ReplaySettings, progress: Progress | None = None
) -> tuple[Tally, bool]:
    """Replay on a loop of its own; the tally, and whether Ctrl-C cut it short."""
    return uvloop.run(replay(rows, settings, progress))


async def replay(
    rows: Iterable[Row], settings: ReplaySettings, progress: Progress | None = None
) -> tuple[Tally, bool]:
    """Replay on this loop; a first SIGINT ends it and keeps what was measured."""
    endpoint = endpoint_of(settings.to)
    client = Client(endpoint, settings.timeout_s)
    sender = _Sender(client, settings)
    encoder = msgspec.json.Encoder()
    with _opened_anew(settings.out) as file:

        def write(outcome: Outcome) -> None:
            file.write(encoder.encode(outcome) + b"\n")

        play = Replay(
            sender.send, write, RealClock(), speed=settings.speed, n_open_most=settings.n_open_most
        )
        task = asyncio.ensure_future(play.run(rows))
        was_cut = await _watched(task, play.tally, progress)
        await client.close()
    return play.tally, was_cut


async def _watched(task: asyncio.Future[Tally], tally: Tally, progress: Progress | None) -> bool:
    """Wait for the end, telling of the progress; True where a signal came before it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=PROGRESS_EVERY_S)
            if progress is not None:
                progress(tally)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    if task.cancelled():
        return True
    task.result()
    return False


def _opened_anew(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileExistsError as fault:
        mend = "name another file, or delete it"
        raise InputError("--out", "", f"{path} is there already", mend) from fault
    except OSError as fault:
        problem = f"{path} cannot be written ({fault})"
        raise InputError("--out", "", problem, "name another file") from fault


class _Sender:
    """Makes the request of a row and sends it with its tenant's key."""

    def __init__(self, client: Client, settings: ReplaySettings) -> None:
        self._client = client
        self._keys = settings.keys
        self._maker = PromptMaker(settings.prompt)

    async def send(self, row: Row, outcome: Outcome, start_s: float) -> None:
        key = self._keys.get(row.tenant, self._keys.get(None))
        call = self._maker.call(row, outcome.number, key)
        outcome.streamed, outcome.model = call.streamed, self._maker.model(row)

        def note(instant_s: float) -> None:
            if outcome.sent_s is None:
                outcome.sent_s = instant_s - start_s

        await self._client.send(call, outcome, note)
