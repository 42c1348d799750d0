"""Blocks that stay cached after their request, least recently used first.

A request leaves its blocks from the last to the first, so that the beginning of a prompt stays
longest: first the blocks that nobody shares, as one node, then its shared prefix blocks.
"""

from __future__ import annotations

from weighbridge.capacity.simulation.layout import (
    CHAIN,
    FREE_NODE,
    FRESH_NODE,
    HELD,
    KEPT,
    LEAST_RECENT,
    MAP0,
    MOST_RECENT,
    N_BLOCKS,
    N_CHAIN,
    N_STALE,
    NODE_NEXT,
    NODE_PREV,
    NODE_WORDS,
    OWNER,
    REFS,
    SHARED_BLOCKS,
    SHARED_TOKENS,
    SIZE,
    USED,
    Words,
)


def new_node(m: Words, q: int) -> int:
    """A node that is not in use."""
    node = m[q + FREE_NODE]
    if node != 0:
        m[q + FREE_NODE] = m[node + NODE_NEXT]
        return int(node)
    node = m[q + FRESH_NODE]
    m[q + FRESH_NODE] = node + NODE_WORDS
    return int(node)


def link_node(m: Words, q: int, node: int) -> None:
    """A node becomes the most recently used of those without a live request."""
    last = m[q + MOST_RECENT]
    m[node + NODE_PREV] = last
    m[node + NODE_NEXT] = 0
    if last == 0:
        m[q + LEAST_RECENT] = node
    else:
        m[last + NODE_NEXT] = node
    m[q + MOST_RECENT] = node
    m[q + N_STALE] += m[node + SIZE]


def unlink_node(m: Words, q: int, node: int) -> None:
    """A node gets a live request, or is evicted."""
    before = m[node + NODE_PREV]
    after = m[node + NODE_NEXT]
    if before == 0:
        m[q + LEAST_RECENT] = after
    else:
        m[before + NODE_NEXT] = after
    if after == 0:
        m[q + MOST_RECENT] = before
    else:
        m[after + NODE_PREV] = before
    m[q + N_STALE] -= m[node + SIZE]


def free_node(m: Words, q: int, node: int) -> None:
    """A node is out of use."""
    m[node + NODE_NEXT] = m[q + FREE_NODE]
    m[q + FREE_NODE] = node


def evict_stale(m: Words, q: int) -> None:
    """Evict until what is cached fits beside what is used."""
    surplus = m[q + N_STALE] + m[q + USED] - m[N_BLOCKS]
    while surplus > 0:
        node = m[q + LEAST_RECENT]
        owner = m[node + OWNER]
        size = m[node + SIZE]
        if owner <= 0 and size > surplus:
            m[node + SIZE] = size - surplus
            m[q + N_STALE] -= surplus
            return
        if owner > 0:
            m[owner] = 0
        elif owner < 0:
            m[KEPT - owner] = 0
        unlink_node(m, q, node)
        free_node(m, q, node)
        surplus -= size


def leave_blocks(m: Words, q: int, n_own: int, owner: int) -> None:
    """Blocks that only this request held stay; a preempted request remembers where."""
    if n_own == 0:
        return
    last = m[q + MOST_RECENT]
    if owner == 0 and last != 0 and m[last + OWNER] == 0:
        m[last + SIZE] += n_own
        m[q + N_STALE] += n_own
        return
    node = new_node(m, q)
    m[node + SIZE] = n_own
    m[node + OWNER] = -owner
    link_node(m, q, node)
    if owner != 0:
        m[owner + KEPT] = node


def leave_shared(m: Words, q: int, i: int) -> None:
    """Its shared prefix blocks stay, from the last to the first, unless others hold them."""
    base = m[q + MAP0]
    chain = m[i + CHAIN]
    for k in range(m[i + HELD] - 1, -1, -1):
        node = m[base + m[chain + k]]
        refs = m[node + REFS] - 1
        m[node + REFS] = refs
        if refs == 0:
            m[q + USED] -= m[SHARED_BLOCKS]
            link_node(m, q, node)
    m[i + HELD] = 0


def count_hits(m: Words, q: int, i: int) -> int:
    """How many of its shared prefix blocks are cached, from the first on."""
    base = m[q + MAP0]
    chain = m[i + CHAIN]
    n_hits = 0
    n_chain = m[i + N_CHAIN]
    while n_hits < n_chain and m[base + m[chain + n_hits]] != 0:
        n_hits += 1
    return n_hits


def count_live(m: Words, q: int, i: int, n_hits: int) -> int:
    """How many of its hits other live requests hold: those come first in the chain."""
    base = m[q + MAP0]
    chain = m[i + CHAIN]
    n_live = 0
    while n_live < n_hits and m[m[base + m[chain + n_live]] + REFS] > 0:
        n_live += 1
    return n_live


def hold_hits(m: Words, q: int, i: int, n_hits: int) -> None:
    """Take the cached prefix blocks into use."""
    base = m[q + MAP0]
    chain = m[i + CHAIN]
    for k in range(n_hits):
        node = m[base + m[chain + k]]
        refs = m[node + REFS]
        m[node + REFS] = refs + 1
        if refs == 0:
            unlink_node(m, q, node)
            m[q + USED] += m[SHARED_BLOCKS]
    m[i + HELD] = n_hits


def publish_blocks(m: Words, q: int, i: int, done_tokens: int) -> None:
    """Prefix blocks that are full from now on can be hit; their blocks are counted as used."""
    n_full = min(m[i + N_CHAIN], done_tokens // m[SHARED_TOKENS])
    base = m[q + MAP0]
    chain = m[i + CHAIN]
    for k in range(m[i + HELD], n_full):
        node = new_node(m, q)
        place = base + m[chain + k]
        m[node + SIZE] = m[SHARED_BLOCKS]
        m[node + OWNER] = place
        m[node + REFS] = 1
        m[place] = node
    m[i + HELD] = max(m[i + HELD], n_full)
