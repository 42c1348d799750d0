"""Traffic made from a few figures has those figures; a log's stays as it is but for the cache."""

import numpy as np
import pytest

from weighbridge.study.stretch_traffic import (
    StatedHour,
    from_log,
    from_stated,
    minutes_of_an_hour,
    redrawn,
)
from weighbridge.study.typed_requests import TypedRequests
from weighbridge.units import InputError


def rng():
    return np.random.default_rng(7)


def hour(**changes):
    stated = {
        "mean_requests_per_s": 2.0,
        "peak_to_mean_ratio": 3.0,
        "within_hour_peak_ratio": 1.5,
        "input_tokens": 900.0,
        "output_tokens": 120.0,
        "length_p90_to_median_ratio": 3.4,
    }
    return StatedHour(**{**stated, **changes})


@pytest.mark.parametrize("ratio", [1.0, 1.2, 1.5, 4.0, 30.0])
def test_minutes_reach_the_ratio_and_keep_the_hour(ratio):
    minutes = minutes_of_an_hour(ratio)
    assert minutes.mean() == pytest.approx(1.0)
    assert minutes.max() == pytest.approx(ratio, rel=1e-6)
    assert minutes.min() > 0


def test_an_hour_has_no_busier_minute_than_all_of_it():
    with pytest.raises(InputError, match="within_hour_peak_ratio: is 61"):
        minutes_of_an_hour(61.0)


def test_a_made_hour_has_the_stated_rate_and_mean_lengths():
    made = from_stated(hour(), rng())
    n = made.requests.n_requests
    assert n == pytest.approx(2.0 * 3.0 * 3600, rel=0.03)
    assert made.requests.input_tokens.mean() == pytest.approx(900, rel=0.08)
    assert made.requests.output_tokens.mean() == pytest.approx(120, rel=0.08)
    assert made.peak_to_mean_ratio == 3.0
    lengths = np.quantile(made.requests.input_tokens, [0.5, 0.9])
    assert lengths[1] / lengths[0] == pytest.approx(3.4, rel=0.1)
    by_minute = np.bincount((made.requests.arrival_s / 60).astype(int), minlength=60)
    assert by_minute.max() / by_minute.mean() == pytest.approx(1.5, rel=0.15)


def test_thin_traffic_is_made_for_longer_and_dense_traffic_for_less():
    thin = from_stated(hour(mean_requests_per_s=0.001), rng()).requests
    assert thin.n_requests >= 100
    assert thin.duration_s > 3600
    dense = from_stated(hour(mean_requests_per_s=1000.0), rng()).requests
    assert dense.duration_s == pytest.approx(300, abs=1)


def typed():
    return TypedRequests(
        first_at=None,
        arrival_s=np.array([0.0, 5.0, 9.0, 11.0]),
        fresh_tokens=np.array([100, 0, 300, 50]),
        cached_tokens=np.array([0, 1000, 0, 10]),
        output_tokens=np.array([1, 2, 3, 4]),
        type_index=np.array([2, 0, 1, 2]),
    )


def test_only_what_may_move_is_kept_and_lost_cache_hits_are_computed():
    stretch = from_log(typed(), (0, 2), retained_frac=0.8)
    assert stretch.requests.input_tokens.tolist() == [100, 200, 52]
    assert stretch.requests.arrival_s.tolist() == [0.0, 5.0, 11.0]
    assert stretch.type_index.tolist() == [2, 0, 2]
    assert not stretch.is_enough


def test_a_prompt_that_is_cached_whole_still_has_a_token_to_compute():
    assert from_log(typed(), (0,), 1.0).requests.input_tokens.tolist() == [1]


def test_nothing_that_may_move_is_not_enough():
    assert not from_log(typed(), (), 0.8).is_enough


def test_arrivals_drawn_anew_keep_lengths_with_their_types():
    n = 400
    source = TypedRequests(
        None,
        np.repeat(np.arange(4.0) * 900, n // 4),  # in four ticks
        np.tile([10, 2000], n // 2),
        np.zeros(n, np.int64),
        np.tile([7, 70], n // 2),
        np.tile([0, 1], n // 2),
    )
    stretch = from_log(source, (0, 1), 0.8)
    drawn = redrawn(stretch, np.ones(n, bool), 3600.0, 1.5, rng())
    assert len(np.unique(drawn.requests.arrival_s)) == drawn.requests.n_requests
    assert drawn.requests.n_requests == pytest.approx(n, rel=0.15)
    assert drawn.requests.input_tokens[drawn.type_index == 1].tolist() == (
        [2000] * int((drawn.type_index == 1).sum())
    )
    assert set(drawn.requests.output_tokens[drawn.type_index == 0]) == {7}
    assert "1.5 times the hour" in drawn.words
