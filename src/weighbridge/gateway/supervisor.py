"""Several worker processes on one port, shared by SO_REUSEPORT; one that dies is started anew."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence

FIRST_WAIT_S = 0.5
MOST_WAIT_S = 30.0
WELL_S = 60.0
KILL_AFTER_S = 10.0  # beyond the time that draining may take
CONFIG_FAULT = 2  # exit code


class Supervisor:
    """Starts workers, passes signals on, restarts the dead, ends when told."""

    def __init__(
        self, commands: Sequence[Sequence[str]], drain_s: float, say: Callable[[str], None]
    ) -> None:
        self._commands = commands
        self._drain_s = drain_s
        self._say = say
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Keep all workers running until SIGTERM or SIGINT; the worst exit code of the draining."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        keepers = [
            asyncio.create_task(self._keep(index, command))
            for index, command in enumerate(self._commands)
        ]
        await self._stopping.wait()
        self._pass_on(signal.SIGTERM)
        codes = await asyncio.gather(*keepers)
        return CONFIG_FAULT if CONFIG_FAULT in codes else max(codes)

    def _pass_on(self, number: signal.Signals) -> None:
        for child in self._children.values():
            if child.returncode is None:
                child.send_signal(number)

    async def _keep(self, index: int, command: Sequence[str]) -> int:
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while True:
            began_s = loop.time()
            child = await asyncio.create_subprocess_exec(*command)
            self._children[index] = child
            if self._stopping.is_set():  # it was not there yet when the others were told
                child.send_signal(signal.SIGTERM)
            code = await self._ended(child)
            if code == CONFIG_FAULT:  # starting again cannot help
                self._stopping.set()
                return code
            if self._stopping.is_set():
                return 0 if code == -signal.SIGTERM else abs(code)  # told before it could listen
            wait_s = FIRST_WAIT_S if loop.time() - began_s > WELL_S else wait_s
            self._say(f"weighbridge: worker {index} ended with {code}; again in {wait_s:g} s")
            try:
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            except TimeoutError:
                wait_s = min(2 * wait_s, MOST_WAIT_S)
            else:
                return 0

    async def _ended(self, child: asyncio.subprocess.Process) -> int:
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await asyncio.wait({ended}, timeout=self._drain_s + KILL_AFTER_S)
        if not ended.done():
            child.kill()
        return await ended
