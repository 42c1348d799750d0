from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weighbridge.cli import weighbridge
from weighbridge.cli.compact import watch
from weighbridge.ledger.lines import OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolWriter, encode_line
from weighbridge.units import InputError

START_US = 1_795_219_200_000_000


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(weighbridge, [str(one) for one in arguments])


def spooled(spool: Path, *states: str) -> None:
    writer = SpoolWriter(spool, worker="0")
    for index, state in enumerate(states):
        told = RequestLine(
            request_id=f"r{index}",
            started_at_us=START_US + index,
            status="ok",
            price_state=state,
            feature="chat" if state == "priced" else "own",
            uncached_input_tokens=10,
            list_cost_pico_usd=2 * 10**12 if state == "priced" else None,
        )
        writer.append(encode_line(told))
    writer.append(encode_line(OpenLine(request_id="cut", started_at_us=START_US, feature="chat")))
    writer.close()


def test_compact_says_in_one_line_what_it_did(tmp_path: Path) -> None:
    spooled(tmp_path / "spool", "priced", "priced")
    result = run("compact", tmp_path / "spool", tmp_path / "ledger")
    assert result.exit_code == 0
    assert result.output == "3 requests stored from 1 segments; 1 of them interrupted\n"


def test_compact_tells_it_as_json(tmp_path: Path) -> None:
    spooled(tmp_path / "spool", "priced")
    result = run("compact", tmp_path / "spool", tmp_path / "ledger", "--json")
    told = json.loads(result.output)
    assert (told["n_requests"], told["n_interrupted"], told["events"]) == (2, 1, {})


def test_missing_spool_exits_2(tmp_path: Path) -> None:
    result = run("compact", tmp_path / "spool", tmp_path / "ledger")
    assert result.exit_code == 2
    assert "there is no such spool directory" in result.output


def test_watching_goes_on_where_the_ledger_is_busy(capsys: pytest.CaptureFixture[str]) -> None:
    made: list[int] = []

    def once() -> None:
        made.append(1)
        if len(made) == 1:
            raise InputError("ledger", "", "another import is writing to this ledger", "wait")

    with pytest.raises(KeyboardInterrupt):
        watch(once, 60.0, _interrupt_after(2))
    assert len(made) == 2
    assert "another import is writing" in capsys.readouterr().err


def _interrupt_after(n_sleeps: int) -> Callable[[float], None]:
    left = [n_sleeps]

    def sleep(seconds: float) -> None:
        assert seconds == 60.0
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    return sleep


def test_profile_shows_own_fleets_as_such_and_never_as_zero_dollars(tmp_path: Path) -> None:
    spooled(tmp_path / "spool", "priced", "self_hosted")
    run("compact", tmp_path / "spool", tmp_path / "ledger")
    result = run("profile", "--usage", tmp_path / "ledger")
    assert result.exit_code == 0, result.output
    (own,) = [line for line in result.output.splitlines() if line.startswith("own ")][:1]
    assert "own fleet" in own
    assert "$" not in own
    assert "1 requests served by fleets of one's own" in " ".join(result.output.split())


def test_profile_of_own_fleets_alone_names_no_cost(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool", worker="0")
    told = RequestLine(
        request_id="a", started_at_us=START_US, status="ok", price_state="self_hosted"
    )
    writer.append(encode_line(told))
    writer.close()
    run("compact", tmp_path / "spool", tmp_path / "ledger")
    result = run("profile", "--usage", tmp_path / "ledger")
    assert "Every request was served by fleets of one's own" in result.output
    assert "$" not in result.output


def test_a_segment_that_is_still_written_is_told(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool", worker="0")
    told = RequestLine(request_id="r", started_at_us=START_US, status="ok", price_state="unpriced")
    writer.append(encode_line(told))
    writer.sync()
    result = run("compact", tmp_path / "spool", tmp_path / "ledger")
    assert result.output == (
        "0 requests stored from 0 segments; 1 segment still open: closed within the gateway's "
        "spool.segment_s (60 s unless set), or when it stops; then run this again\n"
    )
    as_json = run("compact", tmp_path / "spool", tmp_path / "ledger", "--json")
    assert json.loads(as_json.output)["n_open_segments"] == 1
    writer.close()
    result = run("compact", tmp_path / "spool", tmp_path / "ledger")
    assert result.output == "1 requests stored from 1 segments\n"


def test_a_missing_ledger_is_mended_by_compaction_too(tmp_path: Path) -> None:
    result = run("profile", "--usage", tmp_path / "ledger")
    assert result.exit_code == 2
    assert f"`weighbridge compact SPOOL {tmp_path / 'ledger'}`" in result.output
