"""One request's upstream calls, each test a transcript of events and what they lead to."""

import pytest

from weighbridge.gateway.breaker import TargetHealth
from weighbridge.gateway.calls import (
    DELIVER,
    DELIVER_KEPT,
    CallContext,
    Calls,
    Fail,
    RetrySettings,
    Send,
    Torn,
    Wait,
)
from weighbridge.gateway.retry_budget import RetryBudget
from weighbridge.gateway.wire.messages import Fault
from weighbridge.policy.types import Target

A = Target("a", "http://a.test/v1")
B = Target("b", "http://b.test/v1")
C = Target("c", "http://c.test/v1")


def new_context(budget=None, draw=1.0, **settings):
    def random():
        return draw

    health = {target.name: TargetHealth(lambda: 0.0) for target in (A, B, C)}
    return CallContext(health, budget or RetryBudget(), random, RetrySettings(**settings))


def new_calls(*targets, context=None, **how):
    return Calls(context or new_context(), targets, 100.0, **how)


def close_off(context, *targets, now=100.0):
    for target in targets:
        for _ in range(5):
            context.health[target.name].on_failure(now, now)


def sent_to(action):
    assert isinstance(action, Send)
    return action.target.name


def errors(calls):
    return [(one.target, one.error_type) for one in calls.attempt_log(200.0)]


# answers that are passed on


def test_a_good_answer_is_delivered():
    calls = new_calls(A, B)
    assert sent_to(calls.start(100.0)) == "a"
    assert calls.on_status(200, None, 100.5) is DELIVER
    calls.on_relay(100.6)
    (only,) = calls.attempt_log(101.0)
    assert (only.target, only.after_s, only.http_status, only.error_type) == ("a", 0.0, 200, None)
    assert only.latency_s == pytest.approx(1.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
def test_an_answer_that_blames_the_request_is_delivered_as_it_is(status):
    calls = new_calls(A, B)
    calls.start(100.0)
    assert calls.on_status(status, None, 100.5) is DELIVER
    assert calls.n_attempts == 1
    assert errors(calls) == [("a", str(status))]


# moving on to another target


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 524, 529])
def test_a_failing_answer_moves_on_to_the_next_target_at_once(status):
    calls = new_calls(A, B)
    calls.start(100.0)
    assert sent_to(calls.on_status(status, None, 100.5)) == "b"
    assert calls.on_status(200, None, 101.0) is DELIVER
    first, second = calls.attempt_log(102.0)
    assert (first.error_type, first.http_status) == (str(status), status)
    assert first.may_be_billed == (status >= 500)
    assert (second.target, second.after_s, second.error_type) == ("b", 0.5, None)


@pytest.mark.parametrize("fault", list(Fault))
def test_any_fault_before_the_first_byte_moves_on(fault):
    calls = new_calls(A, B)
    calls.start(100.0)
    action = calls.on_fault(fault, 100.5)
    if fault is Fault.RESET_UNSENT:
        assert sent_to(action) == "a"
        action = calls.on_fault(fault, 100.6)
    assert sent_to(action) == "b"
    assert calls.attempt_log(101.0)[0].error_type == fault.value


@pytest.mark.parametrize("kind", ["connect", "first_byte", "first_token", "stall"])
def test_a_silent_upstream_moves_on_before_the_first_token(kind):
    calls = new_calls(A, B)
    calls.start(100.0)
    assert sent_to(calls.on_timeout(kind, 105.0)) == "b"
    assert errors(calls)[0] == ("a", f"{kind}_timeout")
    assert calls.attempt_log(106.0)[0].may_be_billed == (kind != "connect")


def test_a_good_head_without_a_token_may_still_move_on():
    calls = new_calls(A, B)
    calls.start(100.0)
    assert calls.on_status(200, None, 100.5) is DELIVER
    assert sent_to(calls.on_timeout("first_token", 400.0)) == "b"
    assert calls.attempt_log(401.0)[0].http_status == 200


def test_targets_are_tried_in_order_and_no_more_than_allowed():
    context = new_context(n_attempts=2)
    calls = new_calls(A, B, C, context=context)
    assert sent_to(calls.start(100.0)) == "a"
    assert sent_to(calls.on_status(500, None, 100.1)) == "b"
    assert calls.on_status(503, None, 100.2) is DELIVER
    assert errors(calls) == [("a", "500"), ("b", "503")]


def test_stateful_request_stays_with_the_target_that_holds_the_state():
    calls = new_calls(A, B, stays=True)
    calls.start(100.0)
    action = calls.on_status(500, None, 100.1)
    assert action == Wait(A, 0.25)
    assert sent_to(calls.resume(100.35)) == "a"


