"""Users are told apart by session, else by what their prompts share that not all share."""

from __future__ import annotations

import numpy as np
import pytest

from weighbridge.capacity.arrivals_copies import _dense, common_blocks, merged, users_of
from weighbridge.capacity.stretch import multiplied
from weighbridge.capacity.traffic import PrefixBlocks, Requests


def with_blocks(*blocks: list[int]) -> Requests:
    n = len(blocks)
    flat = np.array([b for row in blocks for b in row], np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in blocks])]).astype(np.int64)
    prefix = PrefixBlocks(flat, offsets, 16)
    return Requests(np.arange(float(n)), np.full(n, 99), np.ones(n, np.int64), prefix=prefix)


def test_a_prompt_that_all_share_makes_nobody_the_same() -> None:
    requests = with_blocks([0, 1, 2], [0, 3], [0], [0, 1, 4], [0])
    users = users_of(requests)
    assert users[0] == users[3]
    assert len(set(users.tolist())) == 4


def test_requests_without_blocks_stand_for_themselves() -> None:
    assert len(set(users_of(with_blocks([1], [], [1], [])).tolist())) == 3
    bare = Requests(np.arange(3.0), np.ones(3, np.int64), np.ones(3, np.int64))
    assert users_of(bare).tolist() == [0, 1, 2]


def test_a_block_is_common_to_a_percent_of_many() -> None:
    blocks = [[0, 7] if k < 120 else [k + 10] for k in range(5000)]
    prefix = with_blocks(*blocks).prefix
    assert prefix is not None
    assert np.flatnonzero(common_blocks(prefix)).tolist() == [0, 7]


def test_copies_share_common_blocks_alone() -> None:
    requests = with_blocks([0, 1], [0, 2])
    both = np.array([0, 1])
    at_s = requests.arrival_s
    twice = merged([(both, at_s), (both, at_s + 0.5)], requests)
    assert twice.prefix is not None
    first = twice.prefix.block_ids[::2]
    second = twice.prefix.block_ids[1::2]
    assert len(set(first.tolist())) == 1
    assert len(set(second.tolist())) == 4
    assert sorted(set(twice.prefix.block_ids.tolist())) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ratio", [0.3, 1.6, 5.0])
def test_multiples_have_as_many_requests_on_average(ratio: float) -> None:
    rng = np.random.default_rng(0)
    blocks = [[0, 1 + int(k)] for k in rng.integers(0, 500, 2000)]
    requests = with_blocks(*blocks)
    counts = [multiplied(requests, ratio, seed).n_requests for seed in range(20)]
    assert np.mean(counts) / 2000 == pytest.approx(ratio, abs=0.03)


def test_laying_copies_over_each_other_keeps_the_dispersion_of_counts() -> None:
    rng = np.random.default_rng(1)
    at_s = np.cumsum(rng.gamma(0.1, 10.0, 8000))
    requests = Requests(at_s, np.ones(8000, np.int64), np.ones(8000, np.int64))

    def figures(r: Requests) -> tuple[float, float]:
        counts = np.bincount((r.arrival_s / 60).astype(int))
        gaps = np.diff(r.arrival_s)
        return counts.var() / counts.mean(), gaps.std() / gaps.mean()

    (dispersion, cv), (of_five, cv_of_five) = figures(requests), figures(multiplied(requests, 5.0))
    assert of_five == pytest.approx(dispersion, rel=0.4)
    assert 1.0 < cv_of_five < 0.9 * cv
    (of_half, _) = figures(multiplied(requests, 0.5))
    assert of_half == pytest.approx(1 + 0.5 * (dispersion - 1), rel=0.3)


@pytest.mark.parametrize("most", [50, 100_000])
def test_ids_are_ranked_as_sorting_ranks_them(most: int) -> None:
    ids = np.random.default_rng(2).integers(0, most, 300)
    assert np.array_equal(_dense(ids), np.unique(ids, return_inverse=True)[1])
