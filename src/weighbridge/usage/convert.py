"""Raw values of a column to typed arrays: at once where it is clean, value by value otherwise."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from weighbridge.usage.faults import (
    NEGATIVE,
    NO_TIMEZONE,
    NO_UNIT,
    NOT_A_NUMBER,
    NOT_AN_INSTANT,
    NOT_FINITE,
    NOT_IN_ZONE,
    NOT_TEXT,
    NOT_WHOLE,
    OTHER_LOCALE,
    TOO_LARGE,
    Faults,
)
from weighbridge.usage.sources.source import MICROSECONDS_PER_UNIT, Kind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_TOKENS = 10**10
MOST_USD = 10**5
PICO = 10**12
# 1.234 and 1,234 may be a thousand or a little over one: no count is written with a point or comma
# before three digits, so that a count that is came from a country that groups digits so.
_GROUPED = re.compile(r"[+-]?\d{1,3}([.,\u00a0\u202f' ]\d{3})+([.,]\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.\u00a0\u202f' ]*\d,\d+")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UTC_US = pa.timestamp("us", tz="UTC")


class FaultyValueError(Exception):
    """A value that cannot be what its column holds; the reason is the only argument."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A numeric column with its empty places."""

    values: NDArray[Any]
    empty: Mask

    def where_empty(self, value: int) -> Ints:
        """The values, with the empty ones filled in."""
        return np.where(self.empty, value, self.values) if self.empty.any() else self.values


def nothing(n: int) -> Numbers:
    """A column that the source does not have."""
    return Numbers(np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool))


# An array only where `to_pylist` gives back the very same values.
Column: TypeAlias = Sequence[Any] | pa.Array
_EXACT = (pa.string(), pa.int64(), pa.null())


def packed(values: Sequence[Any], kind: Kind) -> Column:
    """The values as an array if that loses nothing, not even how a number was written."""
    if kind == "anything":
        return values
    if kind in {"text", "instant"}:
        try:
            return pa.array(values, pa.string())
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
            pass
    array = _inferred(values)
    if array is None:
        return values
    if pa.types.is_float64(array.type):
        return array if set(map(type, values)) <= {float, type(None)} else values
    return array if array.type in _EXACT else values


def joined(pieces: Sequence[Column]) -> Column:
    """Pieces of one column as one."""
    arrays = [piece for piece in pieces if isinstance(piece, pa.Array)]
    kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
    if len(arrays) == len(pieces) and len(kinds) <= 1:
        kind = kinds.pop() if kinds else pa.null()
        return pa.concat_arrays([array.cast(kind) for array in arrays])
    return [value for piece in pieces for value in plain(piece)]


def plain(column: Column) -> Sequence[Any]:
    """The values of a column as Python has them."""
    return column.to_pylist() if isinstance(column, pa.Array) else column


def _inferred(values: Column) -> pa.Array | None:
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values)
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        OverflowError,
        UnicodeEncodeError,
    ):
        return None


def _one_by_one(
    values: Column, parse: Callable[[Any], Any], faults: Faults, quantity: str
) -> list[Any]:
    parsed: list[Any] = []
    for row, value in enumerate(plain(values)):
        try:
            parsed.append(None if value is None or value == "" else parse(value))
        except FaultyValueError as fault:
            faults.add([row], quantity, fault.args[0])
            parsed.append(None)
    return parsed


