"""`weighbridge compact`: what the gateway spooled into the usage ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from weighbridge.ledger.exact import Pricer
    from weighbridge.usage.compaction import CompactionResult


@click.command()
@click.argument("spool", type=click.Path(path_type=Path))
@click.argument("ledger", type=click.Path(path_type=Path))
@click.option(
    "--watch",
    "every_s",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Stay, and do it again every so often.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your own dated prices, for requests that a dying gateway cut off.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def compact(
    spool: Path, ledger: Path, every_s: float | None, prices: Path | None, as_json: bool
) -> None:
    """Store what the gateway wrote to SPOOL in the usage LEDGER, and remove it from there.

    Only closed segments are read: the gateway closes one every minute. Killed at any
    instant it can run again; no record is lost or counted twice.

    \b
    weighbridge compact state/spool usage
    weighbridge compact state/spool usage --watch 60
    """
    import time

    pricer = None if prices is None else _pricer(prices)
    if every_s is None:
        _once(spool, ledger, pricer, as_json)
        return
    watch(lambda: _once(spool, ledger, pricer, as_json), every_s, time.sleep)


def watch(run: Callable[[], None], every_s: float, sleep: Callable[[float], None]) -> None:
    """Run for ever; a ledger that another import holds is tried again next time."""
    from weighbridge.units import WeighbridgeError

    while True:
        try:
            run()
        except (WeighbridgeError, OSError) as fault:
            click.echo(f"error: {fault}", err=True)
        sleep(every_s)


def _pricer(prices: Path) -> Pricer:
    from weighbridge.catalog.prices import compile_prices
    from weighbridge.ledger.exact import Pricer

    return Pricer(compile_prices(prices))


def _once(spool: Path, ledger: Path, prices: Pricer | None, as_json: bool) -> None:
    import datetime as dt

    from weighbridge.ledger.spool_files import OPEN, segments
    from weighbridge.usage.compaction import compact as run

    result = run(spool, ledger, now=dt.datetime.now(dt.UTC), prices=prices)
    n_open = len(segments(spool, OPEN))
    click.echo(_as_json(result, n_open) if as_json else told(result, n_open))


def _as_json(result: CompactionResult, n_open: int) -> str:
    import json
    from dataclasses import asdict

    return json.dumps({**asdict(result), "n_open_segments": n_open})


def told(result: CompactionResult, n_open: int = 0) -> str:
    """The result in one line; what a gateway still writes is read by a later run."""
    parts = [f"{result.n_requests:,} requests stored from {result.n_segments:,} segments"]
    counts = (
        (result.n_interrupted, "of them interrupted"),
        (result.n_duplicate, "duplicates left out"),
        (result.n_rejected, "rejected, their segments kept in done/"),
        (result.n_skipped, "torn lines skipped"),
        (result.n_fleet_lines, "stretches of fleet hours"),
        (result.n_engine_samples, "engine samples"),
        (result.n_pending, "requests still open"),
    )
    parts += [f"{count:,} {words}" for count, words in counts if count]
    parts += [f"{count:,} x {name}" for name, count in sorted(result.events.items())]
    if n_open:
        from weighbridge.gateway.settings import SpoolSettings

        within_s = SpoolSettings().segment_s
        parts.append(
            f"{n_open:,} segment{'s'[: n_open > 1]} still open: closed within the gateway's "
            f"spool.segment_s ({within_s:g} s unless set), or when it stops; then run this again"
        )
    return "; ".join(parts)
