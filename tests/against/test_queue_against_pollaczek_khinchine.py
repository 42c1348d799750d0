"""The simulation against Pollaczek's and Khinchine's formula: one server, any service time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.simulation.compiled import numba_is_here
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Ints, Requests

STEP_S = 0.001
N_REQUESTS, WAIT_ERROR = (400_000, 0.06) if numba_is_here() else (12_000, 0.35)
MEAN_TOKENS = 300

Draw = Callable[[np.random.Generator], Ints]


def fixed(rng: np.random.Generator) -> Ints:
    return np.full(N_REQUESTS, MEAN_TOKENS)


def uniform(rng: np.random.Generator) -> Ints:
    return rng.integers(1, 2 * MEAN_TOKENS, N_REQUESTS)


def bimodal(rng: np.random.Generator) -> Ints:
    """Short answers, and one in ten long: the squared coefficient of variation is above 1."""
    return np.where(rng.random(N_REQUESTS) < 0.1, 1650, 150).astype(np.int64)


@pytest.mark.parametrize("draw", [fixed, uniform, bimodal])
@pytest.mark.parametrize("load", [0.4, 0.75])
@pytest.mark.parametrize("fast_forward", [True, False])
def test_one_place_waits_as_one_server(draw: Draw, load: float, fast_forward: bool) -> None:
    rng = np.random.default_rng(7)
    tokens = draw(rng)
    mean_s, square_s2 = tokens.mean() * STEP_S, (tokens.astype(float) ** 2).mean() * STEP_S**2
    rate = load / mean_s
    if not fast_forward:
        tokens = tokens[:20_000]
    arrival_s = np.cumsum(rng.exponential(1.0 / rate, len(tokens)))
    requests = Requests(arrival_s, np.ones(len(tokens), np.int64), tokens)
    table = np.full(9, STEP_S)
    step = StepTime(table, table, 0.0, 0.0, 0.0, "roofline")
    limits = EngineLimits(10_000, 1, 8, 1, prefix_caching=False)
    outcome = simulate(requests, step, limits, fast_forward=fast_forward)
    mean_wait_s = rate * square_s2 / (2.0 * (1.0 - load))
    error = WAIT_ERROR if fast_forward else 0.25
    assert np.mean(outcome.queue_s) == pytest.approx(mean_wait_s, rel=error)
    np.testing.assert_allclose(outcome.e2e_s - outcome.queue_s, tokens * STEP_S, atol=1e-9)
    assert outcome.busy_s[0] == pytest.approx(tokens.sum() * STEP_S, rel=1e-9)
