"""The gateway's own figures after a live run, each held against what another side saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from weighbridge.cli.demo_live import PROVIDER_SPEED
from weighbridge.cli.demo_place import Place

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

    from weighbridge.cli.demo_live import LiveRun
    from weighbridge.rehearsal.replay import Tally

PICO_PER_USD = Decimal(10) ** 12
FLEET = "fleet"
FLEET_RULE = "search to our own fleet"
COLUMNS = ("target", "rule", "status", "error_type", "attempts", "list_cost_usd", "price_state")


@dataclass(slots=True)
class Recorded:
    """What the ledger holds of the run."""

    n_records: int = 0
    n_fleet: int = 0
    n_overflowed: int = 0  # for the fleet, served by the API
    n_retried: int = 0
    list_usd: Decimal = Decimal(0)
    failures: Counter[str] = field(default_factory=Counter)
    fleet_hours: float = 0.0
    fleet_usd: Decimal = Decimal(0)


def recorded(place: Place) -> Recorded:
    """Read the ledger."""
    import pyarrow.parquet as pq

    from weighbridge.usage.store import open_ledger

    ledger = open_ledger(place.usage)
    made = Recorded()
    for file in ledger.parquet_files:
        _add(made, pq.read_table(file, columns=list(COLUMNS), partitioning=None))
    for stretch in ledger.fleet_hours():
        hours = (stretch.ended_at - stretch.started_at).total_seconds() / 3600
        made.fleet_hours += hours
        made.fleet_usd += Decimal(str(hours)) * stretch.n_gpus * stretch.usd_per_gpu_hour
    return made


def _add(made: Recorded, table: pa.Table) -> None:
    for row in table.to_pylist():
        made.n_records += 1
        made.list_usd += row["list_cost_usd"] or 0
        if row["status"] != "ok":
            made.failures[row["error_type"] or row["status"]] += 1
        if row["rule"] == FLEET_RULE:
            served = row["status"] == "ok"
            made.n_fleet += served and row["target"] == FLEET
            made.n_overflowed += served and row["target"] != FLEET
        made.n_retried += row["attempts"] > 1 and row["rule"] != FLEET_RULE


def show(run: LiveRun, place: Place) -> None:
    """Print what was measured, what was made up, and whether the sides agree."""
    from rich.table import Table

    from weighbridge.cli.decide import screen

    seen = recorded(place)
    console = screen()
    table = Table(title="The gateway in this run", title_justify="left", show_header=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("figure", justify="right", no_wrap=True)
    table.add_column("against", style="dim")
    _requests(table, run, seen)
    _money(table, run, seen)
    console.print(table)
    console.print(_made_up(run), highlight=False, style="dim")
    console.print()


def _requests(table: Table, run: LiveRun, seen: Recorded) -> None:
    tally, answered = run.tally, n_answered(run.tally)
    rate = tally.n_sent / tally.elapsed_s if tally.elapsed_s else 0.0
    table.add_row(
        "requests answered",
        f"{answered:,}",
        f"of {tally.n_sent:,} sent in {tally.elapsed_s:.0f} s, {rate:,.0f} a second on average",
    )
    table.add_row("records in the ledger", f"{seen.n_records:,}", _difference(seen, answered))
    added = run.added
    table.add_row(
        "latency added",
        f"{added.p50_s * 1e3:.2f} ms",
        f"median; p99 {_told_ms(added.p99_s)}: direct against through, one at a time",
    )
    table.add_row(
        "served by the fleet",
        f"{seen.n_fleet:,}",
        f"{seen.n_overflowed:,} more went to the API, as the fleet was full",
    )
    table.add_row(
        "retried", f"{seen.n_retried:,}", "after faults that the stand-in was told to have"
    )
    for name, n in seen.failures.most_common():
        table.add_row("not served", f"{n:,}", name.replace("_", " "))


def _told_ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds > 0 else "lost in this machine's noise"


def n_answered(tally: Tally) -> int:
    """Requests that got an answer of some kind."""
    unanswered = sum(tally.errors[kind] for kind in ("dropped", "interrupted", "connect_error"))
    return tally.n_ended - unanswered


def _difference(seen: Recorded, answered: int) -> str:
    lost = answered - seen.n_records
    if lost == 0:
        return "each answered request, once"
    return f"{abs(lost):,} {'fewer' if lost > 0 else 'more'} than answered requests"


def _money(table: Table, run: LiveRun, seen: Recorded) -> None:
    billed = Decimal(run.bill["total"]["cost_pico_usd"]) / PICO_PER_USD
    table.add_row("spend, by the ledger", f"${seen.list_usd:,.2f}", "at list prices of the catalog")
    table.add_row("spend, by the bill", f"${billed:,.2f}", _gap(seen.list_usd - billed))
    table.add_row(
        "fleet",
        f"${seen.fleet_usd:,.2f}",
        f"{seen.fleet_hours:,.0f} hours ({_days(run.n_days)} and the drain) of a made-up L4 at "
        "$0.80, busy or idle",
    )


def _gap(gap: Decimal) -> str:
    if gap == 0:
        return "of the stand-in: equal to the last digit"
    return f"of the stand-in: differs by ${abs(gap):.6f}"


def _days(n_days: int) -> str:
    return "1 day" if n_days == 1 else f"{n_days} days"


def _made_up(run: LiveRun) -> str:
    minute_ms = 60_000 / run.speed
    return (
        "Measured: every request, token, dollar and millisecond above. Made up: the company, its "
        f"{_days(run.n_days)} (which passed {run.speed:,.0f} times as fast as they are stamped), "
        f"the providers (a stand-in with list prices, {PROVIDER_SPEED:g} times as fast as a "
        f"real one). The fleet is {run.fleet.words}. What was sent is what is decided on: no "
        f"volume was multiplied. Peaks within an hour are taken as drawn, since a minute "
        f"lasted {minute_ms:.0f} ms."
    )
