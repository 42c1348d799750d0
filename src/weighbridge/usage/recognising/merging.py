"""Groups that may be one, for a person to decide: proposed, never made."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_ALIKE_FRAC = 0.5
MOST_PROPOSED = 20
USER_BIT = 1 << 32  # of segments of the user's text


def proposed_merges(skeletons: Sequence[frozenset[int]]) -> list[tuple[int, int, str]]:
    """Pairs of groups whose skeletons are alike, the likest first, each with the reason.

    Alike by the Jaccard index of their segments, in the system prompt and in the user's text both,
    since many templates share the first.

    >>> proposed_merges([frozenset({1, 2, 3, 4}), frozenset({1, 2, 3, 5}), frozenset({6, 7, 8})])
    [(0, 1, '3 segments in common, 1 and 1 of their own')]
    """
    holders: dict[int, list[int]] = {}
    for number, skeleton in enumerate(skeletons):
        for segment in skeleton:
            holders.setdefault(segment, []).append(number)
    pairs = {
        (one, two)
        for numbers in holders.values()
        if 2 <= len(numbers) <= 10
        for at, one in enumerate(numbers)
        for two in numbers[at + 1 :]
    }
    found = []
    for one, two in sorted(pairs):
        first, second = skeletons[one], skeletons[two]
        alike = min(_alike(first, second, of_user) for of_user in (True, False))
        if alike >= LEAST_ALIKE_FRAC:
            own = len(first - second), len(second - first)
            why = f"{len(first & second)} segments in common, {own[0]} and {own[1]} of their own"
            found.append((-alike, one, two, why))
    return [(one, two, why) for _, one, two, why in sorted(found)[:MOST_PROPOSED]]


def _alike(first: frozenset[int], second: frozenset[int], of_user: bool) -> float:
    """Jaccard index [1] of one part, the system's or the user's; 1 of nothing."""
    either = {one for one in first | second if (one >= USER_BIT) == of_user}
    return len(either & first & second) / len(either) if either else 1.0
