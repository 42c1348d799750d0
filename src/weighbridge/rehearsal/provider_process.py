"""The stand-in in a process of its own: for tests that measure, and for the command line."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from weighbridge.rehearsal.provider import Provider
from weighbridge.rehearsal.provider_settings import Fault, Settings

READY = "ready "  # the line on stdout is `ready http://127.0.0.1:PORT`
ADMIN_TIMEOUT_S = 30.0


async def serve(settings: Settings, on_ready: Callable[[str], None], until_eof: bool) -> None:
    """Serve until SIGINT or SIGTERM, or until stdin closes where `until_eof` says so."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), _read_on, stop)
    async with Provider(settings) as provider:
        on_ready(provider.url)
        await stop.wait()


def _read_on(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def run(settings: Settings, on_ready: Callable[[str], None], until_eof: bool = False) -> None:
    """Serve on a loop of its own."""
    uvloop.run(serve(settings, on_ready, until_eof))


class ProviderProcess:
    """`with ProviderProcess(settings) as p` serves at `p.url` from another process."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the serving process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> ProviderProcess:
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(self.settings) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline().decode().strip()
        if not line.startswith(READY):
            self.__exit__()
            raise RuntimeError(f"the stand-in did not start: {line!r}")
        self.url = line.removeprefix(READY)
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def bill(self) -> dict[str, Any]:
        """What was billed."""
        return dict(self.admin("GET", "/rehearsal/bill"))

    def stats(self) -> dict[str, Any]:
        """What was seen."""
        return dict(self.admin("GET", "/rehearsal/stats"))

    def add_fault(self, fault: Fault) -> None:
        """Put a rule before those in force."""
        self.admin("POST", "/rehearsal/faults", msgspec.structs.asdict(fault))

    def clear_faults(self) -> None:
        """No fault any more."""
        self.admin("DELETE", "/rehearsal/faults")

    def set_engine(self, **figures: Any) -> None:
        """Set running, waiting, kv_usage_frac, healthy by hand; others are the true ones."""
        self.admin("POST", "/rehearsal/engine", figures)

    def reset(self) -> None:
        """Forget bill, stats, limits and requests."""
        self.admin("POST", "/rehearsal/reset")

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask one of the stand-in's own paths; raises where it refuses."""
        place = urlsplit(self.url)
        wire = http.client.HTTPConnection(str(place.hostname), place.port, timeout=ADMIN_TIMEOUT_S)
        try:
            wire.request(method, path, msgspec.json.encode(body) if body is not None else None)
            answer = wire.getresponse()
            text = answer.read()
        finally:
            wire.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return msgspec.json.decode(text)


def main() -> None:
    """Settings on the first line of stdin; ends when stdin does, and so with its parent."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    run(settings, lambda url: print(f"{READY}{url}", flush=True), until_eof=True)


if __name__ == "__main__":
    main()
