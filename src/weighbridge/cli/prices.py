"""`weighbridge prices`: look prices up, hold them against a second list, and see what changed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from weighbridge.catalog.price_check import Compared, CrossCheck, ProviderAge
    from weighbridge.catalog.price_export import PriceRow
    from weighbridge.catalog.price_tables import ModelPrices
    from weighbridge.catalog.prices import PriceBook

_WIDTH = 100
_SHOWN = 40
_FILE = click.Path(path_type=Path, dir_okay=False)
_DATE = click.DateTime(formats=["%Y-%m-%d"])
_PRICE_HEADS = ("input", "cache read", "cache write", "output")


@click.group()
def prices() -> None:
    """API prices: exact, dated, with their source."""


@prices.command()
@click.argument("model", required=False)
@click.option("--provider", help="Who sells it; any spelling that LiteLLM or OpenTelemetry uses.")
@click.option("--on", "on_at", type=_DATE, help="Only the prices of this UTC day (YYYY-MM-DD).")
@click.option("--prices", "own", type=_FILE, help="YAML file of your own price rows, which win.")
@click.option("--all", "every", is_flag=True, help="Every model instead of one.")
@click.option(
    "--json", "as_json", is_flag=True, help="One day's prices as JSON (today's if no --on)."
)
def show(
    model: str | None,
    provider: str | None,
    on_at: dt.datetime | None,
    own: Path | None,
    every: bool,
    as_json: bool,
) -> None:
    """Prices of MODEL in USD per million tokens, for every date, tier and prompt length."""
    from weighbridge.catalog.prices import compile_prices
    from weighbridge.units import InputError

    if every == bool(model):
        raise InputError("prices show", "MODEL", "give one of MODEL and --all", "name a model")
    book = compile_prices(own)
    chosen = [_found(book, provider, model)] if model else list(book.models())
    on = on_at.date() if on_at else None
    if as_json:
        _write_json(book, chosen, on or _today())
    else:
        for one in chosen:
            _print_model(one, on)
        if every:
            click.echo(f"{book.source}; digest {book.digest}")


@prices.command()
@click.option(
    "--against", type=_FILE, help="Second price map in LiteLLM's form; else litellm's own."
)
@click.option("--prices", "own", type=_FILE, help="YAML file of your own price rows, which win.")
@click.option(
    "--on", "on_at", type=_DATE, help="UTC day to compare (YYYY-MM-DD); today if left out."
)
@click.option(
    "--stale-days",
    type=click.IntRange(min=1),
    default=180,
    show_default=True,
    help="Older than this counts as stale.",
)
@click.option("--all", "every", is_flag=True, help="Print every disagreement.")
def check(
    against: Path | None, own: Path | None, on_at: dt.datetime | None, stale_days: int, every: bool
) -> None:
    """Where two price lists disagree, and which prices nobody is known to have checked lately."""
    from weighbridge.catalog.price_check import (
        ages,
        cross_check,
        installed_price_map,
        read_price_map,
    )
    from weighbridge.catalog.prices import compile_prices

    book = compile_prices(own)
    on = on_at.date() if on_at else _today()
    price_map = read_price_map(against) if against else installed_price_map()
    if price_map is None:
        click.echo("No second price list: install litellm (pip install 'weighbridge[crosscheck]')")
        click.echo("or give one with --against FILE. Ages only:\n")
    else:
        _print_cross_check(cross_check(book, price_map, on), None if every else _SHOWN)
    _print_ages(ages(book, on, stale_days), on, stale_days)


@prices.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--prices", "own", type=_FILE, help="Your own price rows, for operands that are dates."
)
def diff(old: str, new: str, own: Path | None) -> None:
    """What changed between OLD and NEW.

    Each is a date (YYYY-MM-DD: this book's prices on that UTC day) or a file that
    `prices show --all --json > FILE` wrote, with this or another version or price file.
    """
    from weighbridge.catalog.price_export import changes

    found = changes(_operand(old, own), _operand(new, own))
    if not found:
        click.echo("No price differs.")
        return
    table = _table(f"{len(found)} prices differ, USD per million tokens", "what", "for")
    table.columns[1].min_width = 28
    for head in _PRICE_HEADS:
        table.add_column(head, justify="right", overflow="fold", max_width=13)
    for change in found:
        _add_change(table, change.old, change.new)
    _console().print(table)


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    console.width = min(_WIDTH, console.width) if console.is_terminal else _WIDTH
    return console


def _table(title: str, *left: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in left:
        table.add_column(head, overflow="fold")
    return table


def _found(book: PriceBook, provider: str | None, model: str) -> ModelPrices:
    from weighbridge.units import InputError

    prices_found = book.find(provider, model)
    if prices_found is None:
        mend = "see `weighbridge prices show --all`, or give its rows with --prices FILE"
        raise InputError("prices", "", book.explain_missing(provider, model), mend)
    return prices_found


def _write_json(book: PriceBook, chosen: list[ModelPrices], on: dt.date) -> None:
    from weighbridge.catalog.price_export import rows_on, to_json

    rows = [row for one in chosen for row in rows_on(one, on)]
    click.echo(to_json(rows, book, on), nl=False)


def _periods(one: ModelPrices, on: dt.date | None) -> list[tuple[int, str]]:
    """A midnight inside each period to show, and its first day in words; the oldest first."""
    from weighbridge.catalog.price_tables import MICROSECONDS_PER_DAY, midnight_us

    if on is not None:
        return [(midnight_us(on), str(on))]
    epoch, dated = dt.date(1970, 1, 1), one.starts_us[1:]
    before_us = dated[0] - MICROSECONDS_PER_DAY if dated else 0
    days = [(us, str(epoch + dt.timedelta(days=us // MICROSECONDS_PER_DAY))) for us in dated]
    return [(before_us, "first known"), *days]


def _print_model(one: ModelPrices, on: dt.date | None) -> None:
    table = _table(
        f"{one.provider} {one.model}, USD per million tokens", "tier", "from", "UTC", "input over"
    )
    for head in _PRICE_HEADS:
        table.add_column(head, justify="right")
    sources: dict[str, None] = {}
    for tier in one.cells:
        for since, rows in _changes_of_tier(one, tier, on):
            if not rows:
                table.add_row(tier, since, "", "", *["as standard"] * 4)
            for row in rows:
                over = f"{row.above_input_tokens:,}" if row.above_input_tokens >= 0 else ""
                table.add_row(tier, since, row.utc_hours, over, *(p or "-" for p in row.prices))
                sources[f"{row.source}, last dated {row.checked_on or 'nowhere'}"] = None
    console = _console()
    console.print(table)
    for source in sources:
        console.print(f"Source: {source}")
    if one.fees_left_out:
        console.print(f"Not in these prices: {', '.join(one.fees_left_out)}")


def _changes_of_tier(
    one: ModelPrices, tier: str, on: dt.date | None
) -> list[tuple[str, list[PriceRow]]]:
    """Rows of each period in which a tier's prices differ from the period before; newest first."""
    from weighbridge.catalog.price_export import rows_of_cell, windows

    found: list[tuple[str, list[PriceRow]]] = []
    before: list[PriceRow] = []
    for midnight, since in _periods(one, on):
        cells = [(hours, one.cell_at(midnight + us, tier)) for us, hours in windows(one)]
        listed = [(hours, cell) for hours, cell in cells if cell.tier_is_listed]
        rows = [row for hours, cell in listed for row in rows_of_cell(one, tier, hours, cell)]
        if rows != before:
            found.append((since, rows))
        before = rows
    return found[::-1]


def _print_cross_check(result: CrossCheck, limit: int | None) -> None:
    console = _console()
    wrong = result.disagreements
    console.print(
        f"{result.ours} against {result.theirs} on {result.on}: {len(result.compared):,} prices of "
        f"{result.n_models:,} entries that both list, {result.agreement_frac:.1%} agree, "
        f"{len(wrong):,} differ. {result.n_only_theirs:,} entries with token prices are only there."
    )
    if not wrong:
        return
    table = _table("", "provider", "model there", "price")
    for head in ("ours", "theirs"):
        table.add_column(head, justify="right")
    ranked = sorted(wrong, key=_relative_gap, reverse=True)
    for pair in ranked[:limit]:
        table.add_row(*_disagreement(pair))
    console.print(table)
    if limit is not None and len(wrong) > limit:
        console.print(f"… the {limit} widest of {len(wrong):,}; --all prints every one.\n")


def _relative_gap(pair: Compared) -> float:
    larger = max(pair.ours_usd_per_mtok, pair.theirs_usd_per_mtok)
    return float(abs(pair.ours_usd_per_mtok - pair.theirs_usd_per_mtok) / larger)


def _disagreement(pair: Compared) -> tuple[str, ...]:
    from weighbridge.catalog.price_export import plain

    over = f" over {pair.above_input_tokens:,}" if pair.above_input_tokens >= 0 else ""
    tier = "" if pair.service_tier == "standard" else f"{pair.service_tier} "
    what = f"{tier}{pair.field.removesuffix('_usd_per_mtok').replace('_', ' ')}{over}"
    return (
        pair.provider,
        pair.other_name,
        what,
        plain(pair.ours_usd_per_mtok),
        plain(pair.theirs_usd_per_mtok),
    )


def _print_ages(found: list[ProviderAge], on: dt.date, stale_days: int) -> None:
    limit = on - dt.timedelta(days=stale_days)
    n_models, n_stale = sum(a.n_models for a in found), sum(a.n_stale for a in found)
    n_undated = sum(a.n_undated for a in found)
    table = _table(f"Last known check before {limit} ({stale_days} days)", "provider")
    for head in ("models", "stale", "undated", "oldest", "newest"):
        table.add_column(head, justify="right")
    for age in found:
        if age.n_stale or age.n_undated:
            counts = (str(age.n_models), str(age.n_stale), str(age.n_undated))
            table.add_row(
                age.provider, *counts, str(age.oldest_on or "-"), str(age.newest_on or "-")
            )
    console = _console()
    console.print(table)
    console.print(
        f"{n_stale:,} of {n_models:,} models are stale and {n_undated:,} undated. genai-prices "
        "ships no date of last check: a date here is the newest start date or dated remark of a "
        "price, so it may have been checked later than it says. Your own rows carry theirs."
    )


def _operand(text: str, own: Path | None) -> list[PriceRow]:
    from weighbridge.catalog.price_export import book_rows, read_export
    from weighbridge.catalog.prices import compile_prices
    from weighbridge.units import InputError

    if Path(text).exists():
        return read_export(Path(text))
    try:
        on = dt.date.fromisoformat(text)
    except ValueError:
        raise InputError(
            "prices diff", text, "is neither a file nor a date", "give a file or YYYY-MM-DD"
        ) from None
    return book_rows(compile_prices(own), on)


def _add_change(table: Table, old: PriceRow | None, new: PriceRow | None) -> None:
    row = new or old
    assert row is not None
    over = f" over {row.above_input_tokens:,}" if row.above_input_tokens >= 0 else ""
    hours = "" if row.utc_hours == "all day" else f" {row.utc_hours} UTC"
    name = f"{row.provider} {row.model} ({row.service_tier}{over}{hours})"
    what = "changed" if old and new else "new" if new else "gone"
    before = old.prices if old else ("",) * 4
    after = new.prices if new else ("",) * 4
    cells = [
        b if b == a else f"{b or '-'} → {a or '-'}" if what == "changed" else a or b
        for b, a in zip(before, after, strict=True)
    ]
    table.add_row(what, name, *cells)
