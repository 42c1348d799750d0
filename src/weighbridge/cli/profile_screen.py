"""A profile on a terminal of 100 columns: tables, a week's rhythm, and what is withheld."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from weighbridge.units.durations import length_words
from weighbridge.usage.results import (
    CapUse,
    Concentration,
    GroupRow,
    Peak,
    Profile,
    Quantiles,
    QueryTypeProfile,
)

WIDTH = 100
LEAST_HOURS_SHOWN = 24
NAME_WIDTH = 30
DEFAULT_TABLES = ("tenant", "model")
ROWS_OF_USUAL_TABLES = 5
HEAT = " ░▒▓█"
SPARK = "▁▂▃▄▅▆▇█"
SPARK_STEPS = 12
UNKNOWN = "–"  # noqa: RUF001  # a dash as printed in tables
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WINDOWS = {60: "1 min", 3600: "1 hour", 86_400: "1 day"}


def show(profile: Profile, by: Sequence[str], top: int) -> None:
    """Print a profile; `by` names the spend tables, the usual ones where it is empty."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    parts: list[RenderableType | None] = [
        _heading(profile),
        _types_table(profile, top),
        *(_concentration_line(curve) for curve in profile.concentration),
        *(_spend_table(profile, name, rows) for name, rows in _tables(profile, by, top)),
        _rhythm(profile),
        _peaks_and_lengths(profile),
        _caps_table(profile.caps),
        _withheld(profile),
    ]
    for part in parts:
        if part is not None:
            console.print(part)


def _tables(profile: Profile, by: Sequence[str], top: int) -> list[tuple[str, int]]:
    if by:
        return [(name, top) for name in by]
    said = [name for name in DEFAULT_TABLES if any(row.key for row in profile.by[name])]
    return [(name, min(top, ROWS_OF_USUAL_TABLES)) for name in said]


def short(value: float) -> str:
    """A number in three figures.

    >>> short(950), short(1_234_567), short(0.5), short(float("nan"))
    ('950', '1.23M', '0.5', '–')
    """  # noqa: RUF002
    if math.isnan(value):
        return UNKNOWN
    for limit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:
            return f"{value / limit:.3g}{letter}" if value < 999.5 * limit else f"{value:.3g}"
    return f"{value:.3g}"


def dollars(value: Decimal) -> str:
    """A cost in dollars and cents, or in three figures where it is less than a cent.

    >>> dollars(Decimal("1234.5")), dollars(Decimal("0.000123")), dollars(Decimal(0))
    ('$1,234.50', '$0.000123', '$0.00')
    """
    if 0 < value < Decimal("0.01"):
        return f"${float(value):.3g}"
    return f"${value:,.2f}"


def percent(value: float) -> str:
    """A share in percent.

    >>> percent(0.123), percent(0.0004), percent(float("nan"))
    ('12.3 %', '<0.1 %', '–')
    """  # noqa: RUF002
    if math.isnan(value):
        return UNKNOWN
    return "<0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


def _heading(profile: Profile) -> Text:
    span = profile.span
    length = length_words(span.span_days)
    failed = f", {percent(span.n_failed / span.n_requests)} failed" if span.n_failed else ""
    out = Text()
    out.append(f"{span.first_at:%Y-%m-%d %H:%M} to {span.last_at:%Y-%m-%d %H:%M} UTC", "bold")
    out.append(f" ({length})\n")
    tokens = profile.tokens
    out.append(f"{span.n_requests:,} requests{failed} · ")
    out.append(f"{short(tokens.input_tokens)} tokens in, {short(tokens.output_tokens)} out")
    if tokens.input_tokens:
        out.append(f", {percent(profile.cached_share_frac)} of input from cache")
    out.append(f"\n{_cost_words(profile)}\n{_certainty(profile)}")
    return out


def _cost_words(profile: Profile) -> str:
    n_requests, n_own = profile.span.n_requests, profile.n_self_hosted
    if n_own == n_requests:
        return "Every request was served by fleets of one's own, which cost by the hour"
    if profile.n_unpriced + n_own == n_requests:
        return "No request has a known price: cost unknown (it is not zero)"
    own = f", and {n_own:,} requests served by fleets of one's own" if n_own else ""
    if not profile.n_unpriced:
        every = "every other request priced" if n_own else "every request priced"
        return f"{dollars(profile.list_cost_usd)} at list prices, {every}{own}"
    names = profile.unpriced_models
    models = f": {', '.join(names[:4])}{' …' if len(names) > 4 else ''}" if names else ""
    return (
        f"{dollars(profile.list_cost_usd)} at list prices{own}, and beside it "
        f"{percent(profile.unpriced_tokens_share_frac)} of tokens unpriced{models}"
    )