def test_stateful_request_fails_when_its_target_is_out():
    context = new_context()
    close_off(context, A)
    action = new_calls(A, B, context=context, stays=True).start(100.0)
    assert isinstance(action, Fail)
    assert action.http_status == 503


# waiting for the same target


def test_waits_double_with_full_jitter_up_to_the_cap():
    waits_s = []
    context = new_context(draw=0.5, n_attempts=7, cap_s=2.0, max_retry_after_s=60.0)
    calls = new_calls(A, context=context)
    now = 100.0
    calls.start(now)
    for _ in range(6):
        context.health["a"].on_success(now, now)
        action = calls.on_status(500, None, now)
        waits_s.append(action.wait_s)
        now += action.wait_s
        assert sent_to(calls.resume(now)) == "a"
    assert waits_s == pytest.approx([0.125, 0.25, 0.5, 1.0, 1.0, 1.0])
    assert calls.on_status(500, None, now) is DELIVER


def test_retry_after_is_honoured_where_no_other_target_is_left():
    calls = new_calls(A, context=new_context(draw=0.0))
    calls.start(100.0)
    assert calls.on_status(429, 7.0, 100.0) == Wait(A, 7.0)
    assert sent_to(calls.resume(107.0)) == "a"


def test_jitter_comes_on_top_of_retry_after_and_never_before_it():
    calls = new_calls(A, context=new_context(draw=1.0))
    calls.start(100.0)
    assert calls.on_status(503, 7.0, 100.0) == Wait(A, 7.25)


def test_a_retry_after_longer_than_we_wait_is_the_clients_to_keep():
    calls = new_calls(A)
    calls.start(100.0)
    assert calls.on_status(429, 10.1, 100.0) is DELIVER


def test_a_retry_after_longer_than_we_wait_moves_on_where_another_is_left():
    calls = new_calls(A, B)
    calls.start(100.0)
    assert sent_to(calls.on_status(429, 3600.0, 100.0)) == "b"
    assert calls.on_fault(Fault.CONNECT, 100.1).target is B
    assert sent_to(calls.resume(100.4)) == "b"
    assert calls.on_fault(Fault.CONNECT, 100.5) is DELIVER_KEPT


def test_a_wait_that_would_pass_the_deadline_is_not_begun():
    calls = new_calls(A, context=new_context(draw=0.0, total_s=5.0))
    calls.start(100.0)
    assert calls.on_status(429, 5.0, 100.0) is DELIVER


def test_of_two_targets_that_asked_for_patience_the_sooner_one_is_asked_again():
    calls = new_calls(A, B, context=new_context(draw=0.0))
    calls.start(100.0)
    calls.on_status(429, 5.0, 100.0)
    assert calls.on_status(429, 2.0, 100.0) == Wait(B, 2.0)
    assert sent_to(calls.resume(102.0)) == "b"


def test_a_target_that_closed_while_we_waited_is_not_asked_again():
    context = new_context(draw=0.0)
    calls = new_calls(A, context=context)
    calls.start(100.0)
    assert isinstance(calls.on_status(500, None, 100.0), Wait)
    close_off(context, A)
    assert calls.resume(100.0) is DELIVER_KEPT


def test_another_target_that_recovered_while_we_waited_is_asked_instead():
    context = new_context(draw=1.0)
    close_off(context, B, now=95.2)
    calls = new_calls(A, B, context=context)
    calls.start(100.0)
    assert calls.on_status(500, None, 100.0) == Wait(A, 0.25)
    close_off(context, A, now=100.1)
    assert sent_to(calls.resume(100.25)) == "b"


# connections that were kept too long


def test_a_kept_connection_that_died_unsent_is_replaced_once_at_no_charge():
    budget = RetryBudget(n_floor=0.0, share_frac=0.0, floor_per_s=0.0)
    context = new_context(budget, n_attempts=1)
    calls = new_calls(A, context=context)
    calls.start(100.0)
    assert sent_to(calls.on_fault(Fault.RESET_UNSENT, 100.0)) == "a"
    assert context.health["a"].well(100.0)
    action = calls.on_fault(Fault.RESET_UNSENT, 100.1)
    assert isinstance(action, Fail)
    assert (action.error_type, action.http_status) == ("reset_unsent", 502)
    assert not context.health["a"].well(100.1)


# requests that may do something twice


