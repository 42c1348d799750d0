"""Names that LiteLLM's clients ask for and that a converted configuration does not serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weighbridge.policy.patterns import fits_any

_ALIASES = "router_settings.model_group_alias."


def sort_notes(
    document: Mapping[str, Any], new: Mapping[str, Any], notes: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Notes of a conversion in two: models lost to clients, by name, and all else.

    A name that a pattern serves is lost as well: what answers is another model than before.
    """
    served = _served(new)
    raw_list = document.get("model_list")
    rows = raw_list if isinstance(raw_list, list) else []
    names = {f"model_list[{i}]": _name(row) for i, row in enumerate(rows)}
    lost: dict[str, list[str]] = {}
    others: list[str] = []
    for note in notes:
        path = note.partition(": ")[0]
        name = names.get(path.partition(".")[0])
        if path.startswith(_ALIASES):
            name = path[len(_ALIASES) :]
        if name is None or name in served:
            others.append(note)
        else:
            lost.setdefault(name, []).append(note)
    return [_told(name, served, why) for name, why in lost.items()], others


def _name(row: object) -> str | None:
    name = row.get("model_name") if isinstance(row, dict) else None
    return name if isinstance(name, str) and name else None


def _served(new: Mapping[str, Any]) -> list[str]:
    """Names and patterns of models that the new document has a route for."""
    rules = [name for rule in new.get("rules", ()) for name in rule["match"]["model"]]
    return list(dict.fromkeys([*new.get("models", ()), *rules]))


def _told(name: str, served: Iterable[str], why: Sequence[str]) -> str:
    patterns = [one for one in served if fits_any((one,), name)]
    longest = max(patterns, key=len, default=None)
    gets = "gets 404" if longest is None else f"is answered by what serves `{longest}`"
    return f"{name} {gets}: {'; '.join(why)}"
