"""The verdict on one screen."""

import dataclasses
import io

import pytest
from rich.console import Console

from weighbridge.report.terminal import render_terminal, sparkline
from weighbridge.study.result import BandSeries

VARIANTS = (
    "full",
    "without_log",
    "without_surface",
    "not_enough_evidence",
    "without_forecast",
    "with_infeasible_options",
    "in_euro",
    "hostile",
)


def printed(study, width=100, **options):
    stream = io.StringIO()
    render_terminal(study, Console(file=stream, width=width, **options), "demo/report.html")
    return stream.getvalue()


@pytest.mark.parametrize("variant", VARIANTS)
def test_summary_fits_a_screen_of_a_hundred_by_forty_five(studies, variant):
    lines = printed(studies[variant]).splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 100


def test_summary_fits_even_when_every_sentence_is_long(study):
    wordy = " ".join(["a very long sentence indeed"] * 40)
    reasons = tuple(
        dataclasses.replace(reason, text=wordy, flips_when=wordy)
        for reason in study.verdict.reasons * 3
    )
    rerun = dataclasses.replace(study.verdict.rerun, triggers=(wordy,) * 9)
    verdict = dataclasses.replace(
        study.verdict, headline=wordy, reasons=reasons, measure_next=(wordy,) * 9, rerun=rerun
    )
    long = dataclasses.replace(study, verdict=verdict, withheld=(wordy,) * 9)
    assert len(printed(long).splitlines()) <= 45


def test_headline_and_withheld_rows_are_wrapped_and_not_cut(study):
    headline = "A verdict of more than two lines, with what it rests on and what it costs. " * 3
    row = "cost of something: 63 requests were served elsewhere; needs what is not there, " * 2
    verdict = dataclasses.replace(study.verdict, headline=headline.strip())
    text = " ".join(
        printed(dataclasses.replace(study, verdict=verdict, withheld=(row.strip(),))).split()
    )
    assert headline.strip() in text
    assert row.strip() in text


def test_a_narrow_terminal_is_kept_to(study):
    assert max(map(len, printed(study, width=80).splitlines())) <= 80


def test_summary_says_verdict_reasons_costs_break_even_next_steps_and_where_to_read_on(study):
    text = " ".join(printed(study).split())
    assert "SPLIT THE TRAFFIC Cheaper than the API in 38 % of draws" in text.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert study.verdict.headline in text
    assert "flips when traffic falls below 3.9 billion tokens" in text
    assert "$1.73M $1.26M to $2.32M" in text
    assert "$4.35k a month by simple arithmetic, $46.3k in full" in text
    assert "volume 3.9B tokens/month" in text
    assert "Grade 200 answers" in text
    assert "Run again: 2027-02-01" in text
    assert text.endswith("Report: demo/report.html")


def test_long_names_and_wide_bands_leave_the_monthly_picture_whole(study):
    long = tuple(
        dataclasses.replace(
            option,
            label="self-hosted on very many owned GPUs",
            total_usd=dataclasses.replace(option.total_usd, p10=1.02e6, p90=-2.56e6),
        )
        for option in study.options
    )
    rows = [
        line
        for line in printed(dataclasses.replace(study, options=long)).splitlines()
        if line.startswith("Self-hosted on very")
    ]
    assert len(rows) == 6
    assert not [row for row in rows if row.rstrip().endswith("\N{HORIZONTAL ELLIPSIS}")]


def test_markup_and_escapes_in_names_are_printed_as_text(studies):
    study = studies["hostile"]
    verdict = dataclasses.replace(study.verdict, headline="\x1b[2Jgone [bold red]x[/]")
    text = printed(dataclasses.replace(study, verdict=verdict), force_terminal=True)
    assert "\x1b[2J" not in text
    assert "[bold red]x[/]" in text


def test_options_that_cannot_be_chosen_are_named_with_the_reason(studies):
    text = printed(studies["with_infeasible_options"])
    assert "Not open to you: Committed throughput, Managed platform" in text
    assert "0 are available" in text


def test_a_study_without_a_forecast_prints_no_costs(studies):
    text = printed(studies["without_forecast"])
    assert "NOT ENOUGH EVIDENCE" in text
    assert "$/Mtok" not in text
    assert "By month" not in text


def test_sparkline_follows_the_months_and_caps_what_stands_out(study):
    band = study.option("owned").cash_usd_by_month
    marks = sparkline(band, 100_000.0)
    assert len(marks) == 8
    assert marks[0] == "█"
    flat = dataclasses.replace(band, p50=band.p50 * 0)
    assert sparkline(flat, 100_000.0) == "▁" * 8
    short = BandSeries(band.p10[:5], band.p50[:5], band.p90[:5])
    assert len(sparkline(short, 1.0)) == 5
