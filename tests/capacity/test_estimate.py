"""Work in closed form: a floor that simulation never undercuts."""

import numpy as np
import pytest

from weighbridge.capacity.estimate import n_fewest_replicas, repeated_tokens, work
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.traffic import PrefixBlocks, Requests


@pytest.mark.parametrize("n_max_requests", [4, 32, 128])
def test_a_saturated_engine_is_busy_at_least_as_long_as_the_closed_form_says(
    made, n_max_requests
) -> None:
    requests = made.requests(2000, 1e6)
    limits = made.limits(n_max_requests=n_max_requests)
    outcome = simulate(requests, made.engine(), limits, FleetPlan(1))
    floor_s = work(requests, made.engine(), limits).total_s.sum()
    assert floor_s <= outcome.busy_s.sum()
    assert floor_s >= 0.9 * outcome.busy_s.sum(), "a floor so low says nothing"


def test_the_target_for_a_token_keeps_the_batch_small(made) -> None:
    requests = made.requests()
    free = work(requests, made.engine(), made.limits()).n_batch_requests
    held = work(requests, made.engine(), made.limits(), parse_slo("tpot_p95=14ms"))
    assert held.n_batch_requests < free
    assert held.total_s.sum() > work(requests, made.engine(), made.limits()).total_s.sum()


def test_repeated_prompt_tokens_are_those_of_counting_block_by_block() -> None:
    rng = np.random.default_rng(3)
    n, per_block = 200, 16
    chains = [rng.integers(0, 12, rng.integers(0, 6)) for _ in range(n)]
    # A block's id stands for its whole prefix, as in traces: number chains of blocks.
    names: dict[tuple[int, ...], int] = {}
    ids = [[names.setdefault(tuple(c[: i + 1]), len(names)) for i in range(len(c))] for c in chains]
    prompt = np.array([len(c) * per_block + 5 for c in chains])
    offsets = np.concatenate(([0], np.cumsum([len(c) for c in chains])))
    flat = np.array([b for chain in ids for b in chain], np.int64)
    requests = Requests(
        np.arange(n, dtype=float),
        prompt,
        np.ones(n, np.int64),
        prefix=PrefixBlocks(flat, offsets.astype(np.int64), per_block),
    )
    seen: set[int] = set()
    expected = []
    for chain in ids:
        held = 0
        for block in chain:
            if block not in seen:
                break
            held += per_block
        expected.append(held)
        seen.update(chain)
    assert repeated_tokens(requests).tolist() == expected


def test_replicas_that_are_always_busy_are_work_over_time() -> None:
    assert n_fewest_replicas(np.array([1.0, 2.0, 3.0]), 2.0) == 3.0
