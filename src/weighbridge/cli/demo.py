"""`weighbridge demo`: from requests to a report, through a real gateway or from a synthetic log."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli.demo_phases import phases, told_phase
from weighbridge.cli.demo_place import Place, clear, write_scenario

if TYPE_CHECKING:
    from weighbridge.study.decide import Run

TUNED = (
    "An illustration, not evidence: the made-up company's traffic and scenario were tuned so that "
    "the verdict on its week is a split."
)
SPEED = 7200.0  # two hours of the made-up week in a second


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder to write into.",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True)
@click.option(
    "--days",
    type=click.IntRange(1, 14),
    default=7,
    show_default=True,
    help="Days of traffic; under seven, `decide` says what it withholds.",
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 100_000),
    default=SPEED,
    show_default=True,
    help="How much faster than real time the week passes.",
)
@click.option(
    "--from-log",
    is_flag=True,
    help="No gateway: import a synthetic log of 370,000 requests instead.",
)
def demo(out: Path, seed: int, days: int, speed: float, from_log: bool) -> None:
    """Send a week of a made-up company's traffic through the gateway, decide and report on it.

    Everything runs on this machine: a stand-in for the providers, a small real model where it is
    installed, `weighbridge serve` between them and the traffic, `compact`, `decide`.
    """
    place = Place(out)
    clear(place)
    if from_log:
        _import_synthetic(place, seed, days)
    else:
        from weighbridge.cli.demo_live import run_live

        run_live(place, seed, days, speed)
    from weighbridge.cli.decide import Outputs, run_decide
    from weighbridge.study.scenario import load_scenario

    told_phase("decide")
    run_decide(
        load_scenario(place.scenario), place.usage, _run(place, seed), Outputs(html=place.report)
    )
    _say_next(place, from_log)


def _import_synthetic(place: Place, seed: int, days: int) -> None:
    from weighbridge.cli.demo_log import import_log, write_log

    with phases() as tell:
        write_log(place, seed, days, tell)
        import_log(place, tell)
    write_scenario(place)


def _run(place: Place, seed: int) -> Run:
    from weighbridge.study.decide import Run  # seconds to load: not before the first bar moves

    command = shlex.join(["weighbridge", *sys.argv[1:]])
    return Run(seed=seed, command=command, where=str(place.scenario))


def _say_next(place: Place, from_log: bool) -> None:
    from weighbridge.cli.decide import screen

    console = screen()
    console.print(f"\n{TUNED}", highlight=False, style="dim")
    rows = [
        ("read the report", f"open {place.report} in a browser"),
        ("who burns what", f"weighbridge profile --usage {place.usage}"),
        ("change a line", f"weighbridge decide {place.scenario} --usage {place.usage}"),
    ]
    if from_log:
        rows.append(("your own log", "weighbridge import litellm spend-logs.jsonl --into usage"))
    else:
        rows.append(("see its rules", f"{place.gateway / 'gateway.yaml'}"))
        rows.append(("your own traffic", "weighbridge serve --observe --upstream openai"))
    console.print("\n[bold]Next[/bold]")
    for name, what in rows:
        console.print(f"  {name:<17} {what}", highlight=False, soft_wrap=True)
