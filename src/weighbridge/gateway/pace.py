"""A steady rate with room for a burst."""

from __future__ import annotations

_ROUNDING_FRAC = 1e-6  # of the burst: what floating-point time may be short of


class Pace:
    """So much a minute, of which `burst_s` seconds' worth may come at once.

    What is larger than a burst waits for a full one and leaves a debt. Over any stretch of T
    seconds no more is taken than T x the rate + the larger of a burst and the largest amount.
    """

    __slots__ = ("_at_s", "_burst", "_burst_s", "_level", "_per_s")

    def __init__(self, per_minute: float, burst_s: float) -> None:
        self._per_s = per_minute / 60.0
        self._burst_s = burst_s
        self._burst = max(1.0, self._per_s * burst_s)
        self._level = self._burst
        self._at_s: float | None = None

    def wait_s(self, amount: float, now: float, ahead: float = 0.0) -> float:
        """How long until `amount` may be taken, after all that is `ahead`, when nothing else is."""
        level = self._refill(now)
        short = ahead + min(amount, self._burst) - level
        return short / self._per_s if short > _ROUNDING_FRAC * self._burst else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take it, whether or not that leaves a debt."""
        self._level = self._refill(now) - amount

    def give_back(self, amount: float) -> None:
        """What was taken and not used; a negative amount was used beyond what was taken."""
        self._level = min(self._level + amount, self._burst)

    def lower_to(self, level: float, now: float) -> None:
        """No more than this is left, says who keeps the real account."""
        self._level = min(self._refill(now), level)

    def slow_to(self, per_minute: float, now: float) -> None:
        """Go on at another rate."""
        self._refill(now)
        self._per_s = per_minute / 60.0
        self._burst = max(1.0, self._per_s * self._burst_s)
        self._level = min(self._level, self._burst)

    def _refill(self, now: float) -> float:
        if self._at_s is not None and now > self._at_s:
            level = self._level + self._per_s * (now - self._at_s)
            self._level = level if level < self._burst else self._burst
        self._at_s = now
        return self._level