def test_what_is_not_safe_to_repeat_is_repeated_only_where_nothing_was_done():
    for fault, repeats in (
        (Fault.CONNECT, True),
        (Fault.DNS, True),
        (Fault.TLS, True),
        (Fault.RESET, False),
        (Fault.RESET_UNSENT, False),
        (Fault.MALFORMED, False),
    ):
        calls = new_calls(A, B, is_repeatable=False)
        calls.start(100.0)
        assert isinstance(calls.on_fault(fault, 100.1), Send) == repeats, fault
    for status, repeats in ((429, True), (500, False), (503, False)):
        calls = new_calls(A, B, is_repeatable=False)
        calls.start(100.0)
        assert isinstance(calls.on_status(status, None, 100.1), Send) == repeats, status
    for kind, repeats in (("connect", True), ("first_byte", False)):
        calls = new_calls(A, B, is_repeatable=False)
        calls.start(100.0)
        assert isinstance(calls.on_timeout(kind, 100.1), Send) == repeats, kind


# after the client has part of the answer


def relayed(context):
    calls = new_calls(A, B, context=context)
    calls.start(100.0)
    calls.on_status(200, None, 100.5)
    calls.on_relay(101.0)
    return calls


@pytest.mark.parametrize("fault", list(Fault))
def test_stream_torn_after_first_token_is_not_retried(fault):
    assert relayed(new_context()).on_fault(fault, 102.0) == Torn(fault.value)


@pytest.mark.parametrize("kind", ["stall", "total"])
def test_stream_that_falls_silent_after_first_token_is_not_retried(kind):
    assert relayed(new_context()).on_timeout(kind, 102.0) == Torn(f"{kind}_timeout")


def test_a_torn_stream_counts_against_the_target_and_a_long_one_does_not():
    context = new_context()
    relayed(context).on_timeout("total", 102.0)
    assert context.health["a"].well(102.0)
    relayed(context).on_timeout("stall", 102.0)
    assert not context.health["a"].well(102.0)


def test_a_torn_attempt_is_in_the_log_as_billed():
    calls = relayed(new_context())
    calls.on_fault(Fault.RESET, 103.0)
    (only,) = calls.attempt_log(200.0)
    assert only.error_type == "connection_reset"
    assert only.http_status == 200
    assert only.may_be_billed
    assert only.latency_s == pytest.approx(3.0)


# nothing left to try


def test_without_any_answer_the_client_is_told_502_or_504():
    context = new_context(n_attempts=1)
    calls = new_calls(A, context=context)
    calls.start(100.0)
    assert calls.on_fault(Fault.CONNECT, 100.1) == Fail(
        "connect_error", 502, "the upstream did not answer: connect_error after 1 attempt"
    )
    calls = new_calls(A, context=context)
    calls.start(100.0)
    assert calls.on_timeout("first_byte", 220.0) == Fail(
        "first_byte_timeout",
        504,
        "the upstream did not answer: first_byte_timeout after 1 attempt",
    )


def test_the_last_answer_is_delivered_when_what_came_after_it_had_none():
    calls = new_calls(A, B, context=new_context(n_attempts=2))
    calls.start(100.0)
    calls.on_status(529, None, 100.1)
    assert calls.on_fault(Fault.RESET, 100.2) is DELIVER_KEPT


def test_the_total_deadline_ends_everything():
    calls = new_calls(A, B)
    calls.start(100.0)
    assert calls.on_timeout("total", 1300.0) == Fail(
        "total_timeout", 504, "the upstream's answer took longer than it may"
    )


def test_an_attempt_that_fails_after_the_deadline_is_not_repeated():
    calls = new_calls(A, B, context=new_context(total_s=5.0))
    calls.start(100.0)
    assert calls.on_status(500, None, 105.0) is DELIVER


def test_when_every_target_is_out_the_client_hears_when_to_come_back():
    context = new_context()
    close_off(context, A, now=100.0)
    close_off(context, B, now=98.0)
    action = new_calls(A, B, context=context).start(100.0)
    message = "every upstream that this request may use is out of service"
    assert action == Fail("no_target_available", 503, message, pytest.approx(3.0))


def test_when_every_target_is_only_limited_the_client_hears_429():
    context = new_context()
    context.health["a"].limited(107.0)
    context.health["b"].limited(104.0)
    action = new_calls(A, B, context=context).start(100.0)
    assert isinstance(action, Fail)
    assert (action.error_type, action.http_status) == ("upstream_limited", 429)
    assert action.retry_after_s == pytest.approx(4.0)


# choosing by health


