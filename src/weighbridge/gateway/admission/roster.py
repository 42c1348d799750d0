"""Counts by scope and name. Clients choose names, so the number of counts is bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

N_LOOKED_AT = 16


class Count(Protocol):
    """Something that may be forgotten while nothing is taken from it."""

    def is_idle(self, now: float, at: float) -> bool:
        """Whether it could be forgotten and made anew without anyone noticing."""


C = TypeVar("C", bound=Count)
Name = tuple[str, ...]


class Roster(Generic[C]):
    """Counts that the configuration names, all kept, and free ones, at most `max_free`.

    Where there is no room, the free ones that were resolved longest ago are looked at, a few at a
    time, and the idle ones forgotten: a stranger who invents names costs neither memory nor a
    sweep, and no count that is partly used is ever reset.
    """

    def __init__(self, max_free: int) -> None:
        if max_free < 2 * N_LOOKED_AT:  # else those of the claim at hand might be looked at
            raise ValueError(f"max_free is {max_free}; give at least {2 * N_LOOKED_AT}")
        self._max_free = max_free
        self._named: dict[Name, C] = {}
        self._free: OrderedDict[Name, C] = OrderedDict()
        self.n_forgotten = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._named) + len(self._free)

    def get(self, name: Name) -> C | None:
        """The count of a name, if there is one; a free one counts as new again."""
        named = self._named.get(name)
        if named is not None:
            return named
        free = self._free.get(name)
        if free is not None:
            self._free.move_to_end(name)
        return free

    def has_room(self, now: float, at: float) -> bool:
        """Whether one more free count may be added, after forgetting what is idle."""
        free = self._free
        if len(free) < self._max_free:
            return True
        for _ in range(min(N_LOOKED_AT, len(free))):
            name, count = next(iter(free.items()))
            if count.is_idle(now, at):
                del free[name]
                self.n_forgotten += 1
            else:
                free.move_to_end(name)
        return len(free) < self._max_free

    def add(self, name: Name, count: C, is_free: bool) -> None:
        """Keep a count."""
        (self._free if is_free else self._named)[name] = count

    def values(self) -> Iterator[C]:
        """All of them, those that the configuration names first."""
        return chain(self._named.values(), self._free.values())
