"""`weighbridge types`: query types of prompts that nobody named, recognised, listed and edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    help="Your names, merges and splits (YAML); checked, and kept in the ledger's directory.",
)
@click.option(
    "--write",
    "write_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write such a file with every type in it, to edit.",
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
    from weighbridge.cli.decide import replace_file

    replace_file(file, names_text(found).encode())


def names_text(found: TypeList) -> str:
    """A file of names with every type, each line to be taken into use by removing its #."""
    lines = [
        f"# Query types of version {found.version}. Remove the # of a line to use it, then run",
        "# weighbridge types --usage DIR --names THIS_FILE",
        "names:",
    ]
    for one in found.types:
        share = f"{100 * one.requests_share_frac:.1f} % of requests"
        lines += [_entry(group_id, share, found.names) for group_id in one.ids]
    lines += ["# merge:", "#   one name: [type-aaaaaa, type-bbbbbb]"]
    lines += [f"#   # {pair.first} and {pair.second}: {pair.reason}" for pair in found.proposals]
    lines += ["# split:", "#   type-aaaaaa:", '#     another name: ["~… beginning of a name"]']
    for one in found.types:
        if len(one.examples) > 1:
            lines.append(f"#   # {one.name}: {', '.join(one.examples)}")
    return "\n".join(lines) + "\n"


def _entry(group_id: str, share: str, names: Mapping[str, str]) -> str:
    import json

    said = names.get(group_id)
    text = json.dumps(said, ensure_ascii=False) if said else "a name"
    return f"  {'' if said else '# '}{group_id}: {text}  # {share}"
