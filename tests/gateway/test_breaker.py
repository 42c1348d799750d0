"""Health of one target, as what happens to it and what is then said of it."""

import pytest

from weighbridge.gateway.breaker import BreakerSettings, TargetHealth
from weighbridge.policy.types import Saturation

SETTINGS = BreakerSettings()


def new_health(saturation=None, draw=0.0):
    return TargetHealth(lambda: draw, SETTINGS, saturation)


def fail(health, now, times=1, sent_s=None):
    for _ in range(times):
        health.on_failure(now, now if sent_s is None else sent_s)


def opened_at(now):
    health = new_health()
    fail(health, now, times=5)
    return health


def test_a_new_target_has_nothing_against_it():
    health = new_health()
    assert health.is_clear
    assert health.available(0.0)
    assert health.well(0.0)
    assert health.state(0.0) == "closed"


def test_five_failures_in_a_row_open_it_and_four_do_not():
    health = new_health()
    fail(health, 10.0, times=4)
    assert health.available(10.0)
    assert not health.well(10.0)
    fail(health, 10.0)
    assert not health.available(10.0)
    assert not health.is_clear
    assert health.state(10.0) == "open"
    assert health.wait_s(11.0) == pytest.approx(4.0)


def test_a_success_between_failures_starts_the_row_again():
    health = new_health()
    for now in (1.0, 2.0):
        fail(health, now, times=4)
        health.on_success(now, now)
    assert health.available(3.0)


def test_half_of_twenty_answers_failed_opens_it():
    health = new_health()
    for n in range(19):
        health.on_success(1.0, 1.0) if n % 2 else fail(health, 1.0)
    assert health.available(1.0)
    fail(health, 1.0)
    assert not health.available(1.0)


def test_failures_older_than_the_window_are_forgotten():
    health = new_health()
    for _ in range(9):
        fail(health, 0.0)
        health.on_success(0.0, 0.0)
    for _ in range(9):
        health.on_success(31.0, 31.0)
    fail(health, 31.0, times=3)
    assert health.available(31.0)


def test_one_probe_goes_through_after_the_pause_and_its_success_closes():
    health = opened_at(10.0)
    assert not health.acquire(14.9)
    assert health.acquire(15.0)
    assert health.state(15.0) == "half_open"
    assert not health.acquire(15.0)
    health.on_success(16.0, 15.0)
    assert health.state(16.0) == "closed"
    assert health.is_clear


def test_looking_takes_no_probe():
    health = opened_at(10.0)
    assert health.available(15.0)
    assert health.available(15.0)
    assert health.acquire(15.0)
    assert not health.available(15.0)


def test_a_failed_probe_doubles_the_pause_up_to_a_bound():
    health = opened_at(0.0)
    now, pauses_s = 0.0, []
    for _ in range(7):
        pauses_s.append(health.wait_s(now))
        now += pauses_s[-1]
        assert health.acquire(now)
        fail(health, now)
    assert pauses_s == pytest.approx([5, 10, 20, 40, 80, 120, 120])


def test_a_pause_is_spread_by_jitter():
    health = new_health(draw=0.5)
    fail(health, 0.0, times=5)
    assert health.wait_s(0.0) == pytest.approx(5.5)


def test_a_relapse_soon_after_recovery_is_paused_for_longer_and_a_late_one_is_not():
    for recovery_s, pause_s in ((10.0, 10.0), (31.0, 5.0)):
        health = opened_at(0.0)
        health.acquire(5.0)
        health.on_success(5.0, 5.0)
        fail(health, 5.0 + recovery_s, times=5)
        assert health.wait_s(5.0 + recovery_s) == pytest.approx(pause_s)


def test_a_straggler_from_before_the_opening_neither_closes_nor_prolongs_it():
    health = opened_at(10.0)
    fail(health, 12.0, sent_s=9.0)
    health.on_success(12.0, 9.0)
    assert health.wait_s(12.0) == pytest.approx(3.0)
    health.acquire(15.0)
    fail(health, 15.5, sent_s=9.0)
    health.on_success(15.5, 9.0)
    assert health.state(15.5) == "half_open"


def test_a_released_probe_makes_room_for_the_next():
    health = opened_at(10.0)
    assert health.acquire(15.0)
    health.release(9.0)  # of an older attempt: not the probe
    assert not health.available(15.0)
    health.release(15.0)
    assert health.acquire(15.0)


def test_a_probe_that_is_never_heard_of_again_does_not_block_for_ever():
    health = opened_at(10.0)
    assert health.acquire(15.0)
    assert not health.available(74.9)
    assert health.acquire(75.0)


