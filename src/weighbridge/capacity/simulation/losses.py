"""A replica that is gone: what it held goes back to the router, its cache is empty afterwards."""

from __future__ import annotations

from weighbridge.capacity.simulation.layout import (
    BATCH_BY_TIME,
    BLOCKED,
    BLOCKS_BY_TIME,
    BUSY,
    CACHED,
    CHUNK,
    CONTEXT,
    DONE,
    FIRST,
    FREE_NODE,
    FRESH_NODE,
    HELD,
    INF,
    ITERATION,
    KEPT,
    LAST,
    LATE_BLOCKS,
    LATE_PLACES,
    LEAST_RECENT,
    MADE,
    MAP0,
    MOST_RECENT,
    N_DECODING,
    N_FRESH,
    N_IDS,
    N_PENDING,
    N_RANKS,
    N_RUNNING,
    N_STALE,
    N_WAITING,
    NAN,
    NEXT,
    NEXT_AT,
    OUTSTANDING,
    PAIRS,
    PARTIAL,
    PENDING_HEAD,
    PIECE,
    PURE,
    RANK,
    RANK_WORDS,
    RANKS0,
    REAL,
    RESIDUES0,
    RUNNING_HEAD,
    RUNNING_TAIL,
    START,
    TIME,
    USED,
    WAITING_HEAD,
    WAITING_TAIL,
    Reals,
    Words,
)
from weighbridge.capacity.simulation.pieces import (
    finish_piece,
    n_iterations_until,
    set_length,
)
from weighbridge.capacity.simulation.routing import route
from weighbridge.capacity.simulation.scheduling import grow_decoding
from weighbridge.capacity.simulation.waiting import dequeue

EMPTIED = (
    N_DECODING,
    CONTEXT,
    USED,
    RUNNING_HEAD,
    RUNNING_TAIL,
    N_RUNNING,
    WAITING_HEAD,
    WAITING_TAIL,
    N_WAITING,
    PARTIAL,
    CHUNK,
    PAIRS,
    N_FRESH,
    LEAST_RECENT,
    MOST_RECENT,
    N_STALE,
    FREE_NODE,
    BLOCKED,
    LATE_PLACES,
    LATE_BLOCKS,
)


def stop_replica(m: Words, f: Reals, r: int, at_s: float) -> list[int]:
    """Stop what a replica does at an instant; returns its unfinished requests by arrival."""
    x = m[r + REAL]
    at_work = m[r + PIECE] > 0
    if m[r + PIECE] > 1 and m[r + PURE]:
        end_whole_iterations(m, f, r, n_iterations_until(m, f, r, at_s) - 1)
    elapsed_s = at_s - f[x + TIME] if at_work else 0.0
    f[x + BUSY] += elapsed_s
    unfinished = []
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        f[x + BATCH_BY_TIME] += m[q + N_DECODING] * elapsed_s
        f[x + BLOCKS_BY_TIME] += m[q + USED] * elapsed_s
        unfinished += _unfinished(m, q)
        empty_rank(m, q)
    m[r + PIECE] = 0
    m[r + OUTSTANDING] = 0
    f[m[r + NEXT_AT]] = INF
    return sorted(unfinished)


def end_whole_iterations(m: Words, f: Reals, r: int, n_whole: int) -> None:
    """Of a stretch that is broken off, what came before its last iteration counts."""
    if n_whole == 0:
        return
    set_length(m, f, r, n_whole)
    finish_piece(m, f, r)
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        grow_decoding(m, q, m[r + ITERATION])


def _unfinished(m: Words, q: int) -> list[int]:
    """Requests that run or wait in a rank."""
    found = []
    i = m[q + RUNNING_HEAD]
    while i != 0:
        found.append(int(i))
        i = m[i + NEXT]
    while m[q + N_WAITING] > 0:
        found.append(dequeue(m, q))
    return found


def empty_rank(m: Words, q: int) -> None:
    """A rank as it is after a start: no request, nothing cached; its counters stay."""
    for field in EMPTIED:
        m[q + field] = 0
    nodes = m[q + MAP0] + m[N_IDS]
    for place in range(m[q + RESIDUES0], nodes):
        m[place] = 0
    for place in range(nodes, m[q + FRESH_NODE]):
        m[place] = 0
    m[q + FRESH_NODE] = nodes


def start_over(m: Words, f: Reals, i: int, at_s: float) -> None:
    """A request that its replica lost is routed again; nothing that was made of it counts."""
    for field in (MADE, DONE, HELD, KEPT, RANK):
        m[i + field] = 0
    m[i + CACHED] = -1
    f[(i >> 2) + START] = -1.0
    f[(i >> 2) + FIRST] = NAN
    f[(i >> 2) + LAST] = NAN
    route(m, f, i, at_s)


def release_pending(m: Words, f: Reals, at_s: float) -> None:
    """A replica is there: route what waited for one."""
    i = m[PENDING_HEAD]
    n_pending = m[N_PENDING]
    m[N_PENDING] = 0
    m[PENDING_HEAD] = 0
    for _ in range(n_pending):
        after = m[i + NEXT]
        route(m, f, i, at_s)
        i = after
