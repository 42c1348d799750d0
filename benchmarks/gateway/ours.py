"""Weighbridge's rows."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks.gateway.peers import InstallError, Launch, Peer, Place

_TEMPLATE = Path(__file__).parent / "weighbridge.yaml"
_BUDGET = "1000000/month"


def _program() -> str:
    """The command beside this interpreter."""
    program = Path(sys.executable).parent / "weighbridge"
    if not program.exists():
        raise InstallError("weighbridge is not installed beside this Python (make setup)")
    return str(program)


def _client_key(folder: Path) -> str:
    """A new virtual key with limits and a budget of its own."""
    command = [_program(), "keys", "create", str(folder / "keys.json"), "--tenant", "shop"]
    command += ["--id", "bench", "--model", "gpt-*", "--rpm", "100000000", "--budget", _BUDGET]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"keys create: {done.stderr.strip()[-200:]}")
    text: str = json.loads(done.stdout)["key"]
    return text


def _revision() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return f"{version('weighbridge')} {done.stdout.strip()}"


def _serve(*options: str) -> Callable[[Place], Launch]:
    def prepare(place: Place) -> Launch:
        config = place.write("weighbridge.yaml", _TEMPLATE.read_text())
        return Launch(
            command=[sys.executable, _program(), "serve", config, *options],
            version=_revision(),
            env={"BENCH_UPSTREAM_KEY": secrets.token_hex(16)},
            client_key=_client_key(place.folder),
        )

    return prepare


ROWS = (
    Peer("weighbridge", "**Weighbridge, everything on**", _serve()),
    Peer("weighbridge-observe", "Weighbridge, `--observe`", _serve("--observe")),
)
