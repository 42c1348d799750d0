"""Sentences as lines of a screen."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


def wrapped(lead: str, sentence: str, width: int, most_lines: int, style: str = "") -> list[Text]:
    """A sentence as lines of the screen, lead in bold; what does not fit ends in an ellipsis."""
    from rich.text import Text  # noqa: PLC0415

    broken = textwrap.wrap(
        plain(f"{lead}{sentence}"),
        width - 1,
        subsequent_indent="  ",
        max_lines=most_lines,
        placeholder=" \N{HORIZONTAL ELLIPSIS}",
    )
    lines = [Text(line, style=style) for line in broken]
    if lines and lead.strip():
        lines[0].stylize("bold", 0, len(lead))
    return lines


def plain(text: str) -> str:
    """Text without control characters: names come from logs, and a screen obeys escapes."""
    return "".join(character if character.isprintable() else " " for character in text)
