"""What a provider's answer says of the caller's own rate limits."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from weighbridge.gateway.retry_after import retry_after_s
from weighbridge.gateway.wire.messages import Headers

_NUMBER = re.compile(rb"\d{1,15}(\.\d{1,9})?")
_SPAN = re.compile(
    rb"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,9})?)s)?"
    rb"(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_SPAN_S = (86_400.0, 3600.0, 60.0, 1.0, 0.001)
_EPOCH_S = 1e9  # a larger number is no span but an instant

# The kind of allowance and the part of it that a header tells.
_PARTS: dict[bytes, tuple[str, str]] = {
    **{
        b"x-ratelimit-%s-%s" % (part.encode(), kind.encode()): (kind, part)
        for kind in ("requests", "tokens")
        for part in ("limit", "remaining", "reset")
    },
    **{
        b"anthropic-ratelimit-%s-%s" % (kind.encode(), part.encode()): (kind, part)
        for kind in ("requests", "tokens", "input-tokens", "output-tokens")
        for part in ("limit", "remaining", "reset")
    },
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit as the provider sees it; None: it does not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None  # until the whole allowance is back


@dataclass(frozen=True, slots=True)
class RateHint:
    """All that an answer says; tokens without a direction stand as input tokens."""

    requests: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None
    retry_after_s: float | None = None


def read_rate_headers(headers: Headers, at: float) -> RateHint | None:
    """The hint in an answer's headers, at wall-clock `at`; None where there is none."""
    seen: dict[str, dict[str, bytes]] = {}
    has_retry_after = False
    for name, value in headers:
        part = _PARTS.get(name)
        if part is not None:
            seen.setdefault(part[0], {})[part[1]] = value
        elif name.startswith(b"retry-after"):
            has_retry_after = True
    if not seen and not has_retry_after:
        return None
    return RateHint(
        requests=_allowance(seen.get("requests"), at),
        input_tokens=_allowance(seen.get("input-tokens") or seen.get("tokens"), at),
        output_tokens=_allowance(seen.get("output-tokens"), at),
        retry_after_s=retry_after_s(headers, at) if has_retry_after else None,
    )


def _allowance(parts: dict[str, bytes] | None, at: float) -> Allowance | None:
    if parts is None:
        return None
    return Allowance(
        _count(parts.get("limit")), _count(parts.get("remaining")), _reset_s(parts.get("reset"), at)
    )


def _count(value: bytes | None) -> int | None:
    if value is None or not _NUMBER.fullmatch(value.strip()):
        return None
    return int(float(value))


def _reset_s(value: bytes | None, at: float) -> float | None:
    """Seconds until a reset given as a span ("6m0.5s", "20ms", "3"), an instant or an epoch."""
    if not value:
        return None
    value = value.strip()
    if _NUMBER.fullmatch(value):
        number = float(value)
        return max(0.0, number - at) if number > _EPOCH_S else number
    span = _SPAN.fullmatch(value)
    if span is not None and any(span.groups()):
        return sum(float(n) * unit_s for n, unit_s in zip(span.groups(), _SPAN_S, strict=True) if n)
    try:
        instant = dt.datetime.fromisoformat(value.decode("ascii"))
    except ValueError:
        return None
    return max(0.0, instant.timestamp() - at) if instant.tzinfo is not None else None
