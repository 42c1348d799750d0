"""A provider's rate limits: buckets that refill, and the headers that tell of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from weighbridge.rehearsal.provider_settings import Limits

Headers = list[tuple[str, str]]
SECONDS_PER_MIN = 60.0


class Bucket:
    """So many a minute, refilled evenly; time comes in from outside."""

    __slots__ = ("_at_s", "_left", "per_min")

    def __init__(self, per_min: int) -> None:
        self.per_min = per_min
        self._left = float(per_min)
        self._at_s: float | None = None

    def left(self, now_s: float) -> float:
        """What may still be taken."""
        if self._at_s is not None:
            refilled = (now_s - self._at_s) * self.per_min / SECONDS_PER_MIN
            self._left = min(self._left + refilled, float(self.per_min))
        self._at_s = now_s
        return self._left

    def take(self, n: float, now_s: float) -> None:
        """Take, below zero too: what was generated cannot be taken back."""
        self._left = self.left(now_s) - n

    def wait_s(self, n: float, now_s: float) -> float:
        """Seconds until `n` can be taken; 0 where they can now."""
        short = min(n, self.per_min) - self.left(now_s)
        return max(short, 0.0) * SECONDS_PER_MIN / self.per_min


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is let in; else what it ran into, and how long to wait."""

    limit: str | None = None
    wait_s: float = 0.0


class KeyLimits:
    """The buckets of one API key."""

    def __init__(self, limits: Limits) -> None:
        caps = {
            "requests": limits.requests_per_min,
            "tokens": limits.tokens_per_min,
            "input-tokens": limits.input_tokens_per_min,
            "output-tokens": limits.output_tokens_per_min,
        }
        self._buckets = {name: Bucket(cap) for name, cap in caps.items() if cap is not None}

    def admit(self, input_tokens: int, output_tokens: int, now_s: float) -> Verdict:
        """Take a request's share of every bucket, or of none."""
        wanted = {
            "requests": 1,
            "tokens": input_tokens + output_tokens,
            "input-tokens": input_tokens,
            "output-tokens": output_tokens,
        }
        waits = {name: b.wait_s(wanted[name], now_s) for name, b in self._buckets.items()}
        worst = max(waits, key=lambda name: waits[name], default=None)
        if worst is not None and waits[worst] > 0:
            return Verdict(worst, waits[worst])
        for name, bucket in self._buckets.items():
            bucket.take(wanted[name], now_s)
        return Verdict()

    def openai_headers(self, now_s: float) -> Headers:
        """`x-ratelimit-*` as OpenAI writes them."""
        headers: Headers = []
        for name in ("requests", "tokens"):
            bucket = self._buckets.get(name)
            if bucket is not None:
                left, reset_s = bucket.left(now_s), bucket.wait_s(bucket.per_min, now_s)
                headers += [
                    (f"x-ratelimit-limit-{name}", str(bucket.per_min)),
                    (f"x-ratelimit-remaining-{name}", str(max(int(left), 0))),
                    (f"x-ratelimit-reset-{name}", duration(reset_s)),
                ]
        return headers

    def anthropic_headers(self, now_s: float, at: dt.datetime) -> Headers:
        """`anthropic-ratelimit-*`, whose resets are instants."""
        headers: Headers = []
        for name, bucket in self._buckets.items():
            left, reset_s = bucket.left(now_s), bucket.wait_s(bucket.per_min, now_s)
            reset_at = at + dt.timedelta(seconds=reset_s)
            headers += [
                (f"anthropic-ratelimit-{name}-limit", str(bucket.per_min)),
                (f"anthropic-ratelimit-{name}-remaining", str(max(int(left), 0))),
                (f"anthropic-ratelimit-{name}-reset", f"{reset_at:%Y-%m-%dT%H:%M:%SZ}"),
            ]
        return headers


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it.

    >>> duration(0.02), duration(1.5), duration(372)
    ('20ms', '1.5s', '6m12s')
    """
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
