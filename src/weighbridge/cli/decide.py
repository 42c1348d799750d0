"""`weighbridge decide`: from a scenario, a log or three figures to a verdict."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.units import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from weighbridge.study.decide import Progress
    from weighbridge.study.result import Study
    from weighbridge.study.scenario import Scenario

COMMAND_LINE = "command line"
SCREEN_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the study is written, beside the terminal."""

    html: Path | None = None
    json: Path | None = None
    csv: Path | None = None
    focus: Path | None = None


@click.command()
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option("--usage", type=click.Path(path_type=Path), help="Ledger directory of `import`.")
@click.option("--spend", type=float, help="Monthly API spend in USD, where there is no log.")
@click.option("--model", help="Model called today, where there is no log.")
@click.option("--provider", help="Provider of that model.")
@click.option("--mlops-fte", type=float, help="People on staff who have run inference.")
@click.option("--assume-model", help="Model of the requests whose log names none.")
@click.option("--assume-provider", help="Provider of that model.")
@click.option("--candidate", help="Open-weight model to weigh against it (catalog id).")
@click.option("--gpu", help="GPU to serve it on (catalog id).")
@click.option("--prices", type=click.Path(), help="Price rows of your own (YAML).")
@click.option("--catalog", type=click.Path(), help="Catalog rows of your own (YAML).")
@click.option("--out", type=click.Path(path_type=Path), help="Write the report (HTML).")
@click.option("--json", "json_", type=click.Path(path_type=Path), help="Write the study (JSON).")
@click.option("--csv", type=click.Path(path_type=Path), help="Write its tables into a directory.")
@click.option(
    "--focus", type=click.Path(path_type=Path), help="Write daily costs of the log (FOCUS)."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draws."
)
@click.option("--draws", type=click.IntRange(min=256), default=100_000, show_default=True)
@click.option("--sobol", is_flag=True, help="Add Sobol indices to the tornado.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day whose prices the forecast uses, of API and offers. Default: today's offers, and what "
    "the log cost.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="OLD.json",
    help="An earlier study (--json): explain what changed, at the prices of --as-of or today.",
)
@click.option(
    "--traffic",
    type=click.Choice(["same", "new"]),
    default="same",
    show_default=True,
    help="With --against: whether the old study may be of another ledger.",
)
def decide(
    scenario: Path | None,
    usage: Path | None,
    seed: int,
    draws: int,
    sobol: bool,
    as_of: dt.datetime | None,
    out: Path | None,
    json_: Path | None,
    csv: Path | None,
    focus: Path | None,
    against: Path | None,
    traffic: str,
    **stated: str | float | None,
) -> None:
    """Weigh API, platform, self-hosting and a split on your traffic.

    \b
    No log yet:      weighbridge decide --spend 47000 --model gpt-4o --mlops-fte 0
    From a log:      weighbridge decide --usage usage --out report.html
    Your own page:   weighbridge decide scenario.yaml --usage usage
    Half a year on:  weighbridge decide scenario.yaml --usage usage --against old.json
    """
    from weighbridge.study.decide import Run  # numpy, scipy: not for --help
    from weighbridge.study.old_study import read_old_study

    if focus is not None and usage is None:
        raise InputError("--focus", "", "exports the cost of a log", "give --usage DIR")
    check_writable(out, json_, focus)
    if csv is not None and csv.exists() and not csv.is_dir():
        raise InputError(str(csv), "", "is a file", "name a directory for the tables")
    _check_date(as_of)
    if traffic == "new" and against is None:
        raise InputError("--traffic", "", "says of which ledger an old study is", "give --against")
    told = stated_scenario(scenario, stated)
    run = Run(
        seed=seed,
        n_draws=draws,
        sobol=sobol,
        as_of=as_of.date() if as_of else None,
        command=shlex.join(["weighbridge", *sys.argv[1:]]),
        where=str(scenario) if scenario else COMMAND_LINE,
        reprice=as_of is not None,
        against=read_old_study(against) if against is not None else None,
        traffic_is_new=traffic == "new",
    )
    run_decide(told, usage, run, Outputs(out, json_, csv, focus))