def _certainty(profile: Profile) -> str:
    error, trend = profile.volume_relative_sd_frac, profile.trend_per_week_frac
    sampled = f"± {percent(error)}" if error is not None else "unknown"
    growth = f"{100 * trend:+.1f} % a week" if trend is not None else "unknown"
    return f"sampling error of the volume {sampled} (one standard deviation) · growth {growth}\n"


def _table(title: str, columns: Sequence[str], name_width: int = NAME_WIDTH) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column(columns[0], no_wrap=True, width=name_width, overflow="ellipsis")
    for name in columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _types_table(profile: Profile, top: int) -> Table:
    columns = ["query type", "requests", "tokens", "share", "cost", "share"]
    columns += ["unpriced"] if profile.n_unpriced else []
    table = _table("Query types", [*columns, "peak"], 26 if profile.n_unpriced else 34)
    table.add_column("0 to 24 h", no_wrap=True, min_width=SPARK_STEPS)
    total_tokens, total_cost = profile.tokens.total_tokens, profile.list_cost_usd
    for one in profile.query_types[:top]:
        cells = [
            one.label,
            short(one.n_requests),
            short(one.tokens.total_tokens),
            percent(one.tokens.total_tokens / total_tokens if total_tokens else math.nan),
            _cost_cell(one),
            _cost_share(float(one.list_cost_usd / total_cost) if total_cost else math.nan, one),
        ]
        cells += [percent(one.n_unpriced / one.n_requests)] if profile.n_unpriced else []
        table.add_row(*cells, _hourly_ratio(one.peaks), sparkline(one.hourly_requests))
    _say_more(table, len(profile.query_types), top)
    return table


def _cost_cell(of: GroupRow | QueryTypeProfile) -> str:
    if not _has_cost(of):
        return "own fleet" if of.n_self_hosted == of.n_requests else "unknown"
    return dollars(of.list_cost_usd)


def _has_cost(of: GroupRow | QueryTypeProfile) -> bool:
    """Whether any request has a price; one of an own fleet may have paid for a failed attempt."""
    return of.n_unpriced + of.n_self_hosted < of.n_requests or of.list_cost_usd > 0


def _cost_share(share: float, of: GroupRow | QueryTypeProfile) -> str:
    return percent(share) if _has_cost(of) else UNKNOWN


def _hourly_ratio(peaks: Sequence[Peak]) -> str:
    found = [peak for peak in peaks if (peak.window_s, peak.measure) == (3600, "requests")]
    return f"{found[0].peak_to_mean_ratio:.1f}×" if found else UNKNOWN  # noqa: RUF001


def sparkline(weekly: NDArray[np.float64]) -> str:
    """Mean requests by hour of day in twelve steps; a dot where the log never looked."""
    by_hour = weekly.reshape(7, SPARK_STEPS, -1).transpose(1, 0, 2).reshape(SPARK_STEPS, -1)
    seen = ~np.isnan(by_hour)
    sums = np.where(seen, by_hour, 0.0).sum(axis=1)
    means = np.divide(
        sums, seen.sum(axis=1), out=np.full(SPARK_STEPS, np.nan), where=seen.any(axis=1)
    )
    highest = np.nanmax(means) if seen.any() else 0.0
    return "".join(_step(value, float(highest), SPARK) for value in means)


def _step(value: float, highest: float, steps: str) -> str:
    if math.isnan(value):
        return "·"
    if highest <= 0:
        return steps[0]
    return steps[min(len(steps) - 1, int(value / highest * len(steps)))]


def _say_more(table: Table, n_rows: int, top: int) -> None:
    if n_rows > top:
        table.add_row(Text(f"… and {n_rows - top} more", style="dim"))


def _concentration_line(curve: Concentration) -> Text:
    if not curve.n_types:
        return Text(f"No request names a query type: all {curve.measure} unassigned")
    share = curve.n_types_for_80_frac / curve.n_types
    unassigned = percent(curve.unassigned_share_frac) if curve.unassigned_share_frac else "none"
    return Text(
        f"{curve.n_types_for_80_frac} of {curve.n_types} query types ({percent(share)}) make 80 % "
        f"of {curve.measure}; {unassigned} of it unassigned{_recognised(curve)}"
    )


def _recognised(curve: Concentration) -> str:
    """How much of the curve rests on types that were guessed, and which way that errs."""
    if not curve.recognised_share_frac:
        return ""
    return (
        f",\n{percent(curve.recognised_share_frac)} in types recognised by their prompts, "
        "not named by clients:\n"
        "a type split in two makes use look less concentrated than it is (`weighbridge types`)"
    )


