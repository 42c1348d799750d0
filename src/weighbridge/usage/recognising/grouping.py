"""Sketches to groups: prompts that share frequent segments were made from one template.

Top down. Segments that always come together are a bundle: the fixed text of a template, or one
value of a variable. A set of prompts is divided by its heaviest bundles, each part again, until
none is left that tells templates apart. A value of a variable does not: either it is too rare for
how little it says, or the prompts with and without it are alike in everything else and those
without it have nothing recurrent in its place. So is text that only some prompts of a template
have. What shares nothing frequent with others stays without a group.

Names without a sketch go where all sketched names go that begin like them, if these agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from weighbridge.ledger.prompt_shape import HEAD_CHARS, NAME_CHARS, SEGMENT_BYTES, SYSTEM_CHARS

T = TypeVar("T")
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNASSIGNED = -1

LEAST_REQUESTS = 3.0  # that a segment must be seen in
TOGETHER_FRAC = 0.9  # how often segments of a bundle come together, seen from either
MOST_SHARED_FRAC = 0.97  # what nearly all have divides nothing
LEAST_SCORE = 0.2  # share of a bundle times its segments: 4 % of five words, 1 % of a paragraph
LEAST_ALTERNATIVE = 1.0  # the same, of what stands in the place of a bundle elsewhere
FEW_FRAC = 0.1  # of such: a template has few alternatives, a variable many
LONG_SEGMENTS = 12  # an alternative of so many is no value of a variable, however many there are
ALIKE_FRAC = 0.3  # of what prompts with a bundle have, also had without it: they are alike
LARGE_SEGMENTS = 8  # a bundle of so many is no variable, where nothing around it is fixed
LARGE_REQUESTS = 10.0
AGREE_FRAC = 0.9  # of sketched names that begin alike, for the others to follow
MANY_HEADS = 20  # heads of one name each under a system prompt: new ones come all the time
SAMPLE_NAMES = 3000  # to find bundles in; all are then divided by them
_MOST_SEEDS = 400


@dataclass(frozen=True, slots=True)
class Grouped:
    """Groups numbered from 0, and which beginnings of names belong to which; the longest counts."""

    of_prefix: Mapping[str, int]
    n_groups: int
    skeletons: tuple[frozenset[int], ...]  # segments that at least half of a group's prompts have

    def number(self, name: str) -> int:
        """Group of a name; `UNASSIGNED` where it has none."""
        return longest(self.of_prefix, name, UNASSIGNED)


def longest(of_prefix: Mapping[str, T], name: str, otherwise: T) -> T:
    """What stands for the longest beginning of a name that is known."""
    for length in (NAME_CHARS, HEAD_CHARS, SYSTEM_CHARS):
        if length <= len(name) and (found := of_prefix.get(name[:length])) is not None:
            return found
    return otherwise


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Sketched names as rows of segments: `cols[starts[i]:starts[i + 1]]`, with their weights."""

    starts: Ints
    cols: Ints
    own: Floats  # requests of each name
    weights: Floats  # requests that it stands for: those too of names without a sketch
    is_user: Mask  # by segment
    values: NDArray[np.uint64]

    @property
    def n_segments(self) -> int:
        return len(self.is_user)

    def entries(self, rows: Ints) -> tuple[Ints, Ints]:
        """Row (as its place in `rows`) and segment of every entry of these rows."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        places = np.repeat(np.arange(len(rows)), lengths)
        offsets = np.arange(len(places)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return places, self.cols[self.starts[rows][places] + offsets]

    def postings(self, rows: Ints) -> tuple[Ints, Ints]:
        """Rows (as places in `rows`) by segment, and where those of each segment begin."""
        places, cols = self.entries(rows)
        order = np.argsort(cols, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(cols, minlength=self.n_segments))])
        return places[order], starts.astype(np.int64)

    def shares(self, rows: Ints) -> Floats:
        """Weighted share of rows that have each segment [1]."""
        places, cols = self.entries(rows)
        weights = self.weights[rows]
        found = np.bincount(cols, weights[places], self.n_segments)
        return found / (float(weights.sum()) or 1.0)


@dataclass(frozen=True, slots=True)
class _Bundle:
    segments: Ints
    score: float
    n_requests: float


def group(names: Mapping[str, int], sketches: Mapping[str, bytes]) -> Grouped:
    """Group names by their sketches.

    Parameters
    ----------
    names : mapping
        Requests [1] of each name that stands in the ledger.
    sketches : mapping
        Segments of names and, under their first 13 characters, of system prompts.

    Returns
    -------
    Grouped
        Groups numbered by size, the largest first.

    Examples
    --------
    >>> from weighbridge.ledger.prompt_shape import PromptShaper
    >>> shaper = PromptShaper(bytes(32))
    >>> topics = ("boats", "tea", "snow", "chess", "bees", "jazz", "salt", "maps")
    >>> asked = [f"Please write a short friendly poem about {one}" for one in topics]
    >>> asked += [f"Which of our shops in the north sells {one} today?" for one in topics]
    >>> found = group(
    ...     {shaper.name("", one): 5 for one in asked},
    ...     {s.fingerprint: s.segments for one in asked
    ...      for s in shaper.sketches(shaper.name("", one), "", one)},
    ... )
    >>> found.n_groups, [found.number(shaper.name("", asked[at])) for at in (0, 1, 8, 9)]
    (2, [1, 1, 0, 0])
    """
    sketched = sorted(name for name in names if name in sketches or name[:SYSTEM_CHARS] in sketches)
    sketched = [name for name in sketched if len(name) < NAME_CHARS or name in sketches]
    if not sketched:
        return Grouped({}, 0, ())
    weights = _weights(names, sketched)
    own = np.array([float(names[name]) for name in sketched])
    corpus = _corpus(sketched, sketches, own, weights)
    leaves = _leaves(corpus)
    sized = sorted(leaves, key=lambda rows: (-float(weights[rows].sum()), sketched[int(rows[0])]))
    of_name: dict[str, int] = {}
    skeletons = []
    for number, rows in enumerate(sized):
        of_name |= dict.fromkeys((sketched[int(row)] for row in rows), number)
        common = np.flatnonzero(corpus.shares(rows) >= 0.5)
        skeletons.append(frozenset(corpus.values[common].tolist()))
    return Grouped(_prefixes(of_name, sketched), len(sized), tuple(skeletons))


def _weights(names: Mapping[str, int], sketched: Sequence[str]) -> Floats:
    """Requests that each sketched name stands for: its own, and a part of those that have none."""
    weights = np.array([float(names[name]) for name in sketched])
    known = set(sketched)
    alike: dict[str, list[int]] = {}
    for place, name in enumerate(sketched):
        for prefix in {name[:HEAD_CHARS], name[:SYSTEM_CHARS]}:
            alike.setdefault(prefix, []).append(place)
    left: dict[str, int] = {}
    for name, n_requests in names.items():
        if name not in known:
            prefix = name[:HEAD_CHARS] if name[:HEAD_CHARS] in alike else name[:SYSTEM_CHARS]
            left[prefix] = left.get(prefix, 0) + n_requests
    for prefix, n_requests in left.items():
        if prefix in alike:
            weights[alike[prefix]] += n_requests / len(alike[prefix])
    return weights


def _corpus(
    names: Sequence[str], sketches: Mapping[str, bytes], own: Floats, weights: Floats
) -> _Corpus:
    """Rows of segments seen often enough; a bit tells those of users from those of systems."""
    pieces: list[bytes] = []
    for name in names:
        pieces.append(sketches.get(name[:SYSTEM_CHARS], b""))
        pieces.append(sketches.get(name, b"") if len(name) == NAME_CHARS else b"")
    lengths = np.array([len(piece) // SEGMENT_BYTES for piece in pieces])
    segments = np.frombuffer(b"".join(pieces), dtype=f">u{SEGMENT_BYTES}").astype(np.uint64)
    of_user = np.repeat(np.tile(np.array([0, 1 << 32], np.uint64), len(names)), lengths)
    values, cols = np.unique(segments | of_user, return_inverse=True)
    rows = np.repeat(np.arange(len(pieces)) // 2, lengths)
    often = np.bincount(cols, own[rows], len(values)) >= LEAST_REQUESTS
    kept = often[cols]
    renumbered = np.cumsum(often) - 1
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=len(names)))])
    values = values[often]
    return _Corpus(
        starts.astype(np.int64),
        renumbered[cols[kept]].astype(np.int64),
        own,
        weights,
        values >= np.uint64(1 << 32),
        values,
    )


def _leaves(corpus: _Corpus) -> list[Ints]:
    """Rows of each group; rows of no group are in none."""
    waiting = [np.arange(len(corpus.weights), dtype=np.int64)]
    leaves = []
    while waiting:
        rows = waiting.pop()
        parts = _divided(corpus, rows)
        if len(parts) > 1:
            waiting += parts
        elif _has_context(corpus.shares(rows)):
            leaves.append(rows)
    return leaves


def _has_context(shares: Floats) -> bool:
    return bool(np.count_nonzero(shares >= 0.5) >= 1)


def _divided(corpus: _Corpus, rows: Ints) -> list[Ints]:
    """Parts of these rows by every bundle that tells templates apart, and the rest."""
    if len(rows) < 2:
        return [rows]
    # Names are hashes: every so manieth one of their order is a sample drawn at random.
    sampled = rows[:: 1 + len(rows) // SAMPLE_NAMES]
    shares = corpus.shares(sampled)
    is_fixed = {part: bool(np.any(shares[corpus.is_user == part] >= 0.9)) for part in (True, False)}
    parts = []
    left = np.ones(len(rows), dtype=bool)
    by_col, starts = corpus.postings(rows)
    for bundle in _bundles(corpus, sampled, shares):
        inside = _having(bundle, by_col, starts, len(rows))
        fresh = inside & left
        if np.count_nonzero(fresh) < 0.9 * np.count_nonzero(inside):
            continue
        outside = rows[left & ~inside]
        if not len(outside):
            continue
        of_user = bool(np.mean(corpus.is_user[bundle.segments]) >= 0.5)
        is_large = len(bundle.segments) >= LARGE_SEGMENTS and bundle.n_requests >= LARGE_REQUESTS
        if bundle.score < LEAST_SCORE and (is_fixed[of_user] or not is_large):
            continue
        if _tells_apart(corpus, rows[fresh], outside, of_user):
            parts.append(rows[fresh])
            left &= ~inside
    if not parts:
        return [rows]
    return [*parts, rows[left]] if left.any() else parts


def _bundles(corpus: _Corpus, rows: Ints, shares: Floats) -> list[_Bundle]:
    """Segments that come together, those that say most first."""
    n_requests = float(corpus.own[rows].sum())
    places, cols = corpus.entries(rows)
    seen = np.bincount(cols, corpus.own[rows][places], corpus.n_segments)
    usable = (shares <= MOST_SHARED_FRAC) & (seen >= LEAST_REQUESTS)
    seeds = np.flatnonzero(usable)
    seeds = seeds[np.argsort(-shares[seeds], kind="stable")]
    by_col, col_starts = corpus.postings(rows)
    used = np.zeros(len(shares), dtype=bool)
    n_weights = float(corpus.weights[rows].sum())
    found: list[_Bundle] = []
    for seed in seeds.tolist():
        if used[seed]:
            continue
        if len(found) >= _MOST_SEEDS:
            break
        holding = rows[by_col[col_starts[seed] : col_starts[seed + 1]]]
        both = corpus.shares(holding) * float(corpus.weights[holding].sum() / n_weights)
        share = float(shares[seed])
        bundle = np.flatnonzero(
            usable & ~used & (both >= TOGETHER_FRAC * share) & (both >= TOGETHER_FRAC * shares)
        )
        used[bundle] = True
        sure = share - 2.0 * np.sqrt(share * (1.0 - share) / n_requests)
        found.append(_Bundle(bundle, float(sure) * len(bundle), float(seen[seed])))
    return sorted(found, key=lambda one: -one.score)


def _having(bundle: _Bundle, by_col: Ints, starts: Ints, n: int) -> Mask:
    """Which rows have at least half of a bundle."""
    pieces = [by_col[starts[one] : starts[one + 1]] for one in bundle.segments.tolist()]
    return np.bincount(np.concatenate(pieces), minlength=n) * 2 >= len(pieces)


def _tells_apart(corpus: _Corpus, inside: Ints, outside: Ints, of_user: bool) -> bool:
    """Whether rows with a bundle are of another template than rows without it."""
    inside, outside = (rows[:: 1 + len(rows) // SAMPLE_NAMES] for rows in (inside, outside))
    with_it, without = corpus.shares(inside), corpus.shares(outside)
    usual = (corpus.is_user == of_user) & (with_it >= 0.3)
    common = float(np.minimum(with_it, without)[usual].sum())
    own = float(with_it[usual].sum())
    if common < ALIKE_FRAC * own:
        return True
    absent = with_it <= 0.02
    few = np.where(absent & (without >= FEW_FRAC), without, 0.0)
    many = np.where(absent & (without >= 0.02), 1.0, 0.0)
    places, cols = corpus.entries(outside)
    said = np.bincount(places, few[cols], len(outside)) >= LEAST_ALTERNATIVE
    said |= np.bincount(places, many[cols], len(outside)) >= LONG_SEGMENTS
    weights = corpus.weights[outside]
    return bool(weights[said].sum() >= 0.8 * weights.sum())


def _prefixes(of_name: Mapping[str, int], sketched: Sequence[str]) -> dict[str, int]:
    """Beginnings whose sketched names agree, and the names that go elsewhere."""
    votes = _votes(of_name, sketched)
    found: dict[str, int] = {}
    for prefix in sorted(votes, key=lambda one: (len(one), one)):
        number = _agreed(votes[prefix])
        if number != UNASSIGNED and longest(found, prefix, UNASSIGNED) != number:
            found[prefix] = number
    for name in sketched:
        number = of_name.get(name, UNASSIGNED)
        if number != UNASSIGNED and longest(found, name, UNASSIGNED) != number:
            found[name] = number
    return found


def _votes(of_name: Mapping[str, int], sketched: Sequence[str]) -> dict[str, Counter[int]]:
    """Groups of the sketched names of each beginning.

    Of a system prompt whose names do not agree, those with a head of their own are asked alone: a
    head that nobody saw yet comes from where new heads come from.
    """
    heads = Counter(name[:HEAD_CHARS] for name in sketched)
    every: dict[str, Counter[int]] = {}
    single: dict[str, Counter[int]] = {}
    for name in sketched:
        number = of_name.get(name, UNASSIGNED)
        head, system = name[:HEAD_CHARS], name[:SYSTEM_CHARS]
        every.setdefault(head, Counter())[number] += 1
        if head != system:
            every.setdefault(system, Counter())[number] += 1
            if heads[head] == 1:
                single.setdefault(system, Counter())[number] += 1
    for system, counted in single.items():
        if counted.total() >= MANY_HEADS and _agreed(every[system]) == UNASSIGNED:
            every[system] = counted
    return every


def _agreed(counted: Counter[int]) -> int:
    number, n = max(counted.items(), key=lambda pair: (pair[1], -pair[0]))
    return number if n >= AGREE_FRAC * counted.total() else UNASSIGNED
