"""Every `weighbridge …` line that a page tells people to type is one that the commands take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from weighbridge.cli import weighbridge

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^ *```(?:sh|console|bash)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
PAGES = sorted([ROOT / "README.md", ROOT / "AGENTS.md", *(ROOT / "docs").rglob("*.md")])
DEPLOYED = sorted((ROOT / "deploy").iterdir())
FROM_IMAGE = re.compile(r"weighbridge weighbridge\s+(keys .*)")  # `docker run … IMAGE ARGUMENTS`


def commands_in(text: str) -> list[str]:
    """Lines that call the program, continuations joined."""
    joined = re.sub(r"\\\n[ #]*", " ", text)
    found = []
    for line in joined.splitlines():
        stripped = re.sub(r"^[#$ ]+", "", line)
        in_image = FROM_IMAGE.search(stripped)
        if in_image is not None:
            found.append(f"weighbridge {in_image.group(1)}")
        elif "-- /opt/weighbridge/bin/weighbridge " in stripped:
            found.append("weighbridge " + stripped.split("/bin/weighbridge ", 1)[1])
        elif re.match(r"(ExecStart=/\S+/)?weighbridge [a-z-]", stripped):
            found.append("weighbridge " + stripped.split("weighbridge ", 1)[1])
    return found


def _documented() -> list[tuple[str, str]]:
    told = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text("utf-8")):
            told += [(page.name, line) for line in commands_in(block)]
    for file in DEPLOYED:
        told += [(file.name, line) for line in commands_in(file.read_text("utf-8"))]
    return told


def parse(line: str) -> None:
    """Have click read a line without running it.

    Raises
    ------
    click.UsageError
        As a person would be told.
    """
    name, *arguments = shlex.split(line, comments=True)
    command: click.Command | None = weighbridge
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        name, *arguments = arguments
        group = command
        command = group.get_command(context, name)
        if command is None:
            raise click.UsageError(f"{group.name} has no command {name}")
    assert command is not None
    command.make_context(name, arguments)


@pytest.fixture(autouse=True)
def files_need_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page names files that are made on the way."""

    def convert(self: click.Path, value: Any, param: Any, ctx: Any) -> Any:
        return self.coerce_path_result(value)

    monkeypatch.setattr(click.Path, "convert", convert)


@pytest.mark.parametrize(("page", "line"), _documented(), ids=str)
def test_documented_command_is_one_that_click_takes(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize("name", ["README.md", "gateway.md", "weighbridge.service", "Dockerfile"])
def test_page_tells_of_commands(name: str) -> None:
    assert [line for page, line in _documented() if page == name]


@pytest.mark.parametrize(
    "line",
    [
        "weighbridge serv gateway.yaml",
        "weighbridge serve --upstreams openai",
        "weighbridge keys create keys.json",
        "weighbridge keys rotate keys.json ID --grace-hours soon",
    ],
)
def test_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


def test_continued_line_is_one_command() -> None:
    text = "#   weighbridge keys create keys.json \\\n#       --tenant shop  # ours\necho done\n"
    assert [shlex.split(line, comments=True) for line in commands_in(text)] == [
        ["weighbridge", "keys", "create", "keys.json", "--tenant", "shop"]
    ]
