"""Groups of one run after another: the same group keeps its id, and each change is a version.

`query-types.json` in the ledger's folder holds them: ids, and beginnings of names, which are keyed
hashes. A group of this run is the group of the last one that shares most requests with it, where
each is the other's best and they share half of the smaller. Ids that are gone are kept in mind and
never given to another group.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.recognising.grouping import longest

FILE_NAME = "query-types.json"
FORMAT = "weighbridge-query-types"
FORMAT_VERSION = 1
ID_START = "type-"
LEAST_SHARED_FRAC = 0.5


class Proposal(msgspec.Struct, frozen=True):
    """Two groups that may be one, and why."""

    first: str
    second: str
    reason: str


class RecognisedGroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """One group: beginnings of the names that belong to it, and since which version it exists."""

    id: str
    key_id: str
    since_version: int
    prefixes: tuple[str, ...]


class RecognisedTypes(msgspec.Struct, frozen=True):
    """Every group of a ledger, as one run found them."""

    version: int
    groups: tuple[RecognisedGroup, ...]
    retired: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    @property
    def of_prefix(self) -> dict[str, str]:
        """Id of the group of each beginning of a name."""
        return {prefix: one.id for one in self.groups for prefix in one.prefixes}


def read_types(folder: Path) -> RecognisedTypes | None:
    """The groups stored in a ledger's folder; None where none were recognised yet."""
    file = folder / FILE_NAME
    try:
        found = msgspec.json.decode(file.read_bytes(), type=RecognisedTypes)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as fault:
        mend = "remove it and run `weighbridge types` again; ids of groups then begin anew"
        raise InputError(str(file), "", f"cannot be read ({fault})", mend) from fault
    if (found.format, found.format_version) != (FORMAT, FORMAT_VERSION):
        problem = f"is {found.format} version {found.format_version}"
        raise InputError(str(file), "format", problem, "use the release that wrote it")
    return found


def write_types(folder: Path, types: RecognisedTypes) -> None:
    """Replace the groups of a ledger, all at once."""
    draft = folder / f".{FILE_NAME}.{os.getpid()}"
    with draft.open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(types), indent=1) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(folder / FILE_NAME)


def next_version(
    before: RecognisedTypes | None,
    found: Mapping[str, int],
    key_ids: Mapping[int, str],
    names: Mapping[str, int],
) -> tuple[RecognisedTypes, dict[int, str]]:
    """Groups of this run (`found`: beginnings to numbers) under the ids of the last one.

    Returns them with the id of each number. Where nothing changed, the version stays.
    """
    old = {} if before is None else before.of_prefix
    ids = _kept_ids(old, found, names)
    taken = set(old.values()) | set(() if before is None else before.retired)
    prefixes: dict[int, list[str]] = {}
    for prefix, number in found.items():
        prefixes.setdefault(number, []).append(prefix)
    for number in sorted(prefixes):
        if number not in ids:
            ids[number] = _new_id(sorted(prefixes[number]), taken)
            taken.add(ids[number])
    version = 1 if before is None else before.version + 1
    since = {} if before is None else {one.id: one.since_version for one in before.groups}
    groups = tuple(
        RecognisedGroup(
            ids[number],
            key_ids.get(number, ""),
            since.get(ids[number], version),
            tuple(sorted(prefixes[number])),
        )
        for number in sorted(prefixes)
    )
    retired = tuple(sorted(taken - {one.id for one in groups}))
    same = before is not None and set(before.groups) == set(groups)
    made = RecognisedTypes(before.version if same and before else version, groups, retired)
    return made, ids


def _kept_ids(
    old: Mapping[str, str], found: Mapping[str, int], names: Mapping[str, int]
) -> dict[int, str]:
    shared: Counter[tuple[str, int]] = Counter()
    of_old: Counter[str] = Counter()
    of_new: Counter[int] = Counter()
    for name, n_requests in names.items():
        was, now = longest(old, name, ""), longest(found, name, -1)
        if was:
            of_old[was] += n_requests
        if now >= 0:
            of_new[now] += n_requests
        if was and now >= 0:
            shared[was, now] += n_requests
    ids: dict[int, str] = {}
    used: set[str] = set()
    for (was, now), n_requests in sorted(shared.items(), key=lambda pair: (-pair[1], pair[0])):
        enough = n_requests >= LEAST_SHARED_FRAC * min(of_old[was], of_new[now])
        if now not in ids and was not in used and enough:
            ids[now] = was
            used.add(was)
    return ids


def _new_id(prefixes: Iterable[str], taken: set[str]) -> str:
    """An id from the hashes that a group is made of, so that another run makes the same."""
    digest = blake2b("\n".join(prefixes).encode(), digest_size=16).hexdigest()
    return next(
        made for at in range(len(digest)) if (made := ID_START + digest[: 6 + at]) not in taken
    )
