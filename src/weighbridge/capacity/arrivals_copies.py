"""Whose a request is, and stretches laid over each other as those of different users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weighbridge.capacity.traffic import Floats, Ints, PrefixBlocks, Requests

# A block that this share of requests begins with, and this many, is a system prompt and nobody's
# own. In Mooncake's hour one block heads every prompt and the next most frequent heads 43 of
# 12,031, the longest conversation.
COMMON_FRAC = 0.01
LEAST_COMMON_REQUESTS = 100
_LONGEST_TABLE = 4

Copy = tuple[Ints, Floats]


def users_of(requests: Requests) -> Ints:
    """Whose each request is, numbered from 0.

    Requests of one session are one user's; without sessions those whose prompts share a block
    that is not common to many (see `common_blocks`); without blocks each stands for itself.

    Parameters
    ----------
    requests : Requests

    Examples
    --------
    >>> one = np.ones(3, np.int64)
    >>> users_of(Requests(np.arange(3.0), one, one, session=np.array([7, 4, 7]))).tolist()
    [1, 0, 1]
    """
    if len(requests.session):
        return np.unique(requests.session, return_inverse=True)[1].astype(np.int64)
    prefix, n = requests.prefix, requests.n_requests
    alone = np.arange(n, dtype=np.int64)
    if prefix is None or len(prefix.block_ids) == 0:
        return alone
    n_ids = int(prefix.block_ids.max()) + 1
    own = np.flatnonzero(~common_blocks(prefix)[prefix.block_ids])
    at = np.searchsorted(own, prefix.offsets[:-1])
    found = np.append(own, len(prefix.block_ids))[at]
    has = found < prefix.offsets[1:]
    first = prefix.block_ids[np.where(has, found, 0)]
    return np.unique(np.where(has, first, n_ids + alone), return_inverse=True)[1].astype(np.int64)


def common_blocks(prefix: PrefixBlocks) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which blocks are common to many prompts, as a system prompt is, by id.

    Held by every prompt, or by 1 % of them and at least 100.

    Parameters
    ----------
    prefix : PrefixBlocks
    """
    n_requests = len(prefix.offsets) - 1
    n_held = np.bincount(prefix.block_ids)
    many = max(COMMON_FRAC * n_requests, LEAST_COMMON_REQUESTS)
    return (n_held >= many) | ((n_held >= n_requests) & (n_requests > 1))


def merged(copies: Sequence[Copy], requests: Requests) -> Requests:
    """Parts of one stretch laid over each other, as those of different users.

    Sessions and prefix blocks of one part are another's in the next, but for blocks that are
    common to many prompts.

    Parameters
    ----------
    copies : sequence of (positions, arrival_s)
        Positions in `requests`, and when each of them arrives [s].
    requests : Requests
    """
    index = np.concatenate([i for i, _ in copies])
    arrival_s = np.concatenate([a for _, a in copies])
    copy = np.repeat(np.arange(len(copies)), [len(i) for i, _ in copies])
    order = np.argsort(arrival_s, kind="stable")
    index, copy = index[order], copy[order]
    session = requests.session
    if len(session):
        session = session[index] + copy * (session.max() + 1)
    prefix = requests.prefix
    return Requests(
        arrival_s=arrival_s[order],
        input_tokens=requests.input_tokens[index],
        output_tokens=requests.output_tokens[index],
        priority=requests.priority[index] if len(requests.priority) else requests.priority,
        session=session,
        prefix=None if prefix is None else blocks_of(prefix, index, copy),
    )


def blocks_of(prefix: PrefixBlocks, index: Ints, copy: Ints) -> PrefixBlocks:
    """Blocks of picked requests, those of different copies apart from each other.

    Parameters
    ----------
    prefix : PrefixBlocks
    index : int64 array
        Positions of the requests.
    copy : int64 array
        Which copy each belongs to; blocks common to many prompts are one in all.
    """
    starts, n_blocks = prefix.offsets[index], np.diff(prefix.offsets)[index]
    offsets = np.concatenate(([0], np.cumsum(n_blocks))).astype(np.int64)
    places = np.repeat(starts - offsets[:-1], n_blocks) + np.arange(offsets[-1])
    ids = prefix.block_ids[places]
    if len(ids) == 0:
        return PrefixBlocks(ids, offsets, prefix.n_tokens_per_block)
    n_ids = int(prefix.block_ids.max()) + 1
    own = ~common_blocks(prefix)[ids]
    apart = ids + np.repeat(copy, n_blocks) * n_ids * own
    return PrefixBlocks(_dense(apart), offsets, prefix.n_tokens_per_block)


def _dense(ids: Ints) -> Ints:
    """Ranks of the ids among themselves, by counting where a table of all is not much longer."""
    n_ids = int(ids.max()) + 1
    if n_ids > _LONGEST_TABLE * len(ids):
        return np.unique(ids, return_inverse=True)[1].astype(np.int64)
    used = np.zeros(n_ids, bool)
    used[ids] = True
    return (np.cumsum(used) - 1)[ids]
