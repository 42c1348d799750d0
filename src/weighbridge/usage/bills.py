"""Providers' bills as lines: one kind of bill a table in `sources/`, all read by the same code."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from weighbridge.units import InputError
from weighbridge.usage.batches import check_utf8
from weighbridge.usage.detect import Detected, detect
from weighbridge.usage.kinds import BILLS
from weighbridge.usage.log_files import LogFile
from weighbridge.usage.pages import unwrapped
from weighbridge.usage.sources.bill import Bill, Paths
from weighbridge.usage.unpacking import refuse_not_text, translated, unpacked

LARGEST_BILL_BYTES = 1 << 29
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a bill: what one day of one model, or of something else, was billed at.

    `usd` is exact, as the bill writes it, and negative for a credit. `model` is None where the line
    names none; `line_item` is how the bill itself names the line. `where` says where it stands.
    """

    day: dt.date  # in UTC
    provider: str | None
    model: str | None
    line_item: str | None
    usd: Decimal
    currency: str
    source: str  # the kind of bill: a name of `kinds.BILLS`
    where: str = ""
    project: str | None = None
    token_type: str | None = None


def read_bill(path: Path | str) -> tuple[BillLine, ...]:
    """Every line of a bill, of whichever kind its columns or keys show, plain or packed.

    Raises where the file is no bill that is known, or any line of it cannot be read: a bill that is
    read in part would look like a difference between bill and ledger.
    """
    file = LogFile(str(path), Path(path))
    if not file.path.exists():
        raise InputError(file.name, "", "there is no such file", "check the path")
    if file.path.is_dir():
        raise InputError(file.name, "", "is a directory", "name one file")
    found = detect(file)
    bill = _bill_of(file, found)
    rows = _rows(file, bill, found.sample.delimiter)
    if bill.envelope is not None:
        rows = _told_once(rows, bill)
    lines = tuple(_line(row, bill, where) for where, row in rows)
    if not lines:
        raise InputError(file.name, "", "holds no line", "export the bill again")
    return lines


def _bill_of(file: LogFile, found: Detected) -> Bill:
    known = ", ".join(f"{bill.name} ({bill.title})" for bill in BILLS)
    if found.best is None:
        nearest = next((m for m in found.others if m.kind.name in {b.name for b in BILLS}), None)
        lacking = "" if nearest is None else f"; nearest is {nearest.kind.name}, which lacks "
        lacking += "" if nearest is None else ", ".join(nearest.missing)
        raise InputError(file.name, "", f"is no bill that is known here{lacking}", f"give {known}")
    for bill in BILLS:
        if bill.name == found.best.kind.name:
            return bill
    kind = found.best.kind
    problem = f"is no bill, but {kind.title} ({kind.name})"
    raise InputError(file.name, "", problem, f"give {known}")


