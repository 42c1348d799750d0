"""What is known of one target's health: ill, out of allowance, full, or nothing against it.

Seconds are of one monotonic clock, given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from weighbridge.policy.types import Saturation

State = Literal["closed", "open", "half_open", "limited", "down"]
STATES: tuple[State, ...] = ("closed", "open", "half_open", "limited", "down")

WELL_FRAC = 0.1  # a target that lately failed or refused no more than this answers well
CLEAR_FRAC = 0.9  # a full target is free again below this share of what made it full
_TTFT_WEIGHT_FRAC = 0.2
_N_TTFT = 5  # fewer slow answers say nothing


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a target counts as ill, and for how long it is left alone."""

    n_failures_in_row: int = 5
    failure_frac: float = 0.5  # of at least `n_window` answers within about `window_s`
    n_window: int = 20
    window_s: float = 30.0
    open_s: float = 5.0  # doubles with each opening that follows a short recovery
    max_open_s: float = 120.0
    jitter_frac: float = 0.2
    probe_s: float = 60.0  # a probe that has not been heard of for so long makes room for another
    n_health_failures: int = 2  # failed active checks in a row that mark it down
    max_limited_s: float = 60.0  # a longer Retry-After is asked again after this
    n_limited_in_row: int = 3  # refusals without Retry-After that make us pause by ourselves
    limited_s: float = 0.5
    max_own_limited_s: float = 5.0
    ttft_memory_s: float = 10.0  # without an answer for so long, slowness is forgotten
    engine_memory_s: float = 30.0  # without a poll for so long, the engine's word is forgotten


