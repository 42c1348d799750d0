"""What a user says of the logs to import, checked, and with the source, the plan of the import."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from weighbridge.units import InputError
from weighbridge.usage.buckets import MOST_ROWS
from weighbridge.usage.shape import Plan
from weighbridge.usage.sources.source import Source
from weighbridge.usage.sources.table import ColumnMap


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a user says of the logs; everything else comes from the source."""

    column_map: ColumnMap = field(default_factory=lambda: ColumnMap({}, {}))
    timezone: str | None = None
    start: str | None = None
    prices: Path | None = None
    tokens_per_request: int | None = None  # of a report by bucket of time that counts no requests
    most_rows: int | None = None  # that such a report may become


def plan_of(source: Source, options: ImportOptions, now: dt.datetime) -> Plan:
    zone = options.timezone or options.column_map.timezone
    if zone is not None and zone != "UTC":
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as fault:
            mend = "name one of the tz database, for example UTC or Europe/Berlin"
            raise InputError("--timezone", "", f"there is no time zone {zone!r}", mend) from fault
    if options.start is not None and source.start is None:
        problem = f"the source {source.name} has instants of its own"
        raise InputError("--start", "", problem, "leave --start out")
    if zone is not None and source.is_bucketed:
        problem = f"the source {source.name} has instants with zones of their own"
        raise InputError("--timezone", "", problem, "leave --timezone out")
    _check_bucket_options(source, options)
    start = options.start or source.start
    return Plan(
        source=source,
        constants=dict(options.column_map.constants),
        timezone=zone,
        start_us=0 if start is None else _start_us(start),
        now_us=int(now.timestamp() * 1e6),
        prices=options.prices,
        tokens_per_request=options.tokens_per_request,
        most_rows=MOST_ROWS if options.most_rows is None else options.most_rows,
    )


def _check_bucket_options(source: Source, options: ImportOptions) -> None:
    counts = any(one.quantity == "n_requests" and one.required for one in source.takes)
    for name, value, is_used in (
        ("--tokens-per-request", options.tokens_per_request, source.is_bucketed and not counts),
        ("--most-rows", options.most_rows, source.is_bucketed),
    ):
        if value is not None and not is_used:
            problem = f"the source {source.name} says itself which requests there were"
            raise InputError(name, "", problem, f"leave {name} out")
        if value is not None and value < 1:
            raise InputError(name, "", f"is {value}", "give a whole number above zero")


def _start_us(text: str) -> int:
    mend = "write an instant with its zone, for example 2026-01-05T00:00:00Z"
    try:
        start = dt.datetime.fromisoformat(text)
    except ValueError as fault:
        raise InputError("--start", "", f"{text!r} is not an instant", mend) from fault
    if start.tzinfo is None:
        raise InputError("--start", "", f"{text!r} has no time zone", mend)
    return int(start.timestamp()) * 10**6 + start.microsecond


def _digest_of(prices: Path | None) -> str:
    """Digest of a price file: the same log priced otherwise is another import."""
    return "" if prices is None else hashlib.sha256(prices.read_bytes()).hexdigest()[:16]


def settings_of(options: ImportOptions) -> dict[str, str]:
    told = options.column_map
    columns = [f"{q}={c}" + (f":{unit}" if unit else "") for q, (c, unit) in told.columns.items()]
    settings = {
        "map": " ".join(sorted(columns)),
        "constants": " ".join(sorted(f"{q}={value}" for q, value in told.constants.items())),
        "input_includes_cache": ""
        if told.input_includes_cache is None
        else str(told.input_includes_cache).lower(),
        "timezone": options.timezone or told.timezone or "",
        "start": options.start or "",
        "prices": _digest_of(options.prices),
        "tokens_per_request": str(options.tokens_per_request or ""),
    }
    return {name: value for name, value in settings.items() if value}
