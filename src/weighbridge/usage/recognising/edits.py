"""What a person says of the groups: names, merges and splits, in a small YAML file.

    names:                      # an id gets a name
      type-3fa2b1: invoice questions
    merge:                      # several groups are one, under this name
      ticket triage: [type-9c01d2, type-77ab3e]
    split:                      # names of prompts that begin so are another type
      type-51f0aa:
        refund requests: ["~2b9a5b235382.fca621"]

A name may be one that clients use: the requests are then of the same query type. Groups of another
key (after a rotation) may bear the same name, and are one query type with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from weighbridge.units import InputError
from weighbridge.usage.recognising.versions import RecognisedTypes

FILE_NAME = "query-types.yaml"
SECTIONS = ("names", "merge", "split")
_PREFIX = re.compile(r"~[0-9a-f]{12}(\.[0-9a-f]{6}(\.[0-9a-f]{6})?)?")


@dataclass(frozen=True, slots=True)
class Edits:
    """Names of groups, and of beginnings of names that were split off; notes on what is gone."""

    names: Mapping[str, str] = field(default_factory=dict)  # group id to name
    splits: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # beginning: id, new name
    notes: tuple[str, ...] = ()


def read_edits(file: Path, types: RecognisedTypes) -> Edits:
    """The edits of a file against the groups that they speak of; raises at contradictions."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Edits()
    except (OSError, UnicodeDecodeError) as fault:
        problem = f"cannot be read ({fault})"
        raise InputError(str(file), "", problem, "name a YAML file in UTF-8") from fault
    return _Reader(str(file), types).edits(_sections(str(file), text))


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key written twice, which YAML would let the last of win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"{key.value!r} is written twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _sections(where: str, text: str) -> dict[str, Mapping[str, Any]]:
    try:
        raw = yaml.load(text, Loader=_OnceLoader)  # noqa: S506 - a subclass of the safe loader
    except yaml.MarkedYAMLError as fault:
        line = f":{fault.problem_mark.line + 1}" if fault.problem_mark else ""
        problem = f"is not valid YAML: {fault.problem}"
        raise InputError(where + line, "", problem, "mend that line") from None
    except yaml.YAMLError as fault:
        raise InputError(where, "", f"is not valid YAML: {fault}", "mend it") from None
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise InputError(where, "", "is no mapping", f"begin with one of {', '.join(SECTIONS)}")
    for name, entries in raw.items():
        if name not in SECTIONS:
            problem = "is not known here"
            raise InputError(where, str(name), problem, f"use one of {', '.join(SECTIONS)}")
        if entries is not None and not isinstance(entries, dict):
            raise InputError(where, str(name), "is no mapping", "write `id: …` below it, indented")
    return {name: entries or {} for name, entries in raw.items()}


class _Reader:
    """Checks one file, entry by entry."""

    def __init__(self, where: str, types: RecognisedTypes) -> None:
        self.where = where
        self.groups = {one.id: one for one in types.groups}
        self.retired = frozenset(types.retired)
        self.of_prefix = types.of_prefix
        self.said: dict[str, str] = {}  # group id to the entry that speaks of it
        self.names: dict[str, str] = {}
        self.splits: dict[str, tuple[str, str]] = {}
        self.notes: list[str] = []

    def edits(self, sections: Mapping[str, Mapping[str, Any]]) -> Edits:
        """Everything that the file says, each group spoken of once."""
        bearers: dict[tuple[str, str], str] = {}
        for group_id, name in sections.get("names", {}).items():
            entry = f"names: {group_id}"
            if self._is_known(str(group_id), entry):
                self._claim(str(group_id), entry)
                named = self._name(name, entry)
                key = (named, self.groups[str(group_id)].key_id)
                if key in bearers:
                    problem = f"bears the name {named!r} that {bearers[key]} has too"
                    mend = f"write `merge: {{{named}: [{bearers[key]}, {group_id}]}}` instead"
                    raise InputError(self.where, entry, problem, mend)
                bearers[key] = str(group_id)
                self.names[str(group_id)] = named
        for name, members in sections.get("merge", {}).items():
            self._merge(self._name(name, f"merge: {name}"), members)
        for group_id, parts in sections.get("split", {}).items():
            self._split(str(group_id), parts)
        return Edits(self.names, self.splits, tuple(self.notes))

    def _merge(self, name: str, members: Any) -> None:
        entry = f"merge: {name}"
        if not isinstance(members, list) or len(members) < 2:
            mend = "write at least two ids in brackets, or use `names`"
            raise InputError(self.where, entry, "lists no two groups", mend)
        for member in map(str, members):
            if self._is_known(member, f"{entry}: {member}"):
                self._claim(member, entry)
                self.names[member] = name

    def _split(self, group_id: str, parts: Any) -> None:
        entry = f"split: {group_id}"
        if not self._is_known(group_id, entry):
            return
        if not isinstance(parts, dict) or not parts:
            mend = 'write `a name: ["~…"]` below it'
            raise InputError(self.where, entry, "names no parts", mend)
        if self.said.get(group_id, "").startswith("merge"):
            mend = "leave it out of one of the two"
            raise InputError(self.where, entry, f"is also in `{self.said[group_id]}`", mend)
        for name, prefixes in parts.items():
            named = self._name(name, f"{entry}: {name}")
            for prefix in prefixes if isinstance(prefixes, list) else [prefixes]:
                self._split_off(group_id, named, str(prefix))

    def _split_off(self, group_id: str, name: str, prefix: str) -> None:
        entry = f"split: {group_id}: {name}"
        if not _PREFIX.fullmatch(prefix):
            mend = 'copy one from `weighbridge types --write`, for example "~2b9a5b235382.fca621"'
            raise InputError(self.where, entry, f"{prefix!r} is no beginning of a name", mend)
        if self.splits.get(prefix, (group_id, name))[1] != name:
            problem = f"{prefix} is split off twice, as {self.splits[prefix][1]!r} too"
            raise InputError(self.where, entry, problem, "keep one of the two")
        others = [one for one, of in self.of_prefix.items() if one.startswith(prefix)]
        own = [one for one in self.groups[group_id].prefixes if prefix.startswith(one)]
        if not own and not any(self.of_prefix[one] == group_id for one in others):
            problem = f"no prompt of this group begins with {prefix}"
            raise InputError(self.where, entry, problem, "name one of the group's own beginnings")
        self.splits[prefix] = group_id, name

    def _is_known(self, group_id: str, entry: str) -> bool:
        if group_id in self.groups:
            return True
        if group_id in self.retired:
            self.notes.append(f"{entry}: this group is gone; the entry does nothing now")
            return False
        mend = f"use an id that `weighbridge types` lists ({', '.join(sorted(self.groups)[:4])}, …)"
        raise InputError(self.where, entry, f"there is no group {group_id}", mend)

    def _claim(self, group_id: str, entry: str) -> None:
        if group_id in self.said:
            problem = f"{group_id} is already in `{self.said[group_id]}`"
            raise InputError(self.where, entry, problem, "keep one of the two entries")
        self.said[group_id] = entry

    def _name(self, name: Any, entry: str) -> str:
        if not isinstance(name, str) or not name.strip() or name.startswith("~"):
            mend = "write a text that does not begin with ~"
            raise InputError(self.where, entry, f"{name!r} is no name", mend)
        return name.strip()
