"""Query types that were recognised, on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from weighbridge.cli.profile_screen import dollars, percent

if TYPE_CHECKING:
    from weighbridge.usage.recognising.listing import TypeList


def show(found: TypeList, top: int) -> None:
    """Print the types, what is left without one, and which may be one."""
    table = Table(box=None, pad_edge=False)
    table.add_column("query type", no_wrap=True, max_width=34, overflow="ellipsis")
    for name in ("requests", "share", "cost", "names", "groups"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("names that begin so", no_wrap=True)
    for one in found.types[:top]:
        table.add_row(
            one.name,
            f"{one.n_requests:,}",
            percent(one.requests_share_frac),
            dollars(one.list_cost_usd),
            f"{one.n_names:,}",
            str(len(one.ids) or "-"),
            one.examples[0] if one.examples else "",
        )
    Console(width=120, highlight=False).print(table)
    if len(found.types) > top:
        click.echo(f"… and {len(found.types) - top} more (--top)")
    click.echo(
        f"\nVersion {found.version}: {len(found.group_ids)} groups. Of all requests "
        f"{percent(found.named_share_frac)} bear a client's own name, "
        f"{percent(found.recognised_share_frac)} are recognised, "
        f"{percent(found.unassigned_share_frac)} have no query type."
    )
    click.echo(
        "A type split in two makes use look less concentrated than it is: merge what is one."
    )
    for pair in found.proposals:
        click.echo(f"May be one: {pair.first} and {pair.second} ({pair.reason})")
    for note in found.notes:
        click.echo(f"Note: {note}")
