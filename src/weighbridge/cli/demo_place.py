"""Where the demo puts what it makes, and the made-up company's own page."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from weighbridge.units import InputError

MARKER = ".made-by-weighbridge-demo"

SCENARIO = """\
# Scenario of the demo: a made-up company, so the evidence below is made up too.
# Change a line and decide again:
#   weighbridge decide {here}/scenario.yaml --usage {here}/usage --out {here}/report.html
name: {name}
candidate: gpt-oss-120b       # the open-weight model that was tested
slo: ttft_p95=20s,e2e_p95=90s # what would move runs in the background: nobody reads along
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
PEAK = """\
assumptions:
  # As the traffic was drawn: a rehearsed minute lasts {minute_ms:.0f} ms, too short to be measured.
  within_hour_peak_ratio: {ratio:.2f}
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
    def gateway(self) -> Path:
        """The gateway's configuration, keys, spool, state and log."""
        return self.folder / "gateway"

    @property
    def probe(self) -> Path:
        """The same of a second gateway, which is only timed."""
        return self.folder / "probe"

    @property
    def answers(self) -> Path:
        """How each request went, as its client saw it."""
        return self.folder / "answers.jsonl"

    @property
    def usage(self) -> Path:
        """The ledger."""
        return self.folder / "usage"

    @property
    def scenario(self) -> Path:
        """What the made-up company states."""
        return self.folder / "scenario.yaml"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"


def clear(place: Place) -> None:
    """Remove what an earlier demo made there, and nothing that it did not make."""
    marker = place.folder / MARKER
    folders = (place.usage, place.gateway, place.probe)
    files = (place.log, place.answers, place.scenario, place.report)
    if not marker.exists():
        foreign = next((path for path in (*files, *folders) if path.exists()), None)
        if foreign is not None:
            raise InputError(
                str(foreign), "", "exists, and no demo made it", "name another folder with --out"
            )
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
        for path in files:
            path.unlink(missing_ok=True)
        for folder in folders:
            if folder.exists():
                shutil.rmtree(folder)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise InputError(str(place.folder), "", problem, "name another folder with --out") from None


def write_scenario(
    place: Place, name: str = "Demo company", peak_ratio: float | None = None, speed: float = 1.0
) -> None:
    """Write the company's page; the name stands over the report.

    A fast clock squeezes minutes until jitter fills them, so their peak is stated, not measured.
    """
    text = SCENARIO.format(here=place.folder, name=name)
    if peak_ratio is not None:
        text += PEAK.format(ratio=peak_ratio, minute_ms=60_000 / speed)
    place.scenario.write_text(text, encoding="utf-8")