def _spend_table(profile: Profile, name: str, top: int) -> Table:
    title = f"\nBy {name.replace(',', ' and ').replace('_', ' ')}"
    columns = ["", "requests", "failed", "tokens", "share", "cost", "share"]
    table = _table(title, [*columns, *(["unpriced"] if profile.n_unpriced else [])])
    rows: Sequence[GroupRow] = profile.by[name]
    for row in rows[:top]:
        cells = [
            "(not said)" if row.key is None else row.key,
            f"{row.n_requests:,}",
            percent(row.n_failed / row.n_requests),
            short(row.tokens.total_tokens),
            percent(row.tokens_share_frac),
            _cost_cell(row),
            _cost_share(row.cost_share_frac, row),
        ]
        cells += [percent(row.n_unpriced / row.n_requests)] if profile.n_unpriced else []
        table.add_row(*cells)
    _say_more(table, len(rows), top)
    return table


def _rhythm(profile: Profile) -> RenderableType | None:
    week = profile.hourly_requests.reshape(7, 24)
    if np.count_nonzero(~np.isnan(week)) < LEAST_HOURS_SHOWN:
        return None
    highest = float(np.nanmax(week))
    lines = [Text("\nRequests by hour of the week (UTC)", style="bold")]
    marks = "".join(f"{hour:<6d}" for hour in range(0, 24, 3))
    lines.append(Text(f"     {marks}", style="dim"))
    for day, hours in zip(DAYS, week, strict=True):
        cells = "".join(_step(value, highest, HEAT) * 2 for value in hours)
        seen = ~np.isnan(hours)
        mean = float(hours[seen].mean()) if seen.any() else math.nan
        lines.append(Text(f"{day}  {cells}  {short(mean)}/h"))
    scale = f"     █ = {short(highest)} an hour"
    lines.append(Text(scale + (", · = not in the log" if np.isnan(week).any() else ""), "dim"))
    return Group(*lines)


def _peaks_and_lengths(profile: Profile) -> Group:
    parts: list[RenderableType] = []
    if profile.peaks:
        parts.append(_peaks_table(profile.peaks))
    parts.append(_lengths_table(profile))
    return Group(*parts)


def _peaks_table(peaks: Sequence[Peak]) -> Table:
    windows = sorted({peak.window_s for peak in peaks})
    names = (f"in {WINDOWS[window]}" for window in windows)
    table = _table("\nPeaks, and how many times the mean they are", ("", *names), 23)
    table.add_column(f"worst {WINDOWS[windows[0]]} (UTC)", justify="right", no_wrap=True)
    for measure in dict.fromkeys(peak.measure for peak in peaks):
        found = {peak.window_s: peak for peak in peaks if peak.measure == measure}
        worst = found.get(windows[0])
        at = f"{worst.peak_at:%a %d %b %H:%M}" if worst else UNKNOWN
        cells = (_peak_cell(found.get(window)) for window in windows)
        table.add_row(measure.replace("_", " "), *cells, at)
    return table


def _peak_cell(peak: Peak | None) -> str:
    if peak is None:
        return UNKNOWN
    ratio = f"({peak.peak_to_mean_ratio:.1f}×)"  # noqa: RUF001
    return f"{short(peak.peak_per_window)} {ratio:>7}"


def _lengths_table(profile: Profile) -> Table:
    table = _table(
        "\nPer answered request", ("", "mean", "P10", "P50", "P90", "P95", "P99", "max"), 23
    )
    measured: Sequence[tuple[str, Quantiles | None]] = (
        ("input tokens", profile.input_length),
        ("output tokens", profile.output_length),
        ("time to first token, s", profile.ttft_s),
        ("latency, s", profile.latency_s),
    )
    for name, found in measured:
        if found is not None and found.n:
            values = (found.mean, found.p10, found.p50, found.p90, found.p95, found.p99, found.max)
            table.add_row(name, *map(short, values))
    return table


def _caps_table(caps: Sequence[CapUse]) -> Table | None:
    if not caps:
        return None
    table = _table(
        "\nAgainst caps (the one that binds most comes first)",
        ("", "cap", "peak", "minutes over", "of minutes", "requests in them", "peak at (UTC)"),
        21,
    )
    for cap in caps:
        table.add_row(
            cap.cap.replace("_", " "),
            short(cap.limit_per_min),
            short(cap.peak_per_min),
            f"{cap.minutes_over:,}",
            percent(cap.over_share_frac),
            f"{cap.requests_over:,}",
            f"{cap.peak_at:%a %d %b %H:%M}",
        )
    return table


def _withheld(profile: Profile) -> Group | None:
    lines: list[Text] = []
    if profile.withheld:
        lines.append(Text("\nWithheld", style="bold"))
        lines += [
            _hanging(f"{one.conclusion}: {one.reason}; needs {one.needs}")
            for one in profile.withheld
        ]
    if profile.cannot_tell:
        lines.append(Text("\nWhat the log does not tell", style="bold"))
        lines += [_hanging(told) for told in profile.cannot_tell]
    return Group(*lines) if lines else None


def _hanging(sentence: str) -> Text:
    return Text(
        "\n".join(textwrap.wrap(sentence, WIDTH, initial_indent="- ", subsequent_indent="  "))
    )
