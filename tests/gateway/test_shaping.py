"""A provider's gate, as who came when and who went when."""

import pytest

from weighbridge.gateway.fair_queue import Ticket
from weighbridge.gateway.rate_headers import Allowance, RateHint
from weighbridge.gateway.shaping import Refused, TargetGate
from weighbridge.policy.types import ProviderCaps

# 60 requests a minute: one a second, and 15 at once after a pause.
ONE_A_SECOND = ProviderCaps(requests_per_minute=60, queue_size=100, queue_wait_s=10.0)


def ticket(name="", tenant="t", priority=0, deadline_s=1e9, tokens=(0, 0)):
    return Ticket(tenant, priority, deadline_s, *tokens, payload=name)


def emptied(caps=ONE_A_SECOND, now=0.0):
    """A gate whose burst is used up at `now`."""
    gate = TargetGate(caps)
    while gate.enter(one := ticket(), now) == "go":
        gate.leave(one)
    gate.cancel(one)
    return gate


def went(gate, now):
    return [(one.payload, verdict) for one, verdict in gate.pump(now)]


def test_without_caps_everything_goes():
    gate = TargetGate(ProviderCaps())
    assert not gate.is_capped
    for _ in range(1000):
        assert gate.enter(ticket(), 0.0) == "go"
    assert gate.next_wake(0.0) is None
    assert gate.pump(0.0) == []


def test_a_burst_goes_at_once_and_the_rest_at_the_pace_of_the_cap():
    gate = TargetGate(ONE_A_SECOND)
    assert [gate.enter(ticket(n), 0.0) for n in range(17)] == ["go"] * 15 + ["wait"] * 2
    assert gate.next_wake(0.0) == pytest.approx(1.0)
    assert went(gate, 0.9) == []
    assert went(gate, 1.0) == [(15, "go")]
    assert gate.next_wake(1.0) == pytest.approx(2.0)
    assert went(gate, 2.0) == [(16, "go")]
    assert gate.next_wake(2.0) is None


def test_a_cap_below_one_burst_still_lets_single_requests_through():
    gate = TargetGate(ProviderCaps(requests_per_minute=1, queue_wait_s=100.0))
    assert gate.enter(ticket("a"), 0.0) == "go"
    assert gate.enter(ticket("b"), 0.0) == "wait"
    assert gate.next_wake(0.0) == pytest.approx(60.0)
    assert went(gate, 60.0) == [("b", "go")]


def test_concurrency_makes_wait_until_one_leaves():
    gate = TargetGate(ProviderCaps(concurrency=1))
    first = ticket("a")
    assert gate.enter(first, 0.0) == "go"
    assert gate.enter(ticket("b"), 0.0) == "wait"
    assert went(gate, 1.0) == []
    assert gate.next_wake(1.0) == pytest.approx(10.0)  # when it will have waited too long
    gate.leave(first)
    assert went(gate, 2.0) == [("b", "go")]
    assert gate.n_running == 1


def test_leaving_twice_counts_once():
    gate = TargetGate(ProviderCaps(concurrency=2))
    first = ticket()
    gate.enter(first, 0.0)
    gate.enter(ticket(), 0.0)
    gate.leave(first)
    gate.leave(first)
    assert gate.n_running == 1


def test_tokens_are_reserved_and_settled():
    caps = ProviderCaps(input_tokens_per_minute=6000, queue_wait_s=100.0)  # 1500 at once
    gate = TargetGate(caps)
    first = ticket("a", tokens=(1500, 0))
    assert gate.enter(first, 0.0) == "go"
    assert gate.enter(ticket("b", tokens=(1000, 0)), 0.0) == "wait"
    assert gate.next_wake(0.0) == pytest.approx(10.0)
    gate.leave(first, used_input_tokens=600, used_output_tokens=0)
    assert gate.next_wake(0.0) == pytest.approx(1.0)
    assert went(gate, 1.0) == [("b", "go")]


def test_tokens_used_beyond_the_reserve_are_a_debt():
    gate = TargetGate(ProviderCaps(output_tokens_per_minute=6000, queue_wait_s=100.0))
    first = ticket(tokens=(0, 100))
    gate.enter(first, 0.0)
    gate.leave(first, 0, 2100)
    assert gate.enter(ticket("b", tokens=(0, 400)), 0.0) == "wait"
    assert gate.next_wake(0.0) == pytest.approx(10.0)


def test_a_request_larger_than_a_burst_waits_for_a_full_one_and_passes():
    gate = TargetGate(ProviderCaps(input_tokens_per_minute=6000, queue_wait_s=100.0))
    assert gate.enter(ticket("huge", tokens=(20_000, 0)), 0.0) == "go"
    refused = gate.enter(ticket(tokens=(1, 0)), 0.0)
    assert refused == Refused(pytest.approx(185.01), "deadline")


