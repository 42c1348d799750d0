"""The demo for real, small: a gateway, a stand-in, a fleet's stand-in, a day in seconds."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from weighbridge.cli import demo_probe, weighbridge
from weighbridge.cli.demo_figures import recorded
from weighbridge.cli.demo_gateway import CONFIG, Fleet, make_keys, write_config
from weighbridge.cli.demo_live import fleet_of, peak_ratio, provider_settings
from weighbridge.cli.demo_place import SCENARIO, Place
from weighbridge.gateway.config import read_config
from weighbridge.gateway.key_store import KeyStore
from weighbridge.gateway.rehearsal_clock import refuse_outside_rehearsal
from weighbridge.rehearsal import live_mix, local_model
from weighbridge.rehearsal.live_mix import LIVE_MIX
from weighbridge.rehearsal.replay_rows import Row
from weighbridge.study.scenario import parse_scenario
from weighbridge.usage.store import open_ledger


@pytest.fixture(scope="module")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    """A live demo of a day of a company a twentieth the size, and what it printed."""
    place = Place(tmp_path_factory.mktemp("demo") / "made")
    small = tuple(
        replace(
            t,
            requests_per_week=t.requests_per_week / 20,
            output_length=replace(t.output_length, max_tokens=60),
        )
        for t in LIVE_MIX.templates
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_mix, "LIVE_MIX", replace(LIVE_MIX, templates=small))
        patch.setattr(local_model, "available", lambda: "the model is not wanted: leave it")
        patch.setattr(demo_probe, "N_PAIRS", 20)
        command = ["demo", "--out", str(place.folder), "--days", "1", "--speed", "60000"]
        told = CliRunner().invoke(weighbridge, command)
    assert told.exit_code == 0, told.output
    return place, told.output


def test_every_answered_request_is_recorded_once(one_day: tuple[Place, str]) -> None:
    place, output = one_day
    n_answers = len(place.answers.read_text().splitlines())
    assert recorded(place).n_records == n_answers > 20
    assert "each answered request, once" in output


def test_ledger_and_bill_agree_to_the_last_digit(one_day: tuple[Place, str]) -> None:
    place, output = one_day
    assert recorded(place).list_usd > Decimal(1)
    assert "equal to the last digit" in output


def test_every_record_says_that_it_was_rehearsed(one_day: tuple[Place, str]) -> None:
    ledger = open_ledger(one_day[0].usage)
    assert sum(m.events.get("rehearsal_clock", 0) for m in ledger.manifests) == 1
    for file in ledger.parquet_files:
        ids = pq.read_table(file, columns=["request_id"], partitioning=None)["request_id"]
        assert all(name.startswith("wb-rehearsal-") for name in ids.to_pylist())


def test_a_stand_in_plays_the_fleet_where_no_model_is_and_is_said_so(
    one_day: tuple[Place, str],
) -> None:
    place, output = one_day
    assert "a second stand-in" in " ".join(output.split())
    assert {stretch.target for stretch in open_ledger(place.usage).fleet_hours()} == {"fleet"}


def test_a_day_is_decided_on_and_says_what_it_cannot_tell(one_day: tuple[Place, str]) -> None:
    place, output = one_day
    assert "NOT ENOUGH EVIDENCE" in output
    assert parse_scenario(place.scenario.read_text()).assumptions["within_hour_peak_ratio"] > 1
    assert "<html" in place.report.read_text(encoding="utf-8")


def test_output_that_is_no_terminal_names_each_phase_and_that_the_demo_was_tuned(
    one_day: tuple[Place, str],
) -> None:
    _, output = one_day
    lines = output.splitlines()
    told = [line for line in lines if line.startswith("demo: ")]
    assert len(told) == len(set(told))
    assert {"demo: time the gateway", "demo: compact", "demo: decide"} <= set(told)
    words = " ".join(output.split())
    assert "(1 day and the drain)" in words
    assert "An illustration, not evidence" in words


def test_no_secret_is_left_behind(one_day: tuple[Place, str]) -> None:
    place, _ = one_day
    written = b"".join(p.read_bytes() for p in place.folder.rglob("*") if p.is_file())
    assert b"sk-demo" not in written
    assert b"How heavy is a request" not in written


def test_configuration_is_one_that_a_rehearsal_clock_accepts(tmp_path: Path) -> None:
    fleet = Fleet("http://127.0.0.1:9", "m", "llamacpp", 2, "a fleet", True)
    config = read_config(write_config(tmp_path, "http://127.0.0.1:8", fleet))
    refuse_outside_rehearsal(config, 1)
    assert config.policy.data_classes["confidential"] == ("anthropic",)
    assert "{here}" in CONFIG


def test_contracts_keys_may_reach_one_provider_only(tmp_path: Path) -> None:
    make_keys(tmp_path, LIVE_MIX.tenants)
    classes = {key.id: key.terms.data_class for key in KeyStore(tmp_path / "keys.json").list()}
    assert {name for name, word in classes.items() if word == "confidential"} == {"legal"}


def test_legal_sends_only_what_its_provider_serves() -> None:
    for template in LIVE_MIX.templates:
        if "legal" in template.tenants:
            assert template.service.provider == "anthropic"


def test_stand_in_charges_what_the_catalog_says() -> None:
    settings = provider_settings(LIVE_MIX, seed=1)
    opus = next(model for model in settings.models if model.name == "claude-opus-4-1")
    assert (opus.input_usd_per_mtok, opus.output_usd_per_mtok) == (Decimal(15), Decimal(75))


def test_scenario_rules_each_name_a_template_of_the_live_mix() -> None:
    scenario = parse_scenario(SCENARIO.format(here="demo", name="Demo company, a week rehearsed"))
    named = {(t.feature, t.template) for t in LIVE_MIX.templates}
    for rule in scenario.query_types:
        match = rule.match
        assert any(match.feature == f and match.template in (None, t) for f, t in named)


def test_peak_within_an_hour_is_that_of_the_traffic_as_drawn() -> None:
    quiet = [Row(60.0 * minute, 10, 1) for minute in range(60)]
    burst = [*quiet, Row(90.0, 10, 60)]
    assert peak_ratio(quiet) == 1.0
    assert peak_ratio(burst) == pytest.approx(61 * 60 / 120)


def test_missing_model_is_told_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "available", lambda: "x is not installed: pip install x")
    with fleet_of() as fleet:
        assert fleet.words == "a second stand-in, since x is not installed (pip install x)"
        assert not fleet.is_real


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_interrupted_demo_stops_all_that_it_started(tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-m", "weighbridge", "demo", "--out", str(tmp_path / "d")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as demo:
        try:
            sent = _first_answers(tmp_path / "d" / "answers.jsonl", demo)
            children = _descendants(demo.pid)
            if how == "ctrl-c":
                os.killpg(demo.pid, signal.SIGINT)  # as a terminal does: to all in the foreground
            else:
                demo.terminate()
            said, _ = demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert sent
    assert demo.returncode == 130, said
    assert b"interrupted" in said
    assert b"Traceback" not in said
    assert len(children) >= 3
    assert not [pid for pid in children if _lives(pid)]


def _first_answers(path: Path, demo: subprocess.Popen[bytes]) -> bool:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s and demo.poll() is None:
        if path.exists() and path.stat().st_size:
            return True
        time.sleep(0.1)  # another process's progress, not ours
    return False


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("no /proc that tells children here")
    own = [int(word) for word in children.read_text().split()]
    return own + [below for child in own for below in _descendants(child)]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
