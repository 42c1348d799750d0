"""What `weighbridge rehearse traffic` shows: a bar while it runs, a table when it has ended."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from weighbridge.rehearsal.replay import Tally, quantiles

LATE_S = 0.05  # sends later than this at p99 say that the generator was too slow


class Bar:
    """The bar: requests where their number is known, else seconds, else only a sign of life."""

    def __init__(self, n_rows: int | None, duration_s: float | None) -> None:
        self._n_rows = n_rows
        self.progress = Progress(
            TextColumn("sending"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        total = n_rows if n_rows is not None else duration_s
        self._task = self.progress.add_task("", total=total)

    def update(self, tally: Tally) -> None:
        """Show where the replay is."""
        done = tally.n_scheduled if self._n_rows is not None else tally.last_scheduled_s
        n_open = tally.n_scheduled - tally.n_ended
        text = f"{tally.n_sent:,} sent, {n_open:,} open, {tally.errors.total():,} failed"
        self.progress.update(self._task, completed=done, description=text)


def show(tally: Tally, was_cut: bool) -> None:
    """The summary."""
    console = Console()
    table = Table(title="Replay" + (", cut short" if was_cut else ""), title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    for name, value in _rows(tally):
        table.add_row(name, value)
    console.print(table)
    late = quantiles(tally.lateness_s, 0.99)
    if late is not None and late[0] > LATE_S:
        console.print(
            f"Sends were late by {_time(late[0])} at p99: the generator itself was too slow, or "
            "its machine too busy; read the figures above with that in mind."
        )


def _rows(tally: Tally) -> list[tuple[str, str]]:
    rows = [
        ("requests due", f"{tally.n_scheduled:,}"),
        ("sent", f"{tally.n_sent:,}"),
        ("good", f"{tally.n_ok:,}"),
        *((f"failed: {kind}", f"{n:,}") for kind, n in tally.errors.most_common()),
        ("rate asked for", f"{tally.offered_requests_per_s:,.1f} requests/s"),
        ("rate achieved", f"{tally.achieved_requests_per_s:,.1f} requests/s"),
        ("input, output", f"{tally.input_tokens:,}, {tally.output_tokens:,} tokens"),
    ]
    for name, values, wanted in (
        ("lateness of sends", tally.lateness_s, (0.5, 0.99)),
        ("first token", tally.ttft_s, (0.5, 0.95, 0.99)),
        ("latency", tally.latency_s, (0.5, 0.95, 0.99)),
    ):
        found = quantiles(values, *wanted)
        if found is not None:
            label = "/".join(f"p{q * 100:g}" for q in wanted)
            rows.append((f"{name} {label}", " / ".join(map(_time, found))))
    return rows


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
