"""Counts that hold no token twice, whatever a log counts inside what."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.usage.convert import Numbers, nothing
from weighbridge.usage.faults import Faults
from weighbridge.usage.sources.langfuse import LANGFUSE
from weighbridge.usage.sources.source import Source
from weighbridge.usage.token_columns import add_tokens

SUMS = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
COUNT = st.integers(0, 10**6)


@dataclass
class Columns:
    told: dict[str, int | None]
    source: Source = LANGFUSE
    faults: Faults = field(default_factory=Faults)

    def has(self, quantity: str) -> bool:
        return quantity in self.told

    def numbers(self, quantity: str) -> Numbers:
        value = self.told.get(quantity)
        if value is None:
            return nothing(1)
        return Numbers(np.array([value], dtype=np.int64), np.array([False]))


def columns_of(told: dict[str, int | None], **source: Any) -> tuple[dict[str, int], Faults]:
    counts = Columns(told, replace(LANGFUSE, **source))
    columns: dict[str, Any] = {}
    add_tokens(columns, counts)
    return {name: int(values[0]) for name, values in columns.items()}, counts.faults


@settings(deadline=None)
@given(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT), st.booleans(), st.booleans())
def test_a_rows_own_total_is_what_its_tokens_add_up_to(
    parts: tuple[int, ...], in_input: bool, in_output: bool
) -> None:
    """However a client counts, a total that it states is kept, and no bucket is negative."""
    uncached, read, write, spoken, thought = parts
    total = uncached + read + write + spoken + thought
    told = {
        "input_tokens": uncached + (read + write if in_input else 0),
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_tokens": spoken + (thought if in_output else 0),
        "reasoning_tokens": thought,
        "total_tokens": total,
    }
    found, faults = columns_of(told)
    assert sum(found[name] for name in SUMS) == total
    if not faults.found:
        assert min(found.values()) >= 0
    if (read + write != thought) or in_input == in_output:
        assert not faults.found
        assert found["uncached_input_tokens"] == uncached
        assert found["output_tokens"] == spoken + thought


@settings(deadline=None)
@given(COUNT, COUNT, COUNT, st.booleans())
def test_without_a_total_the_source_says_what_contains_what(
    given_: int, read: int, output: int, includes: bool
) -> None:
    told = {"input_tokens": given_, "cache_read_tokens": read, "output_tokens": output}
    found, faults = columns_of(told, input_includes_cache=includes)
    assert found["uncached_input_tokens"] == given_ - (read if includes else 0)
    assert bool(faults.found) == (includes and read > given_)


@pytest.mark.parametrize("total", [None, 5, 10**9])
def test_a_total_that_nothing_adds_up_to_changes_nothing(total: int | None) -> None:
    told = {"input_tokens": 100, "cache_read_tokens": 50, "output_tokens": 10}
    assert columns_of({**told, "total_tokens": total}) == columns_of(told)
