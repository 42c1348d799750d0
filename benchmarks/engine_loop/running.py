"""The engine on one core, the load generator on another, and how much others disturbed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.rehearsal.local_model import LocalModel, ModelSettings

START_S, OVERHEAD_S = 60.0, 90.0  # limits: of the engine's start; of a sitting beside its loads
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # with them aiperf takes no folder


@dataclass(frozen=True)
class Cores:
    """Cores of the engine and of the load generator."""

    engine: int
    load: int


def pin(cores: set[int]) -> None:
    """Keep this process, and what it starts from now on, on some cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def local_model(settings: ModelSettings, cores: Cores) -> Iterator[LocalModel]:
    """The local model, pinned; this process moves to the other core."""
    model = LocalModel(settings)
    watch = threading.Timer(START_S, lambda: os.kill(model.pid, signal.SIGKILL))
    pin({cores.engine})
    watch.start()
    try:
        model.__enter__()
    finally:
        watch.cancel()
        pin({cores.load})
    try:
        yield model
    finally:
        model.__exit__()


def program(named: str) -> str:
    """Path of aiperf; ends where there is none."""
    found = shutil.which(named)
    if found is None:
        sys.exit(
            f"{named}: no such program. Install aiperf in an environment of its own "
            "(python -m venv aiperf && aiperf/bin/pip install aiperf==0.13.0) and name it with "
            "--aiperf aiperf/bin/aiperf"
        )
    return found


def run_aiperf(aiperf: str, config: dict[str, Any], folder: Path, limit_s: float) -> Path:
    """One start of aiperf; gives the file with a record for each request."""
    folder.mkdir(parents=True)
    told, log = folder / "aiperf.yaml", folder / "aiperf.log"
    told.write_text(json.dumps(config, indent=1), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in OFFLINE}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [aiperf, "profile", "--config", str(told)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            status = process.wait(limit_s)
        except BaseException as error:
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            sys.exit(f"aiperf did not end within {limit_s:.0f} s; see {log}")
    result = folder / "profile_export.jsonl"
    if status != 0 or not result.is_file():
        sys.exit(f"aiperf ended with {status}; see {log}")
    return result


def _end(process: subprocess.Popen[bytes]) -> None:
    """End aiperf with the processes that it started: its group, which is its own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(5.0)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


class Disturbance:
    """What others took of the engine's core between start and `told`; Linux only."""

    def __init__(self, core: int, pid: int | None) -> None:
        self._core, self._pid = core, pid
        self._since_s, self._busy_s, self._own_s = self._now()

    def _now(self) -> tuple[float, float | None, float | None]:
        return time.monotonic(), _core_busy_s(self._core), _process_s(self._pid)

    def told(self) -> dict[str, float | None]:
        """The load average, and the share of the core's time that others (or the host) took."""
        now_s, busy_s, own_s = self._now()
        others = None
        if None not in (busy_s, own_s, self._busy_s, self._own_s):
            took_s = busy_s - self._busy_s - (own_s - self._own_s)  # type: ignore[operator]
            others = round(max(0.0, took_s / (now_s - self._since_s)), 3)
        return {
            "wall_s": round(now_s - self._since_s, 1),
            "load_average": round(os.getloadavg()[0], 2),
            "others_frac": others,
        }


def _core_busy_s(core: int) -> float | None:
    """Time not idle since boot, time stolen by the host included."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith(f"cpu{core} ")), None)
    if words is None:
        return None
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, words[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _process_s(pid: int | None) -> float | None:
    if pid is None:
        return None
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
