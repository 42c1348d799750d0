"""The iterations in which decoding requests make their last token: a binary heap in each rank."""

from __future__ import annotations

from weighbridge.capacity.simulation.layout import CALENDAR0, N_DECODING, Words


def push_end(m: Words, q: int, key: int) -> None:
    """Enter a request that begins to decode; counts it."""
    base = m[q + CALENDAR0]
    at = m[q + N_DECODING]
    m[q + N_DECODING] = at + 1
    rise_end(m, base, at, key)


def rise_end(m: Words, base: int, at: int, key: int) -> None:
    """Put a key at a place or above it."""
    while at > 0:
        up = (at - 1) >> 1
        other = m[base + up]
        if other <= key:
            break
        m[base + at] = other
        at = up
    m[base + at] = key


def sink_end(m: Words, base: int, at: int, n_keys: int) -> int:
    """Fill a hole with the keys below it; returns where the hole ends up."""
    child = 2 * at + 1
    while child < n_keys:
        if child + 1 < n_keys and m[base + child + 1] < m[base + child]:
            child += 1
        m[base + at] = m[base + child]
        at = child
        child = 2 * at + 1
    return at


def drop_end(m: Words, q: int, at: int) -> None:
    """Take the key at a place out; counts its request off."""
    base = m[q + CALENDAR0]
    n_keys = m[q + N_DECODING] - 1
    m[q + N_DECODING] = n_keys
    last = m[base + n_keys]
    if at < n_keys:
        hole = sink_end(m, base, at, n_keys)
        rise_end(m, base, hole, last)


def find_end(m: Words, q: int, key: int) -> int:
    """Where a key stands."""
    base = m[q + CALENDAR0]
    at = 0
    while m[base + at] != key:
        at += 1
    return at