def _rows(file: LogFile, bill: Bill, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows with where they stand."""
    with translated(file.name), file.path.open("rb") as raw:
        data = unpacked(raw)[0].read(LARGEST_BILL_BYTES + 1)
        if len(data) > LARGEST_BILL_BYTES:
            raise InputError(file.name, "", "is over 512 MiB", "give a shorter period")
        if data.startswith(b"PAR1"):
            rows = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
            yield from ((f"{file.name}:{n}", row) for n, row in enumerate(rows, 1))
            return
    refuse_not_text(data[:1024], file.name)
    check_utf8(data, 1, file.name)
    if bill.envelope is None:
        yield from _csv_rows(file, data.decode("utf-8-sig"), delimiter)
        return
    found = unwrapped(data, bill.envelope, file.name)
    if found.has_more:
        problem = "is not the whole bill: its last page says that more follow"
        mend = "fetch the other pages too, and put all pages into one file"
        raise InputError(file.name, bill.envelope.more or "", problem, mend)
    for n, row in enumerate(found.rows, 1):
        yield f"{file.name}:{n}", json.loads(row, parse_float=Decimal)


def _told_once(
    rows: Iterator[tuple[str, Mapping[str, Any]]], bill: Bill
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of pages, each bucket and its dimensions once: a page that is there twice bills twice.

    Such reports are sums by dimension, so that no two honest rows differ in their amount alone.
    """
    amounts = {path.split(".")[1] for path in bill.amount}
    seen: dict[str, str] = {}
    for where, row in rows:
        told = {
            name: value for name, value in row.get("result", row).items() if name not in amounts
        }
        key = json.dumps([row.get("bucket"), told], sort_keys=True, default=str)
        if key in seen:
            day, item = _day(row, bill, where), _text(row, bill.line_item) or "no line item"
            problem = f"bills {day}, {item} a second time, after {seen[key]}"
            raise InputError(where, "", problem, "put each page into the file once")
        seen[key] = where
        yield where, row


def _csv_rows(file: LogFile, text: str, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            where = f"{file.name}:{reader.line_num}"
            if None in cells or None in cells.values():
                problem = "the number of cells differs from the header"
                raise InputError(where, "", problem, "export the bill again")
            yield where, cells
    except csv.Error as fault:
        where = f"{file.name}:{reader.line_num}"
        raise InputError(
            where, "", f"is not readable as CSV ({fault})", "export it again"
        ) from fault


def _at(row: Mapping[str, Any], paths: Paths) -> tuple[str, Any]:
    """The first path that holds a value, and the value."""
    for path in paths:
        value: Any = row
        for key in path.split(".") if path not in row else [path]:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None and value != "":
            return path, value
    return (paths[0] if paths else ""), None


def _text(row: Mapping[str, Any], paths: Paths) -> str | None:
    _, value = _at(row, paths)
    return None if value is None else str(value)


def _line(row: Mapping[str, Any], bill: Bill, where: str) -> BillLine:
    currency = (_text(row, bill.currency) or "USD").upper()
    if currency != "USD":
        name, _ = _at(row, bill.currency)
        raise InputError(where, name, f"is {currency}", "give a bill in USD")
    line_item, model = _text(row, bill.line_item), _text(row, bill.model)
    if model is None and bill.model_before is not None and line_item is not None:
        head, parted, _ = line_item.rpartition(bill.model_before)
        model = head if parted else None
    return BillLine(
        day=_day(row, bill, where),
        provider=_text(row, bill.provider) or bill.only_provider,
        model=model,
        line_item=line_item,
        usd=_usd(row, bill, where),
        currency=currency,
        source=bill.name,
        where=where,
        project=_text(row, bill.project),
        token_type=_text(row, bill.token_type),
    )


def _usd(row: Mapping[str, Any], bill: Bill, where: str) -> Decimal:
    name, value = _at(row, bill.amount)
    mend = "export the bill again, with amounts written like 1234.56"
    if value is None:
        raise InputError(where, name, bill.empty_amount, mend)
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise InputError(where, name, "is not an amount", mend)
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation as fault:
        raise InputError(where, name, "is not an amount", mend) from fault
    if not amount.is_finite():
        raise InputError(where, name, "is not a finite amount", mend)
    if amount and not -12 < amount.adjusted() < 15:
        raise InputError(where, name, "is impossibly small or large", mend)
    return amount.scaleb(-2) if bill.units_per_usd == 100 else amount / bill.units_per_usd


def _day(row: Mapping[str, Any], bill: Bill, where: str) -> dt.date:
    name, value = _at(row, bill.day)
    begins = _instant(value, where, name)
    until, end = _at(row, bill.until)
    if end is not None:
        ends = _instant(end, where, until)
        if not dt.timedelta(0) < ends - begins <= _DAY:
            problem = f"covers {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M}, not one day"
            raise InputError(where, until, problem, "export the bill by day")
        last = ends - dt.timedelta(microseconds=1)
        if begins.date() != last.date():
            raise InputError(where, name, _crosses(begins), _WHOLE_DAYS)
    elif begins.time() != dt.time() and _local_time(value) == dt.time():
        raise InputError(where, name, _crosses(begins), _WHOLE_DAYS)
    return begins.date()


_WHOLE_DAYS = "export the bill by days of UTC: the ledger's days begin at 00:00 UTC"


def _crosses(begins: dt.datetime) -> str:
    return f"is a day that begins at {begins:%H:%M} UTC, so that it covers parts of two days"


def _local_time(value: Any) -> dt.time:
    found = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
    return found.time()


def _instant(value: Any, where: str, name: str) -> dt.datetime:
    """Instant in UTC; seconds since 1970 where it is a number, midnight where it is a date."""
    mend = "write days as 2026-01-31, or instants with their zone"
    try:
        if isinstance(value, dt.datetime):
            found = value
        elif isinstance(value, dt.date):
            found = dt.datetime.combine(value, dt.time())
        elif isinstance(value, int) and not isinstance(value, bool):
            found = dt.datetime.fromtimestamp(value, dt.UTC)
        else:
            found = dt.datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError) as fault:
        raise InputError(where, name, f"{value!r} is not a day", mend) from fault
    if value is None:
        raise InputError(where, name, "is missing", mend)
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
