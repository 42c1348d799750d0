"""Running requests of a rank: a list in order of admission."""

from __future__ import annotations

from weighbridge.capacity.simulation.layout import (
    BY_PRIORITY,
    N_RUNNING,
    NEXT,
    PREV,
    RUNNING_HEAD,
    RUNNING_TAIL,
    Words,
)
from weighbridge.capacity.simulation.waiting import goes_before


def append_running(m: Words, q: int, i: int) -> None:
    """A request is admitted."""
    tail = m[q + RUNNING_TAIL]
    m[i + PREV] = tail
    m[i + NEXT] = 0
    if tail == 0:
        m[q + RUNNING_HEAD] = i
    else:
        m[tail + NEXT] = i
    m[q + RUNNING_TAIL] = i
    m[q + N_RUNNING] += 1


def remove_running(m: Words, q: int, i: int) -> None:
    """A request ends or is preempted."""
    before = m[i + PREV]
    after = m[i + NEXT]
    if before == 0:
        m[q + RUNNING_HEAD] = after
    else:
        m[before + NEXT] = after
    if after == 0:
        m[q + RUNNING_TAIL] = before
    else:
        m[after + PREV] = before
    m[q + N_RUNNING] -= 1


def victim(m: Words, q: int) -> int:
    """Whom to preempt: the one admitted last, or of the lowest priority."""
    worst = m[q + RUNNING_TAIL]
    if m[BY_PRIORITY]:
        i = m[worst + PREV]
        while i != 0:
            if goes_before(m, worst, i):
                worst = i
            i = m[i + PREV]
    return int(worst)
