"""The smallest number that is enough, where more is never worse."""

from __future__ import annotations

from collections.abc import Callable


def smallest(is_enough: Callable[[int], bool], guess: int, n_most: int) -> int | None:
    """Smallest n from 1 to `n_most` that is enough, or None where even the most is not.

    Strides from the guess that double until the answer is bracketed, then halving: about
    `2 * log2(|n - guess|)` calls, none twice.

    Parameters
    ----------
    is_enough : function of int
        False up to some n and True from there on.
    guess : int
        Where to begin; a good one saves calls.
    n_most : int

    Examples
    --------
    >>> smallest(lambda n: n >= 37, 5, 1000), smallest(lambda n: n >= 37, 5, 30)
    (37, None)
    """
    guess = min(max(guess, 1), n_most)
    # Invariant: `low` is not enough (0 never is), `high` is.
    if is_enough(guess):
        low, high = 0, guess
        stride = 1
        while high > 1:
            probe = max(high - stride, 1)
            if not is_enough(probe):
                low = probe
                break
            high, stride = probe, 2 * stride
    else:
        low, high = guess, guess
        stride = 1
        while True:
            if low >= n_most:
                return None
            high = min(low + stride, n_most)
            if is_enough(high):
                break
            low, stride = high, 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
