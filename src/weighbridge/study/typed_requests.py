"""The requests of a log as a simulation takes them, each with the query type that it belongs to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weighbridge.usage.results import QueryTypeProfile

if TYPE_CHECKING:
    import pyarrow as pa

    from weighbridge.usage.recognising.naming import TypeNames
    from weighbridge.usage.store import Ledger

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

OTHER = "(other)"
TOKENS = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


@dataclass(frozen=True)
class TypedRequests:
    """Answered requests by arrival; every array of shape (N,).

    Attributes
    ----------
    first_at : datetime or None
        Instant of second 0; None where the traffic was made from what a scenario states.
    fresh_tokens, cached_tokens, output_tokens : int64 arrays
        Input that was computed, input that a provider's cache held, and the answer [tokens].
    type_index : int64 array
        Position among the query types of the study; -1 where it has none.
    """

    first_at: dt.datetime | None
    arrival_s: Floats
    fresh_tokens: Ints
    cached_tokens: Ints
    output_tokens: Ints
    type_index: Ints

    @property
    def n_requests(self) -> int:
        """How many there are."""
        return len(self.arrival_s)

    def of_types(self, members: Sequence[int]) -> TypedRequests:
        """Those of some query types."""
        return self.kept(np.isin(self.type_index, np.asarray(members, np.int64)))

    def kept(self, rows: NDArray[np.bool_]) -> TypedRequests:
        """Those of a mask, on the same clock."""
        return TypedRequests(
            self.first_at,
            self.arrival_s[rows],
            self.fresh_tokens[rows],
            self.cached_tokens[rows],
            self.output_tokens[rows],
            self.type_index[rows],
        )


def typed_requests(
    ledger: Ledger, types: Sequence[QueryTypeProfile], query_type_by: Sequence[str]
) -> TypedRequests:
    """Answered requests of a ledger with tokens in and out, typed as its profile types them."""
    import pyarrow as pa  # noqa: PLC0415  # a log is not read for --help
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    from weighbridge.usage.store import SCHEMA  # noqa: PLC0415

    by = _fields(types, query_type_by)
    type_names = ledger.type_names() if ledger.sketch_files else None
    files = ds.dataset(list(ledger.parquet_files), schema=SCHEMA, format="parquet")
    rows = files.to_table(
        columns=["started_at", *TOKENS, *by],
        filter=(ds.field("status") == "ok") & (ds.field("output_tokens") > 0),
    )
    at_us = rows["started_at"].cast(pa.int64()).to_numpy()
    tokens = {name: pc.fill_null(rows[name], 0).to_numpy() for name in TOKENS}
    fresh = tokens["uncached_input_tokens"] + tokens["cache_write_tokens"]
    usable = np.flatnonzero(fresh + tokens["cache_read_tokens"] > 0)
    order = usable[np.argsort(at_us[usable], kind="stable")]
    at_us = at_us[order]
    first_us = int(at_us[0]) if len(at_us) else 0
    return TypedRequests(
        first_at=dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=first_us),
        arrival_s=(at_us - first_us) / 1e6,
        fresh_tokens=fresh[order],
        cached_tokens=tokens["cache_read_tokens"][order],
        output_tokens=tokens["output_tokens"][order],
        type_index=_type_index(rows, types, by, type_names)[order],
    )


def _fields(types: Sequence[QueryTypeProfile], query_type_by: Sequence[str]) -> tuple[str, ...]:
    """What the profile typed by: tenants stand in where a log names no features or templates."""
    if "tenant" not in query_type_by and any(t.tenant is not None for t in types):
        return ("tenant",)
    return tuple(query_type_by)


def _type_index(
    rows: pa.Table,
    types: Sequence[QueryTypeProfile],
    by: Sequence[str],
    type_names: TypeNames | None,
) -> Ints:
    import pyarrow.compute as pc  # noqa: PLC0415

    places = {tuple(getattr(t, name) for name in by): i for i, t in enumerate(types)}
    rest = places.get((*(None for _ in by[1:]), OTHER), -1)
    index = np.zeros(len(rows), np.int64)
    names: list[list[str | None]] = []
    for name in by:
        coded = pc.dictionary_encode(rows[name].combine_chunks(), null_encoding="encode")
        values = coded.dictionary.to_pylist()
        if name == "template" and type_names is not None:
            values = [type_names.of(value) for value in values]
        index = index * max(len(values), 1) + coded.indices.to_numpy()
        names.append(values)
    found, place = np.unique(index, return_inverse=True)
    sizes = [max(len(values), 1) for values in names]
    known = np.array([places.get(_named(code, names, sizes), rest) for code in found], np.int64)
    return known[place] if len(found) else np.empty(0, np.int64)


def _named(code: int, names: list[list[str | None]], sizes: list[int]) -> tuple[str | None, ...]:
    """Values that a combined code stands for."""
    parts: list[str | None] = []
    for values, size in zip(reversed(names), reversed(sizes), strict=True):
        code, digit = divmod(int(code), size)
        parts.append(values[digit])
    return tuple(reversed(parts))
