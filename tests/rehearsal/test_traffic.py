"""The synthetic week: repeatable, heavy-tailed, rhythmic, concentrated, and of a known size."""

import datetime as dt
from dataclasses import fields, replace

import numpy as np
import pytest

from weighbridge.rehearsal.demo_mix import DEMO_MIX
from weighbridge.rehearsal.mix import Lengths
from weighbridge.rehearsal.rhythm import week_shape
from weighbridge.rehearsal.traffic import Traffic, generate, lengths

MONDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
WEEK_AND_AN_HOUR = 169


def _week(seed: int = 7) -> Traffic:
    return generate(DEMO_MIX, MONDAY, WEEK_AND_AN_HOUR, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def week() -> Traffic:
    return _week()


def _of(week: Traffic, template: str) -> Traffic:
    position = [t.template for t in DEMO_MIX.templates].index(template)
    return week.taken(np.flatnonzero(week.template == position))


def _hour(week: Traffic) -> np.ndarray:
    return (week.started_at_us - int(MONDAY.timestamp()) * 10**6) // 3_600_000_000


def test_same_seed_draws_the_same_week(week: Traffic) -> None:
    again = _week()
    for f in fields(Traffic):
        np.testing.assert_array_equal(getattr(again, f.name), getattr(week, f.name))


def test_another_seed_draws_another_week(week: Traffic) -> None:
    assert len(_week(8)) != len(week)


def test_a_new_template_leaves_the_others_as_they_were(week: Traffic) -> None:
    fewer = replace(DEMO_MIX, templates=DEMO_MIX.templates[:3])
    drawn = generate(fewer, MONDAY, WEEK_AND_AN_HOUR, np.random.default_rng(7))
    np.testing.assert_array_equal(
        drawn.started_at_us, week.started_at_us[np.isin(week.template, [0, 1, 2])]
    )


def test_start_without_time_zone_is_refused() -> None:
    naive = MONDAY.replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        generate(DEMO_MIX, naive, 1, np.random.default_rng(1))


def test_log_spans_a_week_so_that_weekly_conclusions_are_allowed(week: Traffic) -> None:
    span_days = (week.started_at_us[-1] - week.started_at_us[0]) / 86_400e6
    assert 7.0 <= span_days <= 7.05
    assert np.all(np.diff(week.started_at_us) >= 0)


def test_size_of_the_week(week: Traffic) -> None:
    assert 250_000 <= len(week) <= 400_000
    assert len(DEMO_MIX.tenants) == 6
    assert sum(t.template is not None for t in DEMO_MIX.templates) == 14
    assert 2.5e9 <= (week.input_tokens + week.output_tokens).sum() <= 5e9


def test_each_template_sends_as_often_as_its_mix_says(week: Traffic) -> None:
    counts = np.bincount(week.template, minlength=len(DEMO_MIX.templates))
    wanted = [t.requests_per_week for t in DEMO_MIX.templates]
    np.testing.assert_allclose(counts, wanted, rtol=0.12)


def test_token_buckets_are_consistent(week: Traffic) -> None:
    assert np.all(week.cache_read_tokens + week.cache_write_tokens <= week.input_tokens)
    assert np.all(week.reasoning_tokens <= week.output_tokens)
    served = ~week.failed
    assert np.all(week.input_tokens[served] >= 1)
    assert np.all(week.output_tokens[served] >= 1)


def test_failed_requests_have_no_tokens_and_all_their_attempts(week: Traffic) -> None:
    failed = week.taken(np.flatnonzero(week.failed))
    assert 0.002 < len(failed) / len(week) < 0.02
    assert failed.input_tokens.sum() == failed.output_tokens.sum() == 0
    assert np.all(failed.attempts == 4)


def test_incident_shows_in_its_hours(week: Traffic) -> None:
    incident = DEMO_MIX.incidents[0]
    seconds = (week.started_at_us / 1e6 - MONDAY.timestamp()) / 3600 - incident.first_hour
    during = (seconds >= 0) & (seconds < incident.n_hours)
    assert week.failed[during].mean() > 10 * week.failed[~during].mean()


def test_lengths_have_the_median_and_spread_asked_for() -> None:
    law = Lengths(1_000, 0.9, stretched_frac=0.0)
    drawn = lengths(law, 100_000, np.random.default_rng(1))
    assert np.median(drawn) == pytest.approx(1_000, rel=0.03)
    assert np.std(np.log(drawn)) == pytest.approx(0.9, rel=0.03)


def test_stretched_lengths_have_a_power_law_tail() -> None:
    rng = np.random.default_rng(1)
    law = Lengths(1_000, 0.3, max_tokens=10**9, stretched_frac=1.0, pareto_index=1.5)
    drawn = np.sort(lengths(law, 200_000, rng))
    top = drawn[-2_000:]
    assert 1 / np.mean(np.log(top / top[0])) == pytest.approx(1.5, rel=0.15)  # Hill's estimate


def test_lengths_stay_within_their_bounds() -> None:
    drawn = lengths(Lengths(5, 2.0, 100), 10_000, np.random.default_rng(1))
    assert drawn.min() == 1
    assert drawn.max() == 100


def test_lengths_of_the_week_are_heavy_tailed(week: Traffic) -> None:
    for template in ("extract-fields", "answer-with-sources", "triage-ticket"):
        served = _of(week, template).input_tokens
        middle, high = np.quantile(served[served > 0], [0.5, 0.99])
        assert high > 3.5 * middle


def test_code_completions_look_like_the_public_code_trace(week: Traffic) -> None:
    rows = _of(week, "complete-line")
    rows = rows.taken(np.flatnonzero(~rows.failed))
    assert np.median(rows.input_tokens) == pytest.approx(1_469, rel=0.1)
    assert np.median(rows.output_tokens) == pytest.approx(13, abs=1)
    assert rows.input_tokens.max() <= 7_437


def test_office_types_sleep_at_night_and_at_weekends(week: Traffic) -> None:
    hour = _hour(_of(week, "extract-fields"))
    by_day = np.bincount(hour // 24, minlength=7)[:7]
    assert by_day[5:].mean() < 0.3 * by_day[:5].mean()
    by_hour = np.bincount(hour[hour < 120] % 24, minlength=24)
    assert by_hour[:5].sum() < 0.1 * by_hour[9:17].sum()


def test_batch_type_runs_at_night_only(week: Traffic) -> None:
    hours = _hour(_of(week, "enrich-listing")) % 24
    assert set(np.unique(hours)) == {1, 2, 3, 4}


@pytest.mark.parametrize("rhythm", ["office", "evening", "steady", "nightly"])
def test_shape_of_the_week_has_mean_one(rhythm: str) -> None:
    shape = week_shape(rhythm)  # type: ignore[arg-type]
    assert shape.shape == (168,)
    assert shape.mean() == pytest.approx(1.0)
    assert shape.min() >= 0


def test_small_burst_shape_makes_minutes_burstier() -> None:
    def spread(shape: float) -> float:
        template = replace(
            DEMO_MIX.templates[0], burst_shape=shape, rhythm="steady", requests_per_week=400_000
        )
        mix = replace(DEMO_MIX, templates=(template,))
        drawn = generate(mix, MONDAY, 24, np.random.default_rng(3))
        minutes = np.bincount((drawn.started_at_us - drawn.started_at_us[0]) // 60_000_000)
        return float(minutes.var() / minutes.mean())

    assert spread(1.0) > 3 * spread(20.0) > 3


def test_a_few_types_burn_most_tokens(week: Traffic) -> None:
    tokens = np.bincount(week.template, week.input_tokens + week.output_tokens)
    shares = np.sort(tokens)[::-1] / tokens.sum()
    assert shares[:5].sum() > 0.8
    assert shares[7:].sum() < 0.12


def test_prefix_is_read_as_often_as_its_mix_says(week: Traffic) -> None:
    rows = _of(week, "agent-step")
    long = rows.taken(np.flatnonzero(~rows.failed & (rows.input_tokens >= 16_384)))
    assert (long.cache_read_tokens > 0).mean() == pytest.approx(0.78, abs=0.02)
    assert (long.cache_write_tokens > 0).mean() == pytest.approx(0.12, abs=0.02)
    assert set(np.unique(long.cache_read_tokens)) == {0, 16_384}


def test_first_token_comes_before_the_last(week: Traffic) -> None:
    streamed = ~np.isnan(week.ttft_s)
    assert streamed.any()
    assert np.all(week.ttft_s[streamed] < week.latency_s[streamed])
    assert np.all(week.latency_s > 0)