def _check_date(as_of: dt.datetime | None) -> None:
    if as_of is not None and as_of.date() > dt.datetime.now(dt.UTC).date():
        raise InputError("--as-of", "", f"{as_of:%Y-%m-%d} is in the future", "name a past day")


def check_writable(*paths: Path | None) -> None:
    """A place that cannot be written is an error before the work, not after it."""
    given = [path.absolute() for path in paths if path is not None]
    if len(set(given)) < len(given):
        raise InputError(str(given[-1]), "", "is named for two outputs", "name two files")
    for path in paths:
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InputError(
                str(path), "", "cannot be written there", "name a file in a directory that exists"
            )


def stated_scenario(path: Path | None, stated: dict[str, str | float | None]) -> Scenario:
    """The scenario file with the command line's figures over it."""
    import msgspec

    from weighbridge.study.scenario import (
        Scenario,
        check_scenario,
        load_scenario,
    )

    base = load_scenario(path) if path else Scenario()
    names = {
        "spend": "monthly_spend_usd",
        "prices": "prices_file",
        "catalog": "catalog_file",
    }
    given = {names.get(k, k): v for k, v in stated.items() if v is not None}
    told = msgspec.structs.replace(base, **given)
    check_scenario(told, str(path or COMMAND_LINE))
    return told


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr, a row for each part of the work; silent where nobody looks."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        rows: dict[str, TaskID] = {}

        def tell(step: str, share_frac: float) -> None:
            if step not in rows:
                rows[step] = bar.add_task(step, total=1.0)
            bar.update(rows[step], completed=share_frac)

        yield tell


def run_decide(scenario: Scenario, usage: Path | None, run: object, outputs: Outputs) -> Study:
    """Decide, print the verdict, write what was asked for."""
    from dataclasses import replace

    from weighbridge.report.terminal import render_terminal
    from weighbridge.study.decide import Run
    from weighbridge.study.decide import decide as weigh

    assert isinstance(run, Run)
    with progress_bar() as tell:
        study = weigh(scenario, usage, replace(run, progress=tell))
        written = write_outputs(study, usage, scenario, outputs, tell)
    console = screen()
    render_terminal(study, console)
    if written:
        names = ", ".join(str(path) for path in written)
        console.print(f"written: {names}", highlight=False, soft_wrap=True)
    return study


def screen() -> Console:
    """Where results are printed: a hundred columns at the most, and as many where nobody looks."""
    from rich.console import Console

    console = Console()
    return Console(
        width=min(SCREEN_COLUMNS, console.width) if console.is_terminal else SCREEN_COLUMNS
    )


def write_outputs(
    study: Study, usage: Path | None, scenario: Scenario, outputs: Outputs, tell: Progress
) -> list[Path]:
    """Every file asked for: all are rendered before the first is written."""
    from weighbridge.report.files import study_to_json, write_tables
    from weighbridge.report.html import render_html

    made: list[tuple[Path, bytes]] = []
    if outputs.html is not None:
        tell("report", 0.0)
        made.append((outputs.html, render_html(study).encode()))
        tell("report", 1.0)
    if outputs.json is not None:
        made.append((outputs.json, study_to_json(study)))
    if outputs.focus is not None and usage is not None:
        from weighbridge.cli.focus import focus_files

        made += focus_files(outputs.focus, usage, scenario)
    for path, content in made:
        replace_file(path, content)
    written = [path for path, _ in made]
    if outputs.csv is not None:
        with told_where(outputs.csv):
            write_tables(study, outputs.csv)
        written.append(outputs.csv)
    return written


def check_folder(out: Path | None) -> None:
    """Refuse a folder for results that cannot be made, before anything is computed."""
    if out is None:
        return
    if (out.exists() and not out.is_dir()) or not out.absolute().parent.is_dir():
        problem = "cannot be made there" if not out.exists() else "is a file"
        raise InputError(str(out), "", problem, "name a folder in a directory that exists")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    from weighbridge.report.files import write_whole

    with told_where(path):
        write_whole(path, content)


@contextmanager
def told_where(path: Path) -> Iterator[None]:
    """A failure to write, as an error that names the place."""
    try:
        yield
    except OSError as error:
        raise InputError(
            str(path), "", f"cannot be written ({error.strerror})", "name another place"
        ) from None
