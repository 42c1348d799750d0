"""What a provider's gate keeps to, whatever comes; time is simulated."""

import heapq
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.fair_queue import Ticket
from weighbridge.gateway.shaping import BURST_S, Refused, TargetGate
from weighbridge.policy.types import ProviderCaps

QUICK = settings(max_examples=80, deadline=None)
TOLERANCE = 1e-4


class Clockwork:
    """Arrivals, wake-ups and departures in the order of time, as an event loop brings them."""

    def __init__(self, caps, service_s=lambda ticket: 0.0):
        self.gate = TargetGate(caps)
        self.caps = caps
        self.service_s = service_s
        self.went = []  # (when, ticket)
        self.lost = []  # (when, ticket, why)
        self.most_running = 0

    def play(self, arrivals, gives_up_s=None):
        events = [(at_s, n, "enter", ticket) for n, (at_s, ticket) in enumerate(arrivals)]
        heapq.heapify(events)
        order = itertools.count(len(events))
        entered = set()
        wake_s = None
        while events or wake_s is not None:
            if events and (wake_s is None or events[0][0] <= wake_s):
                now, _, what, ticket = heapq.heappop(events)
                if what == "leave":
                    self.gate.leave(ticket)
                elif what == "cancel":
                    self.gate.cancel(ticket)
                else:
                    self.enter(ticket, now, events, order)
                    entered.add(id(ticket))
                    if gives_up_s is not None:
                        leaves_s = now + gives_up_s(ticket)
                        heapq.heappush(events, (leaves_s, next(order), "cancel", ticket))
            else:
                now = wake_s
            for ticket, verdict in self.gate.pump(now):
                if verdict == "go":
                    self.go(ticket, now, events, order)
                else:
                    self.lost.append((now, ticket, verdict))
            wake_s = self.gate.next_wake(now)
            assert wake_s is None or wake_s > now  # or the loop would spin
            self.most_running = max(self.most_running, self.gate.n_running)
            assert self.gate.n_waiting <= self.caps.queue_size

    def enter(self, ticket, now, events, order):
        answer = self.gate.enter(ticket, now)
        if answer == "go":
            self.go(ticket, now, events, order)
        elif isinstance(answer, Refused):
            assert answer.retry_after_s > 0.0
            self.lost.append((now, ticket, answer.reason))

    def go(self, ticket, now, events, order):
        self.went.append((now, ticket))
        heapq.heappush(events, (now + self.service_s(ticket), next(order), "leave", ticket))


def per_minute_caps(caps):
    """Each rate that is capped, with what a ticket takes of it."""
    return [
        (cap, amount)
        for cap, amount in (
            (caps.requests_per_minute, lambda ticket: 1),
            (caps.input_tokens_per_minute, lambda ticket: ticket.input_tokens),
            (caps.output_tokens_per_minute, lambda ticket: ticket.output_tokens),
        )
        if cap is not None
    ]


def keeps_to_caps(went, caps):
    """Whether no stretch of time saw more go than its share of the caps and one burst."""
    for cap, amount in per_minute_caps(caps):
        burst = max(1.0, cap / 60.0 * BURST_S)
        room = max([burst, *(amount(ticket) for _, ticket in went)])
        for first in range(len(went)):
            total = 0.0
            for at_s, ticket in went[first:]:
                total += amount(ticket)
                allowed = room + cap / 60.0 * (at_s - went[first][0])
                if total > allowed * (1.0 + TOLERANCE):
                    return False
    return True


caps_of = st.builds(
    ProviderCaps,
    requests_per_minute=st.none() | st.integers(1, 600),
    input_tokens_per_minute=st.none() | st.integers(100, 100_000),
    output_tokens_per_minute=st.none() | st.integers(100, 100_000),
    concurrency=st.none() | st.integers(1, 10),
    queue_size=st.integers(0, 30),
    queue_wait_s=st.floats(0.0, 60.0),
)
tickets = st.builds(
    Ticket,
    tenant=st.sampled_from([None, "a", "b", "c"]),
    priority=st.integers(-1, 2),
    deadline_s=st.floats(1.0, 300.0),
    input_tokens=st.integers(0, 5000),
    output_tokens=st.integers(0, 5000),
)
arrivals_of = st.lists(st.tuples(st.floats(0.0, 120.0), tickets), max_size=60)


