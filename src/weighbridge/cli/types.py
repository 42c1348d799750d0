"""`weighbridge types`: query types of prompts that nobody named, recognised, listed and edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from weighbridge.usage.recognising.listing import TypeList


@click.command()
@click.option(
    "--usage",
    required=True,
    type=click.Path(path_type=Path),
    help="Ledger directory with requests whose template nobody named.",
)
@click.option(
    "--names",
    "names_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your names, merges and splits (YAML); checked, and kept in the ledger's directory "
    "in place of the last ones, which stay beside it as .bak.",
)
@click.option(
    "--write",
    "write_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write such a file with every type and every entry in use, to edit.",
)
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True)
def types(usage: Path, names_file: Path | None, write_file: Path | None, top: int) -> None:
    """Recognise, list and name the query types of prompts that no client named.

    Prompts are told by keyed hashes alone; there is no text to show. `profile`, `decide` and
    `size` use the types from then on. A name that a client gave always stays.

    \b
    weighbridge types --usage usage --write query-types.yaml
    weighbridge types --usage usage --names query-types.yaml
    """
    from weighbridge.cli.types_screen import show
    from weighbridge.usage.recognising.listing import list_types
    from weighbridge.usage.store import open_ledger

    found = list_types(open_ledger(usage), names_file)
    if write_file is not None:
        _write(write_file, found)
    show(found, top)


def _write(file: Path, found: TypeList) -> None:
    from weighbridge.cli.decide import replace_file, told_where
    from weighbridge.cli.types_file import names_text, says_otherwise
    from weighbridge.usage.recognising.kept import set_aside

    text = names_text(found)
    with told_where(file):
        if says_otherwise(file, text):
            click.echo(f"Note: {file} held other entries than are in use; it is {set_aside(file)}")
    replace_file(file, text.encode())
