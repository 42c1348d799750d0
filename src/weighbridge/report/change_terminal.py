"""What changed since an old study, on a screen: each option's monthly cost, cause by cause."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from weighbridge.report.screen_lines import plain, wrapped
from weighbridge.study.result import Change, ChangePart, OptionChange
from weighbridge.units.money import Money

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MOST_PARTS = 6
LEAST_USD = 0.005
CAUSE_WIDTH = 66


def told_parts(option: OptionChange) -> tuple[ChangePart, ...]:
    """Causes that moved at least half a cent, largest first."""
    worth = [p for p in option.parts if abs(float(p.usd_per_month)) >= LEAST_USD]
    return tuple(sorted(worth, key=lambda p: -abs(p.usd_per_month)))


def cause_words(part: ChangePart) -> str:
    """A cause with what it was and is."""
    known = {"API price": "API price of ", "input": "", "fleet": "", "split": ""}
    moved = f": {part.was} \N{RIGHTWARDS ARROW} {part.now}" if part.was or part.now else ""
    return f"{known.get(part.kind, '')}{part.cause}{moved}"


def verdict_words(change: Change) -> str:
    """Whether the verdict stands."""
    if change.flipped:
        return change.why
    return f"the verdict stands ({change.old_option_id})"


def change_lines(change: Change, money: Money, width: int) -> Iterator[Text | Table]:
    """The section of the screen."""
    lead = f"Since {change.old_as_of} ({change.old_name}): "
    yield from wrapped(lead, verdict_words(change), width, 4, "bold" if change.flipped else "")
    yield _table(change, money)
    yield from (x for note in change.notes for x in wrapped("Note: ", note, width, 2, "dim"))


def _table(change: Change, money: Money) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("A month, central case", no_wrap=True, max_width=CAUSE_WIDTH)
    for name in ("then", "now", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for option in change.options:
        then, now = _usd(option.was_usd_per_month), _usd(option.now_usd_per_month)
        moved = "" if then is None or now is None else money.signed(now - then)
        figures = (money.short(then), money.short(now), moved)
        table.add_row(Text(plain(option.label), overflow="ellipsis"), *figures, style="bold")
        parts = told_parts(option)
        for part in parts[:MOST_PARTS]:
            words = Text(plain(f"  {cause_words(part)}"), overflow="ellipsis")
            table.add_row(words, "", "", money.signed(float(part.usd_per_month)))
        if len(parts) > MOST_PARTS:
            rest = sum(float(p.usd_per_month) for p in parts[MOST_PARTS:])
            table.add_row(f"  {len(parts) - MOST_PARTS} more causes", "", "", money.signed(rest))
    return table


def _usd(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
