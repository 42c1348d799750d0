"""The unit suffixes that names of numbers end in, and the few constants that convert them.

A month is 1/12 of a 365-day year everywhere (730 hours), unless a scenario says otherwise.
"""

from __future__ import annotations

HOURS_PER_DAY = 24.0
HOURS_PER_WEEK = 168.0
HOURS_PER_MONTH = 730.0
DAYS_PER_MONTH = 365.0 / 12.0
WEEKS_PER_MONTH = 365.0 / 12.0 / 7.0
MONTHS_PER_YEAR = 12.0
SECONDS_PER_HOUR = 3600.0
TOKENS_PER_MTOK = 1_000_000.0

SUFFIXES: dict[str, str] = {
    "_usd": "US dollars",
    "_usd_per_mtok": "US dollars per million tokens",
    "_usd_per_hour": "US dollars per hour",
    "_usd_per_gpu_hour": "US dollars per GPU and hour",
    "_usd_per_gb": "US dollars per gigabyte (10^9 bytes)",
    "_usd_per_gb_month": "US dollars per gigabyte and month",
    "_usd_per_kwh": "US dollars per kilowatt-hour",
    "_usd_per_kw_month": "US dollars per kilowatt and month",
    "_usd_per_gpu": "US dollars per GPU",
    "_usd_per_year": "US dollars per year",
    "_usd_per_month": "US dollars per month",
    "_usd_per_type": "US dollars per query type",
    "_usd_per_request": "US dollars per request",
    "_usd_by_month": "US dollars, one figure a month",
    "_frac": "fraction, 1 = 100 %",
    "_frac_per_year": "fraction a year, 1 = 100 %",
    "_frac_per_month": "fraction a month, 1 = 100 %",
    "_probability": "probability, 0 to 1",
    "_event": "1 where it happens, else 0",
    "_ratio": "ratio, 1 = equal",
    "_tokens": "tokens",
    "_tokens_per_s": "tokens per second",
    "_tokens_per_month": "tokens per month",
    "_tokens_per_min": "tokens per minute",
    "_requests": "requests",
    "_requests_per_s": "requests per second",
    "_requests_per_month": "requests per month",
    "_requests_per_min": "requests per minute",
    "_s": "seconds",
    "_s_per_token": "seconds per token",
    "_s_per_request": "seconds per request",
    "_s_per_pair": "seconds per pair of query and key",
    "_ms": "milliseconds",
    "_hours": "hours",
    "_hours_per_month": "hours per month",
    "_per_replica_month": "times a month, for each replica",
    "_hours_per_day": "hours per day",
    "_hour_of_week": "hours since Monday 00:00 UTC",
    "_days": "days",
    "_weeks": "weeks",
    "_engineer_weeks": "weeks of one engineer",
    "_months": "months",
    "_month": "month of the horizon, 1 = the first",
    "_years": "years",
    "_per_year": "times a year",
    "_fte": "full-time equivalents",
    "_at": "aware UTC instant",
    "_on": "calendar date",
    "_gib": "gibibytes (2^30 bytes)",
    "_gb": "gigabytes (10^9 bytes)",
    "_gb_per_s": "gigabytes (10^9 bytes) per second",
    "_bytes": "bytes",
    "_bytes_per_token": "bytes per token",
    "_flop": "floating-point operations",
    "_flop_per_token": "floating-point operations per token",
    "_flop_per_pair": "floating-point operations per pair of query and key",
    "_tflops": "10^12 floating-point operations per second, dense",
    "_px": "pixels",
    "_kw": "kilowatts",
    "_w": "watts",
    "_billions": "10^9",
}


def unit_of(name: str) -> str | None:
    """Unit that the name of a number carries, or None where it carries none.

    The longest suffix wins; a name that begins with `n_` is a count.

    >>> unit_of("gpu_usd_per_gpu_hour")
    'US dollars per GPU and hour'
    >>> unit_of("n_replicas")
    'count'
    >>> unit_of("price") is None
    True
    """
    if name.startswith("n_"):
        return "count"
    fits = [suffix for suffix in SUFFIXES if name.endswith(suffix) or name == suffix[1:]]
    return SUFFIXES[max(fits, key=len)] if fits else None
