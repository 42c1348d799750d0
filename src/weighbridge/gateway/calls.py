"""The upstream calls of one request: what to do next after each thing that can happen.

No socket, clock or randomness of its own: events come in with `now`, actions go out. An answer of
status 400 or more is to be read whole (within bounds) before `on_status` is told, since it may have
to be delivered later, when what was tried after it failed without any answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from weighbridge.gateway.breaker import TargetHealth
from weighbridge.gateway.retry_budget import RetryBudget
from weighbridge.gateway.wire.messages import Fault
from weighbridge.policy.types import Target

TimeoutKind = Literal["connect", "first_byte", "first_token", "stall", "total"]

# 409: a lock was held; 520 to 524: a CDN could not reach its origin; 529: an API is overloaded.
REPEATABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
RESEND_S = 1.0  # a kept connection that dies so soon was closed before the request came
UNSENT = frozenset({Fault.DNS, Fault.CONNECT, Fault.CONNECT_TIMEOUT, Fault.TLS, Fault.PROXY})
# Asking the same target again cannot help.
LASTING = frozenset({Fault.TLS, Fault.TOO_LARGE})


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How often and how patiently a request is repeated."""

    n_attempts: int = 3  # in all, targets together
    base_s: float = 0.25
    cap_s: float = 8.0
    max_retry_after_s: float = 10.0  # a longer one is left to the client
    total_s: float = 1200.0  # from arrival to the end of the answer


class Send:
    """Send the request to `target` now."""

    __slots__ = ("target",)

    def __init__(self, target: Target) -> None:
        self.target = target


@dataclass(frozen=True, slots=True)
class Wait:
    """Come back with `resume` after `wait_s`; `target` is then asked again."""

    target: Target
    wait_s: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """Pass on an answer as it is: the one just told of, or the last one that was kept."""

    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing to pass on: tell the client so."""

    error_type: str
    http_status: int
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Torn:
    """The answer broke off after the client had part of it: end it as an error."""

    error_type: str


Action = Send | Wait | Deliver | Fail | Torn
DELIVER = Deliver()
DELIVER_KEPT = Deliver(is_kept=True)


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt that is over."""

    target: str
    after_s: float
    latency_s: float
    http_status: int = 0  # 0: no answer
    error_type: str | None = None
    may_be_billed: bool = False  # the provider had the request and may have worked on it


class CallContext:
    """What all requests' calls share; one for each configuration."""

    __slots__ = ("budget", "health", "random", "settings")

    def __init__(
        self,
        health: Mapping[str, TargetHealth],  # by target name, every target of the policy
        budget: RetryBudget,
        random: Callable[[], float],
        settings: RetrySettings | None = None,
    ) -> None:
        self.health = health
        self.budget = budget
        self.random = random
        self.settings = settings or RetrySettings()


