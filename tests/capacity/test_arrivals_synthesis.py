"""Traffic drawn from a profile comes in the number, at the times and with the lengths it tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.capacity import arrivals_profile
from weighbridge.capacity.arrivals import (
    ArrivalProfile,
    Bursts,
    Span,
    busiest_hours,
    expected_requests,
    profile_of,
    spread_over_ticks,
    statistics_of,
    synthesize,
)
from weighbridge.capacity.arrivals_clock import hour_clock
from weighbridge.capacity.traffic import PrefixBlocks, Requests
from weighbridge.units import InputError

BURSTS: tuple[Bursts, ...] = ("renewal", "wandering", "replayed")
WEEK_S = 168 * 3600.0
HOURLY = 1.0 + 0.8 * np.sin(np.arange(168) * 2 * np.pi / 24)


def requests_at(at_s: np.ndarray, seed: int = 0) -> Requests:
    """Requests whose output is a tenth of their input."""
    outputs = np.random.default_rng(seed).integers(1, 500, len(at_s))
    return Requests(at_s, outputs * 10, outputs)


def week_of(rate: float, seed: int = 0, n_weeks: int = 1) -> Requests:
    """Poisson arrivals that follow `HOURLY`."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.tile(HOURLY, n_weeks) * rate * 3600)
    hours = np.repeat(np.arange(len(counts)), counts)
    return requests_at(np.sort(hours + rng.random(len(hours))) * 3600.0, seed)


def gamma_hour(shape: float, n: int = 4000, seed: int = 0) -> Requests:
    gaps = np.random.default_rng(seed).gamma(shape, 1 / shape, n)
    return requests_at(np.cumsum(gaps), seed)


@pytest.fixture(scope="module")
def weekly() -> ArrivalProfile:
    return profile_of(week_of(0.05), 0.0)


@pytest.fixture(scope="module")
def bursty() -> ArrivalProfile:
    return profile_of(gamma_hour(0.2), None)


def test_a_profile_has_the_rate_of_each_hour_of_the_week() -> None:
    profile = profile_of(week_of(0.5), 0.0)
    assert np.corrcoef(profile.rate_requests_per_s, HOURLY)[0, 1] > 0.99
    assert profile.rate_requests_per_s.mean() == pytest.approx(0.5, rel=0.02)
    assert profile.gaps.cv_ratio == pytest.approx(1.0, abs=0.03)  # the hours are taken out
    late = profile_of(week_of(0.5), 100.5)
    assert late.rate_requests_per_s[101] == pytest.approx(
        (profile.rate_requests_per_s[0] + profile.rate_requests_per_s[1]) / 2, rel=0.2
    )


def test_hours_of_the_day_are_pooled_over_days() -> None:
    profile = profile_of(week_of(0.1), 0.0, pattern="day")
    by_day = profile.rate_requests_per_s.reshape(7, 24)
    assert (by_day == by_day[0]).all()
    assert profile.seen_hours.min() > 6.9


def test_hours_never_seen_are_refused_or_taken_from_others() -> None:
    hours = week_of(0.2)
    day = replace(
        hours,
        **{
            name: getattr(hours, name)[hours.arrival_s < 86_400]
            for name in ("arrival_s", "input_tokens", "output_tokens")
        },
    )
    profile = profile_of(day, 24.0)  # a Tuesday
    assert profile.n_unseen_hours == 144
    assert synthesize(profile, Span(3600.0, 24.0), np.random.default_rng(0)).n_requests > 0
    with pytest.raises(InputError, match=r"were never seen, the first is Monday 0:00 UTC"):
        synthesize(profile, Span(WEEK_S), np.random.default_rng(0))
    same = profile_of(day, 24.0, unseen="same_hour").rate_requests_per_s
    assert np.array_equal(same[:24], same[24:48])
    mean = profile_of(day, 24.0, unseen="mean").rate_requests_per_s
    assert len(np.unique(mean[:24])) == 1
    assert mean[0] == pytest.approx(mean[24:48].mean(), rel=0.04)


