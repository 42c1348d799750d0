"""Cache blocks of decoding requests, and of requests that end or are preempted."""

from __future__ import annotations

from weighbridge.capacity.simulation.cache import evict_stale, leave_blocks, leave_shared
from weighbridge.capacity.simulation.layout import (
    BLOCK,
    BLOCKED,
    CACHING,
    HELD,
    N_BLOCKS,
    N_DECODING,
    PEAK,
    RESIDUES0,
    SHARED_BLOCKS,
    USED,
    Words,
)


def use_blocks(m: Words, q: int, n_more: int) -> None:
    """Live requests take more blocks, from stale ones where none is blank."""
    used = m[q + USED] + n_more
    m[q + USED] = used
    m[q + PEAK] = max(m[q + PEAK], used)
    if m[CACHING]:
        evict_stale(m, q)


def release_blocks(m: Words, q: int, i: int, in_cache_tokens: int, owner: int) -> None:
    """A request gives its blocks back; they stay cached where that is on."""
    n_own = -(-in_cache_tokens // m[BLOCK])
    n_held = m[i + HELD]
    if n_held > 0:
        n_own -= n_held * m[SHARED_BLOCKS]
    m[q + USED] -= n_own
    if m[CACHING]:
        leave_blocks(m, q, n_own, owner)
        if n_held > 0:
            leave_shared(m, q, i)
    m[q + BLOCKED] = 0


def growth_blocks(m: Words, q: int, iteration: int, n_iterations: int) -> int:
    """New blocks that decoding requests need in this many iterations from one on."""
    if n_iterations <= 0:
        return 0
    block = m[BLOCK]
    base = m[q + RESIDUES0]
    n_rounds = n_iterations // block
    needed = n_rounds * m[q + N_DECODING]
    at = iteration % block
    for _ in range(n_iterations - n_rounds * block):
        needed += m[base + at]
        at += 1
        if at == block:
            at = 0
    return int(needed)


def affordable_iterations(m: Words, q: int, iteration: int, n_iterations: int) -> int:
    """How many iterations the free blocks last, of those asked for."""
    free = m[N_BLOCKS] - m[q + USED]
    n_decoding = m[q + N_DECODING]
    block = m[BLOCK]
    if n_decoding * ((n_iterations - 1) // block + 1) <= free:
        return n_iterations
    n_rounds = free // n_decoding
    free -= n_rounds * n_decoding
    n_afforded = n_rounds * block
    base = m[q + RESIDUES0]
    at = (iteration + n_afforded) % block
    while n_afforded < n_iterations and m[base + at] <= free:
        free -= m[base + at]
        n_afforded += 1
        at += 1
        if at == block:
            at = 0
    return int(min(n_afforded, n_iterations))
