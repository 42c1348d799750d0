"""`weighbridge import`: other tools' logs into a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from weighbridge.usage.importing import ImportOptions, ImportReport, OnProgress

WIDTH = 100


@click.command("import")
@click.argument("named", nargs=-1, required=True, metavar="SOURCE FILE...")
@click.option("--into", type=click.Path(path_type=Path), help="Ledger directory.")
@click.option("--detect", is_flag=True, help="Only say what the files are, and what reads them.")
@click.option("--timezone", metavar="ZONE", help="Zone of instants that carry none.")
@click.option(
    "--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Which column holds a field."
)
@click.option(
    "--constant", "constants", multiple=True, metavar="FIELD=TEXT", help="One value for all rows."
)
@click.option(
    "--map-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of FIELD: COLUMN lines, with units and settings.",
)
@click.option(
    "--prices", type=click.Path(path_type=Path, dir_okay=False), help="Your own dated prices."
)
@click.option("--start", metavar="INSTANT", help="When a log of relative times begins.")
@click.option(
    "--tokens-per-request",
    type=int,
    metavar="N",
    help="Tokens of a mean request, for a report that counts tokens and no requests.",
)
@click.option(
    "--most-rows",
    type=int,
    metavar="N",
    help="Requests that a report by bucket of time may become. Default: 20 million.",
)
@click.option(
    "--lengths-from",
    type=click.Path(path_type=Path),
    metavar="TRACE",
    help="Of servegen: the trace whose token lengths the drawn requests have.",
)
@click.option(
    "--demand-ratio", type=float, metavar="RATIO", help="Of servegen: times every rate. Default: 1."
)
@click.option("--seed", type=int, metavar="N", help="Of servegen: of the draws. Default: 1.")
def import_(
    named: tuple[str, ...],
    into: Path | None,
    detect: bool,
    maps: tuple[str, ...],
    constants: tuple[str, ...],
    map_file: Path | None,
    lengths_from: Path | None,
    demand_ratio: float | None,
    seed: int | None,
    **options: object,
) -> None:
    """Read logs of other tools into a ledger.

    SOURCE is litellm, litellm-payload, openai-usage, anthropic-usage, openrouter, helicone,
    langfuse, bedrock, otel-genai, azure-llm-2023, azure-llm-2024, mooncake, burstgpt, servegen
    with --lengths-from, or table, csv, jsonl or parquet with --map; `--detect FILE` names it. A
    FILE may be gzip or zstd packed, a directory, a quoted pattern, or - for standard input.
    Prompts and answers are not stored.

    \b
    weighbridge import --detect export.json
    weighbridge import litellm spend.jsonl.gz --into usage
    weighbridge import csv log.csv --into usage --timezone UTC \\
        --map started_at=time --map model=model --map input_tokens=prompt \\
        --map output_tokens=completion

    Exits 2, having written nothing, where a file is unusable; 3 where over 1 % of the rows of a
    file were rejected (the others are stored).
    """
    if detect:
        _detect(named, into)
        return
    if len(named) < 2:
        raise click.UsageError("Missing argument 'FILE...': name a SOURCE, then files.")
    if into is None:
        raise click.UsageError("Missing option '--into'.")
    from weighbridge.usage.importing import ImportOptions
    from weighbridge.usage.sources.table import read_column_map

    column_map = read_column_map(map_file, maps, constants)
    told = ImportOptions(column_map, **options)  # type: ignore[arg-type]
    draws = {"lengths_from": lengths_from, "demand_ratio": demand_ratio, "seed": seed}
    given = {name: value for name, value in draws.items() if value is not None}
    if named[0] == "servegen":
        _import_drawn(named[1:], into, told, given)
    elif given:
        option = "--" + next(iter(given)).replace("_", "-")
        raise click.UsageError(f"{option} is of servegen, whose requests are drawn.")
    else:
        _import(named[0], named[1:], into, told)


def _detect(named: tuple[str, ...], into: Path | None) -> None:
    import tempfile

    from weighbridge.cli.importing_detect import print_kinds

    if into is not None:
        raise click.UsageError("--detect writes nothing: leave --into out.")
    with tempfile.TemporaryDirectory() as scratch:
        print_kinds(named, Path(scratch))


def _import(source: str, files: tuple[str, ...], into: Path, options: ImportOptions) -> None:
    import datetime as dt

    from rich.console import Console

    from weighbridge.usage.importing import ImportRequest, import_logs

    with _progress(Console(stderr=True)) as on_progress:
        report = import_logs(
            ImportRequest(source, files, into, options),
            now=dt.datetime.now(dt.UTC),
            on_progress=on_progress,
        )
    _print(report, Console(width=WIDTH, highlight=False))
    report.raise_if_too_many_rejects()


def _import_drawn(
    files: tuple[str, ...], into: Path, options: ImportOptions, draws: dict[str, Any]
) -> None:
    import datetime as dt

    from rich.console import Console

    from weighbridge.study.drawn_log import DrawnLog, import_drawn

    if len(files) != 1:
        raise click.UsageError("servegen is drawn from one FILE of rates.")
    if "lengths_from" not in draws:
        raise click.UsageError("Missing option '--lengths-from': rates hold no token lengths.")
    with _progress(Console(stderr=True)) as on_progress:
        report = import_drawn(
            DrawnLog(Path(files[0]), **draws),
            into,
            options,
            now=dt.datetime.now(dt.UTC),
            on_progress=on_progress,
        )
    _print(report, Console(width=WIDTH, highlight=False))
    report.raise_if_too_many_rejects()


@contextmanager
def _progress(console: Console) -> Iterator[OnProgress]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description:<6}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        begun: dict[str, object] = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in begun:
                begun[stage] = bars.add_task(stage, total=total)
            bars.update(begun[stage], completed=done)  # type: ignore[arg-type]

        yield on_progress


def _print(report: ImportReport, console: Console) -> None:
    if report.manifests:
        _print_counts(report, console)
        _print_rejects(report, console)
        _print_caveats(report, console)
    for name in report.known_files:
        console.print(f"{name}: imported before, nothing to do", soft_wrap=True, markup=False)


def _print_counts(report: ImportReport, console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold", ratio=1)
    for name in ("read", "stored", "duplicate", "rejected"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = report.manifests[:MOST_FILES]
    for manifest in shown:
        counts = (
            manifest.rows_read,
            manifest.rows_stored,
            manifest.rows_duplicate,
            manifest.rows_rejected,
        )
        table.add_row(_escaped(manifest.file_name), *(f"{count:,}" for count in counts))
    if len(report.manifests) > 1:
        names = ("rows_read", "rows_stored", "rows_duplicate", "rows_rejected")
        label = f"all {len(report.manifests)} files"
        table.add_row(label, *(f"{report.total(name):,}" for name in names), style="bold")
    console.print(table)


MOST_FILES = 12


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _print_rejects(report: ImportReport, console: Console) -> None:
    if not report.total("rows_rejected"):
        return
    console.print("\nRejected", style="bold")
    for reason, count in report.rejected_by_reason().most_common():
        console.print(f"  {count:,} x {reason}", markup=False)
    for quoted in report.quoted:
        reject = quoted.reject
        why = f"{reject.field}: {reject.reason}" if reject.field else reject.reason
        console.print(f"  {quoted.file_name}:{reject.line}: {why}", markup=False, soft_wrap=True)
    rest = report.total("rows_rejected") - len(report.quoted)
    more = f" ({rest:,} more there)" if rest else ""
    console.print(f"  listed in {report.into / 'rejects'}{more}", markup=False, soft_wrap=True)


def _print_caveats(report: ImportReport, console: Console) -> None:
    first = min((m.first_at for m in report.manifests if m.first_at), default=None)
    last = max((m.last_at for m in report.manifests if m.last_at), default=None)
    console.print()
    if first and last:
        console.print(f"period       {first[:19]} to {last[:19]} UTC", markup=False)
    left_out = report.total("rows_left_out")
    if left_out:
        console.print(f"left out     {left_out:,} records that are no requests", markup=False)
    stored, failed = report.total("rows_stored"), report.total("rows_failed")
    if failed:
        only = "; the log holds only failures, so no demand can be read from it"
        told = only if failed == stored else ""
        console.print(f"failed       {failed:,} of {stored:,} requests{told}", markup=False)
    unpriced = _unpriced(report)
    if unpriced:
        console.print(f"unpriced     {unpriced}", markup=False)
    _print_list(console, "assumed", {a for m in report.manifests for a in m.assumptions})
    _print_list(console, "cannot tell", {c for m in report.manifests for c in m.cannot_tell})


def _unpriced(report: ImportReport) -> str:
    from collections import Counter

    total: Counter[str] = Counter()
    for manifest in report.manifests:
        total.update(manifest.unpriced_models)
    named = [f"{model} ({count:,})" for model, count in total.most_common(8)]
    rest = len(total) - len(named)
    return ", ".join(named) + (f" and {rest} more models" if rest else "")


def _print_list(console: Console, head: str, lines: set[str]) -> None:
    for index, line in enumerate(sorted(lines)):
        console.print(f"{head if index == 0 else '':<13}{line}", markup=False)
