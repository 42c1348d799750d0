"""One run over a ledger: names and sketches read, grouped for each key, and kept as a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from weighbridge.units import InputError
from weighbridge.usage.recognising.grouping import group
from weighbridge.usage.recognising.merging import proposed_merges
from weighbridge.usage.recognising.stored import read_sketches
from weighbridge.usage.recognising.versions import (
    Proposal,
    RecognisedTypes,
    next_version,
    read_types,
    write_types,
)
from weighbridge.usage.store import Ledger


@dataclass(frozen=True, slots=True)
class NameUse:
    """What requests of one recorded template name used."""

    n_requests: int
    list_cost_usd: Decimal


def recognise(ledger: Ledger, uses: Mapping[str, NameUse]) -> RecognisedTypes:
    """Group what nobody named in a ledger; stores the version and returns it.

    `uses` are the names of `uses_by_name`. Names made with different keys never share a group:
    nothing in them can be compared.
    """
    stored = read_sketches(ledger.sketch_files)
    if not stored:
        mend = (
            "let the gateway meter requests (identify: {fingerprint: true}), or import a log with "
            "prompts with WEIGHBRIDGE_FINGERPRINT_KEY naming the key's file"
        )
        raise InputError(str(ledger.path), "", "no prompt of this ledger was sketched", mend)
    names = {name: one.n_requests for name, one in uses.items()}
    found: dict[str, int] = {}
    key_ids: dict[int, str] = {}
    proposals: list[tuple[int, int, str]] = []
    for key_id in sorted({key for key, _ in stored.values()}):
        of_key = {name: segments for name, (key, segments) in stored.items() if key == key_id}
        systems = {name[:13] for name in of_key}
        grouped = group({n: c for n, c in names.items() if n[:13] in systems}, of_key)
        first = len(key_ids)
        found |= {prefix: first + number for prefix, number in grouped.of_prefix.items()}
        key_ids |= {first + number: key_id for number in range(grouped.n_groups)}
        proposals += [
            (first + one, first + two, why) for one, two, why in proposed_merges(grouped.skeletons)
        ]
    types, ids = next_version(read_types(ledger.path), found, key_ids, names)
    told = tuple(
        Proposal(ids[one], ids[two], why) for one, two, why in proposals if {one, two} <= ids.keys()
    )
    types = msgspec.structs.replace(types, proposals=told)
    write_types(ledger.path, types)
    return types
