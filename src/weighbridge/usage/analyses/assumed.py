"""Requests whose log names no model, priced one by one as a model that somebody assumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from weighbridge.units import InputError
from weighbridge.usage.analyses import expressions
from weighbridge.usage.analyses.clock import Ints
from weighbridge.usage.analyses.engine import Engine

BATCH_ROWS = 500_000
PRICED_BUCKETS = expressions.BUCKETS[:4]


class Served(NamedTuple):
    """What decides a request's price beside its instant and tokens."""

    provider: str | None
    model: str
    service_tier: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests to price: which `Served` each is, when it began, its four token buckets."""

    key_index: Ints
    started_at_us: Ints
    tokens: tuple[Ints, Ints, Ints, Ints]


# Costs in 10^-12 dollars, and whether a price is known.
BatchPricer = Callable[[Sequence[Served], Batch], tuple[Ints, NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True)
class Assumption:
    """The model (and provider) that requests without one are taken to have used."""

    model: str
    provider: str | None


@dataclass(frozen=True, slots=True)
class Filled:
    """How many requests the assumption filled, and how many of them could be priced."""

    n_filled: int
    n_priced: int


def catalog_pricer(prices_file: Path | None) -> BatchPricer:
    """Exact prices of the catalog, each at the request's own instant."""
    from weighbridge.catalog.prices import compile_prices  # noqa: PLC0415
    from weighbridge.ledger.pricing import PriceKey, TokenColumns, price_batch  # noqa: PLC0415

    book = compile_prices(prices_file)

    def price(keys: Sequence[Served], batch: Batch) -> tuple[Ints, NDArray[np.bool_]]:
        tokens = TokenColumns(*batch.tokens)
        named = [PriceKey(*key) for key in keys]
        cost, priced = price_batch(book, named, batch.key_index, batch.started_at_us, tokens)
        return cost, priced

    return price


def fill(engine: Engine, assumption: Assumption, price: BatchPricer) -> Filled:
    """Let the engine read each model-less request as one of the assumed model, priced exactly.

    Requests that name a model keep it, whatever the assumption says; a provider that the log names
    is kept too.
    """
    path = engine.scratch / "assumed.parquet"
    stored = engine.requests
    schema = stored.schema().to_pyarrow()
    n_filled = n_priced = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in engine.stream(expressions.without_model(stored), BATCH_ROWS):
            filled = _filled(rows, assumption, price).cast(schema)
            n_filled += filled.num_rows
            n_priced += pc.sum(pc.equal(filled["price_state"], "priced")).as_py() or 0
            writer.write_table(filled)
    if n_filled and not n_priced:
        raise _no_price(assumption)
    if n_filled:
        copies = engine.view_parquet(path, "assumed")
        engine.read_instead(expressions.with_assumed(stored, copies), "requests_assumed")
    return Filled(n_filled, n_priced)


def _no_price(assumption: Assumption) -> InputError:
    at = f" at {assumption.provider}" if assumption.provider else ""
    return InputError(
        "--assume-model",
        assumption.model,
        f"no price is known for {assumption.model}{at} at the time of these requests",
        "name a priced model and its provider (see `weighbridge prices show`), or add a price row",
    )


def _filled(rows: pa.RecordBatch, assumption: Assumption, price: BatchPricer) -> pa.Table:
    provider = pc.fill_null(rows["provider"], assumption.provider or "")
    tier = pc.fill_null(rows["service_tier"], "")
    keys, key_index = _keys(provider, tier, assumption.model)
    tokens = tuple(_ints(rows[bucket]) for bucket in PRICED_BUCKETS)
    batch = Batch(key_index, _ints(rows["started_at"].cast(pa.int64())), tokens)  # type: ignore[arg-type]
    cost, priced = price(keys, batch)
    columns = {name: rows[name] for name in rows.schema.names}
    columns["provider"] = pc.if_else(pc.equal(provider, ""), pa.scalar(None, pa.string()), provider)
    columns["model"] = pa.repeat(assumption.model, rows.num_rows)
    columns["price_state"] = pc.if_else(pa.array(priced), "priced", "unpriced")
    columns["list_cost_usd"] = pc.if_else(pa.array(priced), _decimals(cost), None)
    return pa.table(columns)


def _keys(provider: Any, tier: Any, model: str) -> tuple[list[Served], Ints]:
    providers, tiers = provider.dictionary_encode(), tier.dictionary_encode()
    tier_names = tiers.dictionary.to_pylist()
    keys = [
        Served(name or None, model, tier_name or None)
        for name in providers.dictionary.to_pylist()
        for tier_name in tier_names
    ]
    return keys, _ints(providers.indices) * len(tier_names) + _ints(tiers.indices)


def _ints(column: Any) -> Ints:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)


def _decimals(cost: Ints) -> Any:
    """Costs in 10^-12 dollars as decimals, by their bits: a cast would multiply by 10^12."""
    pairs = np.empty((len(cost), 2), dtype="<i8")
    pairs[:, 0], pairs[:, 1] = cost, cost >> 63
    kind = pa.decimal128(18, 12)
    return pa.Decimal128Array.from_buffers(kind, len(cost), [None, pa.py_buffer(pairs.tobytes())])