@pytest.mark.parametrize("bursts", BURSTS)
def test_as_many_requests_come_as_expected(weekly: ArrivalProfile, bursts: Bursts) -> None:
    span = Span(50 * 3600.0, 30.25)
    counts = [
        synthesize(weekly, span, np.random.default_rng(seed), bursts=bursts).n_requests
        for seed in range(12)
    ]
    expected = expected_requests(weekly, span)
    edges = (np.arange(50 * 4) + 0.5) / 4 + 30.25
    by_hand = weekly.rate_requests_per_s[(edges % 168).astype(int)].sum() * 900
    assert expected == pytest.approx(by_hand, rel=1e-9)
    error = max(float(np.std(counts)), expected**0.5) / 12**0.5
    assert abs(np.mean(counts) - expected) < 4 * error


@pytest.mark.parametrize("bursts", BURSTS)
def test_a_seed_draws_the_same_again_and_another_does_not(
    bursty: ArrivalProfile, bursts: Bursts
) -> None:
    span = Span(1200.0)
    one, same, other = (
        synthesize(bursty, span, np.random.default_rng(seed), bursts=bursts) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.arrival_s, same.arrival_s)
    assert np.array_equal(one.input_tokens, same.input_tokens)
    assert not np.array_equal(one.arrival_s, other.arrival_s)
    assert 0 <= one.arrival_s[0] <= one.arrival_s[-1] < 1200


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(BURSTS), st.floats(60, 90_000), st.floats(0, 167.9), st.floats(0.2, 5))
def test_any_span_is_drawn_in_order_and_inside(
    bursts: Bursts, duration_s: float, hour: float, growth_ratio: float
) -> None:
    profile = WEEKLY
    span = Span(duration_s, hour, growth_ratio)
    drawn = synthesize(profile, span, np.random.default_rng(0), bursts=bursts)
    assert (np.diff(drawn.arrival_s) >= 0).all()
    assert (drawn.arrival_s >= 0).all()
    assert (drawn.arrival_s <= duration_s).all()
    assert (drawn.input_tokens == 10 * drawn.output_tokens).all()  # rows are kept whole


WEEKLY = profile_of(week_of(0.02, seed=9), 0.0)


def test_gaps_are_as_bursty_as_the_profile_says(bursty: ArrivalProfile) -> None:
    assert bursty.gaps.family == "gamma"
    assert bursty.gaps.cv_ratio == pytest.approx(5**0.5, rel=0.05)
    for bursts in BURSTS:
        drawn = synthesize(bursty, Span(20_000.0), np.random.default_rng(3), bursts=bursts)
        found = statistics_of(drawn, (1.0, 60.0))
        assert found.cv_ratio == pytest.approx(5**0.5, rel=0.15)
        assert found.dispersion_ratio[60.0] == pytest.approx(5.0, rel=0.5)


@pytest.mark.parametrize("bursts", BURSTS)
def test_a_profile_of_what_was_drawn_is_the_profile(weekly: ArrivalProfile, bursts: Bursts) -> None:
    drawn = synthesize(weekly, Span(2 * WEEK_S), np.random.default_rng(5), bursts=bursts)
    again = profile_of(drawn, 0.0)
    assert np.corrcoef(again.rate_requests_per_s, weekly.rate_requests_per_s)[0, 1] > 0.97
    assert again.mean_requests_per_s == pytest.approx(weekly.mean_requests_per_s, rel=0.03)
    assert again.gaps.cv_ratio == pytest.approx(weekly.gaps.cv_ratio, rel=0.05)
    assert np.quantile(again.rows.input_tokens, 0.9) == pytest.approx(
        np.quantile(weekly.rows.input_tokens, 0.9), rel=0.03
    )


def test_growth_runs_from_the_first_hour_to_the_last(weekly: ArrivalProfile) -> None:
    flat = replace(weekly, rate_requests_per_s=np.full(168, 0.05))
    drawn = synthesize(flat, Span(WEEK_S, 0.0, 4.0), np.random.default_rng(0), bursts="renewal")
    first, last = np.histogram(drawn.arrival_s, 7, (0, WEEK_S))[0][[0, -1]]
    assert last / first == pytest.approx(4 ** (6 / 7), rel=0.1)


def test_too_many_requests_are_refused_before_any_is_drawn(weekly: ArrivalProfile) -> None:
    year = Span(365 * 86_400.0)
    with pytest.raises(InputError) as caught:
        synthesize(weekly, year, np.random.default_rng(0), n_most_requests=1000)
    told = str(caught.value)
    assert f"about {expected_requests(weekly, year):,.0f} requests, and 1,000 are allowed" in told
    assert "mend: draw the busiest weeks only, or a share of at most 0.0006" in told


