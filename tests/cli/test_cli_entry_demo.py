"""The demo: from nothing to a report, and careful of what others put in its folder."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from weighbridge.cli import weighbridge
from weighbridge.cli.demo_place import MARKER, SCENARIO, Place, clear
from weighbridge.rehearsal import demo_mix
from weighbridge.rehearsal.demo_mix import DEMO_MIX
from weighbridge.study.scenario import parse_scenario
from weighbridge.units import InputError


@pytest.fixture(scope="module")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    """A demo of one day of a company a tenth the size, and what it printed."""
    place = Place(tmp_path_factory.mktemp("demo") / "made")
    small = tuple(
        replace(t, requests_per_week=t.requests_per_week / 10) for t in DEMO_MIX.templates
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_mix, "DEMO_MIX", replace(DEMO_MIX, templates=small))
        told = CliRunner().invoke(
            weighbridge, ["demo", "--out", str(place.folder), "--days", "1", "--from-log"]
        )
    assert told.exit_code == 0, told.output
    return place, told.output


def test_demo_leaves_log_ledger_scenario_and_report(one_day: tuple[Place, str]) -> None:
    place, output = one_day
    for path in (place.log, place.usage / "ledger.json", place.scenario, place.report):
        assert path.exists()
    assert "report.html" in output


def test_demo_of_a_day_says_what_a_day_cannot_tell(one_day: tuple[Place, str]) -> None:
    place, output = one_day
    assert "NOT ENOUGH EVIDENCE" in output
    assert "the log covers" in output
    assert "<html" in place.report.read_text(encoding="utf-8")


def test_scenario_rules_each_name_a_template_of_the_mix() -> None:
    scenario = parse_scenario(SCENARIO.format(here="demo", name="Demo company"))
    named = {(t.feature, t.template) for t in DEMO_MIX.templates}
    features = {t.feature for t in DEMO_MIX.templates}
    for rule in scenario.query_types:
        match = rule.match
        if match.template is None:
            assert match.feature in features
        else:
            assert (match.feature, match.template) in named
        assert rule.evidence.startswith("made up: ")


def test_clearing_removes_an_earlier_demo(tmp_path: Path) -> None:
    place = Place(tmp_path / "demo")
    clear(place)
    place.usage.mkdir()
    (place.usage / "ledger.json").touch()
    clear(place)
    assert [path.name for path in place.folder.iterdir()] == [MARKER]


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    ledger = tmp_path / "usage" / "ledger.json"
    ledger.parent.mkdir()
    ledger.touch()
    with pytest.raises(InputError, match="no demo made it"):
        clear(Place(tmp_path))
    assert ledger.exists()
    assert not (tmp_path / MARKER).exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        clear(Place(tmp_path / "file" / "below"))
