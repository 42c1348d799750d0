"""What is committed names no machine and no address it was built from."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

MAX_TEXT_BYTES = 2**20
ADDRESS = re.compile(r"://|^\s*(-i|-f|--index-url|--extra-index-url|--find-links)\b", re.MULTILINE)


def machine_paths(text: str, checkout: Path) -> list[str]:
    """Paths in a text that exist on one machine only."""
    places = [r"/home/\w+", r"/Users/\w+", r"/root", re.escape(str(checkout))]
    return re.findall(rf"(?<![\w.$}}/-])(?:{'|'.join(places)})/[\w.-]+", text)


def _tracked_texts(checkout: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [checkout / name for name in listed.stdout.split("\0") if name]
    return [p for p in paths if p.is_file() and p.stat().st_size <= MAX_TEXT_BYTES]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""  # an image or a compressed fixture


def test_tracked_files_name_no_machine(checkout: Path) -> None:
    faults = [
        f"{path.relative_to(checkout)}: {found}"
        for path in _tracked_texts(checkout)
        if path != Path(__file__).resolve()
        for found in machine_paths(_read(path), checkout)
    ]
    assert not faults, "\n".join(faults)


def test_lock_files_hold_no_address(checkout: Path) -> None:
    locks = sorted((checkout / "requirements").glob("*.txt"))
    assert locks
    assert not [lock.name for lock in locks if ADDRESS.search(lock.read_text())]


def test_every_locked_package_is_hashed(checkout: Path) -> None:
    for lock in (checkout / "requirements").glob("*.txt"):
        pins = re.split(r"\n(?=\w)", lock.read_text())
        unhashed = [pin.split()[0] for pin in pins if "==" in pin and "--hash=sha256:" not in pin]
        assert not unhashed, f"{lock.name}: {unhashed}"


def test_changelog_tells_of_the_version(checkout: Path) -> None:
    version = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"]
    assert f"## [{version}]" in (checkout / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "rich @ https://example.org/rich.whl",
        "--extra-index-url somewhere",
        "numpy==2\n-f /wheels",
    ],
)
def test_an_address_in_a_lock_is_found(text: str) -> None:
    assert ADDRESS.search(text)


def test_a_lock_without_address_passes() -> None:
    assert not ADDRESS.search("numpy==2.4.6 \\\n    --hash=sha256:abc\n    # via -r dev\n")


@pytest.mark.parametrize("text", ["/home/ada/x.csv", "see /root/notes", "'/srv/house/file.py'"])
def test_a_machine_path_is_found(text: str) -> None:
    assert machine_paths(text, Path("/srv/house"))


@pytest.mark.parametrize("text", ["src/weighbridge", "$HOME/root/x", "the /root of it"])
def test_a_relative_path_passes(text: str) -> None:
    assert not machine_paths(text, Path("/srv/house"))
