"""Which replica and rank a request goes to, and the two ways in which requests come."""

from __future__ import annotations

from weighbridge.capacity.simulation.layout import (
    ACTIVE,
    ARRIVAL,
    BY_PRIORITY,
    DELIVERED,
    END,
    HOME,
    INF,
    LAST_ROUTED,
    MAX_RUNNING,
    N_CONCURRENT,
    N_ENDED,
    N_PENDING,
    N_RANKS,
    N_REPLICAS,
    N_RUNNING,
    N_WAITING,
    NEXT,
    NEXT_AT,
    NEXT_REQUEST,
    NEXTS0,
    NOW_S,
    OUTSTANDING,
    OVERFLOW,
    PENDING_HEAD,
    PENDING_TAIL,
    PIECE,
    PURE,
    RANK,
    RANK_WORDS,
    RANKS0,
    REPLICA0,
    REPLICA_WORDS,
    REQUEST0,
    REQUEST_WORDS,
    ROUND_ROBIN,
    ROUTING,
    STATUS,
    STICKY,
    WAITING_HEAD,
    Reals,
    Words,
)
from weighbridge.capacity.simulation.pieces import begin_piece, cut_piece, finish_piece
from weighbridge.capacity.simulation.waiting import enqueue


def least_outstanding(m: Words) -> int:
    """The number of the active replica with the fewest requests, or -1; ties go around."""
    n_replicas = m[N_REPLICAS]
    number = m[LAST_ROUTED]
    best = -1
    fewest = 1 << 60
    for _ in range(n_replicas):
        number += 1
        if number >= n_replicas:
            number = 0
        r = m[REPLICA0] + number * REPLICA_WORDS
        if m[r + OUTSTANDING] < fewest and m[r + STATUS] == ACTIVE:
            best = number
            fewest = m[r + OUTSTANDING]
    return int(best)


def next_in_turn(m: Words) -> int:
    """The number of the next active replica after the one chosen last, or -1."""
    n_replicas = m[N_REPLICAS]
    number = m[LAST_ROUTED]
    for _ in range(n_replicas):
        number += 1
        if number >= n_replicas:
            number = 0
        if m[m[REPLICA0] + number * REPLICA_WORDS + STATUS] == ACTIVE:
            return int(number)
    return -1


def choose_replica(m: Words, i: int, fewest: int) -> int:
    """The number of the replica that a request goes to, given the least loaded one."""
    if m[ROUTING] == ROUND_ROBIN:
        return next_in_turn(m)
    home = m[i + HOME]
    if m[ROUTING] == STICKY and home != 0:
        number = m[home] - 1
        if number >= 0 and m[m[REPLICA0] + number * REPLICA_WORDS + STATUS] == ACTIVE:
            return int(number)
        m[home] = fewest + 1
    return fewest


def choose_rank(m: Words, r: int) -> int:
    """The replica's rank with the fewest requests, running and waiting."""
    best = m[r + RANKS0]
    if m[N_RANKS] > 1:
        fewest = m[best + N_RUNNING] + m[best + N_WAITING]
        for k in range(1, m[N_RANKS]):
            q = m[r + RANKS0] + k * RANK_WORDS
            if m[q + N_RUNNING] + m[q + N_WAITING] < fewest:
                best = q
                fewest = m[q + N_RUNNING] + m[q + N_WAITING]
    return int(best)


def deliver(m: Words, f: Reals, r: int, i: int, at_s: float) -> None:
    """A request reaches a replica and waits in one of its ranks, which may admit it soon."""
    q = choose_rank(m, r)
    m[i + RANK] = q
    f[(i >> 2) + DELIVERED] = at_s
    m[r + OUTSTANDING] += 1
    enqueue(m, q, i)
    if f[m[r + NEXT_AT]] == INF:
        f[m[r + NEXT_AT]] = at_s
    elif m[r + PIECE] > 1 and m[q + N_RUNNING] < m[MAX_RUNNING]:
        first = m[q + N_WAITING] == 1 or (m[BY_PRIORITY] and m[q + WAITING_HEAD] == i)
        if first and m[r + PURE]:
            cut_piece(m, f, r, at_s)


