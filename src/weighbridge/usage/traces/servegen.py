"""ServeGen's rates: CSV of client, window, rate, burstiness, pattern of gaps and its parameters.

Header `client,window_start_s,rate_rps,cv,pattern,pattern_params`; the parameters are two, shape and
scale, and stand unquoted, so that such a row has one cell more than the header.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from weighbridge.units import InputError
from weighbridge.usage.traces.rate_windows import RateWindows

HEADER = ("client", "window_start_s", "rate_rps", "cv", "pattern", "pattern_params")
_FAMILIES = {"Gamma": False, "Weibull": True}
_MEND = "correct the row, or fetch the rates again"

Row = tuple[int, float, float, float, bool, float]


def read_rate_windows(path: Path | str) -> RateWindows:
    """Rates in ServeGen's columns, plain or gzip."""
    where = str(path)
    try:
        with Path(path).open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opener = gzip.open if packed else open
        with opener(path, "rt", newline="") as text:
            return _windows(list(_rows(csv.reader(text), where)), where)
    except (OSError, EOFError, UnicodeDecodeError) as fault:
        mend = "check the path, or copy the file again"
        raise InputError(where, "", f"cannot be read ({fault})", mend) from fault


def _rows(reader: Iterator[list[str]], where: str) -> Iterator[Row]:
    header = tuple(next(reader, ()))
    if header != HEADER:
        problem = f"has the columns {', '.join(header) or '(none)'}"
        raise InputError(where, "", problem, f"give a CSV file with {', '.join(HEADER)}")
    for line, cells in enumerate(reader, 2):
        if cells:
            yield _row(cells, f"{where}:{line}")


def _row(cells: Sequence[str], where: str) -> Row:
    if len(cells) not in (6, 7):
        raise InputError(where, "", f"has {len(cells)} cells, not 6 or 7", _MEND)
    client = _number(cells[0], where, "client")
    start_s, rate, cv = (_number(cells[at], where, HEADER[at]) for at in (1, 2, 3))
    if client != int(client):
        raise InputError(where, "client", "is not a whole number", _MEND)
    if rate == 0:
        return int(client), start_s, 0.0, 0.0, False, math.nan
    if cells[4] not in _FAMILIES:
        raise InputError(where, "pattern", f"is {cells[4]!r}", "write Gamma or Weibull")
    shape = _number(cells[5].split(",")[0].strip(" ()[]"), where, "pattern_params")
    if shape == 0:
        raise InputError(where, "pattern_params", "has a shape of 0", _MEND)
    return int(client), start_s, rate, cv, _FAMILIES[cells[4]], shape


def _number(cell: str, where: str, field: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise InputError(where, field, f"{cell!r} is not a number of at least 0", _MEND)
    return number


def _windows(rows: Sequence[Row], where: str) -> RateWindows:
    if not any(row[2] > 0 for row in rows):
        raise InputError(where, "rate_rps", "no client sends anything", "fetch the rates again")
    client, start, rate, cv, weibull, shape = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    window_s = _window_s(start, where)
    order = np.lexsort((start, client))
    again = (np.diff(client[order]) == 0) & (np.diff(start[order]) == 0)
    if again.any():
        at = order[1:][again][0]
        problem = f"client {client[at]} has two rows for the window from {start[at]:g} s"
        raise InputError(where, "window_start_s", problem, "keep one of them")
    order = order[rate[order] > 0]
    return RateWindows(
        client=client[order],
        start_s=start[order],
        rate_requests_per_s=rate[order],
        cv_ratio=cv[order],
        is_weibull=weibull[order],
        shape_ratio=shape[order],
        window_s=window_s,
        duration_s=float(start.max()) + window_s,
        n_clients=len(np.unique(client)),
    )


def _window_s(start: np.ndarray[tuple[int], np.dtype[np.float64]], where: str) -> float:
    """Length of a window: the step between starts, which is the same everywhere."""
    steps = np.diff(np.unique(start))
    if not len(steps):
        problem = "has one window only, so that its length cannot be told"
        raise InputError(where, "window_start_s", problem, "give two windows or more")
    step = float(steps.min())
    uneven = np.abs(start / step - np.rint(start / step)) > 1e-9
    if uneven.any():
        problem = f"{start[uneven][0]:g} s is no multiple of the {step:g} s between windows"
        raise InputError(where, "window_start_s", problem, "give windows of one length")
    return step
