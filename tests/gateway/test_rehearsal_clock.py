"""The clock of rehearsals: right in its arithmetic, and impossible to meet by accident."""

import datetime as dt
from pathlib import Path

import pytest
from click.testing import CliRunner

from weighbridge.cli import weighbridge
from weighbridge.gateway.config import is_loopback, read_config
from weighbridge.gateway.rehearsal_clock import (
    RehearsalClock,
    parse_clock,
    refuse_outside_rehearsal,
)
from weighbridge.units import InputError

START = dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC)
CONFIG = """\
listen: {listen}
state: {state}
targets:
  a: {{url: "{url}/v1", provider: openai{more}}}
models: {{"*": a}}
"""


def write(tmp_path: Path, **given: str) -> Path:
    told = {
        "listen": "127.0.0.1:0",
        "state": "auto",
        "url": "http://127.0.0.1:1",
        "more": "",
        **given,
    }
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(**told))
    return path


def test_clock_stands_until_it_is_started_and_then_runs_fast() -> None:
    now = [100.0]
    clock = RehearsalClock(START, 7200, lambda: now[0])
    now[0] = 130.0
    assert clock() == START.timestamp()
    clock.start()
    now[0] = 130.5
    assert clock() == START.timestamp() + 3600


def test_start_and_speed_are_read_and_told() -> None:
    clock = parse_clock("2026-11-02T09:00:00+01:00,7200")
    assert clock() == START.timestamp()
    assert clock.words == "from 2026-11-02T08:00:00Z on, 7200 times as fast"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("soon,10", "is 'soon,10'"),
        ("2026-11-02T08:00:00Z", "is '2026-11-02T08:00:00Z'"),
        ("2026-11-02T08:00:00,10", "has no time zone"),
        ("2026-11-02T08:00:00Z,0.5", "runs 0.5 times as fast"),
        ("2026-11-02T08:00:00Z,nan", "runs nan times as fast"),
        ("2026-11-02T08:00:00Z,inf", "runs inf times as fast"),
    ],
)
def test_other_words_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_clock(text)


def test_all_on_loopback_is_let_through(tmp_path: Path) -> None:
    refuse_outside_rehearsal(read_config(write(tmp_path)), 1)
    refuse_outside_rehearsal(read_config(write(tmp_path, url="http://[::1]:9")), 1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": "https://api.openai.com"}, "targets.a.url is api.openai.com"),
        ({"url": "http://localhost:1"}, "targets.a.url is localhost"),
        ({"listen": "0.0.0.0:0"}, "listen is 0.0.0.0"),
        ({"state": "redis://127.0.0.1"}, "stands beside shared state"),
        ({"more": ', proxy: "http://127.0.0.1:3128"'}, "target a has a proxy"),
    ],
)
def test_anything_beyond_this_machine_is_refused(
    tmp_path: Path, given: dict[str, str], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        refuse_outside_rehearsal(read_config(write(tmp_path, **given)), 1)


def test_several_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stands beside several workers"):
        refuse_outside_rehearsal(read_config(write(tmp_path)), 2)
    command = ["serve", str(write(tmp_path)), "--workers", "2", "--rehearsal-clock", "x"]
    told = CliRunner().invoke(weighbridge, command)
    assert told.exit_code == 2
    assert "stands beside --workers" in told.output


def test_serve_refuses_the_clock_before_it_listens(tmp_path: Path) -> None:
    path = write(tmp_path, url="https://api.openai.com")
    clock = "2026-11-02T08:00:00Z,7200"
    told = CliRunner().invoke(weighbridge, ["serve", str(path), "--rehearsal-clock", clock])
    assert told.exit_code == 2
    assert "for rehearsals on loopback only" in told.output
    assert not (tmp_path / "spool").exists()


def test_help_does_not_offer_it() -> None:
    assert "rehearsal" not in CliRunner().invoke(weighbridge, ["serve", "--help"]).output


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.1", False), ("", False)],
)
def test_only_numbers_of_loopback_are_loopback(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own
