"""When an upstream wants to be asked again."""

from __future__ import annotations

import datetime as dt
import re

from weighbridge.gateway.wire.messages import Headers

_SECONDS = re.compile(rb"\d{1,9}(\.\d{1,9})?")
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


def parse_retry_after(value: bytes, at: float) -> float | None:
    """Seconds from `at` (wall clock) to what a Retry-After says; None where it makes no sense.

    >>> parse_retry_after(b"7", 0.0)
    7.0
    >>> parse_retry_after(b"Thu, 01 Jan 1970 00:01:00 GMT", 45.0)
    15.0
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    text = value.decode("latin-1")
    for pattern in _DATES:
        try:
            instant = dt.datetime.strptime(text, pattern).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
        return max(0.0, instant.timestamp() - at)
    return None


def retry_after_s(headers: Headers, at: float) -> float | None:
    """What an answer's `retry-after-ms`, else its `retry-after`, asks for [s]."""
    seconds: float | None = None
    for name, value in headers:
        if name == b"retry-after-ms" and _SECONDS.fullmatch(value.strip()):
            return float(value) / 1000.0
        if name == b"retry-after" and seconds is None:
            seconds = parse_retry_after(value, at)
    return seconds
