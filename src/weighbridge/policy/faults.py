"""Everything that is wrong with one document, told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from weighbridge.units import InputError

N_FAULTS_TOLD = 20
_N_CHARACTERS_SHOWN = 60


class ManyFaultsError(InputError):
    """Several faults of one document; `where` to `mend` are those of the first."""

    def __init__(self, faults: Sequence[InputError]) -> None:
        first = faults[0]
        super().__init__(first.where, first.field, first.problem, first.mend)
        self.faults = tuple(faults)
        told = [str(fault) for fault in faults[:N_FAULTS_TOLD]]
        n_more = len(faults) - len(told)
        self.args = ("\n".join([*told, f"and {n_more} more"] if n_more else told),)


class Faults:
    """Collects the faults of a document, so that a reader can go on to the next field."""

    __slots__ = ("_found", "_lines", "_where")

    def __init__(self, where: str, lines: Mapping[str, int] | None = None) -> None:
        self._where, self._lines = where, lines or {}
        self._found: list[tuple[int, InputError]] = []

    def add(self, field: str, problem: str, mend: str) -> None:
        """Note one fault; `field` is a dotted path such as `targets.gpt.caps.concurrency`."""
        line = self._line_of(field)
        where = self._where if line is None else f"{self._where}, line {line}"
        self._found.append((line or 0, InputError(where, field, problem, mend)))

    def add_error(self, error: InputError) -> None:
        """Note what somebody else raised."""
        many = error.faults if isinstance(error, ManyFaultsError) else [error]
        self._found += [(self._line_of(each.field) or 0, each) for each in many]

    def raise_any(self) -> None:
        """Raise what was found, by line: one fault as itself, several together, nothing if none."""
        faults = [error for _, error in sorted(self._found, key=lambda found: found[0])]
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise ManyFaultsError(faults)

    def __len__(self) -> int:
        return len(self._found)

    def _line_of(self, field: str) -> int | None:
        """Line of the field, or of the nearest thing around it that is written."""
        while field and field not in self._lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self._lines.get(field)


def nearest(wanted: str, known: Iterable[str]) -> str:
    """A mend that offers the known name nearest to the one that was written.

    >>> nearest("concurency", ["concurrency", "queue_size"])
    'did you mean `concurrency`?'
    >>> nearest("x", ["concurrency", "queue_size"])
    'use one of concurrency, queue_size'
    >>> nearest("x", [])
    'remove it: there is none to name'
    """
    names = [str(name) for name in known]
    close = get_close_matches(wanted, names, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"use one of {', '.join(names)}" if names else "remove it: there is none to name"


def shown(value: object) -> str:
    """A value as an error quotes it: short, on one line.

    >>> shown("a" * 100)[:10], len(shown("a" * 100)) <= 61
    ("'aaaaaaaaa", True)
    """
    text = repr(value)
    return text if len(text) <= _N_CHARACTERS_SHOWN else text[:_N_CHARACTERS_SHOWN] + "…"
