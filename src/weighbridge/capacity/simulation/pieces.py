"""Pieces of a replica's time: one iteration, or a stretch of iterations that only decode.

A stretch of k iterations of B requests with C tokens of context takes
`k * (decode_s[B] + kv * C) + kv * B * k * (k - 1) / 2`. It lasts until a request ends, blocks run
out, another rank becomes the slowest, or an arrival can be admitted.
"""

from __future__ import annotations

from math import ceil, sqrt

from weighbridge.capacity.simulation.blocks import (
    affordable_iterations,
    growth_blocks,
    release_blocks,
    use_blocks,
)
from weighbridge.capacity.simulation.calendar import drop_end, push_end
from weighbridge.capacity.simulation.layout import (
    ASYNC,
    BATCH_BY_TIME,
    BLOCK,
    BLOCKED,
    BLOCKS_BY_TIME,
    BUSY,
    CALENDAR0,
    CHUNK,
    CONTEXT,
    DECODE0,
    DECODED,
    DELIVERED,
    END_LOW,
    FAST,
    FINISH,
    FIRST,
    FIRST_STEP,
    GROWTH,
    INF,
    INPUT,
    ITERATION,
    KEY,
    KV_S,
    LAST,
    LATE_BLOCKS,
    LATE_PLACES,
    LENGTH,
    MADE,
    MIXED0,
    N_DECODING,
    N_ENDED,
    N_FRESH,
    N_RANKS,
    N_WAITING,
    NEXT,
    NEXT_AT,
    OUTPUT,
    OUTSTANDING,
    PAIR_S,
    PAIRS,
    PARTIAL,
    PIECE,
    PREV,
    PURE,
    RANK_WORDS,
    RANKS0,
    REAL,
    RESIDUES0,
    RUNNING_TAIL,
    SETTLED,
    TIME,
    TIME_LOW,
    USED,
    WAITING_HEAD,
    Reals,
    Words,
)
from weighbridge.capacity.simulation.running import remove_running
from weighbridge.capacity.simulation.scheduling import schedule_rank


def stretch_s(f: Reals, x: int, n_iterations: int) -> float:
    """Length of so many iterations of the piece [s]."""
    return float(n_iterations * (f[x + FIRST_STEP] + f[x + GROWTH] * ((n_iterations - 1) * 0.5)))


def set_length(m: Words, f: Reals, r: int, n_iterations: int) -> None:
    """Fix how many iterations the piece has, and when it ends; rounding is carried over."""
    x = m[r + REAL]
    length = stretch_s(f, x, n_iterations)
    start = f[x + TIME]
    rest = length + f[x + TIME_LOW]
    end = start + rest
    back = end - start
    f[x + END_LOW] = (start - (end - back)) + (rest - back)
    f[x + LENGTH] = length
    f[m[r + NEXT_AT]] = end
    m[r + PIECE] = n_iterations


def rank_step_s(m: Words, f: Reals, q: int) -> float:
    """Time of the rank's next iteration [s]."""
    n_decoding = m[q + N_DECODING]
    chunk = m[q + CHUNK]
    if chunk > 0:
        base = f[m[MIXED0] + chunk + n_decoding] + f[PAIR_S] * m[q + PAIRS]
    elif n_decoding > 0:
        base = f[m[DECODE0] + n_decoding]
    else:
        return 0.0
    return float(base + f[KV_S] * m[q + CONTEXT])


def slowest_rank(m: Words, f: Reals, r: int) -> None:
    """The piece takes as long as its slowest rank; of equals, the one that slows down faster."""
    x = m[r + REAL]
    f[x + FIRST_STEP] = 0.0
    f[x + GROWTH] = 0.0
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        step = rank_step_s(m, f, q)
        growth = f[KV_S] * m[q + N_DECODING]
        if step > f[x + FIRST_STEP] or (step == f[x + FIRST_STEP] and growth > f[x + GROWTH]):
            f[x + FIRST_STEP] = step
            f[x + GROWTH] = growth


def until_overtaken(m: Words, f: Reals, r: int, n_iterations: int) -> int:
    """How many iterations the slowest rank stays the slowest."""
    x = m[r + REAL]
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        growth = f[KV_S] * m[q + N_DECODING]
        if growth > f[x + GROWTH]:
            ahead = f[x + FIRST_STEP] - rank_step_s(m, f, q)
            n_before = ahead / (growth - f[x + GROWTH]) + 1.0
            if n_before < n_iterations:
                n_iterations = max(1, int(n_before))
    return n_iterations


