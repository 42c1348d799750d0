"""Token counts of a log as the ledger's, which hold no token twice.

A log may count cached tokens inside its input or beside it, and reasoning inside its output or
beside it. The source says which; where a row states a total of its own that only the other reading
adds up to, the row is believed.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from weighbridge.usage.convert import Ints, Mask, Numbers
from weighbridge.usage.faults import ABOVE_INPUT, ABOVE_OUTPUT, Faults
from weighbridge.usage.sources.source import Source


class Counts(Protocol):
    """Columns of counts by the name of a quantity."""

    faults: Faults

    def has(self, quantity: str) -> bool:
        """Whether the source holds this quantity."""
        ...

    def numbers(self, quantity: str) -> Numbers:
        """The column of a quantity."""
        ...

    @property
    def source(self) -> Source:
        """What the log is."""
        ...


def add_tokens(columns: dict[str, Any], counts: Counts) -> None:
    """Add the ledger's five columns of tokens; what contradicts itself becomes a fault."""
    read = counts.numbers("cache_read_tokens").where_empty(0)
    write = counts.numbers("cache_write_tokens").where_empty(0)
    if counts.has("cache_write_1h_tokens"):
        write = write + counts.numbers("cache_write_1h_tokens").where_empty(0)
    told = counts.numbers("output_tokens").where_empty(0)
    reasoning = counts.numbers("reasoning_tokens").where_empty(0)
    apart = "uncached_input_tokens" if counts.has("uncached_input_tokens") else "input_tokens"
    given = counts.numbers(apart).where_empty(0)
    inside_input, inside_output = _insides(counts, given, read + write, told, reasoning)
    if apart == "uncached_input_tokens":
        inside_input = np.zeros_like(inside_input)
    uncached = given - np.where(inside_input, read + write, 0)
    counts.faults.add(np.flatnonzero(uncached < 0), "cache_read_tokens", ABOVE_INPUT)
    output = told + np.where(inside_output, 0, reasoning)
    counts.faults.add(np.flatnonzero(reasoning > output), "reasoning_tokens", ABOVE_OUTPUT)
    columns["uncached_input_tokens"] = uncached
    columns["cache_read_tokens"] = read
    columns["cache_write_tokens"] = write
    columns["output_tokens"] = output
    columns["reasoning_tokens"] = reasoning


def _insides(
    counts: Counts, given: Ints, cached: Ints, output: Ints, reasoning: Ints
) -> tuple[Mask, Mask]:
    """Of each row, whether cached tokens are inside its input, and reasoning inside its output."""
    default = counts.source.input_includes_cache, counts.source.output_includes_reasoning
    inside_input = np.full(len(given), default[0])
    inside_output = np.full(len(given), default[1])
    if not counts.has("total_tokens"):
        return inside_input, inside_output
    total = counts.numbers("total_tokens")

    def adds_up(in_input: Any, in_output: Any) -> Mask:
        sums = given + np.where(in_input, 0, cached) + output + np.where(in_output, 0, reasoning)
        same: Mask = ~total.empty & (sums == total.values)
        return same

    open_ = ~adds_up(*default)
    for in_input, in_output in ((True, True), (True, False), (False, True), (False, False)):
        found = open_ & adds_up(in_input, in_output)
        inside_input[found], inside_output[found] = in_input, in_output
        open_ &= ~found
    return inside_input, inside_output
