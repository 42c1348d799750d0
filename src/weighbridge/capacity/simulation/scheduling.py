"""What a rank computes in its next iteration: running requests first, then waiting ones."""

from __future__ import annotations

from weighbridge.capacity.simulation.blocks import release_blocks, use_blocks
from weighbridge.capacity.simulation.cache import (
    count_hits,
    count_live,
    free_node,
    hold_hits,
    publish_blocks,
    unlink_node,
)
from weighbridge.capacity.simulation.calendar import drop_end, find_end
from weighbridge.capacity.simulation.layout import (
    BLOCK,
    BLOCKED,
    BUDGET,
    CACHED,
    CACHING,
    CHUNK,
    CHUNKED,
    CONTEXT,
    DELIVERED,
    DONE,
    FINISH,
    HELD,
    INPUT,
    KEPT,
    KEY,
    LATE_BLOCKS,
    LATE_PLACES,
    MADE,
    MAX_RUNNING,
    N_BLOCKS,
    N_CHAIN,
    N_DECODING,
    N_FRESH,
    N_PREEMPTED,
    N_RUNNING,
    N_STALE,
    N_WAITING,
    OUTPUT,
    OWNER,
    PAIRS,
    PARTIAL,
    PROMPT_TOKENS,
    REAL,
    REPLICA,
    RESIDUES0,
    SETTLED,
    SHARED_BLOCKS,
    SHARED_TOKENS,
    SIZE,
    START,
    USED,
    WAITING_HEAD,
    WHOLE,
    Reals,
    Words,
)
from weighbridge.capacity.simulation.running import append_running, remove_running, victim
from weighbridge.capacity.simulation.waiting import dequeue, put_back


def stop_decoding(m: Words, q: int, i: int, iteration: int) -> None:
    """A decoding request loses its place; it keeps what it made, to be computed again."""
    finish = m[i + FINISH]
    drop_end(m, q, find_end(m, q, finish * KEY + i))
    made = m[i + OUTPUT] - (finish - iteration)
    m[i + MADE] = made
    done = m[i + INPUT] + made - 1
    m[i + DONE] = done
    m[q + CONTEXT] -= done + 1
    block = m[BLOCK]
    m[m[q + RESIDUES0] + (iteration - done) % block] -= 1


def preempt(m: Words, q: int, iteration: int) -> None:
    """Take the blocks of one running request and put it back among the waiting."""
    i = victim(m, q)
    if i == m[q + PARTIAL]:
        m[q + PARTIAL] = 0
    else:
        stop_decoding(m, q, i, iteration)
    remove_running(m, q, i)
    held = m[i + HELD]
    release_blocks(m, q, i, m[i + DONE], i)
    m[i + HELD] = held  # where its kept blocks begin, while it waits
    m[i + N_PREEMPTED] += 1
    put_back(m, q, i)


def make_room(m: Words, q: int, iteration: int) -> int:
    """Preempt until every decoding request can have its token; returns how many it cost."""
    residue = m[q + RESIDUES0] + iteration % m[BLOCK]
    n_preempted = 0
    while m[residue] > m[N_BLOCKS] - m[q + USED] - m[q + LATE_BLOCKS]:
        preempt(m, q, iteration)
        n_preempted += 1
    return n_preempted


def grow_decoding(m: Words, q: int, iteration: int) -> None:
    """Take the blocks for one token of every decoding request."""
    use_blocks(m, q, m[m[q + RESIDUES0] + iteration % m[BLOCK]])


def take_chunk(m: Words, q: int, i: int, chunk: int) -> None:
    """Compute the next tokens of a prompt, whose blocks are there."""
    before = m[i + DONE]
    done = before + chunk
    m[i + DONE] = done
    m[q + CHUNK] += chunk
    m[q + PAIRS] += chunk * before + chunk * (chunk + 1) // 2
    m[q + PROMPT_TOKENS] += chunk
    if m[i + N_CHAIN] > 0:
        publish_blocks(m, q, i, done)
    if done == m[i + INPUT] + m[i + MADE]:
        m[q + N_FRESH] += 1
        m[q + PARTIAL] = 0
    else:
        m[q + PARTIAL] = i


