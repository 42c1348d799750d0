"""The simulation against Erlang's C formula: Poisson arrivals, exponential service, c servers."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.simulation.compiled import numba_is_here
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Requests

STEP_S = 0.001
# Waits of a busy queue hang together for long: fewer requests, a wider band.
N_REQUESTS, WAIT_ERROR = (400_000, 0.06) if numba_is_here() else (12_000, 0.4)


def probability_of_waiting(n_servers: int, offered: float) -> float:
    """Erlang C; `offered` is rate times mean service time (Erlang 1917)."""
    busy = offered**n_servers / factorial(n_servers) * n_servers / (n_servers - offered)
    return busy / (sum(offered**k / factorial(k) for k in range(n_servers)) + busy)


def steps_of(n_requests: int, mean_tokens: float, load_per_s: float, seed: int) -> Requests:
    """Poisson arrivals of one-token prompts; answers of geometric length."""
    rng = np.random.default_rng(seed)
    return Requests(
        np.cumsum(rng.exponential(1.0 / load_per_s, n_requests)),
        np.ones(n_requests, np.int64),
        rng.geometric(1.0 / mean_tokens, n_requests),
    )


def constant_steps(n_places: int) -> tuple[StepTime, EngineLimits]:
    """Iterations as long as each other, whatever is in them: a place is a server."""
    limits = EngineLimits(10_000_000, n_places, 64, 1, prefix_caching=False)
    table = np.full(65, STEP_S)
    return StepTime(table, table, 0.0, 0.0, 0.0, "roofline"), limits


@pytest.mark.parametrize(("n_servers", "load"), [(1, 0.5), (2, 0.8), (4, 0.7), (8, 0.85)])
def test_places_of_an_engine_are_servers_of_a_queue(n_servers: int, load: float) -> None:
    mean_tokens = 400.0
    service_s = mean_tokens * STEP_S
    requests = steps_of(N_REQUESTS, mean_tokens, load * n_servers / service_s, seed=n_servers)
    step, limits = constant_steps(n_servers)
    outcome = simulate(requests, step, limits)
    service_s = requests.output_tokens.mean() * STEP_S
    offered = N_REQUESTS / requests.duration_s * service_s
    waiting = probability_of_waiting(n_servers, offered)
    mean_wait_s = waiting * service_s / (n_servers - offered)
    # An arrival waits for half a step on average before it can be admitted at all.
    waits_s = outcome.queue_s - 0.5 * STEP_S
    assert np.mean(waits_s) == pytest.approx(mean_wait_s, rel=WAIT_ERROR)
    assert np.mean(outcome.queue_s > STEP_S) == pytest.approx(waiting, rel=WAIT_ERROR)


def test_each_replica_of_one_place_is_a_server_of_its_own_queue() -> None:
    """Taking turns splits a Poisson stream into Erlang-2 gaps, which wait less than Poisson's."""
    mean_tokens, load = 400.0, 0.8
    service_s = mean_tokens * STEP_S
    requests = steps_of(N_REQUESTS, mean_tokens, 2.0 * load / service_s, seed=3)
    step, limits = constant_steps(1)
    turns = simulate(requests, step, limits, FleetPlan(2, routing="round_robin"))
    least = simulate(requests, step, limits, FleetPlan(2))
    one_s = load / (1.0 - load) * service_s
    shared_s = probability_of_waiting(2, 2 * load) * service_s / (2.0 - 2.0 * load)
    # E2/M/1: the wait of GI/M/1 is sigma / (1 - sigma) services, sigma = A*(mu (1 - sigma)).
    sigma = 0.5
    for _ in range(200):
        sigma = (2.0 * load / (2.0 * load + 1.0 - sigma)) ** 2
    mean_wait_s = sigma / (1.0 - sigma) * service_s
    assert np.mean(turns.queue_s) == pytest.approx(mean_wait_s, rel=WAIT_ERROR)
    assert shared_s < np.mean(least.queue_s) < np.mean(turns.queue_s) < one_s
