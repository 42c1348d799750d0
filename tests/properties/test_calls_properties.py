"""What must hold for a request's upstream calls, whatever the upstreams do."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.breaker import STATES, TargetHealth
from weighbridge.gateway.calls import (
    CallContext,
    Calls,
    Deliver,
    Fail,
    RetrySettings,
    Send,
    Torn,
    Wait,
)
from weighbridge.gateway.retry_budget import RetryBudget
from weighbridge.gateway.wire.messages import Fault
from weighbridge.policy.types import Target

TARGETS = tuple(Target(name, f"http://{name}.test/v1") for name in "abcd")
QUICK = settings(max_examples=150, deadline=None)

statuses = st.sampled_from([200, 400, 404, 408, 429, 500, 503, 529])
happenings = st.one_of(
    st.tuples(st.just("status"), statuses, st.none() | st.floats(0.0, 30.0)),
    st.tuples(st.just("fault"), st.sampled_from(list(Fault))),
    st.tuples(
        st.just("timeout"),
        st.sampled_from(["connect", "first_byte", "first_token", "stall", "total"]),
    ),
    st.tuples(st.just("not_sent"), st.floats(0.0, 30.0)),
    st.tuples(st.just("relay")),
)
steps = st.lists(st.tuples(happenings, st.floats(0.0, 20.0)), max_size=25)


def new_context(rng, budget=None, **options):
    health = {target.name: TargetHealth(rng.random) for target in TARGETS}
    return CallContext(health, budget or RetryBudget(), rng.random, RetrySettings(**options))


def happen(calls, happening, now):
    """Tell the calls of one event; None where it leads to no action."""
    match happening:
        case ("status", status, retry_after_s):
            return calls.on_status(status, retry_after_s, now)
        case ("fault", fault):
            return calls.on_fault(fault, now)
        case ("timeout", kind):
            return calls.on_timeout(kind, now)
        case ("not_sent", retry_after_s):
            return calls.on_not_sent(retry_after_s, now)
    calls.on_relay(now)
    return None


def played(calls, script, now):
    """Each action with its moment and whether the client had part of the answer before."""
    action = calls.start(now)
    history = [(action, now, False)]
    is_answered = False
    for happening, passed_s in script:
        while isinstance(action, Wait):
            now += action.wait_s
            action = calls.resume(now)
            history.append((action, now, calls.is_relayed))
        if isinstance(action, Fail | Torn) or (isinstance(action, Deliver) and not is_answered):
            break
        legal = {"fault", "timeout", "relay"} if is_answered else {"status", "fault", "timeout"}
        if calls.http_status == 0:
            legal |= {"not_sent"}
        if happening[0] not in legal:
            continue
        now += passed_s
        was_relayed = calls.is_relayed
        new = happen(calls, happening, now)
        if new is not None:
            action = new
            history.append((action, now, was_relayed))
            is_answered = isinstance(new, Deliver) and happening[0:2] == ("status", 200)
    return history


@QUICK
@given(steps, st.integers(0, 2**32), st.integers(1, 5), st.data())
def test_no_upstream_leads_the_calls_astray(script, seed, n_attempts, data):
    context = new_context(random.Random(seed), n_attempts=n_attempts, total_s=60.0)
    for health in context.health.values():
        for _ in range(data.draw(st.integers(0, 6))):
            health.on_failure(95.0, 95.0)
    targets = TARGETS[: data.draw(st.integers(1, 4))]
    stays = data.draw(st.booleans())
    calls = Calls(context, targets, 100.0, stays=stays, is_repeatable=data.draw(st.booleans()))
    history = played(calls, script, 100.0)
    sends = [action for action, _, _ in history if isinstance(action, Send)]
    allowed = targets[:1] if stays else targets
    assert all(send.target in allowed for send in sends)
    assert calls.n_attempts <= n_attempts + 1  # one for a kept connection that died
    for action, now, was_relayed in history:
        if was_relayed:
            assert isinstance(action, Torn)
        if isinstance(action, Wait):
            assert now + action.wait_s <= calls.deadline_s + 1e-9
        if isinstance(action, Send):
            assert now < calls.deadline_s
    log = calls.attempt_log(1e6)
    assert len(log) == calls.n_attempts
    assert all(one.error_type for one in log[:-1])
    assert all(one.after_s >= 0.0 and one.latency_s >= 0.0 for one in log)


@QUICK
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["ok", "bad", "refused", "limited", "acquire", "release", "check", "full"]
            ),
            st.floats(0.0, 40.0),
            st.floats(0.0, 10.0),
        ),
        max_size=60,
    ),
    st.integers(0, 2**32),
)
def test_health_never_locks_a_target_out_and_is_clear_only_when_it_is_available(script, seed):
    health = TargetHealth(random.Random(seed).random)
    now = 1000.0
    events = {
        "ok": lambda ago_s: health.on_success(now, now - ago_s),
        "bad": lambda ago_s: health.on_failure(now, now - ago_s),
        "refused": lambda ago_s: health.on_refused(now, now - ago_s),
        "limited": lambda ago_s: health.on_limited(now, now - ago_s, 3.0 * ago_s or None),
        "release": lambda ago_s: health.release(now - ago_s),
        "check": lambda ago_s: health.on_health(ago_s > 5.0),
        "full": lambda ago_s: health.on_engine(ago_s > 5.0, now),
    }
    for what, passed_s, ago_s in script:
        now += passed_s
        if what == "acquire":
            was_available = health.available(now)
            assert health.acquire(now) == was_available
        else:
            events[what](ago_s)
        assert health.state(now) in STATES
        assert health.wait_s(now) >= 0.0
        assert (health.wait_s(now) == 0.0) == health.available(now)
        if health.is_clear:
            assert health.state(now) == "closed"
            assert not health.saturated(now)
    health.on_health(is_well=True)
    later_s = now + 200.0  # longer than any pause or probe
    assert health.acquire(later_s)
    health.on_success(later_s, later_s)
    assert health.is_clear


def storm(n_requests, targets, answer, per_s, seed=0):
    """Attempts of requests at a steady rate, and how many were answered well."""
    rng = random.Random(seed)
    context = new_context(rng)
    due = [(n / per_s, n, None) for n in range(n_requests)]
    due.reverse()
    waiting = []
    n_attempts = n_good = 0
    while due or waiting:
        waiting.sort(key=lambda entry: -entry[0])
        is_resumed = bool(waiting) and (not due or waiting[-1][0] <= due[-1][0])
        now, n, calls = waiting.pop() if is_resumed else due.pop()
        if calls is None:
            calls = Calls(context, targets, now)
            action = calls.start(now)
        else:
            action = calls.resume(now)
        while isinstance(action, Send):
            n_attempts += 1
            action = calls.on_status(*answer(action.target.name, rng), now)
        if calls.http_status == 200:
            calls.on_relay(now)
            n_good += 1
        if isinstance(action, Wait):
            waiting.append((now + action.wait_s, n, calls))
    return n_attempts, n_good


def test_a_storm_of_429_is_not_made_worse_by_repeats():
    n_requests = 10_000
    for targets in (TARGETS[:1], TARGETS[:2], TARGETS):
        for retry_after_s in (None, 0.0, 0.05, 5.0):
            for per_s in (20.0, 1000.0):
                answer = (429, retry_after_s)
                n_attempts, _ = storm(n_requests, targets, lambda *_, a=answer: a, per_s)
                assert 0 < n_attempts <= 1.2 * n_requests


def test_upstreams_that_refuse_half_of_everything_are_not_stormed():
    n_requests = 10_000

    def half(name, rng):
        return (429, None) if rng.random() < 0.5 else (200, None)

    def mixed(name, rng):
        return rng.choice([(429, 0.2), (500, None), (503, 1.0), (529, None), (200, None)])

    for answer in (half, mixed):
        for targets in (TARGETS[:1], TARGETS[:3]):
            n_attempts, n_good = storm(n_requests, targets, answer, 100.0)
            assert n_attempts <= 1.2 * n_requests
            assert n_good > 0


def test_one_refusing_target_costs_the_others_nothing():
    n_requests = 10_000

    def answer(name, rng):
        return (429, None) if name == "a" else (200, None)

    n_attempts, n_good = storm(n_requests, TARGETS[:2], answer, 100.0)
    assert n_attempts <= 1.2 * n_requests
    assert n_good == n_requests