def test_a_small_request_does_not_overtake_a_large_one():
    gate = TargetGate(ProviderCaps(input_tokens_per_minute=6000, queue_wait_s=100.0))
    gate.enter(ticket(tokens=(1000, 0)), 0.0)
    assert gate.enter(ticket("large", tokens=(1400, 0)), 0.0) == "wait"
    assert gate.enter(ticket("small", tokens=(10, 0)), 0.0) == "wait"
    assert went(gate, 5.0) == []
    assert went(gate, 9.0) == [("large", "go")]
    assert went(gate, 9.1) == [("small", "go")]


# the bound of the queue


def test_a_wait_that_is_sure_to_be_too_long_is_refused_at_once():
    gate = emptied()
    for _ in range(10):
        assert gate.enter(ticket(), 0.0) == "wait"
    assert gate.enter(ticket(), 0.0) == Refused(pytest.approx(11.0), "deadline")
    assert gate.n_waiting == 10


def test_a_request_with_a_deadline_of_its_own_is_refused_sooner():
    gate = emptied()
    assert gate.enter(ticket(deadline_s=0.9), 0.0) == Refused(pytest.approx(1.0), "deadline")
    assert gate.enter(ticket(deadline_s=1.1), 0.0) == "wait"


def test_past_its_bound_the_queue_refuses_with_the_time_it_takes_to_drain():
    caps = ProviderCaps(requests_per_minute=60, queue_size=3, queue_wait_s=10.0)
    gate = emptied(caps)
    for _ in range(3):
        assert gate.enter(ticket(), 0.0) == "wait"
    assert gate.enter(ticket(), 0.0) == Refused(pytest.approx(4.0), "queue_full")


def test_without_a_queue_the_gate_refuses_at_once():
    gate = TargetGate(ProviderCaps(concurrency=1, queue_size=0))
    gate.enter(ticket(), 0.0)
    assert gate.enter(ticket(), 0.0) == Refused(1.0, "queue_full")


def test_a_higher_priority_takes_the_last_place_of_a_lower_one():
    gate = TargetGate(ProviderCaps(concurrency=1, queue_size=2))
    first = ticket()
    gate.enter(first, 0.0)
    gate.enter(ticket("low1"), 0.0)
    gate.enter(ticket("low2"), 0.0)
    assert gate.enter(ticket("high", priority=1), 0.0) == "wait"
    assert gate.next_wake(0.0) == 0.0
    assert went(gate, 0.0) == [("low2", "displaced")]
    assert gate.enter(ticket("low3"), 0.0) == Refused(1.0, "queue_full")
    gate.leave(first)
    assert went(gate, 0.0) == [("high", "go")]


def test_a_tenant_that_fills_the_queue_makes_room_for_another():
    gate = TargetGate(ProviderCaps(concurrency=1, queue_size=4))
    gate.enter(ticket(), 0.0)
    for n in range(4):
        gate.enter(ticket(f"flood{n}", tenant="flood"), 0.0)
    assert gate.enter(ticket("b0", tenant="b"), 0.0) == "wait"
    assert gate.enter(ticket("b1", tenant="b"), 0.0) == "wait"
    assert went(gate, 0.0) == [("flood3", "displaced"), ("flood2", "displaced")]
    assert isinstance(gate.enter(ticket("b2", tenant="b"), 0.0), Refused)
    assert isinstance(gate.enter(ticket(tenant="flood"), 0.0), Refused)


# order


def test_tenants_take_turns_within_a_priority():
    gate = TargetGate(ProviderCaps(concurrency=1, queue_wait_s=1e6))
    running = ticket()
    gate.enter(running, 0.0)
    for name in ("a0", "a1", "a2", "b0", "b1", "c0"):
        gate.enter(ticket(name, tenant=name[0]), 0.0)
    order = []
    for now in range(6):
        gate.leave(running)
        ((running, _),) = gate.pump(float(now))
        order.append(running.payload)
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_turns_are_by_tokens_where_tokens_are_what_is_short():
    caps = ProviderCaps(input_tokens_per_minute=60_000, concurrency=1, queue_wait_s=50.0)
    gate = TargetGate(caps)
    running = ticket()
    gate.enter(running, 0.0)
    for n in range(3):
        gate.enter(ticket(f"big{n}", tenant="big", tokens=(3000, 0)), 0.0)
    for n in range(6):
        gate.enter(ticket(f"s{n}", tenant="small", tokens=(1000, 0)), 0.0)
    order = []
    for now in range(9):
        gate.leave(running)
        ((running, _),) = gate.pump(float(now))
        order.append(running.payload)
    assert order == ["big0", "s0", "s1", "s2", "big1", "s3", "s4", "s5", "big2"]


def test_higher_priorities_go_first_and_low_ones_are_not_forgotten():
    gate = TargetGate(ProviderCaps(concurrency=1, queue_wait_s=1e6, queue_size=1000))
    running = ticket()
    gate.enter(running, 0.0)
    gate.enter(ticket("low"), 0.0)
    order = []
    for n in range(6):
        gate.enter(ticket(f"high{n}", priority=9), 0.5 * n)
        gate.leave(running)
        ((running, _),) = gate.pump(0.5 * n)
        order.append(running.payload)
    assert order[0] == "high0"
    assert "low" in order


