"""The file that `weighbridge types --write` makes: every entry in use, the rest to edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.usage.recognising.listing import TypeList


def names_text(found: TypeList) -> str:
    """Names, merges and splits in use, and every other type on a line that waits for its # to go.

    Read again, it says what is in use now, no more and no less.
    """
    merged = _merged(found)
    lines = [
        f"# Query types of version {found.version}. Remove the # of a line to use it, then run",
        "# weighbridge types --usage DIR --names THIS_FILE",
        "# That file then takes the place of the last one: an entry that it lacks is dropped.",
        *_names(found, {one for ids in merged.values() for one in ids}),
        *_merges(found, merged),
        *_splits(found),
    ]
    return "\n".join(lines) + "\n"


def says_otherwise(file: Path, text: str) -> bool:
    """Whether a file that is there has other entries than a text, or cannot be read."""
    import yaml

    try:
        return bool(yaml.safe_load(file.read_text("utf-8")) != yaml.safe_load(text))
    except FileNotFoundError:
        return False
    except (yaml.YAMLError, UnicodeDecodeError):
        return True


def _merged(found: TypeList) -> dict[str, list[str]]:
    """Groups under one name. One that is split too stands in `names`: `merge` would refuse it."""
    split = {group_id for group_id, _ in found.splits.values()}
    ids: dict[str, list[str]] = {}
    for group_id, name in found.names.items():
        if group_id not in split:
            ids.setdefault(name, []).append(group_id)
    return {name: members for name, members in ids.items() if len(members) > 1}


def _names(found: TypeList, merged: set[str]) -> list[str]:
    lines = ["names:"]
    listed = [(group_id, one) for one in found.types for group_id in one.ids]
    seen = {group_id for group_id, _ in listed}
    shares = {
        group_id: f"{100 * one.requests_share_frac:.1f} % of requests" for group_id, one in listed
    }
    rest = [group_id for group_id in found.group_ids if group_id not in seen]
    for group_id in [*(one for one, _ in listed), *rest]:
        if group_id in merged:
            continue
        said = found.names.get(group_id)
        start, name = ("", _quoted(said)) if said else ("# ", "a name")
        share = shares.get(group_id, "no request, or all are split off")
        lines.append(f"  {start}{group_id}: {name}  # {share}")
    return lines


def _merges(found: TypeList, merged: dict[str, list[str]]) -> list[str]:
    lines = [f"  {_quoted(name)}: [{', '.join(ids)}]" for name, ids in merged.items()]
    hints = [f"#   # {pair.first} and {pair.second}: {pair.reason}" for pair in found.proposals]
    example = "#   one name: [type-aaaaaa, type-bbbbbb]"
    return ["merge:" if lines else "# merge:", *lines, example, *hints]


def _splits(found: TypeList) -> list[str]:
    parts: dict[str, dict[str, list[str]]] = {}
    for prefix, (group_id, name) in found.splits.items():
        parts.setdefault(group_id, {}).setdefault(name, []).append(prefix)
    lines = []
    for group_id, names in parts.items():
        lines.append(f"  {group_id}:")
        for name, prefixes in names.items():
            told = ", ".join(f'"{prefix}"' for prefix in prefixes)
            lines.append(f"    {_quoted(name)}: [{told}]")
    example = ["#   type-aaaaaa:", '#     another name: ["~… beginning of a name"]']
    hints = [
        f"#   # {' '.join(one.name.split())}: {', '.join(one.examples)}"
        for one in found.types
        if len(one.examples) > 1
    ]
    return ["split:" if lines else "# split:", *lines, *example, *hints]


def _quoted(text: str) -> str:
    """A text as YAML in double quotes on one line, whatever is in it."""
    import sys

    import yaml

    said = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=sys.maxsize)
    return str(said).rstrip("\n")
