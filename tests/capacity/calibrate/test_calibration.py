"""Calibration: made endpoints are found again, and runs that tell too little are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest

from weighbridge.capacity.calibrate import AskedLoad, EndpointProfile, calibrate, fit_first_part
from weighbridge.capacity.calibrate.evidence import evidence_of, in_flight_requests
from weighbridge.capacity.calibrate.misfit import simulated_s
from weighbridge.capacity.calibrate.parameters import (
    parameters_near,
    step_time_of,
)
from weighbridge.capacity.calibrate.search import Effort
from weighbridge.capacity.observed import ObservedRun
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate, simulate_closed_loop
from weighbridge.capacity.traffic import Requests
from weighbridge.units import InputError

from .made_runs import LIMITS, TRUTH, made_run

ON = date(2026, 11, 21)
EFFORT = Effort(
    n_starts=200, n_members=40, n_generations=60, n_polish=400, n_refits=6, n_per_refit=150
)
QUICK = Effort(n_starts=6, n_members=0, n_generations=0, n_polish=12, n_refits=2, n_per_refit=12)


@cache
def profile() -> EndpointProfile:
    pytest.importorskip("numba")
    runs = [made_run(), made_run(seed=1, rate_per_s=1.0, name="slow")]
    return calibrate(runs, None, LIMITS, np.random.default_rng(0), made_on=ON, effort=EFFORT)


def test_identified_parameters_of_a_made_endpoint_lie_in_their_intervals() -> None:
    found = {one.name: one for one in profile().parameters}
    told = ("decode_base_s", "mixed_s_per_token", "kv_s_per_token")
    assert all(found[name].is_identified for name in told)
    for name in told:
        truth = getattr(TRUTH, name)
        assert 0.9 * found[name].low <= truth <= 1.1 * found[name].high, found[name]


def test_held_out_requests_of_a_made_endpoint_are_met() -> None:
    errors = profile().held_out
    assert {(one.run, one.metric) for one in errors} == {
        (run, metric) for run in ("made", "slow") for metric in ("ttft", "tpot", "e2e")
    }
    for one in errors:
        assert abs(one.mean_error_frac) < 0.05, one
        assert one.low_ratio < one.high_ratio


def test_step_time_of_a_profile_is_near_the_made_one() -> None:
    ours, truth = profile().step_time(), step_time_of(TRUTH, LIMITS)
    context_tokens = 16 * 1500
    for n in (8, 32):
        found_s = ours.decode_s[n] + ours.kv_s_per_token * context_tokens
        true_s = truth.decode_s[n] + truth.kv_s_per_token * context_tokens
        assert found_s == pytest.approx(true_s, rel=0.06)
    assert ours.mixed_s[2000] == pytest.approx(truth.mixed_s[2000], rel=0.06)


def test_what_is_not_identified_names_a_run_that_would_tell() -> None:
    made = profile()
    open_ones = [one.name for one in made.parameters if not one.is_identified]
    assert [one.parameter for one in made.suggested] == open_ones
    assert "saturating_s" in open_ones  # it is ten microseconds of twelve milliseconds
    assert all(one.n_concurrent >= 1 and one.why for one in made.suggested)


def test_an_interval_widens_outside_the_measured_range_and_says_why() -> None:
    made = profile()
    inside, plain = made.interval("ttft", 1.0, AskedLoad(input_tokens=1000.0))
    beyond, why = made.interval("ttft", 1.0, AskedLoad(input_tokens=12_000.0))
    assert beyond.low < inside.low <= 1.0 <= inside.high < beyond.high
    assert len(plain) == 1
    assert "prompts of 12000 tokens lie outside the measured" in why[1]


def test_the_same_seed_gives_the_same_profile() -> None:
    one, two = (
        calibrate(
            [made_run(n=60)], None, LIMITS, np.random.default_rng(3), made_on=ON, effort=QUICK
        )
        for _ in range(2)
    )
    assert one == two


def test_a_start_is_followed_where_the_data_are_silent() -> None:
    pytest.importorskip("numba")
    start = step_time_of(TRUTH, LIMITS)
    fit = fit_first_part([made_run()], LIMITS, np.random.default_rng(0), start=start, effort=EFFORT)
    near = parameters_near(fit.step_time)
    assert near.decode_base_s == pytest.approx(TRUTH.decode_base_s, rel=0.1)


def test_first_tokens_alone_are_enough_where_the_end_was_not_recorded() -> None:
    run = made_run(n=80)
    without = made_run(n=80, e2e_s=np.full(80, np.nan))
    found = calibrate([without], None, LIMITS, np.random.default_rng(0), made_on=ON, effort=QUICK)
    assert [one.metric for one in found.held_out] == ["ttft"]
    assert found.covered.input_tokens[1] == run.requests.input_tokens.max()


def test_progress_ends_at_its_total() -> None:
    told: list[tuple[int, int]] = []
    calibrate(
        [made_run(n=60)],
        None,
        LIMITS,
        np.random.default_rng(0),
        made_on=ON,
        effort=QUICK,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_requests_in_flight_are_counted_at_arrivals() -> None:
    requests = Requests(np.array([0.0, 1.0, 5.0]), np.full(3, 10), np.full(3, 4))
    times = {"requests": requests, "ttft_s": np.full(3, 1.0), "e2e_s": np.full(3, 3.0)}
    many = made_run(n=60)
    one = evidence_of([many, made_run(name="three", **times)])[1]
    assert in_flight_requests(one).tolist() == [1.0, 2.0, 1.0]


def refused(*runs: ObservedRun) -> str:
    with pytest.raises(InputError) as caught:
        calibrate(runs, None, LIMITS, np.random.default_rng(0), made_on=ON, effort=QUICK)
    return str(caught.value)


def test_fewer_requests_than_parameters_are_refused() -> None:
    assert "are 20 with latencies, fewer than 27" in refused(made_run(n=20))
    assert "leave 20 with latencies to fit on" in refused(made_run(n=40))


def test_a_run_without_success_is_refused() -> None:
    nothing = np.empty(0)
    requests = Requests(nothing, nothing.astype(np.int64), nothing.astype(np.int64))
    empty = made_run(requests=requests, ttft_s=nothing, e2e_s=nothing, n_failed=7)
    assert "holds none that succeeded (7 failed)" in refused(empty)
    assert "are none" in refused()


def test_a_run_without_times_is_refused() -> None:
    nowhere = np.full(80, np.nan)
    assert "are recorded for no request" in refused(made_run(n=80, ttft_s=nowhere, e2e_s=nowhere))


def test_a_run_in_which_nothing_varies_is_refused() -> None:
    n = 60
    same = Requests(np.arange(n) * 10.0, np.full(n, 100), np.full(n, 20))
    times = {"ttft_s": np.full(n, 0.1), "e2e_s": np.full(n, 1.0)}
    assert "all have the same lengths at the same concurrency" in refused(
        made_run(n=n, requests=same, **times)
    )


def test_answers_of_one_token_are_refused() -> None:
    n = 60
    ones = Requests(np.arange(n) * 1.0, np.arange(1, n + 1), np.ones(n, np.int64))
    assert "so that nothing was decoded" in refused(
        made_run(n=n, requests=ones, ttft_s=np.full(n, 0.1), e2e_s=np.full(n, 0.1))
    )


def _closed_loop(n_failed: int) -> tuple[ObservedRun, Outcome]:
    """Four at once on an engine twice as slow as the made one, as the client saw it."""
    rng = np.random.default_rng(3)
    slow = replace(TRUTH, decode_base_s=2 * TRUTH.decode_base_s)
    asked = Requests(np.zeros(40), rng.integers(30, 3000, 40), rng.integers(2, 90, 40))
    outcome = simulate_closed_loop(asked, 4, step_time_of(slow, LIMITS), LIMITS, compiled=False)
    lanes = np.arange(40.0)  # any arrivals: what matters is that they are not replayed
    requests = Requests(lanes, asked.input_tokens, asked.output_tokens)
    run = made_run(
        n=40,
        requests=requests,
        ttft_s=outcome.ttft_s,
        e2e_s=outcome.e2e_s,
        n_concurrent=4,
        n_failed=n_failed,
    )
    return run, outcome


def test_a_closed_loop_is_simulated_as_one() -> None:
    run, outcome = _closed_loop(n_failed=0)
    slow = replace(TRUTH, decode_base_s=2 * TRUTH.decode_base_s)
    (evidence,) = evidence_of([run])
    assert evidence.using(evidence.used).n_concurrent == 4
    found = simulated_s(evidence, step_time_of(slow, LIMITS), LIMITS)
    np.testing.assert_allclose(found["ttft"], outcome.ttft_s)
    np.testing.assert_allclose(found["e2e"], outcome.e2e_s)


def test_arrivals_of_a_closed_loop_with_failures_are_replayed() -> None:
    """Requests that failed held a place too, for a time that nobody recorded."""
    run, _ = _closed_loop(n_failed=1)
    (evidence,) = evidence_of([run])
    step_time = step_time_of(TRUTH, LIMITS)
    replayed = simulate(run.requests, step_time, LIMITS)
    found = simulated_s(evidence, step_time, LIMITS)
    np.testing.assert_array_equal(found["e2e"], replayed.e2e_s)