@QUICK
@given(caps_of, arrivals_of, st.floats(0.0, 20.0), st.none() | st.floats(0.1, 20.0))
def test_caps_are_kept_over_any_stretch_and_everybody_is_answered(
    caps, arrivals, service_s, gives_up_s
):
    clockwork = Clockwork(caps, lambda ticket: service_s)
    clockwork.play(arrivals, None if gives_up_s is None else lambda ticket: gives_up_s)
    assert keeps_to_caps(clockwork.went, caps)
    if caps.concurrency is not None:
        assert clockwork.most_running <= caps.concurrency
    answered = [ticket for _, ticket in clockwork.went]
    answered += [ticket for _, ticket, _ in clockwork.lost]
    assert len(set(map(id, answered))) == len(answered)
    if gives_up_s is None:
        assert len(answered) == len(arrivals)
    assert clockwork.gate.n_waiting == 0
    assert clockwork.gate.n_running == 0
    came_s = {id(ticket): at_s for at_s, ticket in arrivals}
    for at_s, ticket in clockwork.went:
        waited_s = at_s - came_s[id(ticket)]
        assert waited_s == 0.0 or waited_s <= caps.queue_wait_s + TOLERANCE
        assert waited_s == 0.0 or at_s <= ticket.deadline_s + TOLERANCE


def went_by_brute_force(arrivals, cap, step_s):
    """When each request of one tenant goes, by filling a bucket in small steps of time."""
    burst = max(1.0, cap / 60.0 * BURST_S)
    level, now, out = burst, 0.0, []
    waiting = [(at_s, ticket.input_tokens) for at_s, ticket in arrivals]
    while waiting:
        while waiting and waiting[0][0] <= now and level >= min(waiting[0][1], burst) - 1e-9:
            level -= waiting.pop(0)[1]
            out.append(now)
        now += step_s
        level = min(burst, level + cap / 60.0 * step_s)
    return out


@settings(max_examples=25, deadline=None)
@given(
    st.integers(6000, 60_000),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 3000)), min_size=1, max_size=10),
)
def test_what_waits_goes_as_soon_as_the_cap_allows(cap, demand):
    caps = ProviderCaps(input_tokens_per_minute=cap, queue_size=1000, queue_wait_s=1e9)
    arrivals = [(at_s, Ticket("a", 0, 1e12, tokens, 0)) for at_s, tokens in sorted(demand)]
    clockwork = Clockwork(caps)
    clockwork.play(arrivals)
    step_s = 0.01
    expected = went_by_brute_force(arrivals, cap, step_s)
    # Each request may be a step late, and what would overflow the bucket within it is lost.
    tolerance_s = step_s * (len(demand) + 1)
    assert [at_s for at_s, _ in clockwork.went] == pytest.approx(expected, abs=tolerance_s)


@pytest.mark.parametrize("flood_per_s", [10, 200])
def test_a_flooding_tenant_does_not_keep_another_out(flood_per_s):
    caps = ProviderCaps(requests_per_minute=120, queue_size=20, queue_wait_s=10.0)
    flood = [(n / flood_per_s, Ticket("flood", 0, 1e9, 0, 0)) for n in range(60 * flood_per_s)]
    modest = [(1.3 * n + 0.005, Ticket("modest", 0, 1e9, 0, 0)) for n in range(45)]
    clockwork = Clockwork(caps)
    clockwork.play(sorted(flood + modest, key=lambda arrival: arrival[0]))
    came_s = {id(ticket): at_s for at_s, ticket in modest}
    waits_s = [at_s - came_s[id(one)] for at_s, one in clockwork.went if one.tenant == "modest"]
    assert len(waits_s) == len(modest)
    assert max(waits_s) <= 1.1  # two turns
    assert len(clockwork.went) >= 60 * 2  # and nothing of the cap is left unused


def test_two_flooding_tenants_get_the_same_share():
    caps = ProviderCaps(input_tokens_per_minute=60_000, queue_size=40, queue_wait_s=30.0)
    few_large = [(n / 5, Ticket("large", 0, 1e9, 2000, 0)) for n in range(600)]
    many_small = [(n / 20, Ticket("small", 0, 1e9, 250, 0)) for n in range(2400)]
    clockwork = Clockwork(caps)
    clockwork.play(sorted(few_large + many_small, key=lambda arrival: arrival[0]))
    tokens = {"large": 0, "small": 0}
    for at_s, ticket in clockwork.went:
        if 20.0 < at_s < 120.0:
            tokens[ticket.tenant] += ticket.input_tokens
    assert tokens["large"] == pytest.approx(tokens["small"], rel=0.1)
    assert sum(tokens.values()) == pytest.approx(100_000, rel=0.05)


def test_low_priority_is_served_last_but_is_served():
    caps = ProviderCaps(requests_per_minute=120, queue_size=50, queue_wait_s=20.0)
    high = [(n / 4, Ticket("a", 5, 1e9, 0, 0)) for n in range(480)]
    low = [(n / 1 + 0.1, Ticket("b", 0, 1e9, 0, 0)) for n in range(120)]
    clockwork = Clockwork(caps)
    clockwork.play(sorted(high + low, key=lambda arrival: arrival[0]))
    n_went = {"a": 0, "b": 0}
    for at_s, ticket in clockwork.went:
        if at_s > 20.0:
            n_went[ticket.tenant] += 1
    assert n_went["b"] > 0
    assert n_went["a"] > 2 * n_went["b"]
