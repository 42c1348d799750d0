"""Spend tables: sums per value of a dimension, with their shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from weighbridge.usage.results import GroupRow, Tokens

NOT_SAID = "(not said)"
NO_COST = Decimal(0)


@dataclass(frozen=True, slots=True)
class Use:
    """What some requests used, summed exactly."""

    n_requests: int
    n_failed: int
    tokens: Tokens
    list_cost_usd: Decimal
    n_unpriced: int
    unpriced_tokens: int
    n_self_hosted: int
    n_latency: int
    n_ttft: int
    n_answered: int

    def __add__(self, other: Use) -> Use:
        mine, theirs = self.tokens, other.tokens
        tokens = Tokens(
            mine.uncached_input_tokens + theirs.uncached_input_tokens,
            mine.cache_read_tokens + theirs.cache_read_tokens,
            mine.cache_write_tokens + theirs.cache_write_tokens,
            mine.output_tokens + theirs.output_tokens,
            mine.reasoning_tokens + theirs.reasoning_tokens,
        )
        return Use(
            self.n_requests + other.n_requests,
            self.n_failed + other.n_failed,
            tokens,
            self.list_cost_usd + other.list_cost_usd,
            self.n_unpriced + other.n_unpriced,
            self.unpriced_tokens + other.unpriced_tokens,
            self.n_self_hosted + other.n_self_hosted,
            self.n_latency + other.n_latency,
            self.n_ttft + other.n_ttft,
            self.n_answered + other.n_answered,
        )


NOTHING = Use(0, 0, Tokens(0, 0, 0, 0, 0), NO_COST, 0, 0, 0, 0, 0, 0)


def use_of(row: dict[str, Any]) -> Use:
    """One row of `expressions.grouped_use`."""
    tokens = Tokens(
        row["uncached_input_tokens"],
        row["cache_read_tokens"],
        row["cache_write_tokens"],
        row["output_tokens"],
        row["reasoning_tokens"],
    )
    return Use(
        row["n_requests"],
        row["n_failed"],
        tokens,
        NO_COST if row["list_cost_usd"] is None else row["list_cost_usd"],
        row["n_unpriced"],
        row["unpriced_tokens"],
        row["n_self_hosted"],
        row["n_latency"],
        row["n_ttft"],
        row["n_answered"],
    )


def share(part: float | Decimal, whole: float | Decimal) -> float:
    """Part of a whole [1]; NaN where there is no whole, since a share of nothing is not zero."""
    return float(part) / float(whole) if whole else float("nan")


def key_of(parts: Sequence[object]) -> str | None:
    """The readable key of a row; None where the source said none of its parts."""
    if all(part is None for part in parts):
        return None
    return " / ".join(NOT_SAID if part is None else str(part) for part in parts)


def group_rows(rows: Sequence[dict[str, Any]], by: Sequence[str], whole: Use) -> list[GroupRow]:
    """Spend rows, largest cost first (days in their order)."""
    named = [(_parts(row, by), use_of(row)) for row in rows]
    made = [_group_row(key_of(parts), use, whole) for parts, use in named]
    if tuple(by) == ("day",):
        return sorted(made, key=lambda row: row.key or "")
    return sorted(
        made, key=lambda row: (-row.list_cost_usd, -row.tokens.total_tokens, row.key or "")
    )


def _parts(row: dict[str, Any], by: Sequence[str]) -> list[object]:
    return [row[name].date() if name == "day" else row[name] for name in by]


def _group_row(key: str | None, use: Use, whole: Use) -> GroupRow:
    return GroupRow(
        key=key,
        n_requests=use.n_requests,
        n_failed=use.n_failed,
        tokens=use.tokens,
        list_cost_usd=use.list_cost_usd,
        n_unpriced=use.n_unpriced,
        unpriced_tokens=use.unpriced_tokens,
        cost_share_frac=share(use.list_cost_usd, whole.list_cost_usd),
        tokens_share_frac=share(use.tokens.total_tokens, whole.tokens.total_tokens),
        n_self_hosted=use.n_self_hosted,
    )