def test_an_answer_that_blames_the_request_does_not_count_and_proves_a_probe():
    health = new_health()
    for _ in range(50):
        health.on_refused(1.0, 1.0)
    assert health.is_clear
    health = opened_at(10.0)
    health.acquire(15.0)
    health.on_refused(15.1, 15.0)
    assert health.state(15.1) == "closed"


def test_429_with_retry_after_leaves_it_alone_and_is_no_illness():
    health = new_health()
    health.on_limited(10.0, 10.0, 7.0)
    assert health.state(10.0) == "limited"
    assert health.is_limited(10.0)
    assert not health.available(16.9)
    assert health.wait_s(12.0) == pytest.approx(5.0)
    assert health.available(17.0)
    assert health.is_clear


def test_a_shorter_retry_after_does_not_cut_a_longer_one():
    health = new_health()
    health.on_limited(10.0, 10.0, 7.0)
    health.on_limited(11.0, 10.0, 1.0)
    assert not health.available(16.9)


def test_a_retry_after_of_a_day_is_asked_again_within_a_minute():
    health = new_health()
    health.on_limited(0.0, 0.0, 86_400.0)
    assert not health.available(59.9)
    assert health.available(60.0)


def test_one_429_without_retry_after_pauses_nothing_and_several_in_a_row_do():
    health = new_health()
    health.on_limited(0.0, 0.0, None)
    health.on_limited(0.0, 0.0, None)
    assert health.is_clear
    pauses_s = []
    for _ in range(6):
        now = 100.0 * len(pauses_s)
        health.on_limited(now, now, None)
        pauses_s.append(health.wait_s(now))
    assert pauses_s == pytest.approx([0.5, 1, 2, 4, 5, 5])
    health.on_success(1000.0, 1000.0)
    health.on_limited(1001.0, 1001.0, None)
    assert health.available(1001.0)


def test_two_failed_checks_mark_it_down_and_one_good_one_up():
    health = new_health()
    health.on_health(is_well=False)
    assert health.available(0.0)
    health.on_health(is_well=False)
    assert health.state(0.0) == "down"
    assert not health.acquire(1000.0)
    assert health.wait_s(1000.0) == pytest.approx(5.0)
    health.on_health(is_well=True)
    assert health.available(1001.0)
    assert health.is_clear


def test_a_good_check_does_not_close_the_breaker():
    health = opened_at(10.0)
    health.on_health(is_well=True)
    assert not health.available(11.0)


def test_a_full_engine_is_available_but_saturated_until_its_next_word():
    health = new_health()
    health.on_engine(is_full=True, now=10.0)
    assert health.saturated(10.0)
    assert health.available(10.0)
    assert health.saturated(10.0)
    health.on_engine(is_full=False, now=20.0)
    assert not health.saturated(20.0)
    assert health.available(20.0)
    assert health.is_clear


def test_an_engine_that_is_no_longer_polled_is_not_full_for_ever():
    health = new_health()
    health.on_engine(is_full=True, now=10.0)
    assert health.saturated(39.9)
    assert not health.saturated(40.0)
    assert health.available(40.0)
    assert health.is_clear


def test_slow_first_tokens_saturate_with_hysteresis():
    health = new_health(Saturation(ttft_s=2.0))
    for _ in range(4):
        health.on_ttft(3.0, 10.0)
    assert not health.saturated(10.0)
    health.on_ttft(3.0, 10.0)
    assert health.saturated(10.0)
    for _ in range(30):
        health.on_ttft(1.9, 11.0)
    assert health.saturated(11.0)
    for _ in range(30):
        health.on_ttft(1.5, 12.0)
    assert not health.saturated(12.0)


def test_one_slow_answer_among_quick_ones_does_not_saturate():
    health = new_health(Saturation(ttft_s=2.0))
    for ttft_s in (0.1, 0.1, 0.1, 0.1, 0.1, 5.0, 0.1):
        health.on_ttft(ttft_s, 10.0)
        assert not health.saturated(10.0)


def test_slowness_is_forgotten_when_nothing_is_sent_there_any_more():
    health = new_health(Saturation(ttft_s=2.0))
    for _ in range(5):
        health.on_ttft(9.0, 10.0)
    assert health.saturated(19.9)
    assert not health.saturated(20.0)
    health.on_ttft(9.0, 21.0)
    assert not health.saturated(21.0)


def test_first_tokens_of_a_target_without_a_limit_say_nothing():
    health = new_health(Saturation(kv_usage_frac=0.9))
    for _ in range(50):
        health.on_ttft(1000.0, 10.0)
    assert health.is_clear