def stretch_iterations(m: Words, f: Reals, r: int) -> int:
    """How long the replica can go on decoding before anything else happens."""
    iteration = m[r + ITERATION]
    n_iterations = 1 << 40
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        if m[q + N_DECODING] > 0:
            n_left = m[m[q + CALENDAR0]] // KEY - iteration
            n_iterations = min(n_iterations, n_left)
            if n_iterations > 1:
                n_more = affordable_iterations(m, q, iteration + 1, n_iterations - 1)
                n_iterations = 1 + n_more
    if m[N_RANKS] > 1 and n_iterations > 1:
        n_iterations = until_overtaken(m, f, r, n_iterations)
    return n_iterations


def settle_late(m: Words, f: Reals, r: int) -> None:
    """Nothing was left to compute, so that the next iteration is settled only now."""
    f[m[r + REAL] + SETTLED] = INF
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        make_late_usable(m, q)


def make_late_usable(m: Words, q: int) -> None:
    """What requests gave back when they ended can be used from here on."""
    if m[q + LATE_PLACES] > 0:
        m[q + LATE_PLACES] = 0
        m[q + LATE_BLOCKS] = 0
        m[q + BLOCKED] = 0


def someone_is_late(m: Words, f: Reals, r: int) -> bool:
    """Whether a waiting request may be admitted one iteration later though nothing ends."""
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        if m[q + N_WAITING] > 0:
            delivered_s = f[(m[q + WAITING_HEAD] >> 2) + DELIVERED]
            if m[q + LATE_PLACES] > 0 or delivered_s > f[m[r + REAL] + SETTLED]:
                return True
    return False


def schedule_ranks(m: Words, f: Reals, r: int) -> tuple[int, int, int]:
    """Form the next iteration of every rank; returns prompt tokens, decoding and preempted."""
    iteration = m[r + ITERATION]
    now_s = f[m[r + REAL] + TIME]
    n_preempted = 0
    n_prompt = 0
    n_decoding = 0
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        m[q + CHUNK] = 0
        m[q + PAIRS] = 0
        n_preempted += schedule_rank(m, f, q, iteration, now_s)
        n_prompt += m[q + CHUNK]
        n_decoding += m[q + N_DECODING]
    return n_prompt, n_decoding, n_preempted


def begin_piece(m: Words, f: Reals, r: int) -> None:
    """Schedule the replica's next iteration, or the stretch that begins with it."""
    n_prompt, n_decoding, n_preempted = schedule_ranks(m, f, r)
    if n_prompt + n_decoding == 0 and m[ASYNC]:
        settle_late(m, f, r)
        n_prompt, n_decoding, n_again = schedule_ranks(m, f, r)
        n_preempted += n_again
    if n_prompt + n_decoding == 0 and n_preempted == 0:
        m[r + PIECE] = 0
        f[m[r + NEXT_AT]] = INF
        return
    slowest_rank(m, f, r)
    pure = n_prompt == 0 and n_preempted == 0
    m[r + PURE] = pure
    n_iterations = 1
    if pure and m[FAST] and not (m[ASYNC] and someone_is_late(m, f, r)):
        n_iterations = stretch_iterations(m, f, r)
    set_length(m, f, r, n_iterations)


def n_iterations_until(m: Words, f: Reals, r: int, at_s: float) -> int:
    """Iterations of the stretch until the first that ends at an instant or after it."""
    x = m[r + REAL]
    start = f[x + TIME]
    low = f[x + TIME_LOW]
    left = (at_s - start) - low
    growth = f[x + GROWTH]
    linear = f[x + FIRST_STEP] - 0.5 * growth
    n_most = m[r + PIECE]
    n_iterations = 1
    if left > 0.0:
        root = 2.0 * left / (linear + sqrt(linear * linear + 2.0 * growth * left))
        n_iterations = ceil(min(root, float(n_most)))
    n_iterations = min(max(n_iterations, 1), n_most)
    while n_iterations > 1 and start + (stretch_s(f, x, n_iterations - 1) + low) >= at_s:
        n_iterations -= 1
    while n_iterations < n_most and start + (stretch_s(f, x, n_iterations) + low) < at_s:
        n_iterations += 1
    return int(n_iterations)


def cut_piece(m: Words, f: Reals, r: int, at_s: float) -> None:
    """End the stretch with the iteration that is under way at an instant, or the one after it."""
    n_iterations = n_iterations_until(m, f, r, at_s) + m[ASYNC]
    if n_iterations < m[r + PIECE]:
        set_length(m, f, r, n_iterations)


