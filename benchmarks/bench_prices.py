"""Compiled price tables against one genai-prices call a request, CPU time in one run.

Run: python benchmarks/bench_prices.py
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from decimal import Decimal

import numpy as np
from genai_prices import Usage, calc_price

from weighbridge.catalog.price_tables import microseconds_of
from weighbridge.catalog.prices import compile_prices
from weighbridge.ledger.pricing import PriceKey, TokenColumns, price_batch

N_KEYS, N_ROWS, N_CALLS = 200, 2_000_000, 5_000
FIRST_AT = dt.datetime(2026, 8, 1, tzinfo=dt.UTC)
LAST_AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def _keys() -> list[PriceKey]:
    """Models with most price changes inside the period first, so that the case is a hard one."""
    first_us, last_us = microseconds_of(FIRST_AT), microseconds_of(LAST_AT)

    def n_changes(prices: object) -> int:
        return sum(first_us < us < last_us for us in prices.starts_us)  # type: ignore[attr-defined]

    book = compile_prices()
    reachable = [p for p in book.models() if book.find(p.provider, p.model) == p]
    ranked = sorted(reachable, key=n_changes, reverse=True)
    return [PriceKey(prices.provider, prices.model) for prices in ranked[:N_KEYS]]


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(7)
    book, keys = compile_prices(), _keys()
    key_index = rng.integers(0, N_KEYS, N_ROWS)
    started = rng.integers(microseconds_of(FIRST_AT), microseconds_of(LAST_AT), N_ROWS)
    tokens = TokenColumns(
        *(rng.lognormal(mu, 1.2, N_ROWS).astype(np.int64) for mu in (7.0, 5.0, 3.0, 5.5))
    )
    cpu = time.process_time()
    costs, priced = price_batch(book, keys, key_index, started, tokens)
    batch_s = (time.process_time() - cpu) / N_ROWS
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    calls = []
    for row in range(N_CALLS):
        fresh, read, write, output = (int(column[row]) for column in tokens.in_order())
        usage = Usage(
            input_tokens=fresh + read + write,
            cache_read_tokens=read,
            cache_write_tokens=write,
            output_tokens=output,
        )
        at = epoch + dt.timedelta(microseconds=int(started[row]))
        calls.append((usage, keys[key_index[row]], at))
    cpu = time.process_time()
    totals = [
        calc_price(usage, key.model, provider_id=key.provider, genai_request_timestamp=at)
        for usage, key, at in calls
    ]
    call_s = (time.process_time() - cpu) / N_CALLS
    same = sum(
        Decimal(int(cost)).scaleb(-12) == total.total_price.quantize(Decimal("1e-12"))
        for cost, total, ok in zip(costs, totals, priced, strict=False)
        if ok
    )
    write_line = sys.stdout.write
    write_line(f"{'way':<28}{'us a request':>14}{'requests/s/core':>18}\n")
    write_line(f"{'genai-prices, call by call':<28}{call_s * 1e6:>14.2f}{1 / call_s:>18,.0f}\n")
    write_line(f"{'price_batch':<28}{batch_s * 1e6:>14.4f}{1 / batch_s:>18,.0f}\n")
    write_line(f"ratio {call_s / batch_s:,.0f}; {N_KEYS} models, {N_ROWS:,} rows; ")
    write_line(
        f"{same:,} of the {int(priced[:N_CALLS].sum()):,} priced calls equal to 10^-12 USD\n"
    )


if __name__ == "__main__":
    main()