class Calls:
    """Attempts of one request over its allowed targets, in their order.

    `stays`: the state is at the first target, so that no other is tried. `is_repeatable`: not so
    for a request that may do something twice; then only what surely was not worked on is repeated.
    """

    __slots__ = (
        "_context",
        "_failed",
        "_has_kept",
        "_health",
        "_hold_until_s",
        "_is_open",
        "_is_repeatable",
        "_n_free",
        "_tried",
        "_waits_for",
        "deadline_s",
        "http_status",
        "is_failed",
        "is_forsaken",
        "is_relayed",
        "n_attempts",
        "sent_s",
        "started_s",
        "target",
        "targets",
    )

    _health: TargetHealth
    _waits_for: Target
    target: Target  # of the attempt under way, or of the last; set by the first `Send`

    def __init__(
        self,
        context: CallContext,
        targets: tuple[Target, ...],
        started_s: float,
        stays: bool = False,
        is_repeatable: bool = True,
    ) -> None:
        self._context = context
        self.targets = targets[:1] if stays else targets
        self.started_s = started_s
        self.deadline_s = started_s + context.settings.total_s
        self._is_repeatable = is_repeatable
        self.http_status = 0  # of the attempt under way; 0 before its head
        self.n_attempts = 0
        self.is_relayed = False  # the client has part of the answer
        self.is_forsaken = False  # the client has left: nothing more is sent
        self.is_failed = False  # it is over, though the client still gets the failed one's words
        self._is_open = False  # an attempt is under way
        self._n_free = 0
        self._has_kept = False
        self._failed: tuple[Attempted, ...] = ()
        self._tried: tuple[str, ...] = ()
        self._hold_until_s: dict[str, float] | None = None

    def start(self, now: float) -> Send | Fail:
        """The request is admitted: make the first attempt."""
        context = self._context
        context.budget.deposit()
        target = self.targets[0]
        health = context.health[target.name]
        if health.is_clear:
            return self._send(target, health, now)
        picked = self._pick(now)
        return self._all_out(now) if picked is None else self._send_to(picked, now)

    def on_status(self, status: int, retry_after_s: float | None, now: float) -> Action:
        """The head of an answer has come; for status >= 400 the whole answer."""
        self.http_status = status
        if status < 400:
            return DELIVER
        is_repeatable_status = status in REPEATABLE
        if status == 429:
            self._health.on_limited(now, self.sent_s, retry_after_s)
        elif status >= 500 and is_repeatable_status:
            self._health.on_failure(now, self.sent_s)
        else:
            self._health.on_refused(now, self.sent_s)
        self._record(str(status), now, may_be_billed=status >= 500)
        if not is_repeatable_status or not (self._is_repeatable or status == 429):
            return DELIVER
        if retry_after_s is not None:
            self._hold(self.target, now + retry_after_s)
        action = self._next(now)
        self._has_kept = True
        return DELIVER if action is None else action

    def on_relay(self, now: float) -> None:
        """The client gets first bytes (of a stream: a token): nothing is repeated from here on."""
        if not self.is_relayed:
            self.is_relayed = True
            if not self.is_failed:
                self._health.on_success(now, self.sent_s)

    def on_fault(self, fault: Fault, now: float) -> Action:
        """The attempt failed below HTTP; a stream that began with an error gave nothing to bill."""
        if self.is_failed:
            return Torn(fault.value)
        if fault is Fault.RESET_UNSENT and self._may_resend(now):
            self._record(fault.value, now, may_be_billed=False)
            self._n_free += 1
            return self._send(self.target, self._health, now)
        self._health.on_failure(now, self.sent_s)
        if fault in LASTING:
            self._hold(self.target, inf)
        is_unsent = fault in UNSENT
        is_refusal = fault is Fault.ERROR_EVENT
        self._record(fault.value, now, may_be_billed=not is_unsent and not is_refusal)
        action = self._after_failure(fault.value, 502, now, is_unsent or self._is_repeatable)
        self.is_failed = is_refusal and isinstance(action, Fail)
        return action

    def on_timeout(self, kind: TimeoutKind, now: float) -> Action:
        """A limit on the attempt has passed; the caller has cancelled it."""
        if self.is_failed:
            return Torn(f"{kind}_timeout")
        if kind == "total" and self.is_relayed:
            self._health.release(self.sent_s)  # a long answer is not an ill target
        else:
            self._health.on_failure(now, self.sent_s)
        is_unsent = kind == "connect"
        error_type = f"{kind}_timeout"
        self._record(error_type, now, may_be_billed=not is_unsent)
        if kind == "total" and not self.is_relayed:
            return Fail(error_type, 504, "the upstream's answer took longer than it may")
        return self._after_failure(error_type, 504, now, is_unsent or self._is_repeatable)

    def on_not_sent(self, retry_after_s: float | None, now: float) -> Action:
        """The attempt was not made: the target's gate has no room, which is no failure of it."""
        self._health.release(self.sent_s)
        self._is_open = False
        self.n_attempts -= 1
        self._tried += (self.target.name,)
        self._hold(self.target, inf)
        if now < self.deadline_s:
            picked = self._pick(now, self._tried)
            if picked is not None:
                return self._send_to(picked, now)
            again = self._again(now) if self._failed else None
            if again is not None:
                return again
        if self._has_kept:
            return DELIVER_KEPT
        return Fail("queue_full", 429, "the upstream's request queue is full", retry_after_s)

    def resume(self, now: float) -> Action:
        """A wait is over."""
        if now < self.deadline_s:
            if self._context.health[self._waits_for.name].available(now):
                return self._send_to(self._waits_for, now)
            picked = self._pick(now, self._tried)
            if picked is not None:
                return self._send_to(picked, now)
        return self._give_up(self._failed[-1].error_type or "", 502)

    def on_client_left(self, is_sent: bool = True) -> None:
        """Nobody waits any more; `is_sent`: the attempt is past the target's gate."""
        if not self._is_open:
            return
        if not self.is_relayed:
            self._health.release(self.sent_s)
        if not is_sent:
            self._is_open = False
            self.n_attempts -= 1

    def attempt_log(self, now: float) -> tuple[Attempted, ...]:
        """All attempts; one that is still under way ends now."""
        if not self._is_open:
            return self._failed
        return (*self._failed, self._attempted(None, now, may_be_billed=True))

    def _send(self, target: Target, health: TargetHealth, now: float) -> Send:
        self.target = target
        self._health = health
        self.sent_s = now
        self.http_status = 0
        self.n_attempts += 1
        self._is_open = True
        return Send(target)

    def _send_to(self, target: Target, now: float) -> Send:
        health = self._context.health[target.name]
        health.acquire(now)
        return self._send(target, health, now)

    def _pick(self, now: float, without: tuple[str, ...] = ()) -> Target | None:
        """The first target that is available and not full; else the first that is available."""
        full: Target | None = None
        for target in self.targets:
            health = self._context.health[target.name]
            if target.name in without or not health.available(now):
                continue
            if not health.saturated(now):
                return target
            full = full or target
        return full

    def _next(self, now: float) -> Send | Wait | None:
        """What to try after a failure: another target at once, else one of them again, later."""
        context = self._context
        n_counted = self.n_attempts - self._n_free
        if n_counted >= context.settings.n_attempts or now >= self.deadline_s or self.is_forsaken:
            return None
        other = self._pick(now, self._tried)
        if other is None:
            return self._again(now)
        # Moving on to a target that answers well feeds no storm; to one that does not, it may.
        if context.health[other.name].well(now) or context.budget.withdraw(now):
            return self._send_to(other, now)
        return None

    def _again(self, now: float) -> Wait | None:
        """The tried target that may be asked again soonest, with full jitter."""
        settings = self._context.settings
        n_doublings = max(0, self.n_attempts - self._n_free - 1)
        backoff_s = min(settings.cap_s, settings.base_s * 2.0**n_doublings) * self._context.random()
        soonest: Target | None = None
        soonest_s = inf
        left_s = self.deadline_s - now - backoff_s
        for target in self.targets:
            health = self._context.health[target.name]
            if not (health.available(now) or health.is_limited(now)):
                continue
            hold_s = self._hold_until_s.get(target.name, now) - now if self._hold_until_s else 0.0
            wait_s = max(hold_s, health.wait_s(now))
            if wait_s < min(soonest_s, left_s) and wait_s <= settings.max_retry_after_s:
                soonest, soonest_s = target, wait_s
        if soonest is None or not self._context.budget.withdraw(now):
            return None
        self._waits_for = soonest
        return Wait(soonest, soonest_s + backoff_s)

    def _after_failure(
        self, error_type: str, http_status: int, now: float, may_repeat: bool
    ) -> Action:
        if self.is_relayed:
            return Torn(error_type)
        action = self._next(now) if may_repeat else None
        return self._give_up(error_type, http_status) if action is None else action

    def _give_up(self, error_type: str, http_status: int) -> Deliver | Fail:
        if self._has_kept:
            return DELIVER_KEPT
        attempts = "1 attempt" if self.n_attempts == 1 else f"{self.n_attempts} attempts"
        return Fail(
            error_type, http_status, f"the upstream did not answer: {error_type} after {attempts}"
        )

    def _all_out(self, now: float) -> Fail:
        health = [self._context.health[target.name] for target in self.targets]
        retry_after_s = min(one.wait_s(now) for one in health)
        if all(one.is_limited(now) for one in health):
            message = "the upstream's rate limit is used up for now"
            return Fail("upstream_limited", 429, message, retry_after_s)
        message = "every upstream that this request may use is out of service"
        return Fail("no_target_available", 503, message, retry_after_s)

    def _may_resend(self, now: float) -> bool:
        is_first = self._n_free == 0 and not self.is_relayed
        was_quick = now - self.sent_s < RESEND_S  # later the provider may well have worked on it
        may_send = now < self.deadline_s and not self.is_forsaken
        return is_first and was_quick and self._is_repeatable and may_send

    def _hold(self, target: Target, until_s: float) -> None:
        if self._hold_until_s is None:
            self._hold_until_s = {}
        self._hold_until_s[target.name] = until_s

    def _record(self, error_type: str, now: float, may_be_billed: bool) -> None:
        self._is_open = False
        self._failed += (self._attempted(error_type, now, may_be_billed),)
        self._tried += (self.target.name,)

    def _attempted(self, error_type: str | None, now: float, may_be_billed: bool) -> Attempted:
        return Attempted(
            self.target.name,
            self.sent_s - self.started_s,
            now - self.sent_s,
            self.http_status,
            error_type,
            may_be_billed,
        )