def end_request(m: Words, f: Reals, r: int, q: int, i: int) -> None:
    """A request has made its last token."""
    f[(i >> 2) + LAST] = f[m[r + REAL] + TIME]
    remove_running(m, q, i)
    used = m[q + USED]
    release_blocks(m, q, i, m[i + INPUT] + m[i + OUTPUT] - 1, 0)
    if m[ASYNC]:
        m[q + LATE_PLACES] += 1
        m[q + LATE_BLOCKS] += used - m[q + USED]
    m[r + OUTSTANDING] -= 1
    m[N_ENDED] += 1


def end_decoding(m: Words, f: Reals, r: int, q: int) -> None:
    """End the requests whose last token this iteration made."""
    iteration = m[r + ITERATION]
    block = m[BLOCK]
    top = m[q + CALENDAR0]
    while m[q + N_DECODING] > 0 and m[top] < (iteration + 1) * KEY:
        i = m[top] % KEY
        drop_end(m, q, 0)
        n_tokens = m[i + INPUT] + m[i + OUTPUT]
        m[q + CONTEXT] -= n_tokens
        m[m[q + RESIDUES0] + (iteration - n_tokens + 1) % block] -= 1
        end_request(m, f, r, q, i)


def begin_decoding(m: Words, q: int, i: int, iteration: int) -> None:
    """A request whose prompt is complete makes one token in each iteration from now on."""
    made = m[i + MADE] + 1
    n_in_cache = m[i + INPUT] + made - 1
    finish = iteration + m[i + OUTPUT] - made
    m[i + FINISH] = finish
    m[q + CONTEXT] += n_in_cache + 1
    m[m[q + RESIDUES0] + (iteration - n_in_cache) % m[BLOCK]] += 1
    push_end(m, q, finish * KEY + i)


def complete_prompts(m: Words, f: Reals, r: int, q: int) -> None:
    """First tokens of the prompts that this iteration completed: the last ones admitted."""
    iteration = m[r + ITERATION]
    i = m[q + RUNNING_TAIL]
    if m[q + PARTIAL] != 0:
        i = m[i + PREV]
    for _ in range(m[q + N_FRESH] - 1):
        i = m[i + PREV]
    for _ in range(m[q + N_FRESH]):
        after = m[i + NEXT]
        if m[i + MADE] == 0:
            f[(i >> 2) + FIRST] = f[m[r + REAL] + TIME]
        if m[i + MADE] + 1 == m[i + OUTPUT]:
            end_request(m, f, r, q, i)
        else:
            begin_decoding(m, q, i, iteration)
        i = after
    m[q + N_FRESH] = 0


def grow_rank(m: Words, q: int, iteration: int, n_iterations: int) -> float:
    """Blocks and tokens of the piece's decoding requests; returns the mean blocks in use."""
    before = m[q + USED]
    n_decoding = m[q + N_DECODING]
    if n_decoding > 0:
        m[q + CONTEXT] += n_decoding * n_iterations
        m[q + DECODED] += n_decoding * n_iterations
        use_blocks(m, q, growth_blocks(m, q, iteration + 1, n_iterations - 1))
    return float(0.5 * (before + m[q + USED]))


def finish_piece(m: Words, f: Reals, r: int) -> None:
    """The piece under way ends: tokens, blocks, first and last tokens; the replica then rests."""
    x = m[r + REAL]
    start = f[x + TIME]
    f[x + TIME] = f[m[r + NEXT_AT]]
    n_iterations = m[r + PIECE]
    f[x + SETTLED] = INF
    if n_iterations == 0:
        f[x + TIME_LOW] = 0.0
        return
    if m[ASYNC]:
        f[x + SETTLED] = start  # exactly: what came at this instant is not late
        if n_iterations > 1:
            f[x + SETTLED] = f[x + TIME] - f[x + FIRST_STEP] - f[x + GROWTH] * (n_iterations - 1)
    f[x + TIME_LOW] = f[x + END_LOW]
    length = f[x + LENGTH]
    iteration = m[r + ITERATION]
    m[r + ITERATION] = iteration + n_iterations
    m[r + PIECE] = 0
    f[x + BUSY] += length
    for k in range(m[N_RANKS]):
        q = m[r + RANKS0] + k * RANK_WORDS
        make_late_usable(m, q)
        f[x + BATCH_BY_TIME] += m[q + N_DECODING] * length
        f[x + BLOCKS_BY_TIME] += grow_rank(m, q, iteration, n_iterations) * length
        if m[q + N_DECODING] > 0:
            end_decoding(m, f, r, q)
        if m[q + N_FRESH] > 0:
            complete_prompts(m, f, r, q)