class TargetHealth:
    """Health of one target, passive and active, in constant time per event.

    Results carry `sent_s`, when their attempt was sent: what was sent before the breaker last
    changed says nothing about the target now.
    """

    __slots__ = (
        "_changed_s",
        "_full_until_s",
        "_is_down",
        "_limited_until_s",
        "_n_bad",
        "_n_bad_before",
        "_n_failures_in_row",
        "_n_health_failures",
        "_n_limited",
        "_n_limited_before",
        "_n_limited_in_row",
        "_n_ok",
        "_n_ok_before",
        "_n_openings",
        "_n_ttft",
        "_open_until_s",
        "_probe_until_s",
        "_random",
        "_saturation_ttft_s",
        "_settings",
        "_slow_until_s",
        "_state",
        "_ttft_mean_s",
        "_ttft_seen_s",
        "_turn_s",
        "is_clear",
    )

    def __init__(
        self,
        random: Callable[[], float],
        settings: BreakerSettings | None = None,
        saturation: Saturation | None = None,
    ) -> None:
        self.is_clear = True  # nothing at all against it: what most requests need to look at
        self._random = random
        self._settings = settings or BreakerSettings()
        self._saturation_ttft_s = saturation.ttft_s if saturation else None
        self._state: Literal["closed", "open", "half_open"] = "closed"
        self._changed_s = float("-inf")
        self._open_until_s = self._probe_until_s = self._limited_until_s = 0.0
        self._is_down = False
        self._n_openings = self._n_health_failures = 0
        self._n_failures_in_row = self._n_limited_in_row = 0
        self._n_ok = self._n_bad = self._n_limited = 0
        self._n_ok_before = self._n_bad_before = self._n_limited_before = 0
        self._turn_s = float("-inf")
        self._full_until_s = self._slow_until_s = 0.0
        self._ttft_mean_s = 0.0
        self._ttft_seen_s = float("-inf")
        self._n_ttft = 0

    # what may be asked

    def available(self, now: float) -> bool:
        """Whether a request may be sent to it."""
        if self.is_clear:
            return True
        self._refresh(now)
        if self._is_down or self._limited_until_s > now:
            return False
        if self._state == "open":
            return now >= self._open_until_s
        return self._state == "closed" or now >= self._probe_until_s

    def acquire(self, now: float) -> bool:
        """Like `available`, and where only one probe is let through, this is it."""
        if self.is_clear:
            return True
        if not self.available(now):
            return False
        if self._state != "closed":
            if self._state == "open":
                self._state = "half_open"
                self._changed_s = now
            self._probe_until_s = now + self._settings.probe_s
        return True

    def release(self, sent_s: float) -> None:
        """An attempt ended without saying anything of the target."""
        if self._state == "half_open" and sent_s >= self._changed_s:
            self._probe_until_s = 0.0

    def saturated(self, now: float) -> bool:
        """Whether it is full, by its engine's word or by its time to first token."""
        return not self.is_clear and (self._full_until_s > now or self._slow_until_s > now)

    def well(self, now: float) -> bool:
        """Whether it has lately answered nearly everything; no evidence counts as well."""
        if self._state != "closed" or self._n_failures_in_row or self._n_limited_in_row:
            return False
        self._turn(now)
        n_bad = self._n_bad + self._n_bad_before + self._n_limited + self._n_limited_before
        return n_bad <= WELL_FRAC * (n_bad + self._n_ok + self._n_ok_before)

    def is_limited(self, now: float) -> bool:
        """Whether it is only out of allowance, not ill."""
        return self._state == "closed" and not self._is_down and self._limited_until_s > now

    def wait_s(self, now: float) -> float:
        """How long until it may be tried [s]; 0 where it may be now."""
        if self.available(now):
            return 0.0
        until_s = max(self._limited_until_s, now)
        if self._state == "open":
            until_s = max(until_s, self._open_until_s)
        if self._is_down or self._state == "half_open":
            until_s = max(until_s, now + self._settings.open_s)
        return until_s - now

    def state(self, now: float) -> State:
        """The worst that stands against it, for metrics."""
        if self._is_down:
            return "down"
        if self._state == "closed" and self._limited_until_s > now:
            return "limited"
        return self._state

    # what attempts tell

    def on_success(self, now: float, sent_s: float) -> None:
        """It answered as it should."""
        if now >= self._turn_s:
            self._turn(now)
        self._n_ok += 1
        self._n_failures_in_row = self._n_limited_in_row = 0
        if self._state == "half_open" and sent_s >= self._changed_s:
            self._close(now)

    def on_failure(self, now: float, sent_s: float) -> None:
        """It did not answer, answered 5xx, or broke off."""
        if self._state == "open" or sent_s < self._changed_s:
            return
        if self._state == "half_open":
            self._open(now)
            return
        self._turn(now)
        self._n_bad += 1
        self._n_failures_in_row += 1
        settings = self._settings
        n_bad = self._n_bad + self._n_bad_before
        n_all = n_bad + self._n_ok + self._n_ok_before
        is_bad_share = n_all >= settings.n_window and n_bad >= settings.failure_frac * n_all
        if is_bad_share or self._n_failures_in_row >= settings.n_failures_in_row:
            self._open(now)

    def on_refused(self, now: float, sent_s: float) -> None:
        """It answered that the request itself is at fault: it is there, and no more is known."""
        if self._state == "half_open" and sent_s >= self._changed_s:
            self._close(now)

    def on_limited(self, now: float, sent_s: float, retry_after_s: float | None) -> None:
        """It answered 429: not ill, but to be left alone for as long as it says.

        Without Retry-After a single 429 may mean one request that is too large, so that only
        several in a row make a pause, which grows.
        """
        self.on_refused(now, sent_s)
        self._turn(now)
        self._n_limited += 1
        self._n_limited_in_row += 1
        settings = self._settings
        if retry_after_s is not None:
            self.limited(now + min(retry_after_s, settings.max_limited_s))
        elif self._n_limited_in_row >= settings.n_limited_in_row:
            n_doublings = min(self._n_limited_in_row - settings.n_limited_in_row, 20)
            pause_s = min(settings.limited_s * 2.0**n_doublings, settings.max_own_limited_s)
            self.limited(now + self._jittered_s(pause_s))

    def limited(self, until_s: float) -> None:
        """Send it nothing before `until_s`."""
        if until_s > self._limited_until_s:
            self._limited_until_s = until_s
            self.is_clear = False

    def on_ttft(self, ttft_s: float, now: float) -> None:
        """Time to first token of an answer; only where the target has a limit to it."""
        limit_s = self._saturation_ttft_s
        if limit_s is None:
            return
        if now - self._ttft_seen_s > self._settings.ttft_memory_s:
            self._n_ttft = 0
        self._ttft_seen_s = now
        self._n_ttft += 1
        weight_frac = max(_TTFT_WEIGHT_FRAC, 1.0 / self._n_ttft)
        self._ttft_mean_s += weight_frac * (ttft_s - self._ttft_mean_s)
        was_slow = self._slow_until_s > now
        if self._n_ttft < _N_TTFT and not was_slow:
            return
        if self._ttft_mean_s >= (CLEAR_FRAC * limit_s if was_slow else limit_s):
            self._slow_until_s = now + self._settings.ttft_memory_s
            self.is_clear = False
        else:
            self._slow_until_s = 0.0

    # what checks tell

    def on_health(self, is_well: bool) -> None:
        """Result of an active check."""
        self._n_health_failures = 0 if is_well else self._n_health_failures + 1
        if is_well:
            self._is_down = False
        elif self._n_health_failures >= self._settings.n_health_failures:
            self._is_down = True
            self.is_clear = False

    def on_engine(self, is_full: bool, now: float) -> None:
        """What the engine's own metrics say of its load."""
        self._full_until_s = now + self._settings.engine_memory_s if is_full else 0.0
        if is_full:
            self.is_clear = False

    # how it changes

    def _open(self, now: float) -> None:
        settings = self._settings
        if self._state == "closed" and now - self._changed_s > settings.window_s:
            self._n_openings = 0
        open_s = min(settings.open_s * 2.0 ** min(self._n_openings, 20), settings.max_open_s)
        self._n_openings += 1
        self._state = "open"
        self._changed_s = now
        self._open_until_s = now + self._jittered_s(open_s)
        self.is_clear = False

    def _close(self, now: float) -> None:
        self._state = "closed"
        self._changed_s = now
        self._n_failures_in_row = 0
        self._n_ok = self._n_bad = self._n_ok_before = self._n_bad_before = 0
        self._refresh(now)

    def _refresh(self, now: float) -> None:
        self.is_clear = (
            self._state == "closed"
            and not self._is_down
            and self._limited_until_s <= now
            and self._full_until_s <= now
            and self._slow_until_s <= now
        )

    def _turn(self, now: float) -> None:
        """Forget what is older than the window, half a window at a time."""
        if now < self._turn_s:
            return
        half_s = 0.5 * self._settings.window_s
        is_recent = now < self._turn_s + half_s
        self._n_ok_before = self._n_ok if is_recent else 0
        self._n_bad_before = self._n_bad if is_recent else 0
        self._n_limited_before = self._n_limited if is_recent else 0
        self._n_ok = self._n_bad = self._n_limited = 0
        self._turn_s = now + half_s

    def _jittered_s(self, pause_s: float) -> float:
        return pause_s * (1.0 + self._settings.jitter_frac * self._random())
