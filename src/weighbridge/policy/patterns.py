"""Names with a star at their end."""

from __future__ import annotations

from collections.abc import Sequence


def fits_any(patterns: Sequence[str], name: str | None) -> bool:
    """Whether a name is one of some patterns; no name fits only where nothing is asked.

    >>> fits_any(("gpt-*", "o3"), "gpt-4.1"), fits_any(("gpt-*", "o3"), "o3-mini")
    (True, False)
    >>> fits_any((), None), fits_any(("*",), None)
    (True, False)
    """
    if not patterns:
        return True
    if name is None:
        return False
    if name in patterns:
        return True
    return any(pattern[-1:] == "*" and name.startswith(pattern[:-1]) for pattern in patterns)


def covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether every name that fits `narrow` fits `wide` too.

    >>> covers((), ("a",)), covers(("a*",), ("ab*", "ac")), covers(("a",), ("a*",))
    (True, True, False)
    """
    if not wide:
        return True
    return bool(narrow) and all(
        any(_covers_one(pattern, each) for pattern in wide) for each in narrow
    )


def _covers_one(wide: str, narrow: str) -> bool:
    if wide.endswith("*"):
        return narrow.removesuffix("*").startswith(wide[:-1])
    return wide == narrow