def continue_prompt(m: Words, q: int, iteration: int) -> int:
    """Compute more of a prompt that did not fit one iteration; returns how many it cost."""
    n_preempted = 0
    while m[q + PARTIAL] != 0:
        i = m[q + PARTIAL]
        done = m[i + DONE]
        left = m[i + INPUT] + m[i + MADE] - done
        chunk = min(left, m[BUDGET] - m[q + N_DECODING])
        block = m[BLOCK]
        needed = -(-(done + chunk) // block) - -(-done // block)
        decoding = m[m[q + RESIDUES0] + iteration % block]
        if needed + decoding <= m[N_BLOCKS] - m[q + USED] - m[q + LATE_BLOCKS]:
            use_blocks(m, q, needed)
            take_chunk(m, q, i, chunk)
            return n_preempted
        preempt(m, q, iteration)
        n_preempted += 1
    return n_preempted


def usable_kept(m: Words, i: int, n_hits: int) -> int:
    """How many of its own blocks, left at its preemption, it finds again."""
    node = m[i + KEPT]
    if node == 0 or n_hits != m[i + HELD]:
        return 0
    return int(min(m[node + SIZE], m[i + DONE] // m[BLOCK] - n_hits * m[SHARED_BLOCKS]))


def take_kept(m: Words, q: int, i: int, n_usable: int) -> None:
    """Its own blocks are in use again; those of no use to it stay where they are."""
    node = m[i + KEPT]
    m[i + KEPT] = 0
    m[node + OWNER] = 0
    if n_usable == m[node + SIZE]:
        unlink_node(m, q, node)
        free_node(m, q, node)
    else:
        m[node + SIZE] -= n_usable
        m[q + N_STALE] -= n_usable


def admit_one(m: Words, q: int, i: int, budget: int) -> int:
    """Prompt tokens that the next waiting request gets; 0 where it has to wait."""
    total = m[i + INPUT] + m[i + MADE]
    block = m[BLOCK]
    n_hits = 0
    n_live = 0
    n_kept = 0
    cached = 0
    if m[CACHING] and (m[i + N_CHAIN] > 0 or m[i + KEPT] != 0):
        n_hits = count_hits(m, q, i)
        n_live = count_live(m, q, i, n_hits)
        n_kept = usable_kept(m, i, n_hits)
        cached = min(n_hits * m[SHARED_TOKENS] + n_kept * block, (total - 1) // block * block)
    chunk = total - cached
    if chunk > budget:
        if not m[CHUNKED]:
            return 0
        chunk = budget
    needed = -(-(cached + chunk) // block) - n_live * m[SHARED_BLOCKS]
    missing = -(-total // block) - n_live * m[SHARED_BLOCKS] if m[WHOLE] else needed
    if missing > m[N_BLOCKS] - m[q + USED] - m[q + LATE_BLOCKS]:
        m[q + BLOCKED] = i
        return 0
    if m[i + KEPT] != 0:
        take_kept(m, q, i, n_kept)
    m[i + HELD] = 0
    if n_hits > 0:
        needed -= (n_hits - n_live) * m[SHARED_BLOCKS]
        hold_hits(m, q, i, n_hits)
    if m[i + CACHED] < 0:
        m[i + CACHED] = cached
    m[i + DONE] = cached
    use_blocks(m, q, needed)
    return int(chunk)


def admit_waiting(m: Words, f: Reals, q: int, now_s: float) -> None:
    """Admit waiting requests while budget, places and blocks last."""
    budget = m[BUDGET] - m[q + N_DECODING] - m[q + CHUNK]
    places = m[MAX_RUNNING] - m[q + LATE_PLACES]
    settled_s = f[m[m[q + REPLICA] + REAL] + SETTLED]
    while budget > 0 and m[q + N_WAITING] > 0 and m[q + N_RUNNING] < places:
        i = m[q + WAITING_HEAD]
        if i == m[q + BLOCKED] or f[(i >> 2) + DELIVERED] > settled_s:
            return
        chunk = admit_one(m, q, i, budget)
        if chunk == 0:
            return
        dequeue(m, q)
        append_running(m, q, i)
        if f[(i >> 2) + START] < 0.0:
            f[(i >> 2) + START] = now_s
        take_chunk(m, q, i, chunk)
        budget -= chunk


def schedule_rank(m: Words, f: Reals, q: int, iteration: int, now_s: float) -> int:
    """Form the rank's next iteration; returns how many requests were preempted for it."""
    n_preempted = 0
    if m[q + N_DECODING] > 0:
        n_preempted = make_room(m, q, iteration)
    if m[q + PARTIAL] != 0:
        n_preempted += continue_prompt(m, q, iteration)
    if m[q + N_DECODING] > 0:
        grow_decoding(m, q, iteration)
    if n_preempted == 0 and m[q + N_WAITING] > 0:
        admit_waiting(m, f, q, now_s)
    return n_preempted