def hold_pending(m: Words, i: int) -> None:
    """A request waits at the router until a replica is there."""
    m[i + NEXT] = 0
    if m[N_PENDING] == 0:
        m[PENDING_HEAD] = i
    else:
        m[m[PENDING_TAIL] + NEXT] = i
    m[PENDING_TAIL] = i
    m[N_PENDING] += 1


def route(m: Words, f: Reals, i: int, at_s: float) -> None:
    """Send a request to a replica, to the API, or let it wait for a replica to start."""
    fewest = least_outstanding(m)
    overflow = m[OVERFLOW]
    if overflow >= 0:
        r = m[REPLICA0] + fewest * REPLICA_WORDS
        if fewest < 0 or m[r + OUTSTANDING] >= overflow:
            m[i + RANK] = -1
            m[N_ENDED] += 1
            return
    if fewest < 0:
        hold_pending(m, i)
        return
    number = choose_replica(m, i, fewest)
    m[LAST_ROUTED] = number
    deliver(m, f, m[REPLICA0] + number * REPLICA_WORDS, i, at_s)


def advance(m: Words, f: Reals, until_s: float) -> None:
    """Let every replica work until an instant; what ends at that instant has not ended yet."""
    r = m[REPLICA0]
    place = m[NEXTS0]
    for _ in range(m[N_REPLICAS]):
        while f[place] < until_s:
            finish_piece(m, f, r)
            begin_piece(m, f, r)
        r += REPLICA_WORDS
        place += 1


def run_open(m: Words, f: Reals, until_s: float, n_most: int) -> None:
    """Route requests as they arrive, before an instant and so many at most; then work on."""
    i = m[NEXT_REQUEST]
    end = min(m[END], i + n_most * REQUEST_WORDS)
    while i < end and f[(i >> 2) + ARRIVAL] < until_s:
        at_s = f[(i >> 2) + ARRIVAL]
        advance(m, f, at_s)
        route(m, f, i, at_s)
        i += REQUEST_WORDS
    m[NEXT_REQUEST] = i
    if i == m[END] or f[(i >> 2) + ARRIVAL] >= until_s:
        advance(m, f, until_s)


def send_next(m: Words, f: Reals, at_s: float) -> None:
    """The next request of a closed loop is sent."""
    i = m[NEXT_REQUEST]
    m[NEXT_REQUEST] = i + REQUEST_WORDS
    f[(i >> 2) + ARRIVAL] = at_s
    route(m, f, i, at_s)


def first_to_end(m: Words, f: Reals) -> int:
    """The number of the replica whose piece ends first."""
    best = 0
    place = m[NEXTS0]
    for number in range(1, m[N_REPLICAS]):
        if f[place + number] < f[place + best]:
            best = number
    return best


def run_closed(m: Words, f: Reals, n_most: int) -> None:
    """Keep so many requests outstanding: send one whenever one ends, until some are sent."""
    end = min(m[END], m[NEXT_REQUEST] + n_most * REQUEST_WORDS)
    while True:
        n_sent = (m[NEXT_REQUEST] - REQUEST0) // REQUEST_WORDS
        while m[NEXT_REQUEST] < m[END] and n_sent - m[N_ENDED] < m[N_CONCURRENT]:
            send_next(m, f, f[NOW_S])
            n_sent += 1
        number = first_to_end(m, f)
        r = m[REPLICA0] + number * REPLICA_WORDS
        if f[m[r + NEXT_AT]] == INF or (m[NEXT_REQUEST] >= end and end < m[END]):
            return
        f[NOW_S] = max(f[NOW_S], f[m[r + NEXT_AT]])
        finish_piece(m, f, r)
        n_ended = m[N_ENDED]
        while m[NEXT_REQUEST] < m[END] and n_sent - n_ended < m[N_CONCURRENT]:
            send_next(m, f, f[NOW_S])
            n_sent += 1
        begin_piece(m, f, r)


def run(m: Words, f: Reals, until_s: float, n_most: int) -> None:
    """Carry the simulation on until an instant, or until so many more requests were routed."""
    if m[N_CONCURRENT] > 0:
        run_closed(m, f, n_most)
    else:
        run_open(m, f, until_s, n_most)
