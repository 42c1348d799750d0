"""What `weighbridge types` tells: the types of a ledger under their names, and their use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from weighbridge.ledger.fingerprint import FINGERPRINT_START
from weighbridge.units import InputError
from weighbridge.usage.recognising.edits import FILE_NAME, Edits, read_edits
from weighbridge.usage.recognising.kept import keep
from weighbridge.usage.recognising.naming import TypeNames, names_of
from weighbridge.usage.recognising.run import NameUse, recognise
from weighbridge.usage.recognising.versions import Proposal, RecognisedTypes
from weighbridge.usage.store import Ledger

MOST_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class ListedType:
    """One query type: the groups it is made of, and what it used."""

    name: str
    ids: tuple[str, ...]
    n_requests: int
    requests_share_frac: float
    list_cost_usd: Decimal
    n_names: int
    examples: tuple[str, ...]  # beginnings of names, with most requests first


@dataclass(frozen=True, slots=True)
class TypeList:
    """Every type, largest first, and what is beside them."""

    version: int
    group_ids: tuple[str, ...]
    types: tuple[ListedType, ...]
    named_share_frac: float
    recognised_share_frac: float
    unassigned_share_frac: float
    proposals: tuple[Proposal, ...]
    names: Mapping[str, str]  # group id to name
    splits: Mapping[str, tuple[str, str]]  # beginning of names: group id, name
    notes: tuple[str, ...]


def uses_by_name(ledger: Ledger) -> dict[str | None, NameUse]:
    """Requests and cost of each template name of a ledger."""
    import duckdb  # noqa: PLC0415

    with duckdb.connect() as connection:
        rows = connection.read_parquet(
            list(ledger.parquet_files), hive_partitioning=False, union_by_name=True
        ).aggregate("template, count(*), coalesce(sum(list_cost_usd), 0)")
        return {name: NameUse(int(n), Decimal(cost)) for name, n, cost in rows.fetchall()}


def list_types(ledger: Ledger, names_file: Path | None = None) -> TypeList:
    """Recognise the types of a ledger; where a file of names is given, check and keep it.

    Raises
    ------
    InputError
        No prompt was sketched, or the file of names contradicts itself or the groups.
    """
    uses = uses_by_name(ledger)
    nobody = {
        name: use for name, use in uses.items() if name and name.startswith(FINGERPRINT_START)
    }
    types = recognise(ledger, nobody)
    kept = ledger.path / FILE_NAME
    if names_file is not None:
        if not names_file.is_file():
            mend = "make one with --write"
            raise InputError(str(names_file), "", "there is no such file", mend)
        edits = read_edits(names_file, types)
        lost = keep(names_file, kept, edits, types)
        edits = replace(edits, notes=(*edits.notes, *lost))
    else:
        edits = read_edits(kept, types)
    return _listed(types, edits, names_of(types, edits), uses)


def _listed(
    types: RecognisedTypes, edits: Edits, names: TypeNames, uses: Mapping[str | None, NameUse]
) -> TypeList:
    members: dict[str, list[tuple[str, NameUse]]] = {}
    n_own = n_unassigned = 0
    for name, use in uses.items():
        found = names.of(name)
        if found is None:
            n_unassigned += use.n_requests
        elif name is not None and (name.startswith(FINGERPRINT_START) or found in names.labels):
            members.setdefault(found, []).append((name, use))
        else:
            n_own += use.n_requests
    n_all = sum(use.n_requests for use in uses.values()) or 1
    ids: dict[str, list[str]] = {}
    for one in types.groups:
        ids.setdefault(edits.names.get(one.id, one.id), []).append(one.id)
    listed = [_type(name, ids.get(name, []), found, n_all) for name, found in members.items()]
    n_recognised = sum(one.n_requests for one in listed)
    return TypeList(
        version=types.version,
        group_ids=tuple(one.id for one in types.groups),
        types=tuple(
            sorted(listed, key=lambda one: (-one.list_cost_usd, -one.n_requests, one.name))
        ),
        named_share_frac=n_own / n_all,
        recognised_share_frac=n_recognised / n_all,
        unassigned_share_frac=n_unassigned / n_all,
        proposals=_still_two(types.proposals, edits),
        names=edits.names,
        splits=edits.splits,
        notes=edits.notes,
    )


def _still_two(proposals: Iterable[Proposal], edits: Edits) -> tuple[Proposal, ...]:
    names = edits.names
    return tuple(
        one
        for one in proposals
        if names.get(one.first, one.first) != names.get(one.second, one.second)
    )


def _type(name: str, ids: list[str], members: list[tuple[str, NameUse]], n_all: int) -> ListedType:
    heads: dict[str, int] = {}
    for full, use in members:
        heads[full[:20]] = heads.get(full[:20], 0) + use.n_requests
    examples = sorted(heads, key=lambda head: (-heads[head], head))[:MOST_EXAMPLES]
    n_requests = sum(use.n_requests for _, use in members)
    return ListedType(
        name=name,
        ids=tuple(ids),
        n_requests=n_requests,
        requests_share_frac=n_requests / n_all,
        list_cost_usd=sum((use.list_cost_usd for _, use in members), Decimal(0)),
        n_names=len(members),
        examples=tuple(examples),
    )
