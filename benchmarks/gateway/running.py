"""Starting gateways and upstreams, waiting until they answer, ending them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway import process_cost
from benchmarks.gateway.load import PATH, Sending, pinned
from benchmarks.gateway.peers import Launch


class StartError(RuntimeError):
    """A gateway did not answer; the text says why."""


def free_port() -> int:
    """A port with a free neighbour above it (for metrics or admin)."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with contextlib.suppress(OSError):
                two.bind(("127.0.0.1", port + 1))
                return port


@dataclass(slots=True)
class Running:
    """A started process."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        """The root of its tree."""
        return self.process.pid

    def stop(self) -> None:
        """End the tree: politely, then by force."""
        with contextlib.suppress(OSError):
            process_cost.thaw(self.pid)
        pids = process_cost.tree(self.pid)
        for wanted in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, wanted)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)

    def last_words(self) -> str:
        """The end of its output."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return " / ".join(line for line in lines[-3:] if line)[:300]


def start(launch: Launch, name: str, port: int, core: int, log: Path) -> Running:
    """Start a process on one core."""
    env: Mapping[str, str] = {**os.environ, **launch.env}
    with log.open("wb") as out:
        process = subprocess.Popen(
            pinned(core, launch.command),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=env,
            start_new_session=True,  # else a stopped gateway brings SIGHUP upon all the others
        )
    return Running(name, process, port, log)


def answered(port: int, sending: Sending) -> str:
    """Send one request; empty when a completion came back, else what is wrong."""
    headers = dict(line.split(": ", 1) for line in sending.headers.read_text().splitlines())
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{PATH}", sending.body.read_bytes(), headers
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}: {error.read().decode(errors='replace')[:200]}"
    except (OSError, ValueError) as error:
        return str(error)
    return "" if "usage" in text or "[DONE]" in text else f"no completion: {text[:100]}"


def wait(running: Running, sending: Sending, timeout_s: float) -> float:
    """Wait until a request is answered; seconds that it took."""
    started = time.monotonic()
    problem = "no answer"
    while time.monotonic() - started < timeout_s:
        if running.process.poll() is not None:
            raise StartError(f"ended with {running.process.returncode}: {running.last_words()}")
        problem = answered(running.port, sending)
        if not problem:
            return time.monotonic() - started
        time.sleep(0.25)
    raise StartError(f"no good answer in {timeout_s:.0f} s: {problem}")
