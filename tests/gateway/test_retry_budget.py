"""Repeats stay a share of requests."""

from weighbridge.gateway.retry_budget import RetryBudget


def drained(budget, now=0.0):
    n = 0
    while budget.withdraw(now):
        n += 1
    return n


def test_a_fresh_process_may_repeat_a_little():
    assert drained(RetryBudget(n_floor=10.0)) == 10


def test_ten_requests_earn_one_repeat():
    budget = RetryBudget(share_frac=0.1, floor_per_s=0.0)
    drained(budget)
    for _ in range(21):
        budget.deposit()
    assert drained(budget) == 2


def test_what_is_saved_up_is_bounded():
    budget = RetryBudget(n_max=100.0)
    for _ in range(100_000):
        budget.deposit()
    assert drained(budget) == 100


def test_a_quiet_process_earns_its_floor_by_time_and_no_more():
    budget = RetryBudget(n_floor=10.0, floor_per_s=0.1)
    drained(budget, now=0.0)
    assert drained(budget, now=25.0) == 2
    assert drained(budget, now=100_000.0) == 10


def test_a_clock_that_stands_still_or_goes_back_earns_nothing():
    budget = RetryBudget()
    drained(budget, now=100.0)
    assert drained(budget, now=50.0) == 0
