"""Rooms import downwards only, by the contracts in pyproject.toml; and these can fail."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOMS = ("cli", "charts", "study", "economics", "usage", "ledger", "units")


def _lint(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in a process of its own: it changes the path of the one it runs in."""
    code = "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(config), "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _layers(checkout: Path) -> list[str]:
    config = tomllib.loads((checkout / "pyproject.toml").read_text())
    contract = config["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    layers: list[str] = contract["layers"]
    return layers


def _house(folder: Path, layers: list[str]) -> Path:
    """A package with some of our rooms, empty, and our own layers to hold it to."""
    for room in ROOMS:
        (folder / "house" / room).mkdir(parents=True)
        (folder / "house" / room / "__init__.py").touch()
    (folder / "house" / "__init__.py").touch()
    listed = "\n".join(
        f"    ({room})" for line in layers for room in [line.replace(" | ", ") | (")]
    )
    config = folder / "lint.ini"
    config.write_text(
        "[importlinter]\nroot_package = house\n"
        "[importlinter:contract:layers]\nname = layers\ntype = layers\ncontainers = house\n"
        f"layers =\n{listed}\n"
    )
    return config


def test_every_room_obeys_the_contracts(checkout: Path) -> None:
    done = _lint(checkout, checkout / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_layers_name_every_room(checkout: Path) -> None:
    named = {room.strip() for line in _layers(checkout) for room in line.split("|")}
    source = checkout / "src" / "weighbridge"
    present = {folder.name for folder in source.iterdir() if list(folder.glob("*.py"))}
    assert present <= named


@pytest.mark.parametrize(
    ("room", "line", "kept"),
    [
        ("study", "import house.economics", True),
        ("units", "import house.cli", False),
        ("economics", "from house import study", False),
        ("ledger", "def late():\n    import house.usage", False),
    ],
)
def test_layers_tell_up_from_down(
    checkout: Path, tmp_path: Path, room: str, line: str, kept: bool
) -> None:
    config = _house(tmp_path, _layers(checkout))
    (tmp_path / "house" / room / "__init__.py").write_text(line + "\n")
    done = _lint(tmp_path, config)
    assert (done.returncode == 0) is kept, done.stdout + done.stderr
