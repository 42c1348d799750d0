"""Names of columns as an error may print them: a file without a header shows its first row."""

from __future__ import annotations

import re
from collections.abc import Sequence

# How keys of services begin, ids of keys (`key_`, `apikey_`) and hashes of them apart.
KEYS_BEGIN = (
    r"(?i)^\s*(bearer\s|((sk|rk|gsk|xai|nvapi|pplx|hf|r8|ghp|gho|xox[abp]|github_pat|pk-lf)[-_]"
    r"|aiza|akia|eyj[a-z0-9_-]{8,}\.)\S)"
)
_NAME = re.compile(r"[^\W\d][\w .-]{0,40}")
_VALUE = re.compile(r"\s*[-+(]?[$.]?\d")  # a number or a date
_LONGEST_NAME = 60


def is_secret(text: str) -> bool:
    """Whether a text begins as keys of services do.

    >>> is_secret("sk-live-abcdef"), is_secret("apikey_01Rj2N8"), is_secret("team-a")
    (True, False, False)
    """
    return re.search(KEYS_BEGIN, text) is not None


def shown_names(names: Sequence[str], most: int) -> str:
    """The names that can be names; only how many there are where some are a row's values.

    >>> shown_names(["when", "who"], 20)
    'when, who'
    >>> shown_names(["gen", "2026-10-01", "a prompt"], 20)
    '3 columns, which look like a row: is the header missing?'
    """
    if any(_VALUE.match(one) or is_secret(one) or len(one) > _LONGEST_NAME for one in names):
        return f"{len(names)} columns, which look like a row: is the header missing?"
    known = [one for one in names if _NAME.fullmatch(one)][:most]
    left = len(names) - len(known)
    return ", ".join(known) + (f", ... ({left} more)" if left else "") if names else "(none)"
