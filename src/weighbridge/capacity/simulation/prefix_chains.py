"""Which prefix blocks of the traffic more than one request begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.traffic import Ints, Requests


@dataclass(frozen=True, slots=True)
class Chains:
    """The shared blocks that each request begins with; those of one request follow each other.

    A block that only one request has can be hit by nobody else, and neither can what follows it.
    """

    block_ids: Ints
    starts: Ints
    lengths: Ints
    n_ids: int


def no_chains(n_requests: int) -> Chains:
    """Traffic that shares nothing."""
    none = np.zeros(n_requests, np.int64)
    return Chains(np.empty(0, np.int64), none, none, 0)


def shared_chains(requests: Requests) -> Chains:
    """Chains of the shared full blocks of every prompt.

    Two blocks are the same where they and all before them agree: ids are re-numbered where one
    id follows different ones.
    """
    prefix = requests.prefix
    if prefix is None or len(prefix.block_ids) == 0:
        return no_chains(requests.n_requests)
    starts = np.asarray(prefix.offsets[:-1], np.int64)
    n_full = requests.input_tokens // prefix.n_tokens_per_block
    lengths = np.minimum(np.diff(prefix.offsets), n_full)
    rows = np.repeat(np.arange(len(starts)), lengths)
    begins = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    position = np.arange(begins[-1]) - begins[rows]
    ids = np.asarray(prefix.block_ids, np.int64)[starts[rows] + position]
    if len(ids) == 0:
        return no_chains(requests.n_requests)
    before = np.where(position == 0, -1, np.concatenate(([-1], ids[:-1])))
    if not _follows_one(ids, before):
        ids = _renumbered(ids, begins[:-1], lengths)
    shared = np.bincount(ids) >= 2
    kept = shared[ids]
    n_kept = np.bincount(rows[kept], minlength=len(starts))
    numbers = np.cumsum(shared) - 1
    ends = np.cumsum(n_kept)
    return Chains(numbers[ids[kept]], ends - n_kept, n_kept, int(shared.sum()))


def _follows_one(ids: Ints, before: Ints) -> bool:
    """Whether each id always follows the same one."""
    follows = np.empty(int(ids.max()) + 1, np.int64)
    follows[ids] = before
    return bool((follows[ids] == before).all())


def _renumbered(ids: Ints, begins: Ints, lengths: Ints) -> Ints:
    """Ids that stand for a block together with all blocks before it."""
    fresh = np.empty_like(ids)
    parent = np.zeros(len(begins), np.int64)
    n_ids = int(ids.max()) + 1
    n_used = 0
    for level in range(int(lengths.max())):
        rows = np.flatnonzero(lengths > level)
        places = begins[rows] + level
        pairs, numbers = np.unique(parent[rows] * n_ids + ids[places], return_inverse=True)
        fresh[places] = n_used + numbers
        parent[rows] = n_used + numbers
        n_used += len(pairs)
    return fresh