@pytest.mark.parametrize(
    ("span", "told"),
    [((0.0, 0.0, 1.0), "duration_s: is 0"), ((9.0, 0.0, float("nan")), "growth_ratio: is nan")],
)
def test_a_span_of_nothing_is_refused(span: tuple[float, float, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Span(*span)


def test_silent_hours_give_no_traffic_to_draw(weekly: ArrivalProfile) -> None:
    silent = replace(weekly, rate_requests_per_s=np.where(np.arange(168) < 24, 0.0, 0.05))
    with pytest.raises(InputError, match="nothing comes in these hours"):
        synthesize(silent, Span(3600.0), np.random.default_rng(0))
    drawn = synthesize(silent, Span(48 * 3600.0), np.random.default_rng(0))
    assert drawn.arrival_s.min() >= 24 * 3600.0


def test_the_busiest_hours_are_found_around_the_end_of_the_week(weekly: ArrivalProfile) -> None:
    rates = np.ones(168)
    rates[[167, 0]] = 3.0
    assert busiest_hours(replace(weekly, rate_requests_per_s=rates), 2) == (167, 3.0)
    with pytest.raises(InputError, match="n_hours: is 0"):
        busiest_hours(weekly, 0)


def test_replayed_runs_keep_sessions_and_prefixes_together() -> None:
    n = 2000
    at_s = np.cumsum(np.random.default_rng(0).exponential(1.0, n))
    talk = np.arange(n) // 4  # conversations of four, each longer by a block
    turn = np.arange(n) % 4
    blocks = [[0, *(1 + 4 * t + np.arange(k + 1))] for t, k in zip(talk, turn, strict=True)]
    prefix = PrefixBlocks(
        np.concatenate(blocks).astype(np.int64),
        np.concatenate([[0], np.cumsum([len(b) for b in blocks])]).astype(np.int64),
        16,
    )
    ones = np.ones(n, np.int64)
    requests = Requests(at_s, 16 * (turn + 2), ones, session=talk, prefix=prefix)
    drawn = synthesize(
        profile_of(requests, None), Span(5000.0), np.random.default_rng(1), bursts="replayed"
    )
    assert drawn.prefix is not None
    assert len(np.unique(drawn.session)) > 1000  # no conversation comes twice
    own = drawn.prefix.block_ids[drawn.prefix.offsets[:-1] + 1]
    assert len(np.unique(drawn.prefix.block_ids[drawn.prefix.offsets[:-1]])) == 1
    for session in np.unique(drawn.session)[::50]:
        assert len(np.unique(own[drawn.session == session])) == 1
    assert np.array_equal(np.diff(drawn.prefix.offsets) * 16, drawn.input_tokens)


def test_a_long_stretch_is_kept_in_part_at_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals_profile, "N_MOST_ROWS", 2000)
    requests = gamma_hour(1.0, n=20_000)
    profile = profile_of(requests, None)
    assert profile.rows.n_requests <= 2500
    assert profile.rows.n_requests / profile.rows_duration_s == pytest.approx(1.0, rel=0.1)
    assert (np.diff(profile.rows.arrival_s) >= 0).all()


def test_arrivals_told_in_ticks_are_refused_until_spread() -> None:
    ticks = gamma_hour(1.0)
    ticks = replace(ticks, arrival_s=np.floor(ticks.arrival_s / 3) * 3)
    with pytest.raises(InputError, match=r"times are recorded in ticks\n  mend: spread them"):
        profile_of(ticks, None)
    spread = spread_over_ticks(ticks, np.random.default_rng(0))
    assert np.array_equal(np.floor(spread.arrival_s / 3) * 3, ticks.arrival_s)
    assert profile_of(spread, None).gaps.cv_ratio == pytest.approx(1.0, abs=0.05)


def test_too_few_requests_make_no_profile() -> None:
    with pytest.raises(InputError, match=r"99 requests in .* make no profile"):
        profile_of(gamma_hour(1.0, n=99), None)


@given(st.floats(0, 167.99), st.floats(1.0, 400_000.0))
def test_the_clock_goes_there_and_back(hour: float, duration_s: float) -> None:
    clock = hour_clock(HOURLY, hour, duration_s)
    at_s = np.linspace(0, duration_s, 50)
    assert np.allclose(clock.told(clock.levelled(at_s)), at_s, atol=1e-6 * duration_s)
