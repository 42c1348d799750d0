"""The exact list cost of rows, and whether they have one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weighbridge.catalog.prices import PriceBook
from weighbridge.ledger.pricing import PriceKey, TokenColumns, price_batch
from weighbridge.usage.convert import Ints, Mask, Numbers
from weighbridge.usage.faults import TOO_LARGE, Faults
from weighbridge.usage.sources.source import SELF_HOSTED_PROVIDERS

_MOST_COUNTED = 1 << 20
MOST_PICO_USD = 10**18 - 1  # what decimal(18, 12) holds
BUCKETS = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


def add_cost(columns: dict[str, Any], faults: Faults, book: PriceBook) -> None:
    """Add what each row costs at the prices of its instant; rows with a fault get no cost."""
    n = len(columns["started_at"])
    own = pc.is_in(columns["provider"], pa.array(sorted(SELF_HOSTED_PROVIDERS)))
    self_hosted = own.to_numpy(zero_copy_only=False) & ~columns["from_cache"]
    cost, priced = _priced(columns, faults, book)
    priced &= ~self_hosted
    free = columns["from_cache"]
    state = np.where(priced | free, 0, np.where(self_hosted, 2, 1)).astype(np.int8)
    columns["price_state"] = pa.DictionaryArray.from_arrays(
        pa.array(state), pa.array(["priced", "unpriced", "self_hosted"])
    ).cast(pa.string())
    columns["list_cost_usd"] = Numbers(np.where(priced, cost, 0), state != 0)
    columns["estimated"] = pa.nulls(n, pa.string())


def _priced(columns: Mapping[str, Any], faults: Faults, book: PriceBook) -> tuple[Ints, Mask]:
    n = len(columns["started_at"])
    cost, priced = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
    rows = columns["model"].is_valid().to_numpy(zero_copy_only=False)
    faulty = np.fromiter(faults.found, dtype=np.int64)
    rows[faulty] = False
    where = np.flatnonzero(rows)
    if not len(where):
        return cost, priced
    keys, index = _price_keys(columns, where)
    tokens = TokenColumns(*(columns[bucket][where] for bucket in BUCKETS))
    cost[where], priced[where] = price_batch(
        book, keys, index, columns["started_at"][where], tokens
    )
    large = np.flatnonzero(cost > MOST_PICO_USD)
    faults.add(large, "list_cost_usd", TOO_LARGE)
    cost[large] = 0
    return cost, priced


def _price_keys(columns: Mapping[str, Any], where: Ints) -> tuple[list[PriceKey], Ints]:
    code = np.zeros(len(where), dtype=np.int64)
    words: list[list[str | None]] = []
    for name in ("provider", "model", "service_tier"):
        column = columns[name]
        used = column if len(where) == len(column) else column.take(pa.array(where))
        coded = used.dictionary_encode(null_encoding="encode")
        words.append(coded.dictionary.to_pylist())
        code = code * len(words[-1]) + coded.indices.to_numpy(zero_copy_only=False)
    found, index = _ranked(code, math.prod(map(len, words)))
    n_models, n_tiers = len(words[1]), len(words[2])
    keys = [
        PriceKey(
            words[0][one // (n_models * n_tiers)],
            words[1][one // n_tiers % n_models] or "",
            words[2][one % n_tiers],
        )
        for one in found.tolist()
    ]
    return keys, index


def _ranked(code: Ints, n_codes: int) -> tuple[Ints, Ints]:
    """Codes that occur, in order, and which of them each is; sorts only where they are many."""
    if n_codes > _MOST_COUNTED:
        found, index = np.unique(code, return_inverse=True)
        return found, index.astype(np.int64)
    occurs = np.zeros(n_codes, dtype=bool)
    occurs[code] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[code]