def to_text(values: Column, faults: Faults, quantity: str) -> pa.Array:
    """A text column; empty text is no text."""
    try:
        texts = values if _is_text(values) else pa.array(plain(values), pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        texts = pa.array(_one_by_one(values, _text, faults, quantity), pa.string())
    blank = pc.equal(pc.binary_length(texts), 0)
    if pc.any(blank).as_py():
        texts = pc.if_else(blank, pa.scalar(None, pa.string()), texts)
    return texts


def _is_text(values: Column) -> bool:
    return isinstance(values, pa.Array) and pa.types.is_string(values.type)


def _text(value: Any) -> str:
    if isinstance(value, int | float | Decimal):  # a bool is an int: True becomes "True"
        return str(value)
    if not isinstance(value, str):
        raise FaultyValueError(NOT_TEXT)
    try:
        value.encode()
    except UnicodeEncodeError as fault:  # a lone surrogate, written as \ud800 in JSON
        raise FaultyValueError(NOT_TEXT) from fault
    return value


def _split(array: pa.Array, dtype: type) -> Numbers:
    empty = array.is_null().to_numpy(zero_copy_only=False)
    filled = array.fill_null(0) if array.null_count else array
    return Numbers(filled.to_numpy(zero_copy_only=False).astype(dtype, copy=False), empty)


def to_counts(values: Column, faults: Faults, quantity: str) -> Numbers:
    """A column of token or other counts."""
    array = _inferred(values)
    if array is not None and pa.types.is_null(array.type):
        return nothing(len(values))
    if array is None or not pa.types.is_integer(array.type):
        array = _counts_from_text(array)
    if array is None:
        array = pa.array(_one_by_one(values, _count, faults, quantity), pa.int64())
    numbers = _split(array, np.int64)
    faults.add(np.flatnonzero(numbers.values < 0), quantity, NEGATIVE)
    faults.add(np.flatnonzero(numbers.values > MOST_TOKENS), quantity, TOO_LARGE)
    return numbers


def _counts_from_text(array: pa.Array | None) -> pa.Array | None:
    if array is None or not pa.types.is_string(array.type):
        return None
    try:
        return pc.cast(array, pa.int64())
    except pa.ArrowInvalid:
        return None


def _count(value: Any) -> int:
    if isinstance(value, str) and _GROUPED.fullmatch(value.strip()):
        raise FaultyValueError(OTHER_LOCALE)
    number = _number(value)
    if number != math.floor(number):
        raise FaultyValueError(NOT_WHOLE)
    if abs(number) > 2**62:
        raise FaultyValueError(TOO_LARGE)
    return int(number)


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise FaultyValueError(NOT_A_NUMBER)
    text = str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation as fault:
        foreign = _GROUPED.fullmatch(text) or _DECIMAL_COMMA.fullmatch(text)
        raise FaultyValueError(OTHER_LOCALE if foreign else NOT_A_NUMBER) from fault
    if not number.is_finite():
        raise FaultyValueError(NOT_FINITE)
    return number


def _floats(values: Column, faults: Faults, quantity: str) -> Numbers:
    array = _inferred(values)
    if array is not None and pa.types.is_null(array.type):
        return nothing(len(values))
    plain = array is not None and (
        pa.types.is_floating(array.type) or pa.types.is_integer(array.type)
    )
    if not plain:
        array = _floats_from_text(array)
    if array is None:
        parsed = _one_by_one(values, lambda v: float(_number(v)), faults, quantity)
        array = pa.array(parsed, pa.float64())
    numbers = _split(array, np.float64)
    faults.add(np.flatnonzero(~np.isfinite(numbers.values)), quantity, NOT_FINITE)
    faults.add(np.flatnonzero(numbers.values < 0), quantity, NEGATIVE)
    return numbers


def _floats_from_text(array: pa.Array | None) -> pa.Array | None:
    if array is None or not pa.types.is_string(array.type):
        return None
    try:
        return pc.cast(array, pa.float64())
    except pa.ArrowInvalid:
        return None


def to_seconds(values: Column, faults: Faults, quantity: str, seconds_per_unit: float) -> Numbers:
    """A column of durations [s]."""
    numbers = _floats(values, faults, quantity)
    return Numbers(numbers.values * seconds_per_unit, numbers.empty)


def to_pico_usd(values: Column, faults: Faults, quantity: str) -> Numbers:
    """A column of costs [10^-12 USD], rounded half to even."""
    numbers = _floats(values, faults, quantity)
    large = ~(np.abs(numbers.values) < MOST_USD)
    faults.add(np.flatnonzero(large & np.isfinite(numbers.values)), quantity, TOO_LARGE)
    usable = np.where(large, 0.0, numbers.values)
    return Numbers(np.rint(usable * PICO).astype(np.int64), numbers.empty)


@dataclass(frozen=True, slots=True)
class Clock:
    """How a source writes instants: the zone of those without one, the unit and zero of numbers."""

    zone: str | None = None
    unit: str | None = None
    start_us: int = 0


def to_instants(values: Column, faults: Faults, quantity: str, clock: Clock) -> Numbers:
    """A column of instants [us since 1970 UTC]."""
    array = _inferred(values)
    if array is not None and pa.types.is_null(array.type):
        return nothing(len(values))
    instants = None if array is None else _instants_at_once(array, clock)
    if instants is None:
        parsed = _one_by_one(values, lambda value: _instant(value, clock), faults, quantity)
        instants = pa.array(parsed, pa.int64())
    return _split(instants, np.int64)


def _instants_at_once(array: pa.Array, clock: Clock) -> pa.Array | None:
    if pa.types.is_integer(array.type) and clock.unit in ("us", "ms", "s"):
        factor = int(MICROSECONDS_PER_UNIT[clock.unit])
        try:
            counted = pc.multiply_checked(pc.cast(array, pa.int64()), factor)
            return pc.add_checked(counted, clock.start_us)
        except pa.ArrowInvalid:
            return None
    if pa.types.is_floating(array.type) and clock.unit == "s":
        return _float_seconds(array, clock.start_us)
    if not pa.types.is_string(array.type):
        return None
    for parse in (_with_offset, _without_offset):
        try:
            return pc.cast(parse(array, clock.zone), pa.int64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return None


def _float_seconds(array: pa.Array, start_us: int) -> pa.Array | None:
    """Seconds with decimals; a double holds those of this century to a quarter of a microsecond."""
    counted = array.to_numpy(zero_copy_only=False) * 1e6
    empty = array.is_null().to_numpy(zero_copy_only=False)
    if not np.all(np.abs(counted[~empty]) < 2.0**52):
        return None
    whole = np.rint(np.where(empty, 0.0, counted)).astype(np.int64) + start_us
    return pa.array(whole, pa.int64(), mask=empty)


def _with_offset(array: pa.Array, _zone: str | None) -> pa.Array:
    return pc.cast(array, _UTC_US)


def _without_offset(array: pa.Array, zone: str | None) -> pa.Array:
    if zone is None:
        raise pa.ArrowInvalid
    try:
        naive = pc.cast(array, pa.timestamp("us"))
    except pa.ArrowInvalid:
        exact = pc.cast(array, pa.timestamp("ns"))
        naive = pc.cast(pc.floor_temporal(exact, unit="microsecond"), pa.timestamp("us"))
    return naive if zone == "UTC" else pc.assume_timezone(naive, zone)


def _instant(value: Any, clock: Clock) -> int:
    if isinstance(value, bool):
        raise FaultyValueError(NOT_AN_INSTANT)
    if isinstance(value, int | float | Decimal):
        return _counted_instant(value, clock)
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError as fault:
            if clock.unit is not None:
                return _counted_instant(value, clock)
            raise FaultyValueError(NOT_AN_INSTANT) from fault
    if not isinstance(value, dt.datetime):
        raise FaultyValueError(NOT_AN_INSTANT)
    if value.tzinfo is None:
        value = _in_zone(value, clock.zone)
    try:
        return int((value - _EPOCH) // dt.timedelta(microseconds=1))
    except OverflowError as fault:
        raise FaultyValueError(NOT_AN_INSTANT) from fault


def _counted_instant(value: Any, clock: Clock) -> int:
    if clock.unit is None:
        raise FaultyValueError(NO_UNIT)
    counted = _number(value) * Decimal(str(MICROSECONDS_PER_UNIT[clock.unit]))
    if abs(counted) > 2**61:
        raise FaultyValueError(NOT_AN_INSTANT)
    return clock.start_us + math.floor(counted)


def _in_zone(naive: dt.datetime, zone: str | None) -> dt.datetime:
    if zone is None:
        raise FaultyValueError(NO_TIMEZONE)
    at = naive.replace(tzinfo=dt.UTC if zone == "UTC" else ZoneInfo(zone))
    exists = at.astimezone(dt.UTC).astimezone(at.tzinfo).replace(tzinfo=None) == naive
    if not exists or at.replace(fold=1).utcoffset() != at.utcoffset():
        raise FaultyValueError(NOT_IN_ZONE)
    return at
