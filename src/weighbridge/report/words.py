"""Numbers as words of a report: quantities with their unit, decisions, dates."""

from __future__ import annotations

import math

from weighbridge.charts import Money, input_text, month_words, percent, short_number, titled
from weighbridge.study.result import Payback, Study

NOTHING = "\N{EN DASH}"
DECISIONS = {
    "stay": "Stay on the API",
    "self-host": "Self-host",
    "managed": "Managed platform",
    "committed": "Committed throughput",
    "split": "Split the traffic",
    "not-enough-evidence": "Not enough evidence",
}
TYPE_VERDICTS = {
    "stay": "Stay",
    "move": "Move",
    "test-first": "Test first",
    "must-move": "Must move",
}
BASES = {
    "stated": "Your own figure, taken as it is",
    "calibrated": "Simulated with step times calibrated on your own endpoint",
    "measured": "Simulated with step times interpolated between published measurements near it",
    "exported": "Simulated with step times exported by another tool",
    "roofline": "Simulated with step times computed from data sheets, as corrected on measurements",
    "benchmarks": "Published benchmark throughput, corrected for peaks and live traffic",
}
LATENCIES = {
    "ttft": "Time to first token",
    "tpot": "Time per further token",
    "e2e": "Time to the last token",
}
STATISTICS = {
    "mean": "mean",
    "p50": "median",
    "p90": "90th percentile",
    "p95": "95th percentile",
    "p99": "99th percentile",
}
BREAK_EVENS = {
    "volume": "Volume",
    "utilization": "Utilisation",
    "api_price": "API price",
    "gpu_price": "GPU price",
    "month": "Month",
}
SHORT_UNITS = {
    "count": "",
    "fraction a year, 1 = 100 %": "a year",
    "fraction a month, 1 = 100 %": "a month",
    "tokens per month": "tokens/month",
    "tokens per second": "tokens/s",
    "full-time equivalents": "FTE",
    "month of the horizon, 1 = the first": "",
    "ratio, 1 = equal": "\N{MULTIPLICATION SIGN}",
}


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit, as short as it can be read.

    >>> quantity(9.4e9, "tokens per month"), quantity(0.54, "ratio, 1 = equal")
    ('9.4B tokens/month', '0.54×')
    >>> quantity(2.5, "US dollars per GPU and hour"), quantity(40, "weeks of one engineer")
    ('$2.50 per GPU and hour', '40 weeks of one engineer')
    """  # noqa: RUF002
    if value is None or math.isnan(value):
        return NOTHING
    if unit.startswith(("fraction", "probability")):
        figure = f"{short_number(100 * value)}\N{NO-BREAK SPACE}%"
        return f"{figure} {SHORT_UNITS.get(unit, '')}".strip()
    if unit == "1 where it happens, else 0":
        return f"{percent(value)} likely" if 0 < value < 1 else input_text(value, unit)
    if unit.startswith("month of"):
        return f"month {short_number(value)}" if value >= 0.5 else month_words(value)
    if unit.startswith(("US dollars", "USD")):
        rest = unit.removeprefix("US dollars").removeprefix("USD").strip()
        return f"{Money().short(value)} {rest}".strip()
    short = SHORT_UNITS.get(unit, unit)
    gap = "" if short == "\N{MULTIPLICATION SIGN}" else " "
    return f"{short_number(value)}{gap}{short}".strip()


def spread(p10: float, p90: float, unit: str) -> str:
    """P10 to P90 in the unit of the figure that stands beside it, or that there is no spread.

    >>> spread(1.9, 3.9, "US dollars per GPU and hour"), spread(2.0, 2.0, "years")
    ('$1.90 to $3.90', 'fixed')
    """
    if p10 == p90:
        return "fixed"
    return f"{input_text(p10, unit)} to {input_text(p90, unit)}"


def payback_words(payback: Payback | None) -> str:
    """When an option has paid back, in few words."""
    if payback is None:
        return NOTHING
    if payback.plain_month is None:
        return "never"
    return month_words(payback.plain_month)


def confidence_words(study: Study) -> str:
    """In how many draws the option that the verdict names beats the API, or the API all others."""
    probability = study.verdict.confidence_probability
    named = [option.label for option in study.options if option.id == study.verdict.option_id]
    if math.isnan(probability) or not named:
        return "No probability can be given yet"
    return f"{titled(won(study))} in {percent(probability)} of draws"


def won(study: Study) -> str:
    """What the verdict's probability counts."""
    return "cheapest" if study.verdict.option_id == "api" else "cheaper than the API"
