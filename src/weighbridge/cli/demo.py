"""`weighbridge demo`: the whole path on a synthetic week, from requests to a report."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.study.decide import Progress

MARKER = ".made-by-weighbridge-demo"
FIRST_MONDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)  # fixed: the same seed makes the same log
HOURS_BEYOND = 1  # first and last request then lie whole days apart

SCENARIO = """\
# Scenario of the demo: a made-up company, so the evidence below is made up too.
# Change a line and decide again:
#   weighbridge decide {here}/scenario.yaml --usage {here}/usage --out {here}/report.html
name: Demo company
candidate: llama-3.3-70b      # the open-weight model that was tested
mlops_fte: 2                  # people on staff who have run inference in production
horizon_months: 36
query_types:
  - match: {{feature: document-intake, template: extract-fields}}
    replaceable: yes
    evidence: "made up: 97.9 % of fields equal on 3,000 labelled documents"
  - match: {{feature: document-intake, template: classify-page}}
    replaceable: yes
    evidence: "made up: 99.1 % agreement on 5,000 labelled pages"
  - match: {{feature: catalogue, template: enrich-listing}}
    replaceable: yes
    evidence: "made up: editors preferred neither in 1,200 blind pairs"
  - match: {{feature: support-desk, template: answer-with-sources}}
    replaceable: no
    evidence: "made up: customers preferred today's answers in 61 % of 800 pairs"
  - match: {{feature: code-assist, template: agent-step}}
    replaceable: no
    evidence: "made up: finished 41 of 120 tasks, against 97 today"
  - match: {{feature: contracts}}
    replaceable: no
    evidence: "made up: counsel found 3 missed clauses in 50 contracts"
# All others are unknown until somebody tests them.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo puts what it makes."""

    folder: Path

    @property
    def log(self) -> Path:
        """The synthetic log, as LiteLLM would export it."""
        return self.folder / "litellm-spend-logs.jsonl.gz"

    @property
    def usage(self) -> Path:
        """The ledger that the log is imported into."""
        return self.folder / "usage"

    @property
    def scenario(self) -> Path:
        """What the made-up company states."""
        return self.folder / "scenario.yaml"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"


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
def demo(out: Path, seed: int, days: int) -> None:
    """Make a week of a made-up company's traffic, import it, decide and report on it."""
    from weighbridge.cli.decide import Outputs, progress_bar, run_decide

    place = Place(out)
    clear(place)
    with progress_bar() as tell:
        write_log(place, seed, days, tell)
        import_log(place, tell)
    from weighbridge.study.decide import Run  # seconds to load: not before the first bar moves
    from weighbridge.study.scenario import load_scenario

    place.scenario.write_text(SCENARIO.format(here=place.folder), encoding="utf-8")
    run = Run(
        seed=seed,
        command=" ".join(["weighbridge", *sys.argv[1:]]),
        where=str(place.scenario),
    )
    run_decide(load_scenario(place.scenario), place.usage, run, Outputs(html=place.report))


def clear(place: Place) -> None:
    """Remove what an earlier demo made there, and nothing that it did not make."""
    marker = place.folder / MARKER
    made = (place.log, place.usage, place.scenario, place.report)
    if not marker.exists():
        foreign = next((path for path in made if path.exists()), None)
        if foreign is not None:
            raise InputError(
                str(foreign), "", "exists, and no demo made it", "name another folder with --out"
            )
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise InputError(str(place.folder), "", problem, "name another folder with --out") from None
    if place.usage.exists():
        shutil.rmtree(place.usage)


def write_log(place: Place, seed: int, days: int, tell: Progress) -> None:
    """Draw the traffic and write it as LiteLLM would have logged it."""
    import numpy as np

    from weighbridge.catalog.prices import compile_prices
    from weighbridge.rehearsal.demo_mix import DEMO_MIX
    from weighbridge.rehearsal.litellm_log import LogLook, write_spend_log
    from weighbridge.rehearsal.traffic import generate

    tell("make traffic", 0.0)
    rng = np.random.default_rng(seed)
    traffic = generate(DEMO_MIX, FIRST_MONDAY, days * 24 + HOURS_BEYOND, rng)
    tell("make traffic", 1.0)
    book, rates = compile_prices(), {}
    for service in {template.service for template in DEMO_MIX.templates}:
        found = book.rates_usd_per_mtok(service.provider, service.model, FIRST_MONDAY.date())
        assert found is not None, f"the price list has lost {service.model}"
        rates[service.model] = found
    look = LogLook(rates, rng)
    write_spend_log(place.log, DEMO_MIX, traffic, look, lambda done, n: tell("write log", done / n))


def import_log(place: Place, tell: Progress) -> None:
    """Read the log into a ledger, as `weighbridge import litellm` does."""
    from weighbridge.usage.importing import ImportRequest, import_logs

    report = import_logs(
        ImportRequest("litellm", (place.log,), place.usage),
        now=dt.datetime.now(dt.UTC),
        on_progress=lambda stage, done, total: tell(f"import: {stage}", done / max(total, 1)),
    )
    report.raise_if_too_many_rejects()
