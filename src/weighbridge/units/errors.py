"""Faults in what a person gave us: each names the place, the field, the wrong and the mend."""

from __future__ import annotations


class WeighbridgeError(Exception):
    """Base of every error that is the caller's to mend; the command line exits with `exit_code`."""

    exit_code = 2


class InputError(WeighbridgeError):
    """Bad input, told so that it can be mended without reading our source.

    Parameters
    ----------
    where : str
        File (and line, where there is one), option or argument that holds the fault.
    field : str
        Field, column or key at fault; empty where the whole of `where` is.
    problem : str
        What was found, and why it cannot be used.
    mend : str
        What to write instead.

    Examples
    --------
    >>> print(InputError("s.yaml", "horizon_months", "is -3", "give a whole number from 1 to 120"))
    s.yaml: horizon_months: is -3
      mend: give a whole number from 1 to 120
    """

    def __init__(self, where: str, field: str, problem: str, mend: str) -> None:
        self.where, self.field, self.problem, self.mend = where, field, problem, mend
        place = ": ".join(part for part in (where, field) if part)
        super().__init__(f"{place}: {problem}\n  mend: {mend}")


class CatalogError(WeighbridgeError):
    """A fact that was asked for is not in the catalog, or two rows of it contradict."""


class TooManyRejectsError(WeighbridgeError):
    """Rows were stored, yet more were rejected than a log should hold (rule of the house: 1 %)."""

    exit_code = 3
