"""Names of prompts to query types: what the last run recognised, with what a person said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weighbridge.ledger.fingerprint import FINGERPRINT_START
from weighbridge.ledger.prompt_shape import NAME_CHARS, SYSTEM_CHARS
from weighbridge.usage.recognising.edits import FILE_NAME, Edits, read_edits
from weighbridge.usage.recognising.grouping import longest
from weighbridge.usage.recognising.versions import RecognisedTypes, read_types


@dataclass(frozen=True, slots=True)
class TypeNames:
    """The query type of each beginning of a name; the longest beginning that is known counts.

    Before anything was recognised, a name stands for its fingerprint alone. Afterwards a name that
    belongs nowhere has no query type.
    """

    of_prefix: Mapping[str, str] = field(default_factory=dict)
    is_recognised: bool = False
    version: int = 0

    @property
    def labels(self) -> frozenset[str]:
        """Query types that were recognised, under the names that they have now."""
        return frozenset(self.of_prefix.values())

    def of(self, template: str | None) -> str | None:
        """Query type of what stands in the ledger; a client's own name stays as it is."""
        if template is None or not template.startswith(FINGERPRINT_START):
            return template
        found = longest(self.of_prefix, template, "")
        if found:
            return found
        if len(template) != NAME_CHARS:
            return template
        return None if self.is_recognised else template[:SYSTEM_CHARS]


def names_of(types: RecognisedTypes, edits: Edits) -> TypeNames:
    """Query types of a run, renamed, merged and split."""
    of_prefix = types.of_prefix
    named = {prefix: edits.names.get(one, one) for prefix, one in of_prefix.items()}
    for start, (group_id, name) in edits.splits.items():
        named[start] = name
        for prefix, one in of_prefix.items():
            if one == group_id and prefix.startswith(start):
                named[prefix] = name
    return TypeNames(named, is_recognised=True, version=types.version)


def type_names(folder: Path) -> TypeNames:
    """Query types of the ledger in a folder, as its two files say."""
    types = read_types(folder)
    if types is None:
        return TypeNames()
    return names_of(types, read_edits(folder / FILE_NAME, types))
