"""Retry-After in all the ways it may be written."""

import pytest

from weighbridge.gateway.retry_after import parse_retry_after, retry_after_s

AT = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"120", 120.0),
        (b" 3 ", 3.0),
        (b"1.5", 1.5),
        (b"Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        (b"Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        (b"Sun Nov  6 08:50:37 1994", 60.0),
        (b"Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_dates_are_understood(value, seconds):
    assert parse_retry_after(value, AT) == seconds


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"soon", b"nan", b"inf", b"1e9", b"1_0", b"99999999999999", b"\xff", b"1,2"],
)
def test_what_makes_no_sense_is_left_out(value):
    assert parse_retry_after(value, AT) is None


def test_milliseconds_are_more_exact_and_win():
    headers = [(b"retry-after", b"2"), (b"retry-after-ms", b"1250")]
    assert retry_after_s(headers, AT) == 1.25
    assert retry_after_s([(b"retry-after", b"2"), (b"retry-after-ms", b"x")], AT) == 2.0
    assert retry_after_s([(b"content-type", b"x")], AT) is None