# who leaves without having gone


def test_whoever_waits_too_long_is_told_so():
    gate = TargetGate(ProviderCaps(concurrency=1, queue_wait_s=10.0))
    gate.enter(ticket(), 0.0)
    gate.enter(ticket("a"), 0.0)
    gate.enter(ticket("b", deadline_s=4.0), 1.0)
    assert gate.next_wake(1.0) == pytest.approx(4.0)
    assert went(gate, 4.0) == [("b", "expired")]
    assert gate.next_wake(4.0) == pytest.approx(10.0)
    assert went(gate, 10.0) == [("a", "expired")]
    assert gate.next_wake(10.0) is None


def test_a_client_that_leaves_the_queue_holds_nobody_up():
    gate = TargetGate(ProviderCaps(concurrency=1))
    running, a, b = ticket(), ticket("a"), ticket("b")
    for one in (running, a, b):
        gate.enter(one, 0.0)
    gate.cancel(a)
    gate.cancel(a)
    assert gate.n_waiting == 1
    gate.leave(running)
    assert went(gate, 0.0) == [("b", "go")]
    gate.cancel(b)  # too late: it went, and is to leave
    assert gate.n_running == 1


def test_clients_that_come_and_go_leave_no_memory_behind():
    gate = TargetGate(ProviderCaps(concurrency=1))
    gate.enter(ticket(), 0.0)
    gate.enter(ticket(tenant="stays"), 0.0)
    for n in range(5000):
        one = ticket(tenant=f"t{n % 7}")
        gate.enter(one, 0.0)
        gate.cancel(one)
    queue = gate._queue
    band = queue._bands[0]
    assert len(queue._expiries) < 200
    assert len(band._order) < 200
    assert sum(len(line.tickets) for line in band.lines.values()) < 200


# what the provider says


def test_the_providers_own_count_lowers_ours_and_never_raises_it():
    gate = TargetGate(ONE_A_SECOND)
    gate.on_hint(RateHint(requests=Allowance(limit=60, remaining=2)), 0.0)
    assert [gate.enter(ticket(), 0.0) for _ in range(3)] == ["go", "go", "wait"]
    gate.on_hint(RateHint(requests=Allowance(limit=60, remaining=50)), 0.0)
    assert gate.next_wake(0.0) == pytest.approx(1.0)


def test_a_lower_limit_than_configured_slows_the_gate_until_it_is_raised_again():
    gate = emptied()
    gate.on_hint(RateHint(requests=Allowance(limit=30)), 0.0)
    gate.enter(ticket(), 0.0)
    assert gate.next_wake(0.0) == pytest.approx(2.0)
    gate.on_hint(RateHint(requests=Allowance(limit=600)), 0.0)
    assert gate.next_wake(0.0) == pytest.approx(1.0)


def test_retry_after_holds_the_queue_for_at_most_a_minute():
    gate = TargetGate(ONE_A_SECOND)
    gate.on_hint(RateHint(retry_after_s=5.0), 0.0)
    assert gate.enter(ticket("a"), 0.0) == "wait"
    assert gate.next_wake(0.0) == pytest.approx(5.0)
    assert went(gate, 4.9) == []
    assert went(gate, 5.0) == [("a", "go")]
    gate.on_hint(RateHint(retry_after_s=1e6), 5.0)
    assert gate.enter(ticket(), 5.0) == Refused(pytest.approx(60.0), "deadline")


def test_nothing_left_until_a_reset_holds_for_the_time_of_one():
    gate = TargetGate(ONE_A_SECOND)
    gate.on_hint(RateHint(requests=Allowance(limit=20, remaining=0, reset_s=60.0)), 0.0)
    gate.enter(ticket(), 0.0)
    assert gate.next_wake(0.0) == pytest.approx(3.0)


def test_a_request_that_comes_after_its_deadline_is_refused():
    gate = emptied()
    assert gate.enter(ticket(deadline_s=-1.0), 0.5) == Refused(1.0, "deadline")


def test_a_gate_that_cannot_serve_its_next_does_not_wake_for_another():
    caps = ProviderCaps(output_tokens_per_minute=2400, queue_wait_s=20.0)  # 40 a second
    gate = TargetGate(caps)
    assert gate.enter(ticket(tokens=(0, 1000)), 0.0) == "go"
    assert gate.enter(ticket("aged", tokens=(0, 200)), 0.0) == "wait"
    assert gate.enter(ticket("new", priority=1, tokens=(0, 0)), 9.0) == "wait"
    assert went(gate, 11.0) == []
    assert gate.next_wake(11.0) == pytest.approx(15.0)
    assert went(gate, 15.0) == [("aged", "go"), ("new", "go")]
