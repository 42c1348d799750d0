"""Sampling error and growth on synthetic traffic whose answers are known."""

import datetime as dt
import math

import numpy as np
import pytest

from weighbridge.usage.analyses.clock import Span, exposure_hours, hour_of_week, weekly_rate
from weighbridge.usage.analyses.lengths import Histogram, quantiles
from weighbridge.usage.analyses.peaks import Windows, has_mean, peaks_of
from weighbridge.usage.analyses.sampling import Volume, relative_sd, trend_per_week, whole_days

MONDAY = dt.datetime(2026, 10, 5, tzinfo=dt.UTC)
HOUR_US = 3_600_000_000


def span_of(days, start=MONDAY):
    first = int(start.timestamp() * 1e6)
    return Span(first, first + int(days * 24 * HOUR_US) - 1_000_000)


def windows(at, tokens):
    tokens = np.asarray(tokens, dtype=np.int64)
    return Windows(at, {"requests": tokens, "tokens": tokens, "output_tokens": tokens})


def volume(hourly, start=MONDAY, sum_squared=None):
    span = span_of(len(hourly) / 24, start)
    first_hour = span.first_us // HOUR_US
    minutes = windows(
        np.arange(first_hour * 60, (first_hour + len(hourly)) * 60), np.repeat(hourly, 60) // 60
    )
    return Volume(
        windows(np.arange(first_hour, first_hour + len(hourly)), hourly),
        minutes,
        float(np.sum(hourly)) if sum_squared is None else sum_squared,
        span,
    )


