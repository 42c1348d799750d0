"""`weighbridge init`: a scenario to start from."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.catalog.assumptions import Assumption

SHORT = """\
# The ten lines that matter. Everything else has a sourced default: `weighbridge init --full`.
name: Our LLM traffic
model: gpt-4o                 # what you call today; with --usage DIR the log says it
provider: openai
# monthly_spend_usd: 47000    # state it where there is no log yet (a log measures it)
mlops_fte: 0                  # people on staff who have run inference in production
candidate: {candidate}   # open-weight model that might answer instead (catalog id)
horizon_months: 36
query_types:                  # cost alone never moves traffic: say what you have tested
  - replaceable: unknown      # yes | no | unknown; with a log: match: {{feature: …, template: …}}
assumptions:
  fte_usd_per_year: 250000    # or a band: {{p10: 200000, p50: 250000, p90: 320000}}
"""

FULL_HEAD = """\

# Every assumption with its default. A line that starts with "#" is not in force: remove the "#" to
# state your own figure, as a number, as {p10: …, p50: …, p90: …}, {low: …, high: …},
# {low: …, mode: …, high: …}, {values: […], weights: […]}, or {probability: …} for an event.
# 0 takes a cost out.
"""


@click.command()
@click.argument("path", required=False, default="scenario.yaml", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Every assumption with unit, range and source.")
def init(path: Path, full: bool) -> None:
    """Write a scenario.yaml: ten lines that matter, or with --full every assumption."""
    if path.exists():
        raise InputError(str(path), "", "exists already", "name another file, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(str(path), "", "is in no directory that exists", "make the directory")
    path.write_text(scenario_text(full), "utf-8")
    click.echo(
        f"written: {path}\n"
        f"next:    weighbridge decide {path} --usage DIR   (no log: state monthly_spend_usd first)"
    )


def scenario_text(full: bool) -> str:
    """The scenario file that `init` writes."""
    from weighbridge.catalog.assumptions import load_assumptions
    from weighbridge.study.capacity_model import DEFAULT_CANDIDATE

    text = SHORT.format(candidate=DEFAULT_CANDIDATE)
    if not full:
        return text
    parts, group = [text, FULL_HEAD], ""
    for row in load_assumptions().values():
        if row.group != group:
            group = row.group
            parts.append(f"\n  # --- {group} ---\n")
        parts.append(_entry(row))
    return "".join(parts)


def _entry(row: Assumption) -> str:
    if row.event:
        value = f"{{probability: {row.probability:g}}}"
    elif row.p10 == row.p90:
        value = f"{row.p50:g}"
    else:
        value = f"{{p10: {row.p10:g}, p50: {row.p50:g}, p90: {row.p90:g}}}"
    low = "any" if row.min is None else f"{row.min:g}"
    high = "any" if row.max is None else f"{row.max:g}"
    told = f"{row.label} [{row.unit}], {low} to {high}. {row.note} Source: {row.source}."
    lines = textwrap.wrap(" ".join(told.split()), 94)
    comment = "".join(f"  # {line}\n" for line in lines)
    return f"{comment}  # {row.name}: {value}\n\n"
