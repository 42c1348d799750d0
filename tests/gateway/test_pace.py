"""A rate by the minute with room for a burst."""

import pytest

from weighbridge.gateway.pace import Pace


def test_a_burst_is_there_at_once_and_refills_steadily():
    pace = Pace(60, burst_s=10.0)
    assert pace.wait_s(10, 5.0) == 0.0
    pace.take(10, 5.0)
    assert pace.wait_s(1, 5.0) == pytest.approx(1.0)
    assert pace.wait_s(3, 6.0) == pytest.approx(2.0)
    assert pace.wait_s(1, 6.0) == 0.0


def test_no_more_than_a_burst_is_saved_up():
    pace = Pace(60, burst_s=10.0)
    pace.take(0, 0.0)
    pace.take(10, 1e6)
    assert pace.wait_s(1, 1e6) == pytest.approx(1.0)


def test_what_is_ahead_is_waited_for():
    pace = Pace(60, burst_s=10.0)
    assert pace.wait_s(1, 0.0, ahead=14.0) == pytest.approx(5.0)


def test_a_large_amount_waits_for_a_full_burst_and_leaves_a_debt():
    pace = Pace(60, burst_s=10.0)
    pace.take(4, 0.0)
    assert pace.wait_s(100, 0.0) == pytest.approx(4.0)
    pace.take(100, 4.0)
    assert pace.wait_s(1, 4.0) == pytest.approx(91.0)


def test_what_was_not_used_comes_back_but_not_beyond_a_burst():
    pace = Pace(60, burst_s=10.0)
    pace.take(10, 0.0)
    pace.give_back(4)
    assert pace.wait_s(4, 0.0) == 0.0
    pace.give_back(1000)
    pace.take(10, 0.0)
    assert pace.wait_s(1, 0.0) == pytest.approx(1.0)


def test_a_clock_that_goes_back_takes_nothing_away():
    pace = Pace(60, burst_s=10.0)
    pace.take(5, 100.0)
    assert pace.wait_s(5, 50.0) == 0.0


def test_another_rate_holds_from_the_moment_it_is_set():
    pace = Pace(60, burst_s=10.0)
    pace.take(10, 0.0)
    pace.slow_to(30, 2.0)
    assert pace.wait_s(2, 2.0) == 0.0
    assert pace.wait_s(3, 2.0) == pytest.approx(2.0)


def test_whoever_keeps_the_account_may_only_lower_it():
    pace = Pace(60, burst_s=10.0)
    pace.lower_to(3, 0.0)
    assert pace.wait_s(4, 0.0) == pytest.approx(1.0)
    pace.lower_to(9, 0.0)
    assert pace.wait_s(4, 0.0) == pytest.approx(1.0)
