"""Outgoing traffic to one provider, held to the provider's own caps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weighbridge.gateway.fair_queue import FairQueue, Ticket
from weighbridge.gateway.pace import Pace
from weighbridge.gateway.rate_headers import Allowance, RateHint
from weighbridge.policy.types import ProviderCaps

BURST_S = 15.0  # of the caps by the minute, as much may go at once after a pause
AGEING_S = 2.0
MAX_HOLD_S = 60.0

Verdict = Literal["go", "expired", "displaced"]


@dataclass(frozen=True, slots=True)
class Refused:
    """No room; `reason` is `queue_full`, or `deadline`: its turn would come too late."""

    retry_after_s: float
    reason: Literal["queue_full", "deadline"]


class TargetGate:
    """Lets requests through at the pace a provider allows; the others wait in fair order.

    Each ticket that went (at `enter` or by `pump`) is to `leave`; one that waits may be cancelled.
    After `enter` with "wait", `leave` and `cancel`, look at `next_wake` again; `pump` at that time
    and after each `leave`.
    """

    __slots__ = (
        "_caps",
        "_displaced",
        "_hold_until_s",
        "_input",
        "_n_running",
        "_output",
        "_queue",
        "_requests",
        "is_capped",
    )

    def __init__(self, caps: ProviderCaps, burst_s: float = BURST_S) -> None:
        def pace(per_minute: int | None) -> Pace | None:
            return None if per_minute is None else Pace(per_minute, burst_s)

        self._caps = caps
        self._requests = pace(caps.requests_per_minute)
        self._input = pace(caps.input_tokens_per_minute)
        self._output = pace(caps.output_tokens_per_minute)
        self.is_capped = caps.concurrency is not None or any(
            one is not None for one in (self._requests, self._input, self._output)
        )
        self._queue = FairQueue(AGEING_S)
        self._displaced: list[Ticket] = []
        self._n_running = 0
        self._hold_until_s = float("-inf")

    @property
    def n_running(self) -> int:
        """Tickets that went and have not left; 0 where there are no caps."""
        return self._n_running

    @property
    def n_waiting(self) -> int:
        """Tickets in the queue."""
        return self._queue.total.n

    def enter(self, ticket: Ticket, now: float) -> Literal["go", "wait"] | Refused:
        """Ask to send one request."""
        if not self.is_capped:
            return "go"
        if not self._queue.total.n and self._has_room() and self._wait_s(ticket, now) <= 0.0:
            self._take(ticket, now)
            return "go"
        return self._line_up(ticket, now)

    def pump(self, now: float) -> list[tuple[Ticket, Verdict]]:
        """Who may go now, and who waited in vain (or made room for others)."""
        if not self._queue.total.n and not self._displaced:
            return []
        out: list[tuple[Ticket, Verdict]] = [(ticket, "displaced") for ticket in self._displaced]
        self._displaced.clear()
        while (expiry := self._queue.next_expiry()) is not None and expiry[0] <= now:
            self._queue.remove(expiry[1], "gone")
            out.append((expiry[1], "expired"))
        while self._has_room():
            ticket = self._queue.first(now)
            if ticket is None or self._wait_s(ticket, now) > 0.0:
                break
            self._queue.serve(ticket, self._cost(ticket), now)
            self._take(ticket, now)
            out.append((ticket, "go"))
        return out

    def leave(
        self,
        ticket: Ticket,
        used_input_tokens: int | None = None,
        used_output_tokens: int | None = None,
    ) -> None:
        """A ticket that went is done; None: what it used is unknown, and its estimate stands."""
        if ticket.state != "running":
            return
        ticket.state = "gone"
        self._n_running -= 1
        if self._input is not None and used_input_tokens is not None:
            self._input.give_back(ticket.input_tokens - used_input_tokens)
        if self._output is not None and used_output_tokens is not None:
            self._output.give_back(ticket.output_tokens - used_output_tokens)

    def cancel(self, ticket: Ticket) -> None:
        """Its client has left while it waited."""
        if ticket.state == "waiting":
            self._queue.remove(ticket, "gone")

    def next_wake(self, now: float) -> float | None:
        """When to `pump` next, if nothing happens before."""
        if self._displaced:
            return now
        expiry = self._queue.next_expiry()
        if expiry is None:
            return None
        wake_s = expiry[0]
        if self._has_room():
            first = self._queue.first(now)
            assert first is not None
            wake_s = min(wake_s, now + self._wait_s(first, now))
        return max(now, wake_s)

    def on_hint(self, hint: RateHint, now: float) -> None:
        """Go by what the provider itself says is left, where that is less than we thought."""
        hold_s = hint.retry_after_s or 0.0
        for pace, allowance, cap in (
            (self._requests, hint.requests, self._caps.requests_per_minute),
            (self._input, hint.input_tokens, self._caps.input_tokens_per_minute),
            (self._output, hint.output_tokens, self._caps.output_tokens_per_minute),
        ):
            if pace is not None and allowance is not None and cap is not None:
                hold_s = max(hold_s, _lowered(pace, allowance, cap, now))
        if hold_s > 0.0:
            self._hold_until_s = max(self._hold_until_s, now + min(hold_s, MAX_HOLD_S))

    def _has_room(self) -> bool:
        concurrency = self._caps.concurrency
        return concurrency is None or self._n_running < concurrency

    def _wait_s(self, ticket: Ticket, now: float) -> float:
        """How long until it may go, were it alone, by the rates."""
        return self._rates_wait_s(ticket, now, 0, 0, 0)

    def _rates_wait_s(
        self, ticket: Ticket, now: float, n: int, input_tokens: int, output_tokens: int
    ) -> float:
        wait_s = max(0.0, self._hold_until_s - now)
        if self._requests is not None:
            wait_s = max(wait_s, self._requests.wait_s(1, now, n))
        if self._input is not None:
            wait_s = max(wait_s, self._input.wait_s(ticket.input_tokens, now, input_tokens))
        if self._output is not None:
            wait_s = max(wait_s, self._output.wait_s(ticket.output_tokens, now, output_tokens))
        return wait_s

    def _take(self, ticket: Ticket, now: float) -> None:
        ticket.state = "running"
        self._n_running += 1
        if self._requests is not None:
            self._requests.take(1, now)
        if self._input is not None:
            self._input.take(ticket.input_tokens, now)
        if self._output is not None:
            self._output.take(ticket.output_tokens, now)

    def _line_up(self, ticket: Ticket, now: float) -> Literal["wait"] | Refused:
        ticket.expires_s = min(now + self._caps.queue_wait_s, ticket.deadline_s)
        ahead = self._queue.ahead_of(ticket)
        wait_s = self._rates_wait_s(ticket, now, ahead.n, ahead.input_tokens, ahead.output_tokens)
        if now + wait_s > ticket.expires_s:
            return Refused(max(1.0, wait_s), "deadline")
        total = self._queue.total
        if total.n >= self._caps.queue_size:
            displaced = self._queue.displaced_by(ticket)
            if displaced is None:
                drain_s = self._rates_wait_s(
                    ticket, now, total.n, total.input_tokens, total.output_tokens
                )
                return Refused(max(1.0, drain_s), "queue_full")
            self._queue.remove(displaced, "gone")
            self._displaced.append(displaced)
        self._queue.push(ticket, now)
        return "wait"

    def _cost(self, ticket: Ticket) -> float:
        """The share of a minute's caps that it takes, by the cap of which it takes most."""
        caps = self._caps
        shares = [
            amount / cap
            for amount, cap in (
                (1, caps.requests_per_minute),
                (ticket.input_tokens, caps.input_tokens_per_minute),
                (ticket.output_tokens, caps.output_tokens_per_minute),
            )
            if cap is not None
        ]
        return max(shares, default=1.0)


def _lowered(pace: Pace, allowance: Allowance, cap: int, now: float) -> float:
    """Slow a pace to a provider's word; how long to send nothing at all [s]."""
    if allowance.limit:
        pace.slow_to(min(cap, allowance.limit), now)
    if allowance.remaining is None:
        return 0.0
    pace.lower_to(allowance.remaining, now)
    if allowance.remaining > 0 or allowance.reset_s is None:
        return 0.0
    # `reset_s` is until the whole allowance is back; the first of it comes sooner.
    return allowance.reset_s / max(1, allowance.limit or 1)
