"""`weighbridge sweep`: the break-even surface over any two inputs, as CSV or as a plot."""

from __future__ import annotations

from pathlib import Path

import click

from weighbridge.cli.decide import check_writable, progress_bar, replace_file
from weighbridge.units import InputError


@click.command()
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--over", multiple=True, required=True, help="name=low:high[:points] or name=a,b,c")
@click.option("--usage", type=click.Path(path_type=Path), help="Ledger directory of `import`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write: .csv, .svg or .png. Default: CSV to the terminal.",
)
@click.option("--draws", type=click.IntRange(min=16), default=256, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def sweep(
    scenario: Path,
    over: tuple[str, ...],
    usage: Path | None,
    out: Path | None,
    draws: int,
    seed: int,
) -> None:
    """Break-even surface over two inputs of a scenario.

    \b
    weighbridge sweep scenario.yaml --over demand_multiplier_ratio=0.1:10 \\
        --over gpu_usd_per_gpu_hour=1:8 --out surface.svg
    """
    from weighbridge.report.surface import surface_csv, surface_picture
    from weighbridge.study.scenario import load_scenario
    from weighbridge.study.sweep import Sweep, read_axis
    from weighbridge.study.sweep import sweep as run

    if len(over) != 2:
        raise InputError("--over", "", f"is given {len(over)} times", "name two inputs")
    if out is not None and out.suffix not in {".csv", ".svg", ".png"}:
        raise InputError("--out", str(out), "is of no known kind", "end it in .csv, .svg or .png")
    check_writable(out)
    plan = Sweep((read_axis(over[0]), read_axis(over[1])), draws, seed, None, str(scenario))
    told = load_scenario(scenario)
    with progress_bar() as tell:
        tell("surface", 0.0)
        found = run(told, plan, usage)
        tell("surface", 1.0)
    if out is None:
        click.echo(surface_csv(found), nl=False)
        return
    content = (
        surface_csv(found).encode() if out.suffix == ".csv" else surface_picture(found, out.suffix)
    )
    replace_file(out, content)
    click.echo(f"written: {out}")
