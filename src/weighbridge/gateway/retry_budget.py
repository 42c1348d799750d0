"""How much repeating a process may do: a share of its requests, so that no storm feeds itself."""

from __future__ import annotations


class RetryBudget:
    """A bucket that each request fills a little and each repeat empties by one.

    From the start, repeats <= `share_frac` x requests + `n_floor` + `floor_per_s` x seconds: the
    floor lets a quiet process repeat at all. What is saved up never exceeds `n_max`.
    """

    __slots__ = ("_filled_s", "_floor_per_s", "_n", "_n_floor", "_n_max", "_share_frac")

    def __init__(
        self,
        share_frac: float = 0.1,
        n_floor: float = 10.0,
        floor_per_s: float = 0.1,
        n_max: float = 100.0,
    ) -> None:
        self._share_frac = share_frac
        self._n_floor = n_floor
        self._floor_per_s = floor_per_s
        self._n_max = n_max
        self._n = n_floor
        self._filled_s: float | None = None

    def deposit(self) -> None:
        """A request has come."""
        n = self._n + self._share_frac
        self._n = n if n < self._n_max else self._n_max

    def withdraw(self, now: float) -> bool:
        """Whether one more repeat is allowed; if so, it is taken."""
        if self._filled_s is not None and self._n < self._n_floor:
            elapsed_s = max(0.0, now - self._filled_s)
            self._n = min(self._n_floor, self._n + self._floor_per_s * elapsed_s)
        self._filled_s = now
        if self._n < 1.0:
            return False
        self._n -= 1.0
        return True
