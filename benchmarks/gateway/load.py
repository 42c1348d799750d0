"""Load by wrk and by our stream caller, pinned to the load's core; and what the gateway paid."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway import process_cost

_LUA = Path(__file__).parent / "chat.lua"
PATH = "/v1/chat/completions"


class LoadError(RuntimeError):
    """The load failed; the text says how."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What is sent: files of headers and body, and whether each request carries new text."""

    headers: Path
    body: Path
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One run of wrk."""

    n_requests: int
    n_errors: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float | None  # of the gateway's process tree, per request


def write_sending(
    folder: Path, name: str, headers: Iterable[tuple[str, str]], body: bytes, fresh: bool = False
) -> Sending:
    """Put headers and body where wrk's script reads them."""
    lines = [f"{key}: {value}" for key, value in headers]
    head, text = folder / f"{name}.headers", folder / f"{name}.body"
    head.write_text("".join(f"{line}\n" for line in lines))
    text.write_bytes(body)
    return Sending(head, text, fresh)


def whole_request(sending: Sending, port: int, folder: Path) -> Path:
    """The same request as bytes on the wire, for our own caller."""
    body = sending.body.read_bytes()
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {len(body)}\r\n"
    head += "".join(f"{line}\r\n" for line in sending.headers.read_text().splitlines())
    path = folder / f"{sending.body.stem}.{port}.http"
    path.write_bytes(head.encode() + b"\r\n" + body)
    return path


def pinned(core: int, command: list[str]) -> list[str]:
    """The command on one core."""
    return ["taskset", "-c", str(core), *command]


def wrk(  # noqa: PLR0913 - what wrk is told
    port: int,
    sending: Sending,
    n_at_once: int,
    seconds: float,
    *,
    core: int,
    pid: int | None = None,
) -> Hit:
    """Run wrk once."""
    duration = f"{round(seconds)}s" if seconds >= 1 else "1s"
    command = ["wrk", "-t", "1", "-c", str(n_at_once), "-d", duration, "--timeout", "30s"]
    command += ["-s", str(_LUA), f"http://127.0.0.1:{port}{PATH}", "--"]
    command += [str(sending.headers), str(sending.body), *(["fresh"] if sending.fresh else [])]
    before_s = process_cost.cpu_s(pid) if pid else 0.0
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, check=False)
    spent_s = process_cost.cpu_s(pid) - before_s if pid else None
    found = re.search(r"^RESULT (\{.*\})$", done.stdout, re.MULTILINE)
    if found is None:
        raise LoadError(f"wrk gave no result: {(done.stderr or done.stdout)[-200:]}")
    result = json.loads(found.group(1))
    n = result["n_requests"]
    if n == 0 or result["n_errors"] > n * 0.001:
        raise LoadError(f"{result['n_errors']} errors in {n} requests")
    return Hit(
        n_requests=n,
        n_errors=result["n_errors"],
        requests_per_s=n / result["wall_s"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_ms=None if spent_s is None else spent_s / n * 1e3,
    )


def caller(core: int, *words: object) -> dict[str, int]:
    """Run our caller and read the last line that it prints."""
    command = [sys.executable, "-m", "benchmarks.gateway.streams", *map(str, words)]
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise LoadError(f"the caller failed: {done.stderr[-300:]}")
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


def streams_cpu_ms(port: int, request: Path, pid: int, *, core: int, each: int) -> float:
    """CPU of the gateway per paced stream [ms]."""
    before_s = process_cost.cpu_s(pid)
    words = ("--at-once", 64, "--each", each)
    result = caller(core, "streams", port, request, *words)
    spent_s = process_cost.cpu_s(pid) - before_s
    if result["n_failed"] or result["least_events"] < 50:
        raise LoadError(f"streams: {result}")
    return spent_s / result["n_streams"] * 1e3
