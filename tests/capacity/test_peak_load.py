"""The peak: the window of most work, found as by trying every start."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity.peak_load import LEAD_IN_S, multiplied_load, peak_load
from weighbridge.capacity.stretch import busiest_window, multiplied
from weighbridge.capacity.traffic import Requests


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), min_size=1, max_size=40),
    st.floats(0.5, 60),
)
def test_the_busiest_window_is_that_of_trying_every_arrival(pairs, window_s) -> None:
    pairs.sort()
    arrival_s = np.array([at for at, _ in pairs])
    work_s = np.array([work for _, work in pairs])
    start, end = busiest_window(arrival_s, work_s, window_s)
    found = work_s[(arrival_s >= start) & (arrival_s < end)].sum()
    every = [work_s[(arrival_s >= a) & (arrival_s < a + window_s)].sum() for a in arrival_s]
    assert found >= max(every) - 1e-9


def test_the_peak_of_a_long_stretch_is_judged_after_a_lead_in(made) -> None:
    n = 20_000
    arrival_s = np.sort(np.random.default_rng(0).uniform(0, 86400, n))
    requests = Requests(arrival_s, np.full(n, 100), np.full(n, 10))
    busy = np.where((arrival_s > 40_000) & (arrival_s < 43_600), 5.0, 1.0)
    load = peak_load(requests, busy)
    assert abs(load.from_s - 40_000) < 300
    assert not load.is_whole
    judged_s = load.requests.arrival_s[load.judged]
    assert LEAD_IN_S - 30 < judged_s[0] <= LEAD_IN_S
    assert judged_s[-1] - judged_s[0] <= 3600


def test_a_stretch_not_much_longer_than_the_window_is_taken_whole(made) -> None:
    requests = made.requests(500, 0.12)
    load = peak_load(requests, np.ones(500))
    assert load.is_whole
    assert load.judged.all()


@settings(max_examples=25)
@given(st.floats(0.05, 6), st.floats(0.05, 6))
def test_fewer_users_are_among_more_users(one, other) -> None:
    requests = Requests(np.linspace(0, 3000, 200), np.arange(1, 201), np.full(200, 7))
    less, more = sorted((one, other))
    few, many = multiplied(requests, less), multiplied(requests, more)
    seen = set(zip(many.arrival_s.tolist(), many.input_tokens.tolist(), strict=True))
    assert set(zip(few.arrival_s.tolist(), few.input_tokens.tolist(), strict=True)) <= seen


def test_a_window_of_very_many_requests_is_cut_to_its_middle_at_the_same_rate(made) -> None:
    requests = made.requests(4000, 4.0)
    load = peak_load(requests, np.ones(4000))
    many = multiplied_load(load, 10.0, n_most_requests=16_000)
    assert 14_000 < many.judged.sum() < 18_000
    rate = many.judged.sum() / np.ptp(many.requests.arrival_s[many.judged])
    assert abs(rate / 40.0 - 1) < 0.1
