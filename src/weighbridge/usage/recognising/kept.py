"""The file of names in a ledger's folder: replaced by another one, and nothing of it lost."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from weighbridge.units import InputError
from weighbridge.usage.recognising.edits import Edits, read_edits
from weighbridge.usage.recognising.versions import RecognisedTypes

MOST_TOLD = 6


def keep(names_file: Path, kept: Path, edits: Edits, types: RecognisedTypes) -> tuple[str, ...]:
    """Put a checked file in the place of the kept one; notes on what is no longer said."""
    if names_file.resolve() == kept.resolve():
        return ()
    notes = _set_aside_what_is_lost(kept, edits, types) if kept.exists() else ()
    draft = kept.with_name(f".{kept.name}.{os.getpid()}")
    draft.write_bytes(names_file.read_bytes())
    draft.rename(kept)
    return notes


def set_aside(file: Path) -> Path:
    """A copy of a file beside it, under a name that no earlier copy has."""
    for n in count(1):
        copy = file.with_name(f"{file.name}.bak{n if n > 1 else ''}")
        try:
            with copy.open("xb") as out:
                out.write(file.read_bytes())
        except FileExistsError:
            continue
        return copy
    raise AssertionError


def _set_aside_what_is_lost(kept: Path, edits: Edits, types: RecognisedTypes) -> tuple[str, ...]:
    try:
        before = read_edits(kept, types)
    except InputError:
        return (f"the file kept until now had a fault; it is {set_aside(kept)} now",)
    if (before.names, before.splits) == (edits.names, edits.splits):
        return ()
    copy = set_aside(kept)
    gone = dropped(before, edits)
    if not gone:
        return (f"the file kept until now is {copy}",)
    told = "; ".join(gone[:MOST_TOLD])
    more = f"; and {len(gone) - MOST_TOLD} more" if len(gone) > MOST_TOLD else ""
    problem = f"the new file takes the place of the kept one and no longer says {told}{more}"
    return (f"{problem}. The old file is {copy}; --write makes one with every entry in use",)


def dropped(before: Edits, after: Edits) -> list[str]:
    """Entries that one file has and the other says nothing of."""
    names = [
        f"{group_id}: {name}"
        for group_id, name in before.names.items()
        if group_id not in after.names
    ]
    splits = [
        f"split of {group_id} at {prefix}: {name}"
        for prefix, (group_id, name) in before.splits.items()
        if prefix not in after.splits
    ]
    return names + splits
