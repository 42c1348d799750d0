"""Requests drawn from rates into a ledger, and on to a decision."""

import datetime as dt
from pathlib import Path

import pytest

from weighbridge.study.decide import Run, decide
from weighbridge.study.drawn_log import DrawnLog, import_drawn
from weighbridge.study.scenario import Scenario
from weighbridge.units import InputError
from weighbridge.usage.importing import ImportOptions, ImportReport
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
START = ImportOptions(start="2026-01-05T00:00:00Z")
DAYS, CLIENTS, RATE = 10, 3, 0.002


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    rows = [
        f'{client},{window * 600},{RATE},1.0,Gamma,"(1.0, {1 / RATE})"'
        for client in range(CLIENTS)
        for window in range(DAYS * 144)
    ]
    file = tmp_path / "rates.csv"
    file.write_text("\n".join(["client,window_start_s,rate_rps,cv,pattern,pattern_params", *rows]))
    return file


@pytest.fixture
def lengths(tmp_path: Path) -> Path:
    file = tmp_path / "lengths.csv"
    rows = [f"2023-11-16 18:17:{n:02d}.0000000,{100 + n},{10 + n}" for n in range(20)]
    file.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n")
    return file


def draw(drawn: DrawnLog, into: Path, options: ImportOptions = START) -> ImportReport:
    return import_drawn(drawn, into, options, now=NOW)


def test_as_many_requests_are_drawn_as_the_rates_come_to(
    rates: Path, lengths: Path, tmp_path: Path
) -> None:
    report = draw(DrawnLog(rates, lengths), tmp_path / "l")
    expected = CLIENTS * RATE * DAYS * 86_400
    assert report.total("rows_stored") == pytest.approx(expected, abs=5 * expected**0.5)
    manifest = report.manifests[0]
    assert manifest.file_name == f"{rates}, lengths from {lengths}, seed 1"
    assert manifest.first_at is not None
    assert manifest.first_at.startswith("2026-01-05T0")
    assert any("drawn from rates" in line for line in manifest.cannot_tell)


def test_the_same_seed_draws_the_same_log_and_another_one_does_not(
    rates: Path, lengths: Path, tmp_path: Path
) -> None:
    for seed, into in ((1, "a"), (1, "b"), (2, "c")):
        draw(DrawnLog(rates, lengths, demand_ratio=0.1, seed=seed), tmp_path / into)
    first, again, other = (open_ledger(tmp_path / name).digest for name in "abc")
    assert first == again != other
    assert draw(DrawnLog(rates, lengths, demand_ratio=0.1), tmp_path / "a").manifests == ()


def test_more_requests_than_a_ledger_takes_are_refused_with_a_ratio_that_fits(
    rates: Path, lengths: Path, tmp_path: Path
) -> None:
    options = ImportOptions(start="2026-01-05T00:00:00Z", most_rows=1000)
    with pytest.raises(InputError, match="comes to 5,184 requests") as caught:
        draw(DrawnLog(rates, lengths), tmp_path / "l", options)
    assert "--demand-ratio 0.2" in str(caught.value)
    assert not (tmp_path / "l").exists()
    assert draw(DrawnLog(rates, lengths, 0.15), tmp_path / "l", options).total("rows_stored") > 600


def test_the_published_rates_are_drawn_from(shared_traces: Path, tmp_path: Path) -> None:
    rates = shared_traces / "servegen" / "m_large_rates.csv.gz"
    lengths = shared_traces / "azure2023" / "AzureLLMInferenceTrace_conv.csv"
    report = draw(DrawnLog(rates, lengths, demand_ratio=1e-5), tmp_path / "l")
    assert report.total("rows_stored") == pytest.approx(2369, rel=0.2)  # 236.9 million as a whole


def test_drawn_requests_reach_a_decision(rates: Path, lengths: Path, tmp_path: Path) -> None:
    draw(DrawnLog(rates, lengths), tmp_path / "l")
    run = Run(as_of=NOW.date(), n_draws=256, where="test")
    study = decide(Scenario(assume_model="gpt-4o-mini"), tmp_path / "l", run)
    assert study.verdict.headline