def test_a_target_that_is_out_is_passed_over():
    context = new_context()
    close_off(context, A)
    calls = new_calls(A, B, context=context)
    assert sent_to(calls.start(100.0)) == "b"


def test_a_full_fleet_overflows_to_the_next_target():
    context = new_context()
    context.health["a"].on_engine(is_full=True, now=100.0)
    assert sent_to(new_calls(A, B, context=context).start(100.0)) == "b"
    context.health["b"].on_engine(is_full=True, now=100.0)
    assert sent_to(new_calls(A, B, context=context).start(100.0)) == "a"


def test_a_full_fleet_is_used_where_the_other_is_out():
    context = new_context()
    context.health["a"].on_engine(is_full=True, now=100.0)
    close_off(context, B)
    assert sent_to(new_calls(A, B, context=context).start(100.0)) == "a"


def test_one_request_probes_and_the_others_go_elsewhere_until_it_is_answered():
    context = new_context()
    close_off(context, A, now=90.0)
    probe = new_calls(A, B, context=context)
    assert sent_to(probe.start(100.0)) == "a"
    assert sent_to(new_calls(A, B, context=context).start(100.0)) == "b"
    probe.on_status(200, None, 100.5)
    probe.on_relay(100.5)
    assert sent_to(new_calls(A, B, context=context).start(101.0)) == "a"


def test_a_client_that_leaves_gives_the_probe_back():
    context = new_context()
    close_off(context, A, now=90.0)
    probe = new_calls(A, context=context)
    assert sent_to(probe.start(100.0)) == "a"
    probe.on_client_left()
    assert sent_to(new_calls(A, context=context).start(100.1)) == "a"


# a gate without room


def test_a_gate_without_room_moves_on_and_counts_for_nothing():
    context = new_context(RetryBudget(n_floor=0.0, share_frac=0.0, floor_per_s=0.0))
    calls = new_calls(A, B, context=context)
    calls.start(100.0)
    assert sent_to(calls.on_not_sent(3.0, 100.0)) == "b"
    assert calls.n_attempts == 1
    assert context.health["a"].well(100.0)
    assert [one.target for one in calls.attempt_log(100.0)] == ["b"]


def test_gates_without_room_make_a_fast_429():
    calls = new_calls(A)
    calls.start(100.0)
    assert calls.on_not_sent(3.0, 100.0) == Fail(
        "queue_full", 429, "the upstream's request queue is full", 3.0
    )


def test_a_gate_without_room_after_a_failure_goes_back_to_the_target_that_failed():
    calls = new_calls(A, B)
    calls.start(100.0)
    assert sent_to(calls.on_status(500, None, 100.0)) == "b"
    assert calls.on_not_sent(3.0, 100.0) == Wait(A, 0.25)


# the retry budget


def test_without_budget_the_same_target_is_not_asked_again():
    context = new_context(RetryBudget(n_floor=0.0, share_frac=0.1, floor_per_s=0.0))
    calls = new_calls(A, context=context)
    calls.start(100.0)
    assert calls.on_status(500, None, 100.0) is DELIVER


def test_without_budget_a_target_that_answers_well_is_still_moved_on_to():
    context = new_context(RetryBudget(n_floor=0.0, share_frac=0.0, floor_per_s=0.0))
    calls = new_calls(A, B, context=context)
    calls.start(100.0)
    assert sent_to(calls.on_status(500, None, 100.0)) == "b"


def test_without_budget_an_ailing_target_is_not_moved_on_to():
    context = new_context(RetryBudget(n_floor=0.0, share_frac=0.0, floor_per_s=0.0))
    context.health["b"].on_failure(99.0, 99.0)
    calls = new_calls(A, B, context=context)
    calls.start(100.0)
    assert calls.on_status(500, None, 100.0) is DELIVER


# the log


def test_the_log_names_each_attempt_with_its_time_and_outcome():
    calls = new_calls(A, B, context=new_context(draw=0.0))
    calls.start(100.1)
    calls.on_fault(Fault.CONNECT_TIMEOUT, 105.1)
    calls.on_status(503, 1.0, 106.1)
    calls.resume(106.1)
    calls.on_status(200, None, 107.1)
    log = calls.attempt_log(109.1)
    assert [(one.target, one.http_status, one.error_type, one.may_be_billed) for one in log] == [
        ("a", 0, "connect_timeout", False),
        ("b", 503, "503", True),
        ("a", 200, None, True),
    ]
    assert [one.after_s for one in log] == pytest.approx([0.1, 5.1, 6.1])
    assert [one.latency_s for one in log] == pytest.approx([5.0, 1.0, 3.0])
