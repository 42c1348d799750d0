"""What cannot be simulated says what is wrong and what would mend it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weighbridge.capacity.fleet import Autoscaling, FleetPlan, Loss
from weighbridge.capacity.simulation import simulate, simulate_closed_loop, simulating
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests
from weighbridge.units import InputError

LIMITS = EngineLimits(kv_tokens=160, n_max_requests=4, n_max_batched_tokens=100)
STEP = StepTime(np.full(5, 1.0), np.full(101, 2.0), 0.0, 0.0, 0.0, "roofline")
TWO = Requests(np.array([0.0, 1.0]), np.array([10, 90]), np.array([5, 60]))


def fault(
    requests: Requests = TWO,
    step: StepTime = STEP,
    limits: EngineLimits = LIMITS,
    fleet: FleetPlan | None = None,
) -> str:
    with pytest.raises(InputError) as caught:
        simulate(requests, step, limits, fleet, compiled=False)
    return str(caught.value)


def test_a_request_that_never_fits_is_named() -> None:
    assert fault(limits=replace(LIMITS, kv_tokens=144)) == (
        "Requests: request 1: its 150 tokens (prompt 90, answer 60) never fit a cache of 144\n"
        "  mend: leave out requests above 144 tokens, or give the cache 150"
    )


def test_a_prompt_that_never_fits_an_iteration_is_named() -> None:
    assert fault(limits=replace(LIMITS, chunked_prefill=False)) == (
        "Requests: request 1: its 150 tokens never fit an iteration of 100, and prompts are not "
        "computed in parts\n  mend: set chunked_prefill, or n_max_batched_tokens to 150"
    )


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"kv_tokens": 0}, "kv_tokens: is below 1"),
        ({"n_ranks": 0}, "n_ranks: is below 1"),
        ({"kv_tokens": 150}, "150 is no whole number of blocks of 16 tokens\n  mend: give 144"),
        ({"n_max_requests": 101}, "cannot all decode in an iteration of 100 tokens"),
    ],
)
def test_limits_that_contradict_themselves(limits: dict[str, Any], words: str) -> None:
    assert words in fault(limits=replace(LIMITS, **limits))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"decode_s": np.ones(3)}, "decode_s: ends at 2, but the limits allow 4"),
        ({"mixed_s": np.ones(9)}, "mixed_s: ends at 8, but the limits allow 100"),
        ({"mixed_s": np.full(101, -1.0)}, "mixed_s: has a value that is no time"),
        ({"kv_s_per_token": float("nan")}, "kv_s_per_token: nan is no time"),
    ],
)
def test_step_times_that_are_none(step: dict[str, Any], words: str) -> None:
    assert words in fault(step=replace(STEP, **step))


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        (FleetPlan(0), "n_replicas: is below 1"),
        (FleetPlan(1, overflow_above_requests=-1), "overflow_above_requests: is negative"),
        (FleetPlan(2, losses=(Loss(2, 0.0, 1.0),)), "name replica 2 of 2"),
        (FleetPlan(2, losses=(Loss(1, 3.0, 3.0),)), "is no stretch of time"),
        (FleetPlan(4, autoscaling=Autoscaling(1, 3)), "are not within 1 to 3"),
        (FleetPlan(1, autoscaling=Autoscaling(1, 3, schedule=((0.0, 5),))), "asks for 5 replicas"),
        (
            FleetPlan(1, autoscaling=Autoscaling(1, 3, schedule=((9.0, 2), (3.0, 1)))),
            "does not rise",
        ),
        (FleetPlan(1, autoscaling=Autoscaling(1, 3, start_up_s=-1.0)), "start_up_s: is negative"),
        (FleetPlan(1, autoscaling=Autoscaling(1, 3, period_s=0.0)), "is not above 0"),
        (
            FleetPlan(1, losses=(Loss(0, 0.5, float("inf")),)),
            "leave 2 requests that no replica ever serves",
        ),
    ],
)
def test_fleets_that_contradict_themselves(fleet: FleetPlan, words: str) -> None:
    assert words in fault(fleet=fleet)


def test_prefix_blocks_that_cache_blocks_do_not_fill() -> None:
    prefix = PrefixBlocks(np.array([0]), np.array([0, 0, 1]), 24)
    words = fault(replace(TWO, prefix=prefix))
    assert "blocks of 16 tokens do not fill the traffic's prefix blocks of 24" in words
    short = PrefixBlocks(np.array([0]), np.array([0, 1]), 16)
    assert "has not one offset per request and one more" in fault(replace(TWO, prefix=short))


def test_a_closed_loop_needs_a_concurrency_and_a_fleet_that_stays() -> None:
    with pytest.raises(InputError, match="n_concurrent: is below 1"):
        simulate_closed_loop(TWO, 0, STEP, LIMITS)
    with pytest.raises(InputError, match="losses: has no meaning under a closed loop"):
        simulate_closed_loop(TWO, 1, STEP, LIMITS, FleetPlan(1, losses=(Loss(0, 0.0, 1.0),)))


def test_compiled_where_numba_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulating, "numba_is_here", lambda: False)
    with pytest.raises(
        InputError, match=r"numba is not installed\n  mend: pip install weighbridge\[fast\]"
    ):
        simulate(TWO, STEP, LIMITS, compiled=True)
    assert simulate(TWO, STEP, LIMITS).end_s > 0.0