def rhythm(days):
    hours = np.arange(days * 24)
    office = np.where((hours % 24 > 7) & (hours % 24 < 19), 3.0, 0.5)
    return office * np.where(hours // 24 % 7 >= 5, 0.4, 1.0)


def estimates(draw, n_trials=300):
    rng = np.random.default_rng(11)
    return np.array([relative_sd(volume(draw(rng))) for _ in range(n_trials)])


@pytest.mark.parametrize("days", [7, 14, 28])
def test_poisson_traffic_shows_one_over_root_n(days):
    mean = 200 * rhythm(days)
    found = estimates(lambda rng: rng.poisson(mean))
    truth = 1 / math.sqrt(mean.sum())
    # Never below the truth for independent requests, and above only by the estimate's own noise.
    assert truth * 0.98 < np.median(found) < truth * 1.35


@pytest.mark.parametrize("days", [7, 14, 28])
@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_days_that_swing_together_show_their_swing(days, spread):
    mean = 2000 * rhythm(days)
    daily = mean.reshape(days, 24).sum(axis=1)

    def swinging(rng):
        shocks = rng.gamma(1 / spread**2, spread**2, size=days)
        return rng.poisson(mean * np.repeat(shocks, 24))

    truth = spread * math.sqrt(np.sum(daily**2)) / daily.sum()
    # Root mean square: the variance is what is estimated without bias.
    assert np.sqrt(np.mean(estimates(swinging) ** 2)) == pytest.approx(truth, rel=0.25)


def test_a_weekly_habit_is_not_noise():
    steady = (10_000 * rhythm(28)).astype(int)
    found = relative_sd(volume(steady))
    assert found == pytest.approx(1 / math.sqrt(steady.sum()))


def test_in_one_week_an_odd_weekday_counts_as_noise_since_chance_cannot_be_ruled_out():
    hourly = (1000 * rhythm(7)).astype(int)
    hourly[4 * 24 : 5 * 24] //= 2  # Fridays may be short here, or this one was
    assert relative_sd(volume(hourly)) > 10 / math.sqrt(hourly.sum())


def test_few_large_requests_are_less_certain_than_many_small_ones():
    hourly = (1000 * rhythm(28)).astype(int)
    few = relative_sd(volume(hourly, sum_squared=float(hourly.sum()) * 400))
    assert few == pytest.approx(20 / math.sqrt(hourly.sum()))


def test_an_hour_of_steady_traffic_has_a_small_error_and_ten_seconds_have_none():
    assert relative_sd(volume(np.full(1, 60_000))) < 0.01
    short = volume(np.full(1, 60_000))
    instant = Volume(
        short.hours, short.minutes, 1.0, Span(short.span.first_us, short.span.first_us)
    )
    assert relative_sd(instant) is None


def test_no_tokens_have_no_error():
    assert relative_sd(volume(np.zeros(7 * 24))) is None


def test_growth_is_found_under_rhythm_and_noise():
    growth = 1.10 ** (np.arange(28 * 24) / 168)
    hourly = np.random.default_rng(5).poisson(5000 * rhythm(28) * growth)
    assert trend_per_week(volume(hourly)) == pytest.approx(0.10, abs=0.01)


def test_one_wild_day_does_not_make_growth():
    hourly = (1000 * rhythm(28)).astype(int)
    hourly[-24:] *= 20
    assert trend_per_week(volume(hourly)) == pytest.approx(0, abs=1e-3)


def test_growth_needs_fourteen_days():
    assert trend_per_week(volume(np.full(13 * 24, 10))) is None
    assert trend_per_week(volume(np.full(14 * 24, 10))) == 0


def test_a_calendar_week_counts_though_its_last_request_came_before_midnight():
    assert whole_days(span_of(7)) == 7
    assert whole_days(span_of(6.9)) == 6


def test_hours_of_the_week_begin_on_monday():
    monday_hour = np.array([int(MONDAY.timestamp()) // 3600])
    assert hour_of_week(monday_hour)[0] == 0
    assert hour_of_week(monday_hour - 1)[0] == 167


def test_rates_are_over_how_often_an_hour_of_the_week_was_seen():
    start = MONDAY + dt.timedelta(hours=6, minutes=30)
    span = span_of(8, start)
    exposure = exposure_hours(span)
    assert exposure.sum() == pytest.approx(8 * 24, abs=0.01)
    assert exposure[6] == pytest.approx(1.5)  # half a Monday 06:00, then a whole one
    assert exposure[7] == 2
    assert exposure[34] == 1
    hours = np.array([span.first_us // HOUR_US])
    assert weekly_rate(hours, np.array([30]), exposure)[6] == pytest.approx(20)


def test_hours_never_seen_are_unknown_and_not_idle():
    span = span_of(2)
    rate = weekly_rate(np.array([span.first_us // HOUR_US]), np.array([5]), exposure_hours(span))
    assert rate[0] == 5
    assert (rate[1:47] == 0).all()
    assert np.isnan(rate[48:]).all()


def test_empty_windows_count_in_the_mean_and_half_seen_ones_do_not():
    span = span_of(3.5)
    first = span.first_us // (24 * HOUR_US)
    days = windows(np.array([first, first + 3]), np.array([90, 30]))
    found = {peak.measure: peak for peak in peaks_of(days, span, 86_400)}["tokens"]
    assert (found.peak_per_window, found.mean_per_window) == (90, 30)
    assert has_mean(span, 86_400)
    assert not has_mean(span_of(1.5), 86_400)


def test_quantiles_of_small_whole_numbers_are_exact():
    values = np.random.default_rng(3).integers(0, 128, 999)
    bins, counts = np.unique(values, return_counts=True)
    found = quantiles(Histogram(bins, counts, bins, bins, bins * counts))
    ordered = np.sort(values)
    assert (found.p10, found.p50, found.p99) == tuple(
        float(ordered[math.ceil(share * 999) - 1]) for share in (0.10, 0.50, 0.99)
    )
    assert found.mean == pytest.approx(values.mean())


def test_bins_of_several_query_types_are_put_together_before_they_are_read():
    def one(least, greatest, n):
        return [np.array([value]) for value in (448, n, least, greatest, n * least)]

    both = [np.concatenate(pair) for pair in zip(one(128, 128, 9), one(129, 129, 1), strict=True)]
    found = quantiles(Histogram(*both))
    assert (found.n, found.max) == (10, 129.0)
    assert 128 <= found.p50 <= 129
