"""Seconds since 1970 with decimals, a column at once: the same as value by value."""

import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.usage.convert import Clock, to_instants
from weighbridge.usage.faults import NOT_AN_INSTANT, NOT_FINITE, Faults

CLOCK = Clock(unit="s")


@settings(deadline=None)  # the first example imports what it needs
@given(st.lists(st.integers(1_420_070_400_000_000, 2_500_000_000_000_000), min_size=1))
def test_microseconds_survive_being_written_as_seconds(instants: list[int]) -> None:
    written = [float(Decimal(one) / 1_000_000) for one in instants]
    found = to_instants(pa.array(written), Faults(), "started_at", CLOCK)
    assert found.values.tolist() == instants


@pytest.mark.parametrize("odd", [float("inf"), float("nan"), 1.79e13, -1.79e13])
def test_one_value_that_cannot_be_an_instant_spoils_no_other(odd: float) -> None:
    faults = Faults()
    found = to_instants([1790841600.25, odd, None], faults, "started_at", CLOCK)
    assert found.values[0] == 1_790_841_600_250_000
    assert found.empty.tolist()[2]
    reason = NOT_AN_INSTANT if math.isfinite(odd) else NOT_FINITE
    assert faults.found == {1: ("started_at", reason)}
