"""Requests that wait in a rank: a queue, or a pairing heap where admission is by priority."""

from __future__ import annotations

from weighbridge.capacity.simulation.layout import (
    BY_PRIORITY,
    N_WAITING,
    NEXT,
    PREV,
    PRIORITY,
    WAITING_HEAD,
    WAITING_TAIL,
    Words,
)


def goes_before(m: Words, a: int, b: int) -> bool:
    """Whether request a is served before b: by priority, then by arrival."""
    if m[a + PRIORITY] != m[b + PRIORITY]:
        return bool(m[a + PRIORITY] < m[b + PRIORITY])
    return a < b


def meld(m: Words, a: int, b: int) -> int:
    """One heap of two; returns its root."""
    if a == 0:
        return b
    if b == 0:
        return a
    if goes_before(m, b, a):
        a, b = b, a
    m[b + NEXT] = m[a + PREV]
    m[a + PREV] = b
    return a


def meld_children(m: Words, first: int) -> int:
    """One heap of a list of siblings: melded by pairs, then from the last pair to the first."""
    pairs = 0
    while first != 0:
        second = m[first + NEXT]
        rest = m[second + NEXT] if second != 0 else 0
        m[first + NEXT] = 0
        if second != 0:
            m[second + NEXT] = 0
        root = meld(m, first, second)
        m[root + NEXT] = pairs
        pairs = root
        first = rest
    root = 0
    while pairs != 0:
        rest = m[pairs + NEXT]
        m[pairs + NEXT] = 0
        root = meld(m, root, pairs)
        pairs = rest
    return root


def enqueue(m: Words, q: int, i: int) -> None:
    """A new request waits."""
    m[i + NEXT] = 0
    m[i + PREV] = 0
    if m[BY_PRIORITY]:
        m[q + WAITING_HEAD] = meld(m, m[q + WAITING_HEAD], i)
    elif m[q + N_WAITING] == 0:
        m[q + WAITING_HEAD] = i
        m[q + WAITING_TAIL] = i
    else:
        m[m[q + WAITING_TAIL] + NEXT] = i
        m[q + WAITING_TAIL] = i
    m[q + N_WAITING] += 1


def put_back(m: Words, q: int, i: int) -> None:
    """A preempted request waits: before all others, or by its priority."""
    m[i + PREV] = 0
    m[i + NEXT] = 0
    if m[BY_PRIORITY]:
        m[q + WAITING_HEAD] = meld(m, m[q + WAITING_HEAD], i)
    else:
        m[i + NEXT] = m[q + WAITING_HEAD]
        m[q + WAITING_HEAD] = i
        if m[q + N_WAITING] == 0:
            m[q + WAITING_TAIL] = i
    m[q + N_WAITING] += 1


def dequeue(m: Words, q: int) -> int:
    """The request to be served next leaves the queue."""
    i = m[q + WAITING_HEAD]
    if m[BY_PRIORITY]:
        m[q + WAITING_HEAD] = meld_children(m, m[i + PREV])
    else:
        m[q + WAITING_HEAD] = m[i + NEXT]
    m[q + N_WAITING] -= 1
    return int(i)
