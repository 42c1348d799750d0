"""Hours of a rule: how they are written, and whether an instant falls into them."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from weighbridge.policy.faults import shown
from weighbridge.policy.fields import Fields
from weighbridge.policy.types import Window

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 1440
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)|24:00")
_TIME_MEND = 'write hours and minutes, as in "08:00"; "24:00" is the end of the day'
_DAYS_MEND = "write days as in `mon-fri`, `sat` or `[mon, wed-fri]`"


def read_windows(match: Fields) -> tuple[Window, ...]:
    """Every window of `hours`, one or a list of them."""
    return tuple(_window(path, item, match) for path, item in match.items("hours"))


def _window(path: str, raw: object, match: Fields) -> Window:
    fields = Fields(raw, path, match.faults, ("days", "from", "to", "zone"))
    start = _minute(fields, "from", 0)
    end = _minute(fields, "to", MINUTES_PER_DAY)
    if start in {end, MINUTES_PER_DAY}:
        fields.fault("to", "leaves no time", "let it differ from `from`; it may be past midnight")
    zone = fields.text("zone") or "UTC"
    try:
        zone_of(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fields.fault("zone", f"is {shown(zone)}", "name a zone as in Europe/Berlin")
        zone = "UTC"
    return Window(_days(fields), start, end, zone)


def _minute(fields: Fields, name: str, default: int) -> int:
    text = fields.raw(name)
    if text is None:
        return default
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        fields.fault(name, f"is {shown(text)}", _TIME_MEND)
        return default
    return MINUTES_PER_DAY if found[1] is None else 60 * int(found[1]) + int(found[2])


def _days(fields: Fields) -> tuple[int, ...]:
    found: set[int] = set()
    for text in fields.texts("days"):
        first, dash, last = text.lower().replace(" ", "").partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            fields.fault("days", f"holds {shown(text)}", _DAYS_MEND)
            continue
        start = DAYS.index(first)
        n_days = (DAYS.index(last) - start) % 7 if dash else 0
        found |= {(start + step) % 7 for step in range(n_days + 1)}
    return tuple(sorted(found)) or tuple(range(7))


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name."""
    return ZoneInfo(name)


def is_within(window: Window, at: dt.datetime) -> bool:
    """Whether an aware instant falls into a window, by the clock on the wall of its zone.

    A window past midnight belongs to the day on which it begins.

    >>> night = Window((4,), 22 * 60, 6 * 60)
    >>> is_within(night, dt.datetime(2026, 11, 21, 5, 59, tzinfo=dt.UTC))  # a Saturday
    True
    >>> is_within(night, dt.datetime(2026, 11, 21, 22, 0, tzinfo=dt.UTC))
    False
    """
    local = at.astimezone(zone_of(window.zone))
    minute, day = 60 * local.hour + local.minute, local.weekday()
    if window.from_minute < window.to_minute:
        return day in window.days and window.from_minute <= minute < window.to_minute
    if minute >= window.from_minute:
        return day in window.days
    return minute < window.to_minute and (day - 1) % 7 in window.days
