"""A wall clock that runs fast, so that a rehearsal's minute holds a week; never for real traffic.

Records would carry instants that never were, and budgets by the day would last seconds. So the
clock is refused unless everything is on this machine's loopback, and whatever is written under it
says so: every request id begins with `wb-rehearsal-`, and an event tells speed and start.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from weighbridge.gateway.config import Config, is_loopback
from weighbridge.units import InputError

OPTION = "--rehearsal-clock"
EVENT = "rehearsal_clock"
ID_PREFIX = "rehearsal-"
MOST_SPEED = 1e6


class RehearsalClock:
    """Stands at an instant until it is started; then runs so many times as fast as real time."""

    def __init__(
        self, start: dt.datetime, speed: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.start_at = start
        self.speed = speed
        self._start_s = start.timestamp()
        self._now = now
        self._began_s: float | None = None

    def __call__(self) -> float:
        """Seconds since 1970, as this clock has it."""
        if self._began_s is None:
            return self._start_s
        return self._start_s + (self._now() - self._began_s) * self.speed

    def start(self) -> None:
        """Begin to run."""
        self._began_s = self._now()

    @property
    def words(self) -> str:
        """Start and speed, for the event."""
        return f"from {self.start_at:%Y-%m-%dT%H:%M:%SZ} on, {self.speed:g} times as fast"


def parse_clock(text: str) -> RehearsalClock:
    """Read `2026-11-02T08:00:00Z,7200`: where the clock starts and how fast it runs."""
    mend = "write START,SPEED, e.g. 2026-11-02T08:00:00Z,7200"
    start_text, _, speed_text = text.partition(",")
    try:
        start, speed = dt.datetime.fromisoformat(start_text), float(speed_text)
    except ValueError:
        raise InputError("serve", OPTION, f"is {text!r}", mend) from None
    if start.tzinfo is None:
        raise InputError("serve", OPTION, f"{start_text} has no time zone", mend)
    if not math.isfinite(speed) or not 1 <= speed <= MOST_SPEED:
        raise InputError("serve", OPTION, f"runs {speed_text} times as fast", "give 1 to 1000000")
    return RehearsalClock(start.astimezone(dt.UTC), speed)


def refuse_outside_rehearsal(config: Config, n_workers: int) -> None:
    """Raise unless clients, admin port, every target and all state are on this machine alone."""
    mend = f"leave {OPTION} out: it is for rehearsals on loopback only"
    if n_workers > 1:
        raise InputError("serve", OPTION, "stands beside several workers", mend)
    if config.settings.state not in ("auto", "memory"):
        raise InputError("serve", OPTION, "stands beside shared state", mend)
    hosts = {"listen": config.listen[0], "admin.listen": config.admin_listen[0]}
    for name, target in config.policy.targets.items():
        hosts[f"targets.{name}.url"] = urlsplit(target.url).hostname or ""
        if target.proxy is not None:
            raise InputError("serve", OPTION, f"target {name} has a proxy", mend)
    for field, host in hosts.items():
        if not is_loopback(host):
            raise InputError("serve", OPTION, f"{field} is {host}, not loopback", mend)
